//! One write as an application makes it, and how sure its outcome is.

use serde::{Deserialize, Serialize};

use super::Shop;

/// What a client asks to have written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WriteRequest {
    /// Which client of the workload.
    pub client: i32,
    /// The client's how-manieth write, from 0.
    pub n: i64,
    /// Never the same twice: the ledger finds the row by it.
    pub token: String,
}

/// What became of a write, as far as its client can know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// COMMIT was answered: the row must be there for ever.
    Acknowledged,
    /// It can't have been committed: COMMIT was never sent, or the server refused it.
    Failed(String),
    /// COMMIT was sent and its answer never came: the row may or may not be there.
    Unknown(String),
}

/// Writes one transaction: a row of the ledger, and what an application would do beside it. Two round trips, the
/// second one COMMIT alone, so that everything before it is known not to be committed.
///
/// COMMIT is sent once. A MySQL that refused it (1290, read-only) has rolled back, and would answer a second COMMIT
/// with OK although nothing is written.
pub(crate) async fn write(db: &dyn Shop, request: &WriteRequest, via: &str) -> WriteOutcome {
    if let Err(refusal) = db.run(&db.write_sql(request, via)).await {
        // Where the session is beyond use, the server has rolled back by itself.
        db.run("ROLLBACK").await.ok();
        return WriteOutcome::Failed(format!("before COMMIT: {}", refusal.words));
    }
    match db.run("COMMIT").await {
        Ok(()) => WriteOutcome::Acknowledged,
        Err(refusal) if refusal.sure => WriteOutcome::Failed(format!("at COMMIT: {}", refusal.words)),
        Err(refusal) => WriteOutcome::Unknown(format!("at COMMIT: {}", refusal.words)),
    }
}
