//! Tables, and what of them logical replication does not carry.

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use crate::systems::postgres::ident;
use crate::systems::postgres::survey::Table;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    vec![
        identity(input),
        identity_full(input),
        unlogged(input),
        temporary(input),
        generated(input),
        row_security(input),
        foreign(input),
        materialized(input),
        large_objects(input),
        schemas(input),
    ]
}

/// Unlogged tables can't be published at all; they have a finding of their own.
fn published(input: &PreflightInput) -> impl Iterator<Item = &Table> {
    input.tables().filter(|table| table.holds_rows() && !table.unlogged)
}

fn full_names<'a>(tables: impl IntoIterator<Item = &'a Table>) -> String {
    names(tables.into_iter().map(Table::full_name))
}

fn identity(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "replica-identity",
        system: &input.source.system,
        why: "Once such a table is published, UPDATE and DELETE on it fail for the application: a row can't be told \
              without a key.",
    };
    let without: Vec<&Table> = published(input).filter(|table| !table.replicable()).collect();
    if without.is_empty() {
        return check
            .pass("every table has a usable replica identity", format!("{} tables.", published(input).count()));
    }
    let mend = without.iter().map(|table| mend_identity(table)).collect();
    let detail = format!("No primary key or no usable index: {}.", names(without.iter().map(|table| reason(table))));
    check.fail(
        count(without.len(), "table has no usable replica identity", "tables have no usable replica identity"),
        detail,
        mend,
    )
}

fn reason(table: &Table) -> String {
    let why = match (table.identity.as_str(), table.primary_key) {
        ("d", false) => "default, no primary key",
        ("d", true) => "default, primary key deferrable or invalid",
        ("n", _) => "nothing",
        _ => "its index is gone or invalid",
    };
    format!("{} ({why})", table.full_name())
}

fn mend_identity(table: &Table) -> String {
    let name = table.sql_name();
    if table.primary_key && table.identity != "d" {
        return format!("ALTER TABLE {name} REPLICA IDENTITY DEFAULT;");
    }
    match &table.candidate {
        Some(index) => format!("ALTER TABLE {name} REPLICA IDENTITY USING INDEX {};", ident(index)),
        None => format!("ALTER TABLE {name} REPLICA IDENTITY FULL; -- slow for large tables: rather add a primary key"),
    }
}

fn identity_full(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "replica-identity-full",
        system: &input.source.system,
        why: "With FULL every changed row is looked for by all of its columns: slow on large tables, and impossible \
              for types without equality.",
    };
    let full: Vec<&Table> = published(input).filter(|table| table.identity == "f").collect();
    let broken: Vec<&&Table> = full.iter().filter(|table| !table.incomparable.is_empty()).collect();
    if !broken.is_empty() {
        let shown = broken.iter().map(|table| format!("{} ({})", table.full_name(), table.incomparable.join(", ")));
        let mend = broken
            .iter()
            .map(|table| {
                format!(
                    "-- add a primary key to {}, then: ALTER TABLE {} REPLICA IDENTITY DEFAULT;",
                    table.full_name(),
                    table.sql_name()
                )
            })
            .collect();
        return check.fail(
            "FULL identity over columns that can't be compared",
            format!("Apply would fail on: {}.", names(shown)),
            mend,
        );
    }
    if full.is_empty() {
        return check.pass("no table has FULL identity", "Rows are told by a key.");
    }
    let mend = full
        .iter()
        .filter(|table| table.primary_key)
        .map(|table| format!("ALTER TABLE {} REPLICA IDENTITY DEFAULT;", table.sql_name()))
        .collect();
    check.warn(
        count(full.len(), "table has FULL identity", "tables have FULL identity"),
        full_names(full.iter().copied()),
        mend,
    )
}

