//! One write as an application makes it, and how sure its outcome is.

use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, error::Severity};

use super::error::explain;

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
/// Simple queries only: they work through every pooler in transaction pooling.
pub(crate) async fn write(db: &Client, request: &WriteRequest, via: &str) -> WriteOutcome {
    if let Err(error) = db.batch_execute(&statements(request, via)).await {
        // Where the session is beyond use, the server has rolled back by itself.
        db.batch_execute("ROLLBACK").await.ok();
        return WriteOutcome::Failed(format!("before COMMIT: {}", explain(&error)));
    }
    match db.batch_execute("COMMIT").await {
        Ok(()) => WriteOutcome::Acknowledged,
        Err(error) if was_refused(&error) => WriteOutcome::Failed(format!("at COMMIT: {}", explain(&error))),
        Err(error) => WriteOutcome::Unknown(format!("at COMMIT: {}", explain(&error))),
    }
}

/// An ERROR in answer to COMMIT is a rollback. A FATAL (or a broken connection) ends the session, and may come after
/// the commit was made durable and before it was told.
fn was_refused(error: &tokio_postgres::Error) -> bool {
    error
        .as_db_error()
        .is_some_and(|db| db.parsed_severity() == Some(Severity::Error) && !db.code().code().starts_with("08"))
}

fn statements(request: &WriteRequest, via: &str) -> String {
    let WriteRequest { client, n, token } = request;
    let (token, via) = (quote(token), quote(via));
    let mut sql = format!(
        "BEGIN;\
         INSERT INTO ledger (client, n, token, via, ticket) VALUES ({client}, {n}, {token}, {via}, nextval('tickets'));\
         UPDATE accounts SET balance = balance + 1, touched_at = now() WHERE id = 1 + {}",
        // Spread over the thousand accounts that every scale has.
        (i64::from(*client) * 97 + n * 31).rem_euclid(1000),
    );
    if n % 4 == 0 {
        let account = 1 + n.rem_euclid(1000);
        sql += ";INSERT INTO orders (account_id, state, note) VALUES (";
        sql += &[&account.to_string(), "'new'", &token].join(", ");
        sql += ")";
    }
    if n % 8 == 0 {
        sql += &[";INSERT INTO events (region, body) VALUES ('north', jsonb_build_object('token', ", &token, "))"]
            .concat();
    }
    sql
}

/// A text literal of SQL.
fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_can_not_break_out() {
        assert_eq!(quote(r"a'b\'c"), r"E'a''b\\''c'");
    }
}
