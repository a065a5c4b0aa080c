//! The sample application's tables and rows.

use tokio_postgres::Client;

use crate::sandbox::{Role, SandboxError};

/// Makes the tables and loads rows, all owned by [`Role::Mover`]; `db` is the superuser's. At scale 1: a thousand
/// accounts, five thousand orders, two thousand events.
pub(crate) async fn create(db: &Client, scale: u32) -> Result<(), SandboxError> {
    let scale = scale.max(1);
    let sql = format!(
        "SET ROLE {};\n{}\n{};\nRESET ROLE; ANALYZE;",
        Role::Mover.name(),
        include_str!("schema.sql"),
        rows(u64::from(scale))
    );
    db.batch_execute(&sql).await.map_err(SandboxError::database("make the sample application's tables"))
}

fn rows(scale: u64) -> String {
    let (accounts, orders, events) = (1000 * scale, 5000 * scale, 2000 * scale);
    format!(
        "INSERT INTO accounts (name, code, balance, rating, picture, settings)
           SELECT 'account ' || i, 'c' || i % 9999999, i % 1000, sqrt(i), decode(md5(i::text), 'hex'),
                  jsonb_build_object('colour', i % 7, 'news', i % 2 = 0)
             FROM generate_series(1, {accounts}) i;
         INSERT INTO orders (account_id, state, quantity, price, note)
           SELECT 1 + i % {accounts}, 'paid', 1 + i % 9, (i % 100) + 0.5, CASE WHEN i % 3 = 0 THEN 'note ' || i END
             FROM generate_series(1, {orders}) i;
         INSERT INTO events (region, body)
           SELECT (ARRAY['north', 'south', 'west'])[1 + i % 3], jsonb_build_object('i', i)
             FROM generate_series(1, {events}) i"
    )
}
