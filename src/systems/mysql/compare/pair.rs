//! The sessions of a comparison.

use crate::systems::Result;
use crate::systems::comparison::{CompareOptions, Side};
use crate::systems::mysql::{Access, Database, Flavour, Session};

/// A session on each side.
pub(super) struct Pair {
    pub source: Session,
    pub target: Session,
}

impl Pair {
    pub async fn open(source: &Database, target: &Database, options: &CompareOptions) -> Result<Self> {
        let (source, target) = tokio::try_join!(open(source, options), open(target, options))?;
        Ok(Self { source, target })
    }

    pub const fn side(&self, side: Side) -> &Session {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

/// A read-only session in which values have the same text on every server. Each statement sees what is committed when it
/// begins.
pub(super) async fn open(database: &Database, options: &CompareOptions) -> Result<Session> {
    let session = database.connect(Access::ReadOnly).await?;
    let limit = options.statement_timeout;
    let limit = match session.flavour() {
        Flavour::Mysql => format!("max_execution_time = {}", limit.as_millis().min(u128::from(u32::MAX))),
        Flavour::Mariadb => format!("max_statement_time = {}", limit.as_secs().min(31_536_000)),
    };
    // Without PAD_CHAR_TO_FULL_LENGTH and NO_BACKSLASH_ESCAPES, and with zero dates as they are.
    let sql =
        format!("SET NAMES utf8mb4; SET SESSION sql_mode = '', time_zone = '+00:00', lock_wait_timeout = 30, {limit}");
    session.batch("prepare a session that compares", &sql).await?;
    Ok(session)
}