fn unlogged(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "unlogged-tables",
        system: &input.source.system,
        why: "Unlogged tables are not in the log, so they arrive empty.",
    };
    let found: Vec<&Table> = input.tables().filter(|table| table.unlogged).collect();
    if found.is_empty() {
        return check.pass("there is no unlogged table", "Every table is in the log.");
    }
    let mend = found.iter().map(|table| format!("ALTER TABLE {} SET LOGGED;", table.sql_name())).collect();
    check.warn(
        count(found.len(), "unlogged table arrives empty", "unlogged tables arrive empty"),
        full_names(found.iter().copied()),
        mend,
    )
}

fn temporary(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "temporary-tables",
        system: &input.source.system,
        why: "Temporary tables end with their sessions, and every session ends when the endpoint is switched.",
    };
    match input.source.objects.temporary_tables {
        0 => check.pass("there is no temporary table now", "None was seen."),
        number => {
            let mend = vec!["-- see that the application makes them again on a new connection".to_owned()];
            check.warn("sessions use temporary tables", format!("{number} now."), mend)
        }
    }
}

fn generated(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "generated-columns",
        system: &input.source.system,
        why: "Generated columns are not sent: the target computes them, so the expression must be there and give the \
              same.",
    };
    let found: Vec<String> = published(input)
        .filter(|table| !table.generated.is_empty())
        .map(|table| format!("{} ({})", table.full_name(), table.generated.join(", ")))
        .collect();
    if found.is_empty() {
        return check.pass("there is no generated column", "Every column is sent.");
    }
    if input.wanted.copy_schema {
        return check.pass(
            "generated columns are computed on the target",
            format!("The expressions are copied with the schema: {}.", names(&found)),
        );
    }
    let mend = vec!["-- compare `\\d` of these tables on both sides".to_owned()];
    check.warn("the target must compute generated columns", format!("{}.", names(&found)), mend)
}

fn row_security(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "row-security",
        system: &input.source.system,
        why: "Policies are copied with the schema, but the roles they name must exist, and apply stops for a role \
              that is subject to them.",
    };
    let found: Vec<&Table> = input.tables().filter(|table| table.row_security).collect();
    if found.is_empty() {
        return check.pass("no table has row level security", "Nothing hides rows.");
    }
    let applies = input.target.role.superuser || input.target.role.bypass_rls;
    let detail = format!("{}.", full_names(found.iter().copied()));
    if applies {
        return check.pass("row level security is bypassed by our role on the target", detail);
    }
    let mend = vec![format!("ALTER ROLE {} BYPASSRLS; -- on {}", ident(&input.target.role.name), input.target.system)];
    check.warn("row level security may stop the apply worker", detail, mend)
}

fn foreign(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "foreign-tables",
        system: &input.source.system,
        why: "A foreign table holds no rows to replicate; its server, user mapping and network path must work from \
              the target.",
    };
    let found = &input.source.objects.foreign_tables;
    if found.is_empty() {
        return check.pass("there is no foreign table", "Nothing is elsewhere.");
    }
    let mend = vec!["-- on the target: CREATE SERVER, CREATE USER MAPPING, and a SELECT from each".to_owned()];
    check.warn(count(found.len(), "foreign table", "foreign tables"), format!("{}.", names(found)), mend)
}

fn materialized(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "materialized-views",
        system: &input.source.system,
        why: "The contents of a materialized view are not replicated.",
    };
    let found = &input.source.objects.materialized_views;
    if found.is_empty() {
        return check.pass("there is no materialized view", "Nothing to refresh.");
    }
    let mend = found
        .iter()
        .map(|name| {
            format!(
                "REFRESH MATERIALIZED VIEW {}; -- on the target, after the copy and before the window",
                quoted(name)
            )
        })
        .collect();
    check.warn(
        count(found.len(), "materialized view must be refreshed", "materialized views must be refreshed"),
        format!("{}.", names(found)),
        mend,
    )
}

fn quoted(full_name: &str) -> String {
    full_name
        .split_once('.')
        .map_or_else(|| ident(full_name), |(schema, name)| format!("{}.{}", ident(schema), ident(name)))
}

