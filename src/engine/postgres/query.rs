//! The author's query of a gate, in a transaction that can't write.

use crate::runbook::model::SqlGate;
use crate::systems::postgres::Session;
use crate::systems::{Certainty, DriverError, Result};

/// Read-only, with the search path that the author is used to.
const BEGIN: &str = "BEGIN TRANSACTION READ ONLY; SET LOCAL search_path = \"$user\", public";
const END: &str = "ROLLBACK";

pub(super) fn describe(gate: &SqlGate) -> Vec<String> {
    [BEGIN, &gate.query, END].map(|sql| format!("{}: {sql}", gate.system)).to_vec()
}

/// The value as text; the outer level says whether there was a row.
pub(super) async fn first(session: &Session, query: &str) -> Result<Option<Option<String>>> {
    let what = "run the query of the gate";
    session.batch(what, BEGIN).await?;
    // The server refuses to prepare more than one statement: none can slip out of the transaction.
    session.client().prepare(query).await.map_err(|error| unprepared(session, what, &error))?;
    let results = session.batch(what, query).await?;
    session.batch(what, END).await?;
    Ok(results.into_iter().next().and_then(|rows| rows.into_iter().next()).map(|row| row.into_iter().next().flatten()))
}

fn unprepared(session: &Session, what: &str, error: &tokio_postgres::Error) -> DriverError {
    let reason = error.as_db_error().map_or_else(|| error.to_string(), |answer| answer.message().to_owned());
    DriverError::new(session.system(), what, reason, Certainty::Refused)
}
