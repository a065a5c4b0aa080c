//! The moment before a pause. A pause breaks off the logins that are under way, and PgBouncer takes them for failed ones:
//! whoever asks for a connection after `RESUME` is refused ("server login has been failing"), until a login has succeeded
//! (`per_loop_pause`, `disconnect_server` and `check_fast_fail` in its sources). So pools do not grow for that moment, and
//! the logins under way are waited for, while nobody is held yet.

use std::sync::PoisonError;
use std::time::Duration;

use super::console::Row;
use super::instance::Instance;
use super::statements as sql;
use crate::runbook::units::Span;
use crate::systems::Result;

/// How long logins are waited for before a pause.
const LOGINS_LIMIT: Duration = Duration::from_millis(100);
/// The setting that stops growth. Not `max_db_connections`: at that limit PgBouncer closes idle connections of a database's
/// other pools to make room, and may log in where they were (`evict_connection` in its sources).
const LIMIT: &str = "max_user_connections";
/// A pool that has one server connection gets no other.
const NO_MORE: &str = "1";

impl Instance {
    /// Lets no login begin from here on, and waits for those under way. What can't be read or set is no reason not to pause:
    /// the pause itself will tell.
    pub(super) async fn stop_growth(&self) {
        if let Ok(before) = self.config(LIMIT).await {
            // A limit that somebody has left is no value to put back.
            if before != NO_MORE {
                self.remember(Some(before));
            }
            self.work.ask(&self.what("limit the connections of"), &sql::limit_connections(NO_MORE)).await.ok();
        }
        tokio::time::timeout(LOGINS_LIMIT, self.await_logins()).await.ok();
    }

    fn remember(&self, limit: Option<String>) {
        *self.limit.lock().unwrap_or_else(PoisonError::into_inner) = limit;
    }

    async fn await_logins(&self) {
        while self.pools().await.is_ok_and(|pools| pools.servers_login > 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Puts the limit back, if this process has changed it; says whether it has, and could. Where it could not,
    /// [`Self::lift_leftover`] does.
    pub(super) async fn let_grow(&self) -> bool {
        let before = self.limit.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(before) = before else { return false };
        let put_back = self.spare.ask(&self.what("let grow the pools of"), &sql::limit_connections(&before)).await;
        if put_back.is_ok() {
            self.remember(None);
        }
        put_back.is_ok()
    }

    /// Whoever died between the limit and its end has left it there: what it was is in the configuration file. Reading
    /// that file again resets the wait after a failed login, which is set once more.
    pub(super) async fn lift_leftover(&self, config: &[Row], login_retry: Span) -> Result<()> {
        let what = self.what("lift the limit of connections of");
        if self.setting(&what, config, LIMIT)? != NO_MORE {
            return Ok(());
        }
        let (reloaded, set) = self.spare.ask_two(&what, sql::RELOAD, &sql::set_login_retry(login_retry)).await?;
        reloaded.and(set).map(drop)
    }
}

/// What is sent around a pause, for people.
pub(super) fn describe(pause: String) -> Vec<String> {
    vec![sql::limit_connections(NO_MORE), pause, format!("{}  -- as it was", sql::limit_connections("…"))]
}
