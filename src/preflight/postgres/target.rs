//! What is in the target already.

use std::collections::BTreeMap;

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use crate::systems::postgres::survey::{SessionGroup, Table};

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    vec![content(input), columns(input), sessions(input)]
}

fn content(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "target-content",
        system: &input.target.system,
        why: "The copy adds to what is there: a table that exists makes the schema fail, and rows that exist are \
              duplicates.",
    };
    let mut there: BTreeMap<(&str, &str), &Table> = input
        .target
        .tables
        .iter()
        .filter(|table| input.carries(&table.schema))
        .map(|table| ((table.schema.as_str(), table.name.as_str()), table))
        .collect();
    let mut both = Vec::new();
    let mut missing = Vec::new();
    for table in input.tables() {
        match there.remove(&(table.schema.as_str(), table.name.as_str())) {
            Some(found) => both.push(found),
            None => missing.push(table),
        }
    }
    if input.wanted.copy_schema && !both.is_empty() {
        let mut mend =
            vec!["-- set `copy-schema: false` if the tables were made on purpose and are empty, else:".to_owned()];
        mend.extend(both.iter().map(|table| format!("DROP TABLE {} CASCADE; -- on the target!", table.sql_name())));
        return check.fail(
            count(both.len(), "table exists on the target", "tables exist on the target"),
            format!("{}.", full_names(both)),
            mend,
        );
    }
    if !input.wanted.copy_schema && !missing.is_empty() {
        let mend =
            vec!["-- pg_dump --schema-only of the source, restored on the target; or `copy-schema: true`".to_owned()];
        return check.fail(
            count(missing.len(), "table is missing on the target", "tables are missing on the target"),
            format!("{}.", full_names(missing)),
            mend,
        );
    }
    let filled: Vec<&Table> = both.into_iter().filter(|table| table.heap_bytes > 0).collect();
    if !filled.is_empty() {
        let mend = filled.iter().map(|table| format!("TRUNCATE {}; -- on the target!", table.sql_name())).collect();
        return check.fail(
            count(filled.len(), "table of the target is not empty", "tables of the target are not empty"),
            format!("{}.", full_names(filled)),
            mend,
        );
    }
    if !there.is_empty() {
        let detail = format!("Not on the source: {}.", full_names(there.into_values()));
        return check.warn(
            "the target has tables of its own",
            detail,
            vec!["-- see that this is the right database".to_owned()],
        );
    }
    check.pass(
        "the target has what it should",
        if input.wanted.copy_schema { "No application table is there." } else { "Every table is there, and empty." },
    )
}

fn full_names<'a>(tables: impl IntoIterator<Item = &'a Table>) -> String {
    names(tables.into_iter().map(Table::full_name))
}

fn columns(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "target-columns",
        system: &input.target.system,
        why: "Replication matches columns by name: one that is missing stops it, and another type may not take the \
              value.",
    };
    let different: Vec<&Table> = input
        .tables()
        .filter(|table| {
            input.target.tables.iter().any(|other| {
                (&other.schema, &other.name) == (&table.schema, &table.name) && other.columns != table.columns
            })
        })
        .collect();
    if different.is_empty() {
        return check.pass("tables that are on both sides have the same columns", "Names and types were compared.");
    }
    let mend =
        vec!["-- compare `\\d` of these tables on both sides; extra columns of the target need a default".to_owned()];
    check.warn("tables have other columns on the target", format!("{}.", full_names(different)), mend)
}

fn sessions(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "target-sessions",
        system: &input.target.system,
        why: "Until the switch nobody but us should write to the target: a stray row stops replication by its \
              conflict.",
    };
    let found: Vec<&SessionGroup> =
        input.target.activity.sessions.iter().filter(|group| group.role != input.target.role.name).collect();
    if found.is_empty() {
        return check.pass("nobody else is connected to the target", "Besides our own role.");
    }
    let named = found.iter().map(|group| {
        format!(
            "{} × {} ({}) from {}",
            group.pids.len(),
            group.role,
            group.application,
            group.address.as_deref().unwrap_or("its own host")
        )
    });
    let mend = vec!["-- see that they only read, or end them".to_owned()];
    check.warn("others are connected to the target", format!("{}.", names(named)), mend)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{judged, table};
    use super::super::{Finding, Level};
    use super::*;

    fn with(copy_schema: bool, tables: Vec<Table>) -> Finding {
        judged("target-content", "target", |input| {
            input.wanted.copy_schema = copy_schema;
            input.target.tables = tables;
        })
    }

    fn empty(name: &str) -> Table {
        Table { heap_bytes: 0, rows: -1, ..table(name) }
    }

    #[test]
    fn with_the_schema_copied_no_table_may_be_there() {
        assert_eq!(with(true, vec![]).level, Level::Pass);
        let found = with(true, vec![empty("orders")]);
        assert!(
            found.level == Level::Fail && found.mend[1].starts_with(r#"DROP TABLE "public"."orders""#),
            "{found:?}"
        );
        assert_eq!(with(true, vec![empty("other")]).level, Level::Warn);
    }

    #[test]
    fn without_every_table_must_be_there_and_empty() {
        assert_eq!(with(false, vec![empty("orders")]).level, Level::Pass);
        assert_eq!(with(false, vec![]).title, "1 table is missing on the target");
        assert_eq!(with(false, vec![table("orders")]).title, "1 table of the target is not empty");
        assert_eq!(with(false, vec![empty("orders"), empty("other")]).level, Level::Warn);
    }

    #[test]
    fn other_columns_and_other_people_warn() {
        let columns = |fingerprint: &'static str| {
            judged("target-columns", "target", move |input| {
                input.wanted.copy_schema = false;
                input.target.tables = vec![Table { columns: fingerprint.into(), ..empty("orders") }];
            })
            .level
        };
        assert_eq!([columns("c0ffee"), columns("decaf")], [Level::Pass, Level::Warn]);
        let people = |role: &'static str| {
            judged("target-sessions", "target", move |input| {
                input.target.activity.sessions =
                    vec![SessionGroup { role: role.into(), pids: vec![3], ..SessionGroup::default() }];
            })
            .level
        };
        assert_eq!([people("app"), people("pointsman")], [Level::Warn, Level::Pass]);
    }
}
