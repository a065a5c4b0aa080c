//! The clone plugin of MySQL: the server that is moved to fetches every page of the other one by itself, is that server
//! afterwards but for its configuration and its `server_uuid`, and starts again.

use super::dial::Target;
use super::stream::Position;
use super::{Session, literal};
use crate::systems::Result;

/// Code: no supervisor starts the server again; it ended, and has all the data.
pub const NOT_SUPERVISED: &str = "3707";

/// What is set beforehand, so that nothing writes on the copy when it has started: neither its events nor, whoever had an
/// account on the source, a client. And where it may fetch from.
#[must_use]
pub fn prepare(dialled: &Target) -> String {
    format!(
        "SET PERSIST_ONLY event_scheduler = OFF;\nSET PERSIST_ONLY super_read_only = ON;\n\
         SET GLOBAL clone_valid_donor_list = {};\n",
        literal(&format!("{}:{}", dialled.host, dialled.port))
    )
}

/// What fetches everything. The server shows the statement without the password, and its process list not at all.
#[must_use]
pub fn statement(dialled: &Target, encrypted: bool) -> String {
    let (user, host, password) = (literal(&dialled.user), literal(&dialled.host), literal(dialled.password.expose()));
    let no = if encrypted { "" } else { "NO " };
    format!("CLONE INSTANCE FROM {user}@{host}:{} IDENTIFIED BY {password} REQUIRE {no}SSL;\n", dialled.port)
}

/// How the latest clone of a server ended, or goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// `Not Started`, `In Progress`, `Completed` or `Failed`.
    pub state: String,
    /// What went wrong.
    pub error: String,
    /// Where the source was.
    pub position: Position,
}

/// Reads it on the server that fetches; `None` where it never did, or has no such plugin.
pub async fn status(session: &Session) -> Result<Option<Status>> {
    let sql = "SELECT STATE, CONCAT(ERROR_MESSAGE, ' (', ERROR_NO, ')'), REPLACE(GTID_EXECUTED, '\\n', ''), BINLOG_FILE, \
               BINLOG_POSITION FROM performance_schema.clone_status ORDER BY ID DESC LIMIT 1";
    let rows = match session.rows("read how the clone goes", sql).await {
        Err(error) if error.is_code("1146") => return Ok(None),
        other => other?,
    };
    let status = |row: Vec<Option<String>>| {
        let text = |column: usize| row.get(column).cloned().flatten();
        let position =
            Position { gtid: text(2), file: text(3), offset: text(4).and_then(|number| number.parse().ok()) };
        Status { state: text(0).unwrap_or_default(), error: text(1).unwrap_or_default(), position }
    };
    Ok(rows.into_iter().next().map(status))
}

/// What it does now and how far it is, for people: `file copy, 12 of 70 MiB`.
pub async fn progress(session: &Session) -> Result<Option<String>> {
    let sql = "SELECT LOWER(STAGE), DATA, ESTIMATE FROM performance_schema.clone_progress WHERE STATE = 'In Progress' LIMIT 1";
    let row = session.rows("read how far the clone is", sql).await?.into_iter().next();
    let size = |text: Option<&String>| {
        bytesize::ByteSize(text.and_then(|number| number.parse().ok()).unwrap_or(0)).display().iec().to_string()
    };
    Ok(row.map(|row| {
        let column = |n: usize| row.get(n).and_then(Option::as_ref);
        let stage = column(0).cloned().unwrap_or_default();
        format!("{stage}, {} of {}", size(column(1)), size(column(2)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn fetches_from_one_place_only() {
        let dialled =
            Target { host: "h".into(), port: 3306, user: "u".into(), password: Secret::new("p'w"), schema: None };
        assert!(prepare(&dialled).ends_with("SET GLOBAL clone_valid_donor_list = 'h:3306';\n"));
        let sql = statement(&dialled, true);
        assert_eq!(sql, "CLONE INSTANCE FROM 'u'@'h':3306 IDENTIFIED BY 'p''w' REQUIRE SSL;\n");
        assert!(statement(&dialled, false).ends_with("REQUIRE NO SSL;\n"));
    }
}
