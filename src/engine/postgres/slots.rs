//! The slot of the stream that a window rests on is the one of before: one that was made again, after a failover or when
//! it was lost, goes on behind a gap, and no token would tell.

use serde_json::json;

use crate::engine::Outcome;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::steps::StepError;
use crate::systems::pair::Heading;
use crate::systems::postgres::stream::{self, SlotChange, SlotMark};

/// Marks the slot of a stream, and remembers the mark.
pub(in crate::engine) async fn mark(cx: &Context, of: &Move, heading: Heading) -> Outcome<()> {
    let publisher = cx.rig.postgres(cx.pair()?.leaving(heading)).await?;
    let mark = stream::mark_slot(&publisher, heading).await?;
    cx.note(of, json!({ key(heading): mark }), Durability::Ordered)
}

/// Refuses when the slot is not the one of before: once, since a person's word then stands for it. The stream of the
/// other direction carries nothing yet, so that its slot is good from here on, whatever it is.
pub(super) async fn same(cx: &Context, state: &RunState, of: &Move) -> Outcome<()> {
    mark(cx, of, of.way.opposite()).await?;
    let key = key(of.way);
    let known =
        ["window", "promote", "replicate"].into_iter().find_map(|kind| remembered::<SlotMark>(state, kind, &key));
    let Some(known) = known else { return Ok(()) };
    let side = cx.pair()?.leaving(of.way);
    let found = stream::slot_mark(&*cx.rig.postgres(side).await?, of.way).await?;
    let (slot, change) = (of.way.stream(), known.compare(&found));
    let reason = match change {
        SlotChange::None => return Ok(()),
        SlotChange::Crashed => return mark(cx, of, of.way).await,
        SlotChange::MadeAgain => format!("the slot {slot} of {side} was made again, or its statistics were reset"),
        SlotChange::Promoted => format!("{side} is a standby that was promoted since its slot {slot} was made"),
    };
    mark(cx, of, of.way).await?;
    let message = format!(
        "{reason}: what was written before may never have arrived on the other side. Compare them with `pointsman verify \
         RUNBOOK`: if they are equal, `pointsman continue` takes the slot as it is; else roll back"
    );
    Err(StepError::told(FailureKind::Refused, message, None))
}

fn key(heading: Heading) -> String {
    format!("slot_{}", heading.stream())
}
