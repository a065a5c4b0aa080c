//! The sessions of a comparison.

use super::{CompareOptions, Side};
use crate::systems::postgres::{Access, Database, Session, literal};
use crate::systems::{Certainty, DriverError, Result};

/// A session on each side.
pub(super) struct Pair {
    pub source: Session,
    pub target: Session,
    /// The text of rows is converted to UTF-8 before it is hashed, because the sides are encoded differently.
    pub recode: bool,
}

impl Pair {
    pub async fn open(source: &Database, target: &Database, options: &CompareOptions) -> Result<Self> {
        let (source, target) = tokio::try_join!(open(source, options), open(target, options))?;
        let encoding = "SELECT current_setting('server_encoding')";
        let what = "read its encoding";
        let (one, other): (String, String) =
            tokio::try_join!(source.value(what, encoding, &[]), target.value(what, encoding, &[]))?;
        Ok(Self { source, target, recode: one != other })
    }

    pub const fn side(&self, side: Side) -> &Session {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

/// A read-only session in which values have the same text on every server.
pub(super) async fn open(database: &Database, options: &CompareOptions) -> Result<Session> {
    let session = database.connect(Access::ReadOnly).await?;
    let settings = [
        ("TimeZone", "UTC"),
        ("DateStyle", "ISO, YMD"),
        ("IntervalStyle", "postgres"),
        ("bytea_output", "hex"),
        ("extra_float_digits", "1"),
        ("lc_monetary", "C"),
        ("xmlbinary", "base64"),
        ("quote_all_identifiers", "off"),
        ("search_path", "pg_catalog"),
        // A policy that hides rows from us must be an error, not a difference.
        ("row_security", "off"),
        ("jit", "off"),
        ("lock_timeout", "30s"),
        ("client_connection_check_interval", "2s"),
    ];
    let timeout = options.statement_timeout.as_millis().min(i32::MAX as u128).to_string();
    let all = settings.into_iter().chain([("statement_timeout", timeout.as_str())]);
    let sql: Vec<String> = all.map(|(name, value)| format!("SET {name} = {}", setting(name, value))).collect();
    session.batch("prepare a session that compares", &sql.join("; ")).await?;
    Ok(session)
}

/// `DateStyle` is a list, which quoting would make one word of.
fn setting(name: &str, value: &str) -> String {
    if name == "DateStyle" { value.to_owned() } else { literal(value) }
}

/// An answer that doesn't have the shape that was asked for.
pub(super) fn strange(session: &Session, what: &str) -> DriverError {
    DriverError::new(session.system(), what, "the answer is not what was asked for", Certainty::Refused)
}