fn large_objects(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "large-objects",
        system: &input.source.system,
        why: "Large objects are not replicated: those that are there, and those written meanwhile, would be missing \
              on the target.",
    };
    match input.source.objects.large_objects {
        0 => check.pass("there is no large object", "pg_largeobject_metadata is empty."),
        number => {
            let mend = vec![
                "-- move them into bytea columns, or copy them while writes are stopped and accept `large-objects`"
                    .to_owned(),
                "-- orphans only? `vacuumlo` removes them".to_owned(),
            ];
            check.fail(
                format!("{number} large objects would be left behind"),
                "pg_largeobject_metadata is not empty.",
                mend,
            )
        }
    }
}

fn schemas(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "schemas",
        system: &input.source.system,
        why: "What is in no schema that is carried stays behind.",
    };
    let there: Vec<&str> = input.source.schemas.iter().map(|schema| schema.name.as_str()).collect();
    let missing: Vec<&String> = input.wanted.schemas.iter().filter(|name| !there.contains(&name.as_str())).collect();
    if !missing.is_empty() {
        let mend = vec![format!("-- correct `schemas` of `replicate`; there are: {}", names(&there))];
        return check.fail("the source has no such schema", format!("{}.", names(missing)), mend);
    }
    let left: Vec<&str> = there.iter().copied().filter(|name| !input.carries(name)).collect();
    let tables = input.tables().filter(|table| table.holds_rows()).count();
    if tables == 0 {
        return check.fail(
            "there is nothing to carry",
            "No table in the schemas that are carried.",
            vec!["-- correct `schemas` of `replicate`, or the source's `url`".to_owned()],
        );
    }
    if !left.is_empty() {
        return check.warn(
            "some schemas stay behind",
            format!("{}.", names(left)),
            vec!["-- add them to `schemas` of `replicate` if the application needs them".to_owned()],
        );
    }
    check.pass(count(tables, "table is carried", "tables are carried"), format!("Schemas: {}.", names(there)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{judged, table};
    use super::super::{Finding, Level};
    use super::*;
    use crate::systems::postgres::survey::Schema;

    fn with(id: &str, table: Table) -> Finding {
        judged(id, "source", |input| input.source.tables = vec![table])
    }

    #[test]
    fn a_default_identity_without_a_primary_key_is_refused() {
        let bare = Table { primary_key: false, keyed: false, ..table("log") };
        let found = with("replica-identity", bare.clone());
        assert_eq!(found.level, Level::Fail);
        assert!(found.detail.contains("public.log (default, no primary key)"), "{}", found.detail);
        assert!(found.mend[0].starts_with(r#"ALTER TABLE "public"."log" REPLICA IDENTITY FULL;"#));
        let found = with("replica-identity", Table { candidate: Some("log_key".into()), ..bare });
        assert_eq!(found.mend, [r#"ALTER TABLE "public"."log" REPLICA IDENTITY USING INDEX "log_key";"#]);
    }

    #[test]
    fn every_identity_is_told_apart() {
        let level = |identity: &str, primary_key, keyed| {
            with("replica-identity", Table { identity: identity.into(), primary_key, keyed, ..table("t") })
        };
        assert_eq!(level("d", true, true).level, Level::Pass);
        assert_eq!(level("i", false, true).level, Level::Pass);
        assert_eq!(level("f", false, false).level, Level::Pass);
        assert!(level("d", true, false).detail.contains("deferrable"));
        assert_eq!(level("n", true, false).mend, [r#"ALTER TABLE "public"."t" REPLICA IDENTITY DEFAULT;"#]);
        assert!(level("i", false, false).detail.contains("index is gone"));
    }

    #[test]
    fn partitioned_roots_unlogged_tables_and_other_schemas_need_no_identity() {
        let bare = Table { primary_key: false, keyed: false, ..table("t") };
        assert_eq!(with("replica-identity", Table { kind: "p".into(), ..bare.clone() }).level, Level::Pass);
        assert_eq!(with("replica-identity", Table { unlogged: true, ..bare.clone() }).level, Level::Pass);
        let other = judged("replica-identity", "source", |input| {
            input.source.tables = vec![bare, table("u")];
            input.wanted.schemas = vec!["app".into()];
        });
        assert_eq!(other.level, Level::Pass);
    }

    #[test]
    fn full_identity_warns_and_fails_over_json() {
        let full = Table { identity: "f".into(), keyed: false, ..table("t") };
        assert_eq!(with("replica-identity-full", full.clone()).level, Level::Warn);
        let json = with("replica-identity-full", Table { incomparable: vec!["doc".into()], ..full });
        assert_eq!(json.level, Level::Fail);
        assert!(json.detail.contains("public.t (doc)"));
        assert_eq!(with("replica-identity-full", table("t")).level, Level::Pass);
    }

    #[test]
    fn what_is_not_carried_is_named() {
        let unlogged = with("unlogged-tables", Table { unlogged: true, ..table("cache") });
        assert_eq!(
            (unlogged.level, unlogged.mend[0].as_str()),
            (Level::Warn, r#"ALTER TABLE "public"."cache" SET LOGGED;"#)
        );
        let of = |id: &str, spoil: fn(&mut PreflightInput)| judged(id, "source", spoil).level;
        assert_eq!(of("unlogged-tables", |_| ()), Level::Pass);
        assert_eq!(of("temporary-tables", |input| input.source.objects.temporary_tables = 2), Level::Warn);
        assert_eq!(of("temporary-tables", |_| ()), Level::Pass);
        assert_eq!(
            of("foreign-tables", |input| input.source.objects.foreign_tables = vec!["public.f".into()]),
            Level::Warn
        );
        assert_eq!(of("foreign-tables", |_| ()), Level::Pass);
        assert_eq!(of("large-objects", |input| input.source.objects.large_objects = 1), Level::Fail);
        assert_eq!(of("large-objects", |_| ()), Level::Pass);
        let view = judged("materialized-views", "source", |input| {
            input.source.objects.materialized_views = vec!["public.Totals".into()];
        });
        assert!(view.mend[0].starts_with(r#"REFRESH MATERIALIZED VIEW "public"."Totals";"#), "{view:?}");
        assert_eq!(of("materialized-views", |_| ()), Level::Pass);
    }

    #[test]
    fn generated_columns_come_with_the_schema() {
        let with = |copy_schema| {
            judged("generated-columns", "source", move |input| {
                input.source.tables = vec![Table { generated: vec!["total".into()], ..table("t") }];
                input.wanted.copy_schema = copy_schema;
            })
            .level
        };
        assert_eq!([with(true), with(false)], [Level::Pass, Level::Warn]);
    }

    #[test]
    fn row_security_needs_a_role_that_bypasses_it() {
        let with = |superuser, bypass_rls| {
            judged("row-security", "source", move |input| {
                input.source.tables = vec![Table { row_security: true, ..table("t") }];
                (input.target.role.superuser, input.target.role.bypass_rls) = (superuser, bypass_rls);
            })
            .level
        };
        assert_eq!([with(true, false), with(false, true), with(false, false)], [Level::Pass, Level::Pass, Level::Warn]);
        assert_eq!(judged("row-security", "source", |_| ()).level, Level::Pass);
    }

    #[test]
    fn schemas_that_are_missing_empty_or_left_behind_are_named() {
        assert_eq!(judged("schemas", "source", |_| ()).level, Level::Pass);
        let missing = judged("schemas", "source", |input| input.wanted.schemas = vec!["publik".into()]);
        assert!(missing.level == Level::Fail && missing.mend[0].contains("public"), "{missing:?}");
        assert_eq!(judged("schemas", "source", |input| input.source.tables.clear()).level, Level::Fail);
        let left = judged("schemas", "source", |input| {
            input.source.schemas.push(Schema { name: "audit".into(), owner: "app".into() });
            input.wanted.schemas = vec!["public".into()];
        });
        assert!(left.level == Level::Warn && left.detail.contains("audit"));
    }
}
