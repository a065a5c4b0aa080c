//! The target replicates already. Our schema goes to it as everything does; a token of ours, written on the source and seen
//! on the replica, proves that. Whether the source's server can dial the replica's, which the way back rests on, is tried
//! now: behind the switch it would be late.

use std::time::Duration;

use serde_json::json;

use super::super::near::PROOF;
use super::super::replicate::Replication;
use super::super::replicate::following::{is_encrypted, lacks};
use super::super::{arm, back, common, drain, retention};
use crate::clock;
use crate::engine::Outcome;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{FailureKind, Move};
use crate::plan::Follow;
use crate::runbook::model::Replicate;
use crate::steps::{StepError, new_token};
use crate::systems::mysql::gtid::GtidSet;
use crate::systems::mysql::{Flavour, Session, accounts, catalog, dial, fence, replica, stream};
use crate::systems::pair::Heading;

/// Between two looks at what a person said.
const LOOK_MS: u64 = 500;

pub(super) async fn apply(cx: &Context, state: &RunState, of: &Move, step: &Replicate) -> Outcome {
    let began = clock::monotonic();
    let (source, target) = tokio::try_join!(cx.rig.mysql(&step.from), cx.rig.mysql(&step.to))?;
    is_replica(&source, &target).await?;
    nothing_of_its_own(cx, &source, &target).await?;
    Replication(step).claim(cx, &source).await?;
    source.batch("make our schema", back::TABLE).await?;
    accounts::allow_canaries(&source, &on_both(cx, &source, &target).await?).await?;
    retention::lengthen(cx, state, of, step, &target).await?;
    cx.progress(&of.step, "waiting until the replica has applied our schema");
    catch_up(cx, step.timeout.0).await?;
    arm::prove(cx, Heading::Forth).await?;
    try_back(cx).await?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(json!({ "tables": cx.plan.choices.tables.len(), "seconds": seconds }))
}

/// Accounts that the replica has too: a grant to another one would end its replication with an error.
async fn on_both(cx: &Context, source: &Session, target: &Session) -> Outcome<Vec<String>> {
    let exempt = common::exempt(&cx.plan, source.system());
    let (here, there) = tokio::try_join!(fence::accounts(source, &exempt), accounts::every(target))?;
    Ok(here.into_iter().filter(|account| there.contains(account)).collect())
}

/// It can be promoted only as long as it is one, and runs, and nobody writes there.
pub(super) async fn is_replica(source: &Session, target: &Session) -> Outcome<()> {
    let (system, of) = (target.system(), source.system());
    let refused =
        |why: String, hint: &str| StepError::told(FailureKind::Refused, format!("{system}: {why}"), Some(hint));
    let (here, all) = tokio::try_join!(catalog::identity(source), replica::read(target))?;
    let found = replica::only(&all, &here).map_err(|why| {
        refused(
            format!("it is no replica of {of}: {why}"),
            "make it one again; of one that was promoted make a new one",
        )
    })?;
    if let Some(trouble) = &found.trouble {
        let hint = "mend that on the replica, and start its replication again";
        return Err(refused(format!("its replication does not run: {trouble}"), hint));
    }
    if found.delay > 0 {
        let hint = "set the delay to 0: a replica that applies late on purpose never has everything in time";
        return Err(refused(format!("it applies {} s late, on purpose", found.delay), hint));
    }
    if matches!(target.value("look whether it is read-only", READ_ONLY).await?.as_deref(), Some("0" | "OFF")) {
        let hint = match target.flavour() {
            Flavour::Mysql => {
                "SET PERSIST super_read_only = ON; until the switch nobody but its replication may write there"
            }
            Flavour::Mariadb => {
                "SET GLOBAL read_only = ON; until the switch nobody but its replication may write there"
            }
        };
        return Err(refused("it is not read-only".to_owned(), hint));
    }
    Ok(())
}

const READ_ONLY: &str = "SELECT @@GLOBAL.read_only";

