//! A canary through an endpoint, and the sessions that are left on the other side.

use super::freeze::fencing;
use crate::engine::Outcome;
use crate::executor::context::Context;
use crate::steps::{StepError, new_token};
use crate::systems::postgres::fence::Open;
use crate::systems::postgres::{literal, probe};

pub(super) async fn canary(cx: &Context, endpoint: &str, url: &str, arriving: &str) -> Outcome<()> {
    let token = new_token();
    probe::write_canary(endpoint, url, &token).await?;
    let session = cx.rig.postgres(arriving).await?;
    let sql = format!("DELETE FROM pointsman.canary WHERE token = {} RETURNING token", literal(&token));
    let seen = session.batch("look for the canary", &sql).await?;
    if seen.first().is_some_and(|rows| !rows.is_empty()) {
        return Ok(());
    }
    Err(StepError::broken("it was written, but somewhere else"))
}

pub(super) async fn sessions_left(cx: &Context, leaving: &str) -> Outcome<Option<String>> {
    let session = cx.rig.postgres(leaving).await?;
    let fencing = fencing(cx, leaving, &NOTHING)?;
    let sql = format!(
        "SELECT string_agg(format('%s × %s%s from %s', n, usename, ' (' || nullif(application_name, '') || ')', \
         coalesce(host(client_addr), 'a local socket')), ', ' ORDER BY n DESC) \
         FROM (SELECT count(*) AS n, usename, application_name, client_addr FROM pg_stat_activity WHERE {} \
         GROUP BY usename, application_name, client_addr ORDER BY n DESC LIMIT {LISTED}) AS who",
        fencing.clients()
    );
    let left: Option<String> = session.value("list the sessions that are left", &sql, &[]).await?;
    Ok(left.map(|who| format!("session(s) of the application are still on {leaving}: {who}")))
}

/// Kinds of sessions that are listed, the most frequent first.
const LISTED: u32 = 10;

static NOTHING: Open =
    Open { database: String::new(), connection_limit: -1, read_only: None, owned: false, roles: Vec::new() };
