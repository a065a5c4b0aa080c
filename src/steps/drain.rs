//! `drain`: the other side has everything, durably. Proved by a token that went through the stream behind every write,
//! and by the stream's position, flushed.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Action, Description, StepError};
use crate::clock;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::Drain;
use crate::systems::postgres::barrier::Barrier;
use crate::systems::postgres::pair::Heading;
use crate::systems::postgres::{setup, stream};

#[async_trait]
impl Action for Drain {
    fn describe(&self, plan: &Plan, way: Heading) -> Description {
        let Some(pair) = &plan.pair else { return Description::default() };
        let arriving = pair.arriving(way);
        let superuser =
            if arriving == pair.target { plan.choices.target.superuser } else { plan.choices.source.superuser };
        let origin = superuser.then_some(("pg_SUBSCRIPTION_OID", "POSITION"));
        Description {
            summary: format!("Wait until {arriving} has everything, and has it on disk"),
            apply: vec![(arriving.to_owned(), drain_sql("RUN", 1, way, "TOKEN", origin, 1000))],
            undo: Vec::new(),
            clients: None,
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let arriving = cx.pair()?.arriving(of.way);
        let barrier: Barrier = remembered(state, "freeze", "barrier")
            .ok_or_else(|| StepError::broken("there is no barrier to wait for"))?;
        let origin: Option<String> = remembered(state, "window", "origin");
        let origin = cx.choices(arriving)?.superuser.then_some(origin).flatten();
        let origin = origin.as_deref().map(|origin| (origin, barrier.position.as_str()));
        let limit_ms = time_left_ms(state);
        let session = cx.rig.session(arriving).await?;
        let sql = drain_sql(&cx.run, cx.epoch, of.way, &barrier.token, origin, limit_ms);
        let waited = session.batch("wait for the barrier", &sql).await;
        if let Err(error) = waited {
            drop(session.batch("leave the transaction", "ROLLBACK").await);
            if error.is_code(setup::NOT_DRAINED) {
                let hint = "the target applies more slowly than the source writes: wait for a lower lag and try again";
                return Err(StepError::told(
                    FailureKind::Deadline,
                    format!("{arriving}: {}", error.reason),
                    Some(hint),
                ));
            }
            return Err(error.into());
        }
        Ok(json!({ "position": barrier.position }))
    }
}

/// Waits for the token, and makes what was applied durable. Where the stream's position can be asked, asking for it has
/// flushed all up to the token. Else something of our own is committed with `synchronous_commit`: it lies behind what
/// was applied in the write-ahead log, so that its flush takes all of it along.
fn drain_sql(run: &str, epoch: u64, way: Heading, token: &str, origin: Option<(&str, &str)>, limit_ms: u64) -> String {
    let commit = if origin.is_some() { "off" } else { "local" };
    format!(
        "{}BEGIN;\nSET LOCAL synchronous_commit = {commit};\n{}\nCOMMIT;",
        stream::await_token(way, token, origin, limit_ms),
        setup::hold_epoch(run, epoch)
    )
}

/// What is left of the time before the commit point. A part of the budget is kept for the way out.
pub fn time_left_ms(state: &RunState) -> u64 {
    let (Some((_, window)), Some(passage)) = (state.plan.window(), &state.passage) else { return 1000 };
    let spent = u64::try_from(clock::now().duration_since(passage.since).as_millis()).unwrap_or(0);
    let budget = u64::try_from(window.budget.0.as_millis()).unwrap_or(u64::MAX);
    (budget * 7 / 10).saturating_sub(spent).max(1)
}
