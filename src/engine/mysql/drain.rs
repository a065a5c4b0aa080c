//! The other side has everything, durably: it has executed all that the barrier's position names, the token is there,
//! and where a server does not flush each commit, it is told to.

use std::time::Duration;

use serde_json::json;

use super::freeze::Barrier;
use super::{common, complete};
use crate::engine::{Lines, Outcome};
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{FailureKind, Move};
use crate::plan::{Follow, Plan};
use crate::steps::StepError;
use crate::systems::mysql::stream::{self, Position};
use crate::systems::mysql::{TextRows, setup};
use crate::systems::pair::Heading;

const FLUSH: &str = "FLUSH LOCAL ENGINE LOGS;\n";

pub(super) fn describe(plan: &Plan, way: Heading) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let barrier = Barrier {
        position: Position { gtid: Some("POSITION".into()), file: Some("FILE".into()), offset: Some(4) },
        token: "TOKEN".into(),
    };
    let mut lines = vec![(pair.arriving(way).to_owned(), sql(plan, way, &barrier, 1000))];
    lines.extend(describe_shut(plan, way));
    lines
}

fn sql(plan: &Plan, way: Heading, barrier: &Barrier, limit_ms: u64) -> String {
    let arriving = plan.pair.as_ref().map(|pair| pair.arriving(way)).unwrap_or_default();
    let flush = if common::side(plan, arriving).flush { FLUSH } else { "" };
    let wait = common::stream(plan, way).await_position(&barrier.position, limit_ms);
    format!("{wait}{}{flush}", stream::seen_token(way, &barrier.token))
}

pub(super) async fn drain(cx: &Context, state: &RunState, of: &Move, limit_ms: u64) -> Outcome {
    let arriving = cx.pair()?.arriving(of.way);
    let barrier: Barrier =
        remembered(state, "freeze", "barrier").ok_or_else(|| StepError::broken("there is no barrier to wait for"))?;
    let (session, spare) = (cx.rig.mysql(arriving).await?, cx.rig.mysql_spare(arriving).await?);
    let sql = sql(&cx.plan, of.way, &barrier, limit_ms);
    let limit = Duration::from_millis(limit_ms.saturating_add(100));
    let waiting = session.batch_within("wait for the barrier", &sql, limit, &spare);
    let (results, unkept) = tokio::join!(waiting, keep_shut(cx, of.way, limit));
    let results = results?;
    match judged(&results, common::follow(&cx.plan)) {
        Ok(()) => Ok(json!({ "position": barrier.position, "unkept": unkept })),
        Err(why) => {
            let trouble = common::stream(&cx.plan, of.way).state(&session).await?.and_then(|found| found.trouble());
            let message = format!(
                "{arriving}: {why} within {limit_ms} ms{}",
                trouble.map_or_else(String::new, |why| format!(": {why}"))
            );
            let hint = "the target applies more slowly than the source writes: wait for a lower lag and try again";
            Err(StepError::told(FailureKind::Deadline, message, Some(hint)))
        }
    }
}

/// What [`keep_shut`] sends.
pub(super) fn describe_shut(plan: &Plan, way: Heading) -> Option<(String, String)> {
    let leaving = plan.pair.as_ref()?.leaving(way);
    let sql = complete::seal(plan, leaving);
    (!sql.is_empty()).then(|| (leaving.to_owned(), setup::held("RUN", 1, &sql)))
}

/// Meanwhile the side that is left is told to stay shut when it is started again. A server that died with everything in
/// its stream keeps no window from passing: what could not be written down is in what is proved behind it.
pub(super) async fn keep_shut(cx: &Context, way: Heading, limit: Duration) -> Option<String> {
    let leaving = cx.pair().ok()?.leaving(way);
    let sql = complete::seal(&cx.plan, leaving);
    if sql.is_empty() {
        return None;
    }
    let kept = async {
        let session = cx.rig.mysql(leaving).await?;
        setup::send_held(&session, "keep its fence over a restart", (&cx.run, cx.epoch), &sql).await
    };
    match tokio::time::timeout(limit, kept).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("{leaving} did not answer")),
    }
}

/// What a wait for a position says: 0 where GTIDs are reached, the number of events (0 or more) where a position is; -1 or 1
/// where time is up, nothing where replication does not run.
pub(super) fn reached(answer: Option<&str>, follow: Follow) -> bool {
    match answer {
        Some("0") => true,
        Some(events) => follow == Follow::Position && events.parse::<u64>().is_ok(),
        None => false,
    }
}

/// The first answer is that of the wait.
fn judged(results: &[TextRows], follow: Follow) -> Result<(), &'static str> {
    let first = |rows: &TextRows| rows.first().and_then(|row| row.first().cloned().flatten());
    let [waited, seen, ..] = results else { return Err("the answer is incomplete") };
    match first(waited).as_deref() {
        None => return Err("replication does not run, and the barrier was not reached"),
        answer if !reached(answer, follow) => return Err("the barrier was not reached"),
        Some(_) => {}
    }
    if first(seen).as_deref() == Some("1") {
        Ok(())
    } else {
        Err("the position was reached, but the token is not there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(waited: Option<&str>, seen: &str) -> Vec<TextRows> {
        vec![vec![vec![waited.map(str::to_owned)]], vec![vec![Some(seen.to_owned())]]]
    }

    #[test]
    fn only_both_together_are_drained() {
        assert!(judged(&answer(Some("0"), "1"), Follow::Gtid).is_ok());
        assert!(judged(&answer(Some("0"), "0"), Follow::Gtid).is_err(), "a filter may have left the token out");
        assert!(
            judged(&answer(Some("1"), "1"), Follow::Gtid).is_err()
                && judged(&answer(Some("-1"), "1"), Follow::Gtid).is_err()
        );
        assert!(judged(&answer(Some("7"), "1"), Follow::Position).is_ok(), "seven events came in between");
        assert!(judged(&answer(None, "1"), Follow::Gtid).is_err() && judged(&[], Follow::Gtid).is_err());
    }
}
