//! Knows when everything that was written has arrived on the other side. Only reads: the position of the written side,
//! waited for on the other.

use std::time::Duration;

use async_trait::async_trait;

use crate::systems::comparison::Barrier;
use crate::systems::mysql::{Flavour, Session, literal};
use crate::systems::{Certainty, DriverError, Result};

/// How the side that follows knows how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Following {
    /// MySQL's set of GTIDs.
    GtidSet,
    /// MariaDB's position, in the domain that the written side writes under.
    GtidPosition,
    /// File and position, through this channel.
    File {
        /// Its name.
        channel: String,
    },
}

/// The position of the written side, reached by the one that follows.
pub struct PositionBarrier {
    /// A session to the written side.
    pub writer: Session,
    /// A session to the side that follows, for waiting.
    pub reader: tokio::sync::Mutex<Session>,
    /// How it follows.
    pub following: Following,
    /// Given up after this long.
    pub timeout: Duration,
}

#[async_trait]
impl Barrier for PositionBarrier {
    async fn pass(&self) -> Result<()> {
        let (position, wait) = match &self.following {
            Following::GtidSet => self.gtid_set().await?,
            Following::GtidPosition => self.gtid_position().await?,
            Following::File { channel } => self.file(channel).await?,
        };
        // A statement that waits keeps its session busy: one at a time.
        let reader = self.reader.lock().await;
        let answer = reader.value("wait for replication", &wait).await?;
        // 0: reached (of a set or a position), or events that had to be waited for; null: nothing applies; -1, 1: too late.
        let reached = match &self.following {
            Following::File { .. } => answer.as_deref().is_some_and(|answer| !answer.starts_with('-')),
            _ => answer.as_deref() == Some("0"),
        };
        if reached {
            return Ok(());
        }
        let reason = match answer {
            None => "nothing is applied there".to_owned(),
            Some(_) => format!("{position} was not applied in {} s", self.timeout.as_secs()),
        };
        let error = DriverError::new(reader.system(), "wait for replication", reason, Certainty::Refused);
        Err(error.with_hint("is the channel running, and without errors?"))
    }
}

impl PositionBarrier {
    async fn position(&self, sql: &str) -> Result<String> {
        Ok(self.writer.value("read its position", sql).await?.unwrap_or_default())
    }

    async fn gtid_set(&self) -> Result<(String, String)> {
        let set = self.position("SELECT @@GLOBAL.gtid_executed").await?.replace('\n', "");
        let wait = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET({}, {})", literal(&set), self.timeout.as_secs());
        Ok((set, wait))
    }

    async fn gtid_position(&self) -> Result<(String, String)> {
        let sql = "SELECT CONCAT(@@GLOBAL.gtid_domain_id, ' ', @@GLOBAL.gtid_binlog_pos)";
        let found = self.position(sql).await?;
        let (domain, all) = found.split_once(' ').unwrap_or_default();
        let own = |gtid: &&str| gtid.split('-').next() == Some(domain);
        let position = all.split(',').map(str::trim).find(own).unwrap_or_default().to_owned();
        let wait = format!("SELECT MASTER_GTID_WAIT({}, {})", literal(&position), self.timeout.as_secs());
        Ok((position, wait))
    }

    async fn file(&self, channel: &str) -> Result<(String, String)> {
        let mysql = self.writer.flavour() == Flavour::Mysql;
        let show =
            if mysql && self.writer.version().from(8, 2, 0) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
        let record = self.writer.records("read its position", show).await?.into_iter().next().unwrap_or_default();
        let of = |name: &str| record.get(name).cloned().flatten().unwrap_or_default();
        let (file, position) = (of("File"), of("Position"));
        let function = if mysql { "SOURCE_POS_WAIT" } else { "MASTER_POS_WAIT" };
        let (file_text, channel) = (literal(&file), literal(channel));
        let wait = format!("SELECT {function}({file_text}, {position}, {}, {channel})", self.timeout.as_secs());
        Ok((format!("{file}:{position}"), wait))
    }
}