/// With GTIDs the way back begins with everything that the source has not: what somebody wrote on the replica would come
/// with it, or is gone from its log already.
pub(super) async fn nothing_of_its_own(cx: &Context, source: &Session, target: &Session) -> Outcome<()> {
    if common::flavour(&cx.plan) != Flavour::Mysql || common::follow(&cx.plan) != Follow::Gtid {
        return Ok(());
    }
    // The replica first: what it has then the source has, too.
    let sql = stream::show_position(Flavour::Mysql, Follow::Gtid, true);
    let there = target.value("read what it has executed", sql).await?.unwrap_or_default();
    let own = lacks(source, &there).await?;
    if own.is_empty() {
        return Ok(());
    }
    Err(StepError::told(FailureKind::Refused, errant(target.system(), source.system(), &own), Some(ERRANT)))
}

const ERRANT: &str = "see what was written there (mysqlbinlog), and make the replica anew; or, where nobody needs it, have the \
                      source execute an empty transaction for each (SET gtid_next = '…'; BEGIN; COMMIT)";

fn errant(target: &str, source: &str, own: &GtidSet) -> String {
    format!("{target} has {} transaction(s) that {source} has not: {own}", own.count())
}

/// Waits until the replica has everything that is on the source now.
pub(super) async fn catch_up(cx: &Context, limit: Duration) -> Outcome<()> {
    let pair = cx.pair()?;
    let (source, target) = tokio::try_join!(cx.rig.mysql(&pair.source), cx.rig.mysql(&pair.target))?;
    let (stream, side) = (common::stream(&cx.plan, Heading::Forth), common::side(&cx.plan, &pair.source));
    let show = stream::show_position(source.flavour(), stream.follow, side.new_words);
    let row = source.rows("read its position", show).await?.into_iter().next().unwrap_or_default();
    let position = stream::read_position(&row, source.flavour(), stream.follow, side.domain)
        .ok_or_else(|| StepError::broken(format!("{} does not say its position", pair.source)))?;
    let (began, wait) = (clock::monotonic(), stream.await_position(&position, LOOK_MS));
    loop {
        let answer = target.value("wait until it has everything", &wait).await?;
        if drain::reached(answer.as_deref(), stream.follow) {
            return Ok(());
        }
        cx.checkpoint()?;
        let trouble =
            stream.state(&target).await?.map_or(Some("it follows nobody".to_owned()), |state| state.trouble());
        if trouble.is_some() || began.elapsed() > limit {
            let why = trouble.map_or_else(String::new, |trouble| format!(": {trouble}"));
            let message =
                format!("{} has not caught up with {} within {} s{why}", pair.target, pair.source, limit.as_secs());
            let hint = format!("on {}: {}", pair.target, stream.show());
            return Err(StepError::told(FailureKind::Deadline, message, Some(&hint)));
        }
    }
}

/// Tries the way back. The account for it is made on the source, and comes to the replica.
pub(super) async fn try_back(cx: &Context) -> Outcome<()> {
    if !back::is_tried(&cx.plan) {
        return Ok(());
    }
    let pair = cx.pair()?;
    let (source, target) = tokio::try_join!(cx.rig.mysql(&pair.source), cx.rig.mysql(&pair.target))?;
    let encrypted = is_encrypted(cx, &target).await?;
    let spec =
        common::spec(&cx.plan, &pair.target).ok_or_else(|| StepError::broken("the replica is not in the plan"))?;
    let mut dialled = dial::by_other_server(&pair.target, spec)?;
    if spec.replication_url.is_none() {
        let user = accounts::replication_user(Heading::Back);
        let password = accounts::make_replication_user(&source, user, &new_token(), encrypted, false).await?;
        catch_up(cx, PROOF).await?;
        dialled = accounts::dialled_as_ours(&dialled, user, password);
    }
    back::try_out(cx, &dialled, encrypted).await
}
