//! What counts up by itself. `AUTO_INCREMENT` follows the rows that are applied: the counter of the side that follows is
//! behind every row, and there is nothing to carry. MariaDB's sequences go through the stream too, as far as they were
//! drawn from; the value that comes next is set all the same, only ever forward.

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
    apply.push((arriving.to_owned(), setup::held("RUN", 1, &set(sequences, &unknown))));
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
    let number = |row: &[Option<String>], column: usize| row.get(column)?.as_deref()?.parse().ok();
    let values: Vec<(i64, i64)> = rows.iter().filter_map(|row| Some((number(row, 0)?, number(row, 1)?))).collect();
    if values.len() != sequences.len() {
        let message =
            format!("{} gives the values of {} of {} sequences", leave.system(), values.len(), sequences.len());
        return Err(StepError::told(
            FailureKind::Refused,
            message,
            Some("look whether one was dropped since the plan was made"),
        ));
    }
    let sql = set(sequences, &values);
    setup::send_held(&arrive, "set the sequences", (&cx.run, cx.epoch), &sql).await?;
    Ok(json!({ "sequences": values.len(), "flavour": common::flavour(&cx.plan) }))
}

fn read(sequences: &[(String, String)]) -> String {
    let each = sequences.iter().map(|(schema, name)| {
        format!("SELECT next_not_cached_value, cycle_count FROM {}.{}", ident(schema), ident(name))
    });
    each.collect::<Vec<String>>().join("\nUNION ALL ")
}

/// `SETVAL` never goes back within a round: it gives NULL where the sequence is farther already.
fn set(sequences: &[(String, String)], values: &[(i64, i64)]) -> String {
    sequences.iter().zip(values).fold(String::new(), |sql, ((schema, name), (next, round))| {
        sql + &format!("SELECT SETVAL({}.{}, {next}, 0, {round}), {};\n", ident(schema), ident(name), literal(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sequence_is_set_from_its_own_value_and_round() {
        let sequences = [("shop".to_owned(), "bill".to_owned()), ("shop".to_owned(), "down".to_owned())];
        assert!(read(&sequences).contains("FROM `shop`.`bill`\nUNION ALL SELECT"));
        let sql = set(&sequences, &[(1_001, 0), (-20, 3)]);
        assert_eq!(sql.lines().next(), Some("SELECT SETVAL(`shop`.`bill`, 1001, 0, 0), 'bill';"));
        assert_eq!(sql.lines().nth(1), Some("SELECT SETVAL(`shop`.`down`, -20, 0, 3), 'down';"));
    }
}
