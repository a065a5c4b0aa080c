//! Names: well formed, given once, and of something that exists.

use std::collections::{BTreeMap, BTreeSet};

use super::Check;
use crate::runbook::diagnostics::suggest;
use crate::runbook::model::{Fence, Freeze, Gate, Holds, Means, Replicate, Step, System};

/// Kinds of systems that are databases.
const DATABASES: [&str; 3] = ["postgres", "mysql", "mariadb"];

pub(super) fn check(check: &mut Check<'_>) {
    well_formed(check);
    given_once(check);
    systems_of_gates(check);
    systems_of_steps(check);
    gates_of_steps(check);
    unused_gates(check);
}

fn well_formed(check: &mut Check<'_>) {
    let runbook = check.runbook;
    name(check, "/name", &runbook.name);
    let keys = [("vars", runbook.vars.keys().collect::<Vec<_>>())];
    let more = [("systems", runbook.systems.keys().collect()), ("gates", runbook.gates.keys().collect())];
    for (section, names) in keys.into_iter().chain(more) {
        for key in names {
            name(check, &format!("/{section}/{key}#"), key);
        }
    }
    for (path, step) in check.steps() {
        if let Some(given) = step.given_name() {
            name(check, &format!("{path}/name"), given);
        }
    }
}

fn name(check: &mut Check<'_>, path: &str, name: &str) {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins || name.len() > 63 || !name.chars().all(fits) {
        let message = format!("`{name}` can't be a name");
        let remedy = "use letters, digits, `-` and `_`; begin with a letter or a digit; at most 63 characters";
        check.error(path, "bad-name", &message, remedy);
    }
}

fn given_once(check: &mut Check<'_>) {
    let mut first: BTreeMap<&str, String> = BTreeMap::new();
    for (path, step) in check.steps() {
        let Some(given) = step.given_name() else { continue };
        let path = format!("{path}/name");
        if let Some(before) = first.get(given) {
            let line = check.places.get(before).line;
            let message = format!("two steps are called `{given}`");
            check.error(&path, "duplicate-step", &message, format!("the other stands in line {line}; rename one"));
        } else {
            first.insert(given, path);
        }
    }
}

fn systems_of_gates(check: &mut Check<'_>) {
    let runbook = check.runbook;
    for (name, gate) in &runbook.gates {
        let path = format!("/gates/{name}/{}", gate.kind());
        match gate {
            Gate::Sql(gate) => check.database(&format!("{path}/system"), &gate.system),
            Gate::LongTransactions(gate) => check.database(&format!("{path}/system"), &gate.system),
            Gate::TargetHealth(gate) => check.traffic(&format!("{path}/traffic"), &gate.traffic),
            Gate::TrafficShare(gate) => check.system(&format!("{path}/traffic"), &gate.traffic, "haproxy"),
            Gate::Cloudwatch(gate) => {
                if let Some((name, _)) = gate.balancer() {
                    check.system(&format!("{path}/of"), name, "alb");
                }
            }
            Gate::ReplicationLag(_)
            | Gate::Http(_)
            | Gate::Prometheus(_)
            | Gate::DmsValidation(_)
            | Gate::Alarm(_)
            | Gate::TimeWindow(_)
            | Gate::Command(_)
            | Gate::Approval(_) => {}
        }
    }
}

fn systems_of_steps(check: &mut Check<'_>) {
    for (path, step) in check.steps() {
        match step {
            Step::Replicate(step) => {
                check.database(&format!("{path}/from"), &step.from);
                check.database(&format!("{path}/to"), &step.to);
                one_kind(check, &path, &step.from, &step.to);
                blue_green(check, &path, step);
            }
            Step::Shift(step) => check.traffic(&format!("{path}/traffic"), &step.traffic),
            Step::Freeze(step) => {
                check.database(&format!("{path}/database"), &step.database);
                fence(check, &path, step);
                endpoints(check, &format!("{path}/through"), &step.through, can_hold);
            }
            Step::Switch(step) => endpoints(check, &format!("{path}/endpoints"), &step.endpoints, is_endpoint),
            Step::Sql(step) => check.database(&format!("{path}/system"), &step.system),
            Step::Snapshot(step) => check.system(&format!("{path}/of"), &step.of, "rds"),
            Step::Parameters(step) => check.system(&format!("{path}/of"), &step.of, "rds"),
            Step::CreateInstance(step) => check.system(&format!("{path}/of"), &step.of, "rds"),
            Step::CreateBlueGreen(step) => {
                check.system(&format!("{path}/of"), &step.of, "rds");
                check.system(&format!("{path}/from"), &step.from, "rds");
            }
            _ => {}
        }
    }
}

/// Replication is between two databases of one kind.
fn one_kind(check: &mut Check<'_>, path: &str, from: &str, to: &str) {
    let kind = |name: &str| check.runbook.systems.get(name).map(System::kind).filter(|kind| DATABASES.contains(kind));
    if let (Some(source), Some(target)) = (kind(from), kind(to))
        && source != target
    {
        let message = format!("`{from}` is a {source} and `{to}` is a {target}: one can't follow the other");
        check.error(&format!("{path}/to"), "two-kinds", &message, format!("move to a {source}"));
    }
}

