//! Runbooks: what is refused and how it is told, and that the shipped ones are good.

use std::path::{Path, PathBuf};

use pointsman::runbook::{Diagnostics, Loaded, Runbook, Severity, load, load_str, schema, step_ids};
use proptest::prelude::*;

/// A good runbook: what the tests of single mistakes change.
const GOOD: &str = include_str!("../../runbooks/rehearsal-postgres.yaml");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn fixture(name: &str) -> Result<Loaded, Diagnostics> {
    let path = root().join("tests/fixtures/runbooks").join(name);
    load_str(name, &std::fs::read_to_string(path).unwrap(), None)
}

fn mistakes(name: &str) -> String {
    let told = fixture(name).unwrap_err().render(false);
    assert!(!told.contains("hunter2"), "a password is shown:\n{told}");
    told
}

/// The codes of what is wrong with the good runbook after a change.
fn codes(from: &str, to: &str) -> Vec<&'static str> {
    assert!(GOOD.contains(from), "the good runbook has no {from:?}");
    match load_str("changed.yaml", &GOOD.replacen(from, to, 1), None) {
        Ok(loaded) => loaded.warnings.iter().map(|warning| warning.code).collect(),
        Err(found) => found.0.iter().map(|mistake| mistake.code).collect(),
    }
}

#[test]
fn tells_every_wrong_shape_at_once() {
    insta::assert_snapshot!(mistakes("shapes.yaml"));
}

#[test]
fn tells_every_wrong_name_and_value_at_once() {
    insta::assert_snapshot!(mistakes("names.yaml"));
}

#[test]
fn a_bake_that_cloudwatch_can_say_nothing_about_is_warned_about() {
    let text = |bake: &str| {
        format!(
            "version: 1\nname: x\nsystems:\n  web: {{ haproxy: {{ sockets: [/s], backend: b, from: [o], to: [n] }} }}\n\
             gates:\n  depth: {{ cloudwatch: {{ namespace: AWS/SQS, metric: Depth, dimensions: {{ QueueName: q }}, statistic: \
             Maximum, max: 5 }} }}\nsteps:\n  - shift: {{ traffic: web, weights: [50, 100], bake: {bake}, gates: [depth] }}\n\
             \x20 - bake: {{ for: {bake}, gates: [depth] }}\n"
        )
    };
    let warned = |bake: &str| {
        let loaded =
            load_str("changed.yaml", &text(bake), None).unwrap_or_else(|found| panic!("{}", found.render(false)));
        loaded.warnings.iter().filter(|warning| warning.code == "bake-too-short").count()
    };
    assert_eq!((warned("2m"), warned("179s"), warned("3m"), warned("10m")), (2, 2, 0, 0));
}

#[test]
fn references_to_aws_are_accepted_where_a_connection_is_opened_with_them() {
    let url = r#"url: "${env:SOURCE_URL}""#;
    for good in ["${ssm:/a/b}", "${aws-secret:a/b}", "postgresql://${aws-secret:a#user}:${aws-secret:a#pw}@h/d"] {
        assert!(!codes(url, &format!("url: \"{good}\"")).iter().any(|code| code.contains("reference")), "{good}");
    }
    for bad in ["${ssm:a b}", "${aws-secret:a#}", "${aws-secret:#pw}", "${aws-secret:a{b}"] {
        assert!(codes(url, &format!("url: \"{bad}\"")).contains(&"bad-reference"), "{bad}");
    }
    let message = GOOD.replacen("name: ", "name: \"${ssm:/a}\" # ", 1);
    let found = load_str("changed.yaml", &message, None).unwrap_err();
    assert!(found.0.iter().any(|mistake| mistake.code == "reference-not-here"), "{}", found.render(false));
}

#[test]
fn tells_where_an_endpoint_may_not_stand() {
    insta::assert_snapshot!(mistakes("endpoints.yaml"));
}

