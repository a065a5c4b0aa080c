//! Knows when everything that was written has arrived on the other side.

use std::time::Duration;

use async_trait::async_trait;

use crate::clock;
use crate::systems::comparison::Barrier;
use crate::systems::postgres::Session;
use crate::systems::{Certainty, DriverError, Result};

const LOOK: Duration = Duration::from_millis(5);

/// A barrier that only reads: the position of the written side, reached by what replicates from it. `replay` is
/// what the apply worker reports as applied; the received position would come too early.
pub struct PositionBarrier {
    /// A session to the written side.
    pub writer: Session,
    /// The replication slot on it that the other side reads.
    pub slot: String,
    /// Given up after this long.
    pub timeout: Duration,
}

#[async_trait]
impl Barrier for PositionBarrier {
    async fn pass(&self) -> Result<()> {
        let position: String =
            self.writer.value("read its position", "SELECT pg_current_wal_insert_lsn()::text", &[]).await?;
        let sql = "SELECT coalesce(bool_or(r.replay_lsn >= $2::text::pg_lsn), false) FROM pg_replication_slots s \
                   JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE s.slot_name = $1";
        let started = clock::monotonic();
        while !self.writer.value::<bool>("read what is replayed", sql, &[&self.slot, &position]).await? {
            if started.elapsed() > self.timeout {
                let reason = format!(
                    "{position} was not replayed through the slot {} in {} s",
                    self.slot,
                    self.timeout.as_secs()
                );
                let error = DriverError::new(self.writer.system(), "wait for replication", reason, Certainty::Refused);
                return Err(error.with_hint("is the subscription enabled, and without errors?"));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}
