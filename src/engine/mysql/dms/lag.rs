//! How far DMS is behind: the age of the last token that has come through, and what CloudWatch says of its latency.

use super::super::lag as native;
use crate::engine::Lag;
use crate::engine::dms::lag::{describe_latency, with_latency};
use crate::gates::GateContext;
use crate::runbook::model::ReplicationLag;
use crate::systems::Result;
use crate::systems::mysql::Flavour;
use crate::systems::pair::{Flow, Heading};

pub(super) async fn measure(
    flavour: Flavour,
    gate: &ReplicationLag,
    flow: Flow<'_>,
    context: &GateContext<'_>,
) -> Result<Lag> {
    if flow.heading == Heading::Back {
        return native::measure(flavour, gate, flow, context).await;
    }
    if gate.max_age.is_none() {
        return Ok(Lag::Nothing("DMS does not say how many bytes it is behind: use `max-age`".to_owned()));
    }
    match native::age(flow, context).await? {
        Ok(age) => with_latency(age, flow, context).await,
        Err(why) => Ok(Lag::Nothing(why)),
    }
}

pub(super) fn describe(flavour: Flavour, gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
    let mut lines = native::describe(flavour, gate, flow);
    if flow.heading == Heading::Forth {
        let table = flow.token_table();
        lines.retain(|line| line.contains(table));
        lines.push(describe_latency(flow.pair.runner));
    }
    lines
}