#[test]
fn tells_what_a_database_on_rds_must_say() {
    insta::assert_snapshot!(mistakes("rds.yaml"));
}

#[test]
fn tells_where_a_step_of_rds_may_not_stand() {
    insta::assert_snapshot!(mistakes("rds-steps.yaml"));
}

#[test]
fn tells_every_unsafe_order_at_once() {
    insta::assert_snapshot!(mistakes("order.yaml"));
}

#[test]
fn tells_what_is_not_yaml_without_its_password() {
    insta::assert_snapshot!(mistakes("not-yaml.yaml"));
}

#[test]
fn tells_every_key_that_stands_twice() {
    insta::assert_snapshot!(mistakes("duplicates.yaml"));
}

#[test]
fn refuses_a_second_document_and_an_empty_one() {
    insta::assert_snapshot!(mistakes("two-documents.yaml"));
    assert_eq!(load_str("empty.yaml", "# nothing\n", None).unwrap_err().0[0].code, "empty");
}

#[test]
fn a_file_that_is_not_there_is_a_mistake_too() {
    let found = load(Path::new("/no/such/runbook.yaml"), None).unwrap_err();
    insta::assert_snapshot!(found.render(false));
}

#[test]
fn a_masked_password_does_not_move_the_column() {
    let text = GOOD.replace("url: \"${env:SOURCE_URL}\"", "url: postgresql://a:hunter2hunter2@db/x, tsl: {}");
    let found = load_str("masked.yaml", &text, None).unwrap_err();
    let line = text.lines().position(|line| line.contains("tsl")).unwrap();
    let column = text.lines().nth(line).unwrap().find("tsl").unwrap() + 1;
    for colour in [false, true] {
        let shown = found.render(colour);
        assert!(shown.contains(&format!("masked.yaml:{}:{column}", line + 1)), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn json_form_has_the_place_and_no_password() {
    let found = fixture("duplicates.yaml").unwrap_err();
    insta::assert_json_snapshot!(found.0[1]);
}

/// What DMS does for PostgreSQL, and not for MySQL.
#[test]
fn mysql_through_dms_is_told_what_it_can_not_have() {
    let text = |kind: &str, more: &str, login: &str| {
        format!(
            "version: 1\nname: x\naws: {{ account: \"123456789012\", region: us-east-1 }}\nsystems:\n  source: {{ {kind}: {{ url: \"${{env:A}}\" }} }}\n  target: {{ {kind}: {{ url: \"${{env:B}}\" }} }}\n\
             \x20 carrier: {{ dms: {{ instance: i }} }}\n  front: {{ haproxy-tcp: {{ sockets: [/s], frontend: f, backend: b, source: [s], target: [t] }} }}\n\
             gates:\n  lag: {{ replication-lag: {{ max-age: 10s }} }}\nsteps:\n\
             \x20 - preflight\n  - replicate: {{ from: source, to: target, through: dms{more}, dms: {{ instance: carrier, \
             source: {{ role: dms, url: \"${{env:C}}\", {login} }}, target: {{ role: dms, url: \"${{env:D}}\", {login} }} }} }}\n\
             \x20 - window: {{ budget: 60s, gates: [lag], steps: [{{ freeze: {{ database: source, through: [front] }} }}, drain, sequences, promote, \
             {{ switch: {{ endpoints: [front] }} }}] }}\n"
        )
    };
    let codes = |kind: &str, more: &str, login: &str| match load_str("dms.yaml", &text(kind, more, login), None) {
        Ok(_) => Vec::new(),
        Err(found) => found.0.iter().map(|mistake| mistake.code).collect(),
    };
    assert_eq!(codes("mysql", "", "tls: none"), Vec::<&str>::new());
    assert_eq!(codes("mariadb", "", "certificate: arn"), Vec::<&str>::new());
    assert_eq!(codes("mysql", "", "tls: require"), ["no-certificate", "no-certificate"]);
    assert_eq!(codes("mysql", "", "tls: none, engine: aurora-postgresql"), ["wrong-engine", "wrong-engine"]);
    assert_eq!(codes("mysql", ", copy-schema: false, copy: clone", "tls: none"), ["no-schema", "unused-copy"]);
}

/// Exactly one thing runs a task of DMS, and DMS has only some capacities.
#[test]
fn what_runs_a_task_of_dms_is_said_once() {
    let good = std::fs::read_to_string(root().join("runbooks/mysql-to-rds-dms.yaml")).unwrap();
    for (from, to, code) in [
        ("      serverless:\n", "      instance: orders\n      serverless:\n", "no-instance"),
        ("        max-capacity: 16\n", "        max-capacity: 17\n", "bad-value"),
        ("        min-capacity: 2\n", "        min-capacity: 32\n", "bad-value"),
        ("        min-capacity: 2\n", "        storage: 50GiB\n", "unknown-key"),
    ] {
        assert!(good.contains(from), "{from:?}");
        let found = load_str("serverless.yaml", &good.replacen(from, to, 1), None).unwrap_err();
        assert!(found.0.iter().any(|found| found.code == code), "after {from:?} became {to:?}: {found}");
    }
    let text = serde_json::to_string(&pointsman::runbook::schema()).unwrap();
    assert!(text.contains("max-capacity") && text.contains("Units that it has at most"), "an editor can complete it");
}

#[test]
fn shipped_runbooks_have_no_mistakes_and_no_warnings() {
    for (name, env) in shipped() {
        let loaded = load(&root().join("runbooks").join(name), env).unwrap_or_else(|found| panic!("{found}"));
        assert!(loaded.warnings.is_empty(), "{name}: {:#?}", loaded.warnings);
        assert!(loaded.runbook.environments.is_empty(), "an overlay is not part of what is run");
    }
    let count = std::fs::read_dir(root().join("runbooks")).unwrap().count();
    assert_eq!(count, 18, "a shipped runbook is not tested here");
}

fn shipped() -> [(&'static str, Option<&'static str>); 19] {
    [
        ("rehearsal-postgres.yaml", None),
        ("rehearsal-mysql.yaml", None),
        ("rehearsal-mariadb.yaml", None),
        ("rehearsal-aws.yaml", None),
        ("rehearsal-replica.yaml", None),
        ("rehearsal-replica-mysql.yaml", None),
        ("rds-replica-promotion.yaml", None),
        ("rds-replica-promotion-mysql.yaml", None),
        ("rds-blue-green-mysql.yaml", None),
        ("rds-blue-green.yaml", None),
        ("rds-blue-green-create.yaml", None),
        ("aurora.yaml", None),
        ("mysql-droplet-to-rds.yaml", None),
        ("mysql-to-rds-dms.yaml", None),
        ("postgres-droplet-to-ecs.yaml", None),
        ("postgres-droplet-to-rds.yaml", None),
        ("postgres-to-rds-dms.yaml", None),
        ("rds-provision.yaml", None),
        ("postgres-droplet-to-rds.yaml", Some("staging")),
    ]
}

#[test]
fn a_deployment_is_switched_over_between_databases_that_name_their_instances() {
    let text = std::fs::read_to_string(root().join("runbooks/rds-blue-green.yaml")).unwrap();
    for (from, to, code) in [
        ("rds: { instance: orders }", "rds: { blue-green: orders }", "wrong-system"),
        ("blue-green: orders-upgrade", "instance: orders-green", "wrong-system"),
        ("switchover-timeout: 5m", "switchover-timeout: 5s", "bad-value"),
        ("through: blue-green, ", "", "unused-timeout"),
        ("{ blue-green: orders-upgrade }", "{ blue-green: orders-upgrade, instance: a }", "no-server"),
    ] {
        let found = load_str("blue-green.yaml", &text.replace(from, to), None).unwrap_err();
        assert!(found.0.iter().any(|found| found.code == code), "after {from:?} became {to:?}: {found}");
    }
    let of_cluster = text.replace("rds: { instance: orders }", "rds: { cluster: orders }");
    load_str("blue-green.yaml", &of_cluster, None).unwrap();
}

#[test]
fn a_deployment_of_a_cluster_is_made_with_what_a_cluster_has() {
    let text = std::fs::read_to_string(root().join("runbooks/rds-blue-green-create.yaml")).unwrap();
    let of_cluster = text.replace("rds: { instance: orders }", "rds: { cluster: orders }");
    let with = |text: &str, line: &str| text.replacen("from: blue\n", &format!("from: blue\n      {line}\n"), 1);
    load_str("create.yaml", &with(&of_cluster, "instance-parameter-group: orders-writers"), None).unwrap();
    for (text, line, code) in [
        (&of_cluster, "class: db.r7g.large", "not-of-a-cluster"),
        (&of_cluster, "storage: 10GiB", "not-of-a-cluster"),
        (&text, "instance-parameter-group: orders-writers", "not-of-an-instance"),
    ] {
        let found = load_str("create.yaml", &with(text, line), None).unwrap_err();
        assert!(found.0.iter().any(|found| found.code == code), "{line}: {found}");
    }
}

#[test]
fn an_environment_replaces_values_and_keeps_the_rest() {
    let path = root().join("runbooks/postgres-droplet-to-rds.yaml");
    let production = load(&path, None).unwrap().runbook;
    let staging = load(&path, Some("staging")).unwrap().runbook;
    assert_eq!(production.steps.len(), staging.steps.len());
    let frozen = |runbook: &Runbook, pointer: &str| {
        serde_json::to_value(runbook).unwrap().pointer(pointer).cloned().unwrap_or_default()
    };
    assert_eq!(frozen(&staging, "/gates/lag/replication-lag/rules/for"), "5s");
    assert_eq!(frozen(&staging, "/gates/lag/replication-lag/max"), "1MiB");
    assert_eq!(frozen(&production, "/steps/6/window/budget"), "5s");
    assert_eq!(frozen(&staging, "/steps/6/window/budget"), "10s");
    assert_eq!(frozen(&staging, "/systems/source/postgres/tls/mode"), "verify-full");
    let url = "postgresql://pointsman:${env:SOURCE_PASSWORD}@10.30.0.5:5432/orders";
    assert_eq!(frozen(&staging, "/systems/source/postgres/url"), url, "a reference stays one");
}

#[test]
fn an_environment_that_is_not_there_is_named_with_those_that_are() {
    let path = root().join("runbooks/postgres-droplet-to-rds.yaml");
    let found = load(&path, Some("stagin")).unwrap_err();
    assert_eq!(found.0[0].code, "unknown-environment");
    assert_eq!(found.0[0].remedy.as_deref(), Some("did you mean `staging`?"));
}

#[test]
fn a_mistake_in_an_environment_has_its_own_place() {
    let text = format!("{GOOD}environments:\n  slow: {{ gates: {{ lag: {{ replication-lag: {{ max: 7 }} }} }} }}\n");
    assert!(load_str("overlay.yaml", &text, None).is_ok());
    let found = load_str("overlay.yaml", &text, Some("slow")).unwrap_err();
    assert_eq!(found.0.len(), 1, "{found}");
    assert_eq!(found.0[0].at.line, text.lines().count());
}

#[test]
fn single_mistakes_have_their_code() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("  - preflight\n", "", &["no-preflight"]),
        ("  - verify: { compare: checksums, timeout: 10m }\n", "", &["finalize-before-verify"]),
        ("  - approve: { message: \"Drop the way back?\" }\n", "", &["missing-approval"]),
        ("        - sequences\n", "", &["missing-step"]),
        ("        - drain\n        - sequences\n", "        - sequences\n        - drain\n", &["unsafe-order"]),
        ("endpoints: pool", "endpoints: []", &["frozen-not-switched"]),
        ("through: pool", "through: []", &["switched-not-frozen"]),
        ("      redirect: { ini: \"${env:POOL_INI}\" }\n", "", &["no-redirect"]),
        ("\"${env:SOURCE_URL}\"", "postgresql://app:x@db/orders", &["literal-password"]),
        ("budget: 2s", "budget: 500ms", &["pause-over-budget"]),
        ("budget: 2s", "budget: 2", &["bad-value"]),
        ("from: source, to: target", "from: target, to: source", &["wrong-database"]),
        ("[1, 5, 10, 25, 50, 75, 100]", "[1, 5%, 0.5]", &["weights-order"]),
        ("  - finalize\n", "  - finalize\n  - shift: { traffic: web, weights: [1] }\n", &["after-finalize"]),
        ("gates: [lag, long-transactions]", "gates: [lag]", &["unused-gate"]),
        ("gates: [lag, long-transactions]", "gates: [lag, *nothing]", &["not-yaml"]),
        ("version: 1\n", "", &["missing-key"]),
        ("interval: 200ms, for", "interval: 1ms, for", &["bad-interval"]),
        ("traffic: web", "traffic: web, weights: [1]", &["not-yaml"]),
    ];
    for (from, to, expected) in cases {
        assert_eq!(codes(from, to), *expected, "after {from:?} became {to:?}");
    }
}

#[test]
fn numbers_stand_for_texts_where_texts_are_wanted() {
    let text = GOOD.replace("database: shop", "database: 5432").replace("[1, 5, 10,", "[1, 5%, \"10\",");
    let text =
        text.replace("min-requests: 100", "min-requests: \"${var:n}\"").replace("stage:", "vars: { n: 7 }\nstage:");
    let frozen = serde_json::to_value(load_str("numbers.yaml", &text, None).unwrap().runbook).unwrap();
    assert_eq!(frozen.pointer("/systems/pool/pgbouncer/database").unwrap(), "5432");
    assert_eq!(frozen.pointer("/steps/3/shift/weights/1").unwrap(), "5%");
    assert_eq!(frozen.pointer("/steps/3/shift/weights/2").unwrap(), "10%");
    assert_eq!(frozen.pointer("/steps/3/shift/min-requests").unwrap(), 7);
}

#[test]
fn anchors_may_be_used() {
    let text = GOOD.replace("- switch: { endpoints: pool }", "- switch: { endpoints: *poolers }");
    let text = text.replace("through: pool", "through: &poolers [pool]");
    assert_eq!(load_str("good.yaml", &text, None).unwrap().runbook, load_str("good.yaml", GOOD, None).unwrap().runbook);
}

#[test]
fn a_deep_or_swollen_file_is_refused() {
    let deep = format!("version: {}", "[".repeat(100));
    assert_eq!(load_str("deep.yaml", &deep, None).unwrap_err().0.last().unwrap().code, "too-deep");
    let tenfold = |n: usize| format!("a{n}: &a{n} [{}]", format!("*a{}, ", n - 1).repeat(10));
    let swollen = format!("a0: &a0 [1]\n{}", (1..30).map(tenfold).collect::<Vec<_>>().join("\n"));
    let found = load_str("swollen.yaml", &swollen, None).unwrap_err();
    assert_eq!(found.0.last().unwrap().code, "too-many-aliases");
}

#[test]
fn steps_have_ids_in_the_order_of_the_plan() {
    let ids = step_ids(&load_str("good.yaml", GOOD, None).unwrap().runbook.steps);
    insta::assert_snapshot!(ids.join(" "), @"preflight replicate wait shift window freeze drain sequences promote switch bake verify approve finalize");
}

#[test]
fn the_schema_accepts_what_is_shipped_and_refuses_what_is_not() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (name, _) in shipped() {
        let file = as_json(&std::fs::read_to_string(root().join("runbooks").join(name)).unwrap());
        let errors: Vec<String> = validator.iter_errors(&file).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
    for (from, to) in [("max: 1MiB", "max: 1MiB, rules: {}"), ("- drain", "- wait"), ("for: 3s", "for: 3")] {
        assert!(!validator.is_valid(&as_json(&GOOD.replacen(from, to, 1))), "{to} is valid for an editor");
    }
}

fn as_json(text: &str) -> serde_json::Value {
    use saphyr::LoadableYamlNode;
    json_of(&saphyr::Yaml::load_from_str(text).unwrap()[0])
}

fn json_of(yaml: &saphyr::Yaml<'_>) -> serde_json::Value {
    use saphyr::{Scalar, Yaml};
    match yaml {
        Yaml::Value(Scalar::Boolean(is)) => (*is).into(),
        Yaml::Value(Scalar::Integer(number)) => (*number).into(),
        Yaml::Value(Scalar::FloatingPoint(number)) => number.into_inner().into(),
        Yaml::Value(Scalar::String(text)) => text.to_string().into(),
        Yaml::Sequence(items) => items.iter().map(json_of).collect(),
        Yaml::Mapping(map) => {
            map.iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), json_of(value))).collect()
        }
        _ => serde_json::Value::Null,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever a file holds, it is read or told about, each mistake at a place in it, and no password is shown.
    #[test]
    fn no_change_of_a_runbook_makes_the_reader_fall_over(changes in prop::collection::vec(change(), 1..6)) {
        let text = changes.iter().fold(GOOD.to_owned(), |text, change| apply(&text, change));
        if let Err(found) = load_str("changed.yaml", &text, None) {
            prop_assert!(found.0.iter().any(|mistake| mistake.severity == Severity::Error));
            prop_assert!(found.0.iter().all(|mistake| mistake.at.line <= text.lines().count() + 1));
            prop_assert!(!found.render(true).is_empty());
        }
    }

    /// What was read survives being frozen.
    #[test]
    fn a_good_runbook_survives_being_frozen(budget in 600u64..100_000, max in 1u64..5_000_000_000, share in 2u32..5, sockets in 1usize..4) {
        let text = GOOD.replace("budget: 2s", &format!("budget: {budget}ms")).replace("max: 1MiB", &format!("max: {max}B"));
        let text = text.replace("[1, 5,", &format!("[1, {share}.5%,"));
        let text = text.replace("\"${env:HAPROXY_SOCKET}\"", &vec!["/run/haproxy.sock"; sockets].join(", "));
        let runbook = load_str("good.yaml", &text, None).unwrap_or_else(|found| panic!("{found}")).runbook;
        let frozen = serde_json::to_string(&runbook).unwrap();
        prop_assert_eq!(serde_json::from_str::<Runbook>(&frozen).unwrap(), runbook);
    }
}

/// A change of a text: where, how much goes, and what comes.
type Change = (prop::sample::Index, usize, String);

fn change() -> impl Strategy<Value = Change> {
    let words = prop::sample::select(vec![
        "",
        "\n",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "${",
        "${var:x}",
        "&a ",
        "*a",
        "null",
        "10",
        "ä",
        "\t",
        "  ",
        "!!str ",
        "postgres://a:b@c",
        "gates",
        "window",
        "rules",
        "|\n",
        "---\n",
        "#",
    ]);
    (any::<prop::sample::Index>(), 0usize..12, words.prop_map(str::to_owned))
}

fn apply(text: &str, (at, goes, comes): &Change) -> String {
    let letters: Vec<char> = text.chars().collect();
    let at = at.index(letters.len() + 1);
    let rest = letters.iter().skip(at + goes);
    letters[..at].iter().copied().chain(comes.chars()).chain(rest.copied()).collect()
}
