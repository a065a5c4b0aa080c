//! What counts up by itself. `AUTO_INCREMENT` follows the rows that are applied: the counter of the side that follows is
//! behind every row, and there is nothing to carry. MariaDB's sequences go through the stream too, as far as they were
//! drawn from; the value that comes next is set all the same, only ever forward.

use serde_json::json;

use super::common;
use crate::engine::Outcome;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::steps::Description;
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
    apply.push((arriving.to_owned(), setup::held("RUN", 1, &set(sequences, &vec!["0".to_owned(); sequences.len()]))));
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
    let values: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    let sql = set(sequences, &values);
    setup::send_held(&arrive, "set the sequences", (&cx.run, cx.epoch), &sql).await?;
    Ok(json!({ "sequences": values.len(), "flavour": common::flavour(&cx.plan) }))
}

fn read(sequences: &[(String, String)]) -> String {
    let each = sequences
        .iter()
        .map(|(schema, name)| format!("SELECT next_not_cached_value FROM {}.{}", ident(schema), ident(name)));
    each.collect::<Vec<String>>().join("\nUNION ALL ")
}

/// `SETVAL` never goes back: it gives NULL where the sequence is farther already.
fn set(sequences: &[(String, String)], values: &[String]) -> String {
    sequences.iter().zip(values).fold(String::new(), |sql, ((schema, name), value)| {
        let number: i64 = value.parse().unwrap_or(0);
        sql + &format!("SELECT SETVAL({}.{}, {number}, 0), {};\n", ident(schema), ident(name), literal(name))
    })
}
