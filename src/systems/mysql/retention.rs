//! How long a server of RDS keeps its binary log. By itself it removes a file as soon as nothing of its own needs it, and
//! then a server outside that follows it finds a gap. Words, range and default (`NULL`) as in the user guide of Amazon RDS,
//! "Setting and showing binary log configuration" (`mysql-stored-proc-configuring`).

use super::Session;
use crate::runbook::units::Span;
use crate::systems::Result;

const HOUR_S: u64 = 3600;
/// The way back's server may be away for a day at least.
const LEAST: i64 = 24;
/// RDS takes no more: seven days.
const MOST: i64 = 168;

/// For how many hours a run keeps the log of a target whose copy may take `copy`.
#[must_use]
pub fn hours(copy: Span) -> i64 {
    let copied = i64::try_from(copy.0.as_secs().div_ceil(HOUR_S)).unwrap_or(MOST);
    copied.saturating_add(1).clamp(LEAST, MOST)
}

/// What sets it; `None` as RDS has it by itself.
#[must_use]
pub fn statement(hours: Option<i64>) -> String {
    let value = hours.map_or_else(|| "NULL".to_owned(), |hours| hours.to_string());
    format!("CALL mysql.rds_set_configuration('binlog retention hours', {value})")
}

/// What is set now: hours; `None` where nothing is.
///
/// # Errors
///
/// When RDS's table can't be read.
pub async fn read(session: &Session) -> Result<Option<i64>> {
    let sql = "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'";
    let found = session.value("read for how long RDS keeps the binary log", sql).await?;
    Ok(found.and_then(|hours| hours.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_for_the_copy_and_a_day_at_least_and_what_rds_takes_at_most() {
        let of = |seconds: u64| hours(Span::secs(seconds));
        assert_eq!(of(60), 24);
        assert_eq!(of(24 * 3600), 25);
        assert_eq!(of(24 * 3600 + 1), 26);
        assert_eq!(of(30 * 24 * 3600), 168);
    }

    #[test]
    fn what_rds_has_by_itself_can_be_said() {
        assert_eq!(statement(Some(24)), "CALL mysql.rds_set_configuration('binlog retention hours', 24)");
        assert_eq!(statement(None), "CALL mysql.rds_set_configuration('binlog retention hours', NULL)");
    }
}
