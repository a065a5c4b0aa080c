//! The sample application on MySQL and MariaDB.

use async_trait::async_trait;

use super::MysqlClient;
use crate::sandbox::{
    WriteRequest,
    shop::{self, Refusal, Shop},
};

#[async_trait]
impl Shop for MysqlClient {
    fn is_closed(&self) -> bool {
        self.is_broken()
    }

    async fn run(&self, sql: &str) -> Result<(), Refusal> {
        self.run_sql(sql).await
    }

    async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Refusal> {
        self.rows_of(sql).await
    }

    fn write_sql(&self, request: &WriteRequest, via: &str) -> String {
        write_sql(request, via)
    }

    /// Tables whose next number is in use already, and numbers given twice.
    async fn number_anomalies(&self) -> Result<Vec<String>, Refusal> {
        let mut anomalies = Vec::new();
        self.run(FRESH).await?;
        for row in self.rows(COUNTERS).await? {
            let [Some(table), Some(column), Some(next)] = &row[..] else { continue };
            let sql = format!("SELECT max({column}) FROM {table} HAVING max({column}) >= {next}");
            for greatest in shop::column(self, &sql).await? {
                anomalies.push(format!("the next number of {table}.{column} is {next}, but {greatest} is in use"));
            }
        }
        anomalies.extend(shop::tickets_given_twice(self).await?);
        Ok(anomalies)
    }
}

/// Answers of `information_schema` are from now, and not from a cache of MySQL; MariaDB skips the comment.
const FRESH: &str = "SET @fresh = 1 /*!80000 , SESSION information_schema_stats_expiry = 0 */";

/// Table, column and next number of every column that counts up by itself. Of a table that was never counted in, MySQL
/// has no number.
const COUNTERS: &str = "
SELECT t.table_name, c.column_name, t.auto_increment
  FROM information_schema.tables t
  JOIN information_schema.columns c USING (table_schema, table_name)
 WHERE t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' AND c.extra LIKE '%auto_increment%'
   AND t.auto_increment IS NOT NULL
 ORDER BY 1";

/// A ticket is drawn from a table of its own, as applications do where there are no sequences.
fn write_sql(request: &WriteRequest, via: &str) -> String {
    let WriteRequest { client, n, token } = request;
    let (token, via) = (quote(token), quote(via));
    let mut sql = format!(
        "BEGIN;\
         INSERT INTO tickets (drawn_by) VALUES ({client});\
         INSERT INTO ledger (client, n, token, via, ticket) VALUES ({client}, {n}, {token}, {via}, LAST_INSERT_ID());\
         UPDATE accounts SET balance = balance + 1, touched_at = CURRENT_TIMESTAMP(6) WHERE id = {}",
        shop::account_of(request),
    );
    if n % 4 == 0 {
        let account = 1 + n.rem_euclid(1000);
        sql += ";INSERT INTO orders (account_id, state, note) VALUES (";
        sql += &[&account.to_string(), "'new'", &token].join(", ");
        sql += ")";
    }
    if n % 8 == 0 {
        sql += &[";INSERT INTO events (region, body) VALUES ('north', JSON_OBJECT('token', ", &token, "))"].concat();
    }
    sql
}

/// A text literal of SQL, whether or not backslashes escape (`NO_BACKSLASH_ESCAPES`): our texts have none.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_can_not_break_out() {
        assert_eq!(quote(r"a'b\'c"), r"'a''b''c'");
    }
}
