//! The sample application on PostgreSQL.

use async_trait::async_trait;
use tokio_postgres::{Client, SimpleQueryMessage, error::Severity};

use crate::sandbox::{
    WriteRequest,
    error::explain,
    shop::{self, Refusal, Shop},
};

/// Simple queries only: they work through every pooler in transaction pooling.
#[async_trait]
impl Shop for Client {
    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }

    async fn run(&self, sql: &str) -> Result<(), Refusal> {
        self.batch_execute(sql).await.map_err(|error| refusal(&error))
    }

    async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Refusal> {
        let messages = self.simple_query(sql).await.map_err(|error| refusal(&error))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(rows.map(|row| (0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()).collect())
    }

    fn write_sql(&self, request: &WriteRequest, via: &str) -> String {
        write_sql(request, via)
    }

    /// Sequences that are behind the greatest number in use, and numbers given twice.
    async fn number_anomalies(&self) -> Result<Vec<String>, Refusal> {
        let mut users = self.rows(SEQUENCE_USERS).await?;
        users.push(["tickets", "ledger", "ticket"].map(|name| Some(name.to_owned())).to_vec());
        let mut anomalies = Vec::new();
        for user in users {
            let [Some(sequence), Some(table), Some(column)] = &user[..] else { continue };
            let sql = format!(
                "SELECT last_value, greatest FROM {sequence}, (SELECT max({column})::bigint AS greatest FROM {table}) used
                  WHERE greatest > last_value"
            );
            anomalies.extend(self.rows(&sql).await?.first().map(|row| {
                let [last, greatest] = [0, 1].map(|at| row[at].as_deref().unwrap_or_default());
                format!("{sequence} is at {last}, but {table}.{column} has {greatest}")
            }));
        }
        anomalies.extend(shop::tickets_given_twice(self).await?);
        Ok(anomalies)
    }
}

/// An ERROR ended the statement, and in answer to COMMIT it is a rollback. A FATAL (or a broken connection) ends the
/// session, and may come after the commit was made durable and before it was told.
fn refusal(error: &tokio_postgres::Error) -> Refusal {
    let sure = error
        .as_db_error()
        .is_some_and(|db| db.parsed_severity() == Some(Severity::Error) && !db.code().code().starts_with("08"));
    Refusal { words: explain(error), sure }
}

fn write_sql(request: &WriteRequest, via: &str) -> String {
    let WriteRequest { client, n, token } = request;
    let (token, via) = (quote(token), quote(via));
    let mut sql = format!(
        "BEGIN;\
         INSERT INTO ledger (client, n, token, via, ticket) VALUES ({client}, {n}, {token}, {via}, nextval('tickets'));\
         UPDATE accounts SET balance = balance + 1, touched_at = now() WHERE id = {}",
        shop::account_of(request),
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

/// Sequence, table and column, quoted, of each serial and identity column.
const SEQUENCE_USERS: &str = "
SELECT s.oid::regclass::text, t.oid::regclass::text, quote_ident(a.attname)
  FROM pg_class s
  JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i')
                  AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
  JOIN pg_class t ON t.oid = d.refobjid AND t.relkind IN ('r', 'p')
  JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
 WHERE s.relkind = 'S' AND s.relnamespace = 'public'::regnamespace
   -- From 17 on a partition has a dependency on its parent's identity sequence too.
   AND NOT t.relispartition
 ORDER BY 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_can_not_break_out() {
        assert_eq!(quote(r"a'b\'c"), r"E'a''b\\''c'");
    }
}
