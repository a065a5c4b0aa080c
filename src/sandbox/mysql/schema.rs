//! The sample application's tables and rows.

use super::MysqlClient;
use crate::sandbox::SandboxError;

/// Makes the tables and loads rows; `db` is the superuser's, in the sandbox's database. At scale 1: a thousand accounts,
/// five thousand orders, two thousand events.
pub(super) async fn create(db: &MysqlClient, scale: u32) -> Result<(), SandboxError> {
    let (tables, rows) = (include_str!("schema.sql"), rows(u64::from(scale.max(1))));
    // One by one: of several statements in one request MySQL keeps the semicolon in the body of a trigger, which then
    // can't be dumped.
    for statement in tables.split(";\n").chain(rows.split(";\n")).filter(|statement| !statement.trim().is_empty()) {
        db.run_sql(statement).await.map_err(|refusal| refusal.at("make the sample application's tables"))?;
    }
    Ok(())
}

fn rows(scale: u64) -> String {
    let (accounts, orders, events) = (1000 * scale, 5000 * scale, 2000 * scale);
    format!(
        "INSERT INTO accounts (name, code, balance, rating, picture, settings)
           SELECT CONCAT('account ', i), CONCAT('c', i % 9999999), i % 1000, SQRT(i), UNHEX(SHA2(i, 256)),
                  JSON_OBJECT('colour', i % 7, 'news', i % 2 = 0)
             FROM {};
         INSERT INTO orders (account_id, state, quantity, price, note)
           SELECT 1 + i % {accounts}, 'paid', 1 + i % 9, (i % 100) + 0.5, IF(i % 3 = 0, CONCAT('note ', i), NULL)
             FROM {};
         INSERT INTO events (region, body)
           SELECT ELT(1 + i % 3, 'north', 'south', 'west'), JSON_OBJECT('i', i)
             FROM {}",
        numbers(accounts),
        numbers(orders),
        numbers(events)
    )
}

/// The numbers from 1 as a table `series` with the column `i`.
fn numbers(last: u64) -> String {
    let digits = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 \
                  UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    let places: Vec<usize> = (0..last.to_string().len()).collect();
    let tables: Vec<String> = places.iter().map(|place| format!("{digits} d{place}")).collect();
    let sum: Vec<String> =
        places.iter().map(|place| format!("d{place}.d * {}", 10_u64.pow(u32::try_from(*place).unwrap_or(0)))).collect();
    format!(
        "(SELECT n + 1 AS i FROM (SELECT {} AS n FROM {}) every_number WHERE n < {last} ORDER BY n) series",
        sum.join(" + "),
        tables.join(" CROSS JOIN ")
    )
}
