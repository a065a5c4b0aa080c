//! `promote`: the stream back carries rows from exactly here, and the other side opens for writes; one transaction.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::freeze::{known_open, planned_fencing, planned_open};
use super::{Action, Description, StepError};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::Move;
use crate::plan::Plan;
use crate::runbook::model::Promote;
use crate::systems::postgres::fence::Fencing;
use crate::systems::postgres::pair::Heading;
use crate::systems::postgres::{setup, stream};

#[async_trait]
impl Action for Promote {
    fn describe(&self, plan: &Plan, way: Heading) -> Description {
        let Some(pair) = &plan.pair else { return Description::default() };
        let arriving = pair.arriving(way);
        let open = planned_open(plan, arriving);
        let back = if self.keep_way_back { "; what is written from here on flows back" } else { "" };
        Description {
            summary: format!("Open {arriving} for writes{back}"),
            apply: vec![(arriving.to_owned(), self.sql("RUN", 1, way, &planned_fencing(plan, arriving, &open)))],
            undo: vec![(
                pair.leaving(way).to_owned(),
                "-- after the commit point the way back is a window with source and target exchanged".to_owned(),
            )],
            clients: None,
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let arriving = cx.pair()?.arriving(of.way);
        let open = known_open(cx, state, arriving)?;
        let session = cx.rig.session(arriving).await?;
        let sql = self.sql(&cx.run, cx.epoch, of.way, &cx.fencing(arriving, &open)?);
        let results = match session.batch("open it for writes", &sql).await {
            Ok(results) => results,
            Err(error) => {
                drop(session.batch("leave the transaction", "ROLLBACK").await);
                return Err(error.into());
            }
        };
        let position = results.last().and_then(|rows| rows.first()?.first()?.clone());
        Ok(json!({ "opened_at_position": position }))
    }
}

impl Promote {
    /// The points and the fence in one transaction: no write can come before the stream carries it back.
    fn sql(&self, run: &str, epoch: u64, way: Heading, fencing: &Fencing<'_>) -> String {
        let points = if self.keep_way_back { stream::set_points(way.opposite(), true) } else { String::new() };
        format!(
            "BEGIN;\n{}\nSELECT pg_current_wal_insert_lsn();\n{points}{}COMMIT;",
            setup::hold_epoch(run, epoch),
            fencing.lift()
        )
    }
}
