//! What counts up by itself. `AUTO_INCREMENT` follows the rows that are applied: the counter of the side that follows is
//! behind every row, and there is nothing to carry. MariaDB's sequences go through the stream too, as rows: each draw beyond
//! the cache is one, and says where the next cache begins. What comes next is set all the same, only ever forward: a
//! sequence that is there already is left alone, and nothing is logged for it.
//!
//! A server that follows takes such a row as it is, even one that leads back. So what is set here stays out of the binary
//! log where that is allowed: arriving late on the side that is left, after a thaw, it would give numbers twice there.

use serde_json::json;

use super::common;
use crate::engine::Outcome;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::steps::{Description, StepError};
use crate::systems::mysql::{ident, literal, setup};
use crate::systems::pair::Heading;

pub(super) fn describe(plan: &Plan, way: Heading) -> Description {
    let Some(pair) = &plan.pair else { return Description::default() };
    let (leaving, arriving) = (pair.leaving(way), pair.arriving(way));
    let sequences = &plan.choices.sequences;
    if sequences.is_empty() {
        let summary = format!("Nothing to carry: AUTO_INCREMENT of {arriving} follows the rows that it applies");
        return Description::new(summary);
    }
    let mut apply = vec![(leaving.to_owned(), read(sequences))];
    let unknown = vec![(0, 0); sequences.len()];
    let quiet = common::choices(plan, arriving).superuser;
    apply.push((arriving.to_owned(), setup::held("RUN", 1, &set(sequences, &unknown, quiet))));
    let summary = format!("Carry {} sequences over to {arriving} (0 stands for the value read then)", sequences.len());
    Description { summary, apply, ..Description::default() }
}

pub(super) async fn carry(cx: &Context, _state: &RunState, of: &Move) -> Outcome {
    let sequences = &cx.plan.choices.sequences;
    if sequences.is_empty() {
        return Ok(json!({ "sequences": 0 }));
    }
    let pair = cx.pair()?;
    let (leave, arrive) = (cx.rig.mysql(pair.leaving(of.way)).await?, cx.rig.mysql(pair.arriving(of.way)).await?);
    let rows = leave.rows("read the sequences", &read(sequences)).await?;
    let values = values_of(&rows);
    if values.len() != sequences.len() {
        let message =
            format!("{} gives the values of {} of {} sequences", leave.system(), values.len(), sequences.len());
        return Err(StepError::told(
            FailureKind::Refused,
            message,
            Some("look whether one was dropped since the plan was made"),
        ));
    }
    let sql = set(sequences, &values, common::choices(&cx.plan, arrive.system()).superuser);
    setup::send_held(&arrive, "set the sequences", (&cx.run, cx.epoch), &sql).await?;
    Ok(json!({ "sequences": values.len(), "flavour": common::flavour(&cx.plan) }))
}

fn read(sequences: &[(String, String)]) -> String {
    let each = sequences.iter().enumerate().map(|(n, (schema, name))| {
        format!("SELECT {n} AS n, next_not_cached_value, cycle_count FROM {}.{}", ident(schema), ident(name))
    });
    format!("{}\nORDER BY n", each.collect::<Vec<String>>().join("\nUNION ALL "))
}

/// Where the next cache begins and in which round, of each.
fn values_of(rows: &[Vec<Option<String>>]) -> Vec<(i64, i64)> {
    let number = |row: &[Option<String>], column: usize| row.get(column)?.as_deref()?.parse().ok();
    rows.iter().filter_map(|row| Some((number(row, 1)?, number(row, 2)?))).collect()
}

/// `SETVAL` never goes back within a round: it gives NULL where the sequence is farther already.
fn set(sequences: &[(String, String)], values: &[(i64, i64)], quiet: bool) -> String {
    let sql = sequences.iter().zip(values).fold(String::new(), |sql, ((schema, name), (next, round))| {
        sql + &format!("SELECT SETVAL({}.{}, {next}, 0, {round}), {};\n", ident(schema), ident(name), literal(name))
    });
    setup::quietly(quiet, &sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sequence_is_set_from_its_own_value_and_round() {
        let sequences = [("shop".to_owned(), "bill".to_owned()), ("shop".to_owned(), "down".to_owned())];
        assert!(read(&sequences).contains("FROM `shop`.`bill`\nUNION ALL SELECT 1 AS n"));
        let row = |n: &str, next: &str, round: &str| [n, next, round].map(|value| Some(value.to_owned())).to_vec();
        let values = values_of(&[row("0", "1001", "0"), row("1", "-20", "3")]);
        let sql = set(&sequences, &values, false);
        assert_eq!(sql.lines().next(), Some("SELECT SETVAL(`shop`.`bill`, 1001, 0, 0), 'bill';"));
        assert_eq!(sql.lines().nth(1), Some("SELECT SETVAL(`shop`.`down`, -20, 0, 3), 'down';"));
        let quiet = set(&sequences, &values, true);
        assert!(
            quiet.starts_with("SET SESSION sql_log_bin = 0;\n") && quiet.ends_with("sql_log_bin = 1;\n"),
            "{quiet}"
        );
    }
}
