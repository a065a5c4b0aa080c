//! A canary through an endpoint, and the sessions that are left on the other side.

use super::common;
use crate::engine::Outcome;
use crate::executor::context::Context;
use crate::steps::{StepError, new_token};
use crate::systems::mysql::fence::Open;
use crate::systems::mysql::{literal, probe};

/// How long sessions that came in late may take to end.
const LATE_MS: u64 = 500;

pub(super) async fn canary(cx: &Context, endpoint: &str, url: &str, arriving: &str) -> Outcome<()> {
    let token = new_token();
    probe::write_canary(endpoint, url, &token).await?;
    let session = cx.rig.mysql(arriving).await?;
    let token = literal(&token);
    let sql = format!(
        "SELECT COUNT(*) FROM pointsman.canary WHERE token = {token};\nDELETE FROM pointsman.canary WHERE token = {token}"
    );
    let seen = session.value("look for the canary", &sql).await?;
    if seen.is_some_and(|count| count != "0") {
        return Ok(());
    }
    Err(StepError::broken("it was written, but somewhere else"))
}

pub(super) async fn sessions_left(cx: &Context, leaving: &str) -> Outcome<Option<String>> {
    let session = cx.rig.mysql(leaving).await?;
    let (open, exempt) = (Open::default(), common::exempt(&cx.plan, leaving));
    let fencing = common::fencing(&cx.plan, leaving, &open, &exempt);
    // `Connect`: somebody is knocking, and will be told that the account is locked.
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND <> 'Connect' AND {}",
        fencing.clients()
    );
    let what = "count the sessions that are left";
    let mut left = session.value(what, &sql).await?.unwrap_or_default();
    if left != "0" {
        // A login that was under way when the accounts were locked comes in behind the fence. It is sent away as the
        // others were, and can't come back.
        drop(session.batch("end the sessions that came in late", &fencing.expel(LATE_MS)).await);
        left = session.value(what, &sql).await?.unwrap_or_default();
    }
    if left == "0" {
        return Ok(None);
    }
    let sql = format!(
        "SELECT GROUP_CONCAT(DISTINCT CONCAT(USER, ' from ', SUBSTRING_INDEX(HOST, ':', 1)) SEPARATOR ', ') \
         FROM information_schema.PROCESSLIST WHERE COMMAND <> 'Connect' AND {}",
        fencing.clients()
    );
    let who = session.value("list the sessions that are left", &sql).await?.unwrap_or_default();
    Ok(Some(format!("{left} session(s) of the application are still on {leaving}: {who}")))
}