/// Both databases of a Blue/Green deployment say which servers of RDS they are; clusters are of Aurora PostgreSQL.
fn blue_green(check: &mut Check<'_>, path: &str, step: &Replicate) {
    let through = step.through == Means::BlueGreen;
    if let Some(limit) = &step.switchover_timeout {
        let path = format!("{path}/switchover-timeout");
        if !through {
            check.error(&path, "unused-timeout", "nothing is switched over", "add `through: blue-green`, or remove it");
        } else if !(30..=3600).contains(&limit.0.as_secs()) {
            check.error(&path, "bad-value", "RDS takes 30 seconds to an hour", "write such as `5m`");
        }
    }
    if !through {
        return;
    }
    let runbook = check.runbook;
    for (key, name, wanted) in [("from", &step.from, "instance:` or `cluster"), ("to", &step.to, "blue-green")] {
        let Some(database) = runbook.systems.get(name) else { continue };
        if !DATABASES.contains(&database.kind()) {
            continue;
        }
        let named = database.naming().and_then(|naming| runbook.systems.get(naming.rds));
        let fits = match named {
            Some(System::Rds(spec)) if key == "from" => spec.instance.is_some() || spec.cluster.is_some(),
            Some(System::Rds(spec)) => spec.blue_green.is_some(),
            _ => false,
        };
        if matches!(named, Some(System::Rds(spec)) if spec.cluster.is_some() && database.kind() != "postgres") {
            let message =
                format!("`{name}` is a {} cluster: only those of Aurora PostgreSQL are switched over", database.kind());
            check.error(&format!("{path}/{key}"), "wrong-system", &message, "leave out `through`");
            continue;
        }
        if !fits {
            let message = format!(
                "`{name}` does not say which {} of RDS it is",
                if key == "from" { "server" } else { "deployment" }
            );
            let remedy = format!("name an `rds` system with `{wanted}:` in it, instead of a `url`");
            check.error(&format!("{path}/{key}"), "wrong-system", &message, remedy);
        }
    }
}

/// Each kind of database has fences of its own.
fn fence(check: &mut Check<'_>, path: &str, step: &Freeze) {
    let Some(kind) = check.runbook.systems.get(&step.database).map(System::kind) else { return };
    let fits = match step.fence {
        Fence::Auto => true,
        Fence::Database | Fence::Roles => kind == "postgres",
        Fence::ReadOnly | Fence::Accounts => kind != "postgres",
    };
    if !fits && DATABASES.contains(&kind) {
        let message = format!("a {kind} has no fence of this kind");
        let remedy =
            if kind == "postgres" { "`auto`, `database` or `roles`" } else { "`auto`, `read-only` or `accounts`" };
        check.error(&format!("{path}/fence"), "wrong-fence", &message, format!("write {remedy}"));
    }
}

fn is_endpoint(system: &System) -> bool {
    system.endpoint().is_some()
}

fn can_hold(system: &System) -> bool {
    system.endpoint().is_some_and(|manner| manner.holds != Holds::Nothing)
}

fn endpoints(check: &mut Check<'_>, path: &str, names: &[String], fits: fn(&System) -> bool) {
    for (n, name) in names.iter().enumerate() {
        let path = format!("{path}/{n}");
        endpoint(check, &path, name, fits);
        if names[..n].contains(name) {
            check.error(&path, "named-twice", &format!("`{name}` is named twice here"), "name it once");
        }
    }
}

fn endpoint(check: &mut Check<'_>, path: &str, name: &str, fits: fn(&System) -> bool) {
    let systems = &check.runbook.systems;
    let poisoned = check.is_poisoned(&format!("/systems/{name}"));
    let able = systems.iter().filter(|(_, system)| fits(system)).map(|(name, _)| name.as_str());
    match systems.get(name) {
        Some(system) if fits(system) || poisoned => {}
        Some(system) => {
            let kind = system.kind();
            let message = match system.endpoint() {
                None => format!("`{name}` is a {kind}: no endpoint that can be led to another database"),
                Some(_) => format!("`{name}` is a {kind}, which can't hold its clients"),
            };
            let remedy = suggest(name, able);
            check.error(path, "wrong-system", &message, remedy);
        }
        None => {
            let remedy = suggest(name, systems.keys().map(String::as_str));
            check.error(path, "unknown-system", &format!("there is no system `{name}`"), remedy);
        }
    }
}

fn gates_of_steps(check: &mut Check<'_>) {
    for (path, step) in check.steps() {
        for (n, name) in step.gates().iter().enumerate() {
            if check.runbook.gates.contains_key(name) {
                continue;
            }
            let message = format!("there is no gate `{name}`");
            let remedy = if check.runbook.gates.is_empty() {
                "the runbook has no `gates:`; define it there".to_owned()
            } else {
                suggest(name, check.runbook.gates.keys().map(String::as_str))
            };
            check.error(&format!("{path}/gates/{n}"), "unknown-gate", &message, remedy);
        }
    }
}

fn unused_gates(check: &mut Check<'_>) {
    if check.is_poisoned_below("/steps") {
        return;
    }
    let steps = check.steps();
    let used: BTreeSet<&str> = steps.iter().flat_map(|(_, step)| step.gates()).map(String::as_str).collect();
    for name in check.runbook.gates.keys().filter(|name| !used.contains(name.as_str())) {
        let message = format!("no step waits for the gate `{name}`");
        check.warning(
            &format!("/gates/{name}#"),
            "unused-gate",
            &message,
            "name it in a step's `gates:`, or remove it",
        );
    }
}
