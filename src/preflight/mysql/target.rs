//! What is on the target already.

use std::collections::BTreeMap;

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use crate::systems::mysql::survey::{SessionGroup, Table};

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    vec![content(input), columns(input), sessions(input)]
}

fn full_names<'a>(tables: impl IntoIterator<Item = &'a Table>) -> String {
    names(tables.into_iter().map(Table::full_name))
}

fn content(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "target-content",
        system: &input.target.system,
        why: "The copy fills an empty server: a table that exists is in its way, and rows that exist are duplicates.",
    };
    let mut there: BTreeMap<(&str, &str), &Table> = input
        .target
        .tables
        .iter()
        .filter(|table| input.carries(&table.schema))
        .map(|table| ((table.schema.as_str(), table.name.as_str()), table))
        .collect();
    let (mut both, mut missing) = (Vec::new(), Vec::new());
    for table in input.tables() {
        match there.remove(&(table.schema.as_str(), table.name.as_str())) {
            Some(found) => both.push(found),
            None => missing.push(table),
        }
    }
    if input.wanted.copy_schema && !both.is_empty() {
        let mut mend = vec![
            "-- set `copy-schema: false` if the target holds the source's rows and position already, else:".to_owned(),
        ];
        mend.extend(both.iter().map(|table| format!("DROP TABLE {}; -- on the target!", table.sql_name())));
        let title = count(both.len(), "table exists on the target", "tables exist on the target");
        return check.fail(title, format!("{}.", full_names(both)), mend);
    }
    if !input.wanted.copy_schema && !missing.is_empty() {
        let title = count(missing.len(), "table is missing on the target", "tables are missing on the target");
        let mend = vec!["-- restore the target from a backup of the source, or `copy-schema: true`".to_owned()];
        return check.fail(title, format!("{}.", full_names(missing)), mend);
    }
    if !there.is_empty() {
        let detail = format!("Not on the source: {}.", full_names(there.into_values()));
        let mend = vec!["-- see that this is the right server".to_owned()];
        return check.warn("the target has tables of its own", detail, mend);
    }
    let read = if input.wanted.copy_schema { "No application table is there." } else { "Every table is there." };
    check.pass("the target has what it should", read)
}

/// Rows are matched by the position of their columns.
fn columns(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "target-columns",
        system: &input.target.system,
        why: "Rows are carried by the position of their columns: another order puts values into the wrong ones, and \
              another type may not take them.",
    };
    let shape = |table: &Table| -> Vec<(String, String)> {
        table.columns.iter().map(|column| (column.name.clone(), column.kind.clone())).collect()
    };
    let different: Vec<&Table> = input
        .tables()
        .filter(|table| {
            input.target.tables.iter().any(|other| {
                (&other.schema, &other.name) == (&table.schema, &table.name) && shape(other) != shape(table)
            })
        })
        .collect();
    if different.is_empty() {
        return check
            .pass("tables that are on both sides have the same columns", "Order, names and types were compared.");
    }
    let mend = different
        .iter()
        .map(|table| format!("-- compare SHOW CREATE TABLE {}; of both sides", table.sql_name()))
        .collect();
    check.fail("tables have other columns on the target", format!("{}.", full_names(different)), mend)
}

fn sessions(input: &PreflightInput) -> Finding {
    let side = &input.target;
    let check = Check {
        id: "target-sessions",
        system: &side.system,
        why: "Until the switch nobody but us should write to the target: a stray row stops replication by its conflict, \
              and leaves a GTID that the source has not.",
    };
    let Some(sessions) = &side.activity.sessions else {
        let mend = vec![format!("GRANT PROCESS ON *.* TO {};", super::mend::ours(side))];
        return check.warn("sessions can't be seen", "Our account sees its own only.", mend);
    };
    let found: Vec<&SessionGroup> = sessions.iter().collect();
    if found.is_empty() {
        return check.pass("nobody is connected to the target", "No session but ours.");
    }
    let shown = names(found.iter().map(|group| format!("{} × {} from {}", group.ids.len(), group.user, group.host)));
    let mend = vec!["-- see that they only read; `replicate` makes the target read-only".to_owned()];
    check.warn("somebody is connected to the target", format!("{shown}."), mend)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{column, judged, session, table};
    use super::*;

    #[test]
    fn the_target_is_empty_or_holds_everything() {
        let with = |copy_schema, there: &'static [&'static str]| {
            judged("target-content", "target", move |input| {
                input.wanted.copy_schema = copy_schema;
                input.target.tables = there.iter().map(|name| table(name)).collect();
            })
        };
        assert_eq!([with(true, &[]).level, with(false, &["orders"]).level], [Level::Pass, Level::Pass]);
        let full = with(true, &["orders"]);
        assert!(full.level == Level::Fail && full.mend[1].starts_with("DROP TABLE `shop`.`orders`;"), "{full:?}");
        assert_eq!(with(false, &[]).level, Level::Fail);
        assert_eq!(with(true, &["stray"]).level, Level::Warn);
    }

    #[test]
    fn columns_have_the_same_order_and_types() {
        let with = |columns: Vec<crate::systems::mysql::survey::Column>| {
            judged("target-columns", "target", move |input| {
                input.source.tables[0].columns = vec![column("a", ""), column("b", "")];
                input.target.tables = vec![Table { columns, ..table("orders") }];
            })
            .level
        };
        assert_eq!(with(vec![column("a", ""), column("b", "")]), Level::Pass);
        assert_eq!(with(vec![column("b", ""), column("a", "")]), Level::Fail);
    }

    #[test]
    fn sessions_on_the_target_are_named() {
        let found = judged("target-sessions", "target", |input| {
            input.target.activity.sessions = Some(vec![session("app", "10.0.0.7")]);
        });
        assert!(found.level == Level::Warn && found.detail == "1 × app from 10.0.0.7.");
        assert_eq!(
            judged("target-sessions", "target", |input| input.target.activity.sessions = None).level,
            Level::Warn
        );
        assert_eq!(judged("target-sessions", "target", |_| ()).level, Level::Pass);
    }
}
