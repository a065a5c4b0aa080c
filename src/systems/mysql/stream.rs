//! The streams of a pair: a channel of MySQL, a named connection of MariaDB, or the only connection that RDS's
//! procedures know. Both are live from the beginning. A replica has its stream already, without a name, and keeps it until
//! it is promoted.

use serde::{Deserialize, Serialize};

use super::dial::Target;
use super::gtid::{GtidPosition, GtidSet};
use super::session::Record;
use super::{Flavour, Session, literal};
use crate::plan::{Follow, MysqlSide};
use crate::systems::Result;
use crate::systems::pair::Heading;

/// Where a server's binary log is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// MySQL: the set of all transactions. MariaDB: the last one of each domain.
    #[serde(default)]
    pub gtid: Option<String>,
    /// File of the binary log.
    #[serde(default)]
    pub file: Option<String>,
    /// Place in the file.
    #[serde(default)]
    pub offset: Option<u64>,
}

/// How a server's connection to the one that it follows is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Not at all.
    Clear,
    /// By TLS; whoever answers is taken for the other server.
    Encrypted,
    /// By TLS, and the certificate must be for the name that is dialled and by one of those in this file on the server that
    /// dials; by one that its host trusts without a file.
    Identified(Option<String>),
}

impl Protection {
    /// The options of `CHANGE REPLICATION SOURCE` or `CHANGE MASTER`; their names begin with `prefix`.
    fn options(&self, prefix: &str) -> String {
        let (ssl, verify) = (*self != Self::Clear, matches!(self, Self::Identified(_)));
        let ca = match self {
            Self::Identified(Some(path)) => format!("{prefix}_SSL_CA = {}, ", literal(path)),
            _ => String::new(),
        };
        format!("{prefix}_SSL = {}, {ca}{prefix}_SSL_VERIFY_SERVER_CERT = {}", i32::from(ssl), i32::from(verify))
    }
}

/// Whose a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Ours: made by statements, under a name of ours.
    Us,
    /// Ours: made by RDS's procedures, without a name.
    UsByProcedure,
    /// A replica's own, without a name: we look at it, and neither make nor drop it.
    Replica,
}

/// A stream, as the server that follows has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its direction.
    pub heading: Heading,
    /// Which of the two servers it is about.
    pub flavour: Flavour,
    /// How it knows where it is.
    pub follow: Follow,
    /// Whose it is.
    pub owner: Owner,
    /// Names of RDS's procedures are those of version 8.4.
    pub new_words: bool,
}

impl Stream {
    /// The stream in a direction, on a follower.
    #[must_use]
    pub const fn new(heading: Heading, flavour: Flavour, follow: Follow, side: &MysqlSide) -> Self {
        let owner = if side.rds { Owner::UsByProcedure } else { Owner::Us };
        Self { heading, flavour, follow, owner, new_words: side.new_words }
    }

    /// The same stream, where the server that follows is a replica.
    #[must_use]
    pub const fn of_replica(self) -> Self {
        Self { owner: Owner::Replica, ..self }
    }

    /// Whether RDS's procedures make it.
    #[must_use]
    pub const fn by_procedure(&self) -> bool {
        matches!(self.owner, Owner::UsByProcedure)
    }

    /// Name of the channel; only one that we make by statements has one.
    #[must_use]
    pub const fn channel(&self) -> &'static str {
        match self.owner {
            Owner::Us => self.heading.stream(),
            Owner::UsByProcedure | Owner::Replica => "",
        }
    }

    /// What makes it; the password is that of `dialled`.
    #[must_use]
    pub fn create(&self, dialled: &Target, protection: &Protection, start: &Position) -> String {
        let (host, user) = (literal(&dialled.host), literal(&dialled.user));
        let (password, port, ssl) =
            (literal(dialled.password.expose()), dialled.port, i32::from(*protection != Protection::Clear));
        let (file, offset) = (literal(start.file.as_deref().unwrap_or_default()), start.offset.unwrap_or(4));
        let channel = literal(self.channel());
        match (self.by_procedure(), self.flavour, self.follow) {
            (true, Flavour::Mysql, Follow::Gtid) => {
                let name = self.procedure(
                    "rds_set_external_source_with_auto_position",
                    "rds_set_external_master_with_auto_position",
                );
                format!("CALL mysql.{name}({host}, {port}, {user}, {password}, {ssl}, 0);\n")
            }
            (true, Flavour::Mysql, Follow::Position) => {
                let name = self.procedure("rds_set_external_source", "rds_set_external_master");
                format!("CALL mysql.{name}({host}, {port}, {user}, {password}, {file}, {offset}, {ssl});\n")
            }
            (true, Flavour::Mariadb, _) => {
                let gtid = literal(start.gtid.as_deref().unwrap_or_default());
                format!("CALL mysql.rds_set_external_master_gtid({host}, {port}, {user}, {password}, {gtid}, {ssl});\n")
            }
            (false, Flavour::Mysql, follow) => {
                let from = match follow {
                    Follow::Gtid => "SOURCE_AUTO_POSITION = 1".to_owned(),
                    Follow::Position => format!("SOURCE_LOG_FILE = {file}, SOURCE_LOG_POS = {offset}"),
                };
                format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST = {host}, SOURCE_PORT = {port}, SOURCE_USER = {user}, \
                     SOURCE_PASSWORD = {password}, {}, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1, \
                     SOURCE_RETRY_COUNT = 1000000, SOURCE_HEARTBEAT_PERIOD = 5, {from} FOR CHANNEL {channel};\n",
                    protection.options("SOURCE")
                )
            }
            (false, Flavour::Mariadb, _) => format!(
                "CHANGE MASTER {channel} TO MASTER_HOST = {host}, MASTER_PORT = {port}, MASTER_USER = {user}, \
                 MASTER_PASSWORD = {password}, {}, \
                 MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = 5, MASTER_USE_GTID = slave_pos;\n",
                protection.options("MASTER")
            ),
        }
    }

    /// What keeps it to some schemas, before it is started; RDS has that in a parameter group only.
    #[must_use]
    pub fn filter(&self, schemas: &[String], accounts_apart: bool) -> String {
        if self.owner != Owner::Us || (schemas.is_empty() && !accounts_apart) {
            return String::new();
        }
        let channel = self.channel();
        let patterns: Vec<String> = schemas
            .iter()
            .map(String::as_str)
            .chain(["pointsman"])
            .map(|schema| literal(&format!("{schema}.%")))
            .collect();
        match self.flavour {
            Flavour::Mysql if schemas.is_empty() => format!(
                "CHANGE REPLICATION FILTER REPLICATE_WILD_IGNORE_TABLE = ('mysql.%') FOR CHANNEL '{channel}';\n"
            ),
            Flavour::Mysql => format!(
                "CHANGE REPLICATION FILTER REPLICATE_WILD_DO_TABLE = ({}) FOR CHANNEL '{channel}';\n",
                patterns.join(", ")
            ),
            Flavour::Mariadb if schemas.is_empty() => {
                format!("SET GLOBAL {channel}.replicate_wild_ignore_table = 'mysql.%';\n")
            }
            Flavour::Mariadb => {
                let list: Vec<String> = patterns.iter().map(|pattern| pattern.trim_matches('\'').to_owned()).collect();
                format!("SET GLOBAL {channel}.replicate_wild_do_table = '{}';\n", list.join(","))
            }
        }
    }

    /// What starts it.
    #[must_use]
    pub fn start(&self) -> String {
        self.verb("START", "CALL mysql.rds_start_replication")
    }

    /// What stops it.
    #[must_use]
    pub fn stop(&self) -> String {
        self.verb("STOP", "CALL mysql.rds_stop_replication")
    }

    /// What forgets it, when it is stopped.
    #[must_use]
    pub fn forget(&self) -> String {
        let channel = self.channel();
        match (self.by_procedure(), self.flavour) {
            (true, _) => {
                format!("CALL mysql.{};\n", self.procedure("rds_reset_external_source", "rds_reset_external_master"))
            }
            (false, Flavour::Mysql) => format!("RESET REPLICA ALL FOR CHANNEL '{channel}';\n"),
            (false, Flavour::Mariadb) => format!("RESET SLAVE '{channel}' ALL;\n"),
        }
    }

    fn verb(&self, verb: &str, call: &str) -> String {
        let channel = self.channel();
        match (self.by_procedure(), self.flavour) {
            (true, _) => format!("{call};\n"),
            (false, Flavour::Mysql) => format!("{verb} REPLICA FOR CHANNEL '{channel}';\n"),
            (false, Flavour::Mariadb) => format!("{verb} SLAVE '{channel}';\n"),
        }
    }

    const fn procedure(&self, new: &'static str, old: &'static str) -> &'static str {
        if self.new_words { new } else { old }
    }

    /// What shows its state.
    #[must_use]
    pub fn show(&self) -> String {
        let channel = self.channel();
        match self.flavour {
            Flavour::Mysql => format!("SHOW REPLICA STATUS FOR CHANNEL '{channel}'"),
            Flavour::Mariadb => format!("SHOW SLAVE '{channel}' STATUS"),
        }
    }

    /// What waits, on the follower, until it has everything up to a position.
    #[must_use]
    pub fn await_position(&self, position: &Position, limit_ms: u64) -> String {
        let limit = format!("{}.{:03}", limit_ms / 1000, limit_ms % 1000);
        let gtid = literal(position.gtid.as_deref().unwrap_or_default());
        match (self.flavour, self.follow) {
            (Flavour::Mysql, Follow::Gtid) => format!("SELECT WAIT_FOR_EXECUTED_GTID_SET({gtid}, {limit});\n"),
            (Flavour::Mariadb, _) => format!("SELECT MASTER_GTID_WAIT({gtid}, {limit});\n"),
            (Flavour::Mysql, Follow::Position) => {
                let (file, offset) =
                    (literal(position.file.as_deref().unwrap_or_default()), position.offset.unwrap_or(0));
                format!("SELECT SOURCE_POS_WAIT({file}, {offset}, {limit}, {});\n", literal(self.channel()))
            }
        }
    }

    /// Reads its state; `None` when there is none.
    pub async fn state(&self, session: &Session) -> Result<Option<State>> {
        match session.records("read the state of replication", &self.show()).await {
            // No such channel, no such connection.
            Err(error) if ["3074", "1617", "1618"].iter().any(|code| error.is_code(code)) => Ok(None),
            other => {
                Ok(other?.first().filter(|row| !text(row, "Source_Host", "Master_Host").is_empty()).map(State::of))
            }
        }
    }

    /// Stops and forgets it, if it is ours; repeatable.
    pub async fn drop(&self, session: &Session) -> Result<()> {
        if self.owner == Owner::Replica || self.state(session).await?.is_none() {
            return Ok(());
        }
        session.batch("stop replication", &self.stop()).await?;
        session.batch("forget replication", &self.forget()).await.map(drop)
    }
}

/// What waits for a token on the follower: everything that was committed before it is there too, where transactions
/// become visible in the order of their commits.
#[must_use]
pub fn seen_token(heading: Heading, token: &str) -> String {
    format!("SELECT token = {} FROM {} WHERE id = 1;\n", literal(token), heading.token_table())
}

/// What receives, on the server that follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Receiver {
    /// It was stopped, or has given up.
    #[default]
    Stands,
    /// It dials the other server, again and again, and has not reached it yet.
    Dials,
    /// It receives.
    Runs,
}

/// State of a stream on the server that follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether what the other server sends is received.
    pub receiver: Receiver,
    /// Whether what was received is applied.
    pub applies: bool,
    /// What is wrong, in full; empty when nothing is.
    pub errors: Vec<String>,
    /// File of the other server up to which all is applied.
    pub file: String,
    /// Place in it.
    pub offset: u64,
    /// Whether it is kept to some schemas or tables. A server forgets that when it starts again ("CHANGE REPLICATION FILTER
    /// Statement" in MySQL's manual; MariaDB's variable is no option of a file either).
    pub filtered: bool,
}

impl State {
    pub(super) fn of(row: &Record) -> Self {
        let error = |what: &str, number: &str, words: &str| {
            let (number, words) = (text(row, number, number), text(row, words, words));
            (!matches!(number.as_str(), "" | "0")).then(|| format!("{what}: {words} ({number}){}", remedy(&number)))
        };
        let filters = ["Replicate_Wild_Do_Table", "Replicate_Wild_Ignore_Table"];
        Self {
            receiver: match text(row, "Replica_IO_Running", "Slave_IO_Running").as_str() {
                "Yes" => Receiver::Runs,
                "Connecting" => Receiver::Dials,
                _ => Receiver::Stands,
            },
            applies: text(row, "Replica_SQL_Running", "Slave_SQL_Running") == "Yes",
            errors: [
                error("the receiver", "Last_IO_Errno", "Last_IO_Error"),
                error("the applier", "Last_SQL_Errno", "Last_SQL_Error"),
            ]
            .into_iter()
            .flatten()
            .collect(),
            file: text(row, "Relay_Source_Log_File", "Relay_Master_Log_File"),
            offset: text(row, "Exec_Source_Log_Pos", "Exec_Master_Log_Pos").parse().unwrap_or(0),
            filtered: filters.into_iter().any(|filter| !text(row, filter, filter).is_empty()),
        }
    }

    /// Whether what the other server sends is received.
    #[must_use]
    pub fn receives(&self) -> bool {
        self.receiver == Receiver::Runs
    }

    /// Why it does not run; `None` when it does.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        if self.receives() && self.applies {
            return None;
        }
        let stopped = match (self.receives(), self.applies) {
            (false, false) => "neither receives nor applies",
            (false, true) => "does not receive",
            _ => "does not apply",
        };
        let errors = if self.errors.is_empty() { String::new() } else { format!(": {}", self.errors.join("; ")) };
        Some(format!("it {stopped}{errors}"))
    }
}

/// What a person can do about an error of a receiver or an applier.
fn remedy(number: &str) -> &'static str {
    match number {
        "1045" | "2061" => {
            "; the account of `replication-url` is refused: look at its password, REPLICATION SLAVE, and TLS"
        }
        "2026" => {
            "; TLS can't be agreed on: with `verify-full` the certificate must be for the host of `replication-url`, and by one of \
             `replication-ca` on the side that follows"
        }
        "2003" | "2005" | "2013" => {
            "; the server can't reach the other one: look at `replication-url`, routes and firewalls"
        }
        "1236" | "13114" => {
            "; the binary log no longer has what is needed: roll back, lengthen its retention, and begin again"
        }
        "13117" | "1593" => "; the servers don't agree on GTIDs, or have the same server_id or server_uuid",
        "1032" | "1062" => {
            "; a row was changed on the side that follows: mend that row there, then start replication again"
        }
        "1146" | "1049" => "; a table is missing on the side that follows: make it there, then start replication again",
        _ => "",
    }
}

fn text(row: &Record, new: &str, old: &str) -> String {
    row.get(new).or_else(|| row.get(old)).cloned().flatten().unwrap_or_default()
}

/// What gives a server's position.
#[must_use]
pub fn show_position(flavour: Flavour, follow: Follow, new_words: bool) -> &'static str {
    match (flavour, follow) {
        (Flavour::Mysql, Follow::Gtid) => "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '');\n",
        (Flavour::Mariadb, _) => "SELECT @@GLOBAL.gtid_binlog_pos;\n",
        (Flavour::Mysql, Follow::Position) if new_words => "SHOW BINARY LOG STATUS;\n",
        (Flavour::Mysql, Follow::Position) => "SHOW MASTER STATUS;\n",
    }
}

/// Reads the answer of [`show_position`]; of MariaDB's, only the domain in which this server writes.
#[must_use]
pub fn read_position(row: &[Option<String>], flavour: Flavour, follow: Follow, domain: u32) -> Option<Position> {
    let first = row.first()?.clone()?;
    match (flavour, follow) {
        (Flavour::Mysql, Follow::Gtid) => {
            let set = GtidSet::read(&first).ok()?;
            Some(Position { gtid: Some(set.to_string()), ..Position::default() })
        }
        (Flavour::Mariadb, _) => {
            let position = GtidPosition::read(&first).ok()?.of_domain(domain);
            Some(Position { gtid: Some(position.to_string()), ..Position::default() })
        }
        (Flavour::Mysql, Follow::Position) => {
            let offset = row.get(1)?.as_deref()?.parse().ok()?;
            Some(Position { gtid: None, file: Some(first), offset: Some(offset) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn stream(flavour: Flavour, follow: Follow, rds: bool) -> Stream {
        let side = MysqlSide { rds, new_words: true, ..MysqlSide::default() };
        Stream::new(Heading::Forth, flavour, follow, &side)
    }

    fn dialled() -> Target {
        Target { host: "h".into(), port: 3306, user: "u".into(), password: Secret::new("p'w"), schema: None }
    }

    #[test]
    fn each_way_has_its_words() {
        let start = Position { file: Some("bin.1".into()), offset: Some(77), ..Position::default() };
        let made = stream(Flavour::Mysql, Follow::Gtid, false).create(&dialled(), &Protection::Encrypted, &start);
        assert!(made.contains("SOURCE_AUTO_POSITION = 1 FOR CHANNEL 'pointsman_forward'") && made.contains("'p''w'"));
        let made = stream(Flavour::Mysql, Follow::Position, true).create(&dialled(), &Protection::Clear, &start);
        assert_eq!(made, "CALL mysql.rds_set_external_source('h', 3306, 'u', 'p''w', 'bin.1', 77, 0);\n");
        let made = stream(Flavour::Mysql, Follow::Gtid, true).create(&dialled(), &Protection::Encrypted, &start);
        assert_eq!(made, "CALL mysql.rds_set_external_source_with_auto_position('h', 3306, 'u', 'p''w', 1, 0);\n");
        let made = stream(Flavour::Mariadb, Follow::Gtid, false).create(&dialled(), &Protection::Clear, &start);
        assert!(
            made.starts_with("CHANGE MASTER 'pointsman_forward' TO") && made.contains("MASTER_USE_GTID = slave_pos")
        );
        assert!(made.contains("MASTER_SSL = 0, MASTER_SSL_VERIFY_SERVER_CERT = 0,"), "{made}");
        let identified = Protection::Identified(Some("/ca.pem".into()));
        let made = stream(Flavour::Mysql, Follow::Gtid, false).create(&dialled(), &identified, &start);
        assert!(
            made.contains("SOURCE_SSL = 1, SOURCE_SSL_CA = '/ca.pem', SOURCE_SSL_VERIFY_SERVER_CERT = 1,"),
            "{made}"
        );
        let replica = stream(Flavour::Mysql, Follow::Gtid, true).of_replica();
        assert_eq!(replica.forget(), "RESET REPLICA ALL FOR CHANNEL '';\n");
        assert!(replica.filter(&["app".into()], true).is_empty(), "what a replica applies is not ours to say");
        assert_eq!(stream(Flavour::Mysql, Follow::Gtid, true).stop(), "CALL mysql.rds_stop_replication;\n");
        assert_eq!(stream(Flavour::Mariadb, Follow::Gtid, false).forget(), "RESET SLAVE 'pointsman_forward' ALL;\n");
    }

    #[test]
    fn filters_name_schemas_and_ours() {
        let filter = stream(Flavour::Mysql, Follow::Gtid, false).filter(&["app".into()], false);
        assert!(filter.contains("('app.%', 'pointsman.%')"), "{filter}");
        let filter = stream(Flavour::Mariadb, Follow::Gtid, false).filter(&["app".into()], true);
        assert_eq!(filter, "SET GLOBAL pointsman_forward.replicate_wild_do_table = 'app.%,pointsman.%';\n");
        assert!(stream(Flavour::Mysql, Follow::Gtid, false).filter(&[], false).is_empty());
    }

    #[test]
    fn waits_with_an_end() {
        let position = Position { gtid: Some("0-1-5".into()), ..Position::default() };
        let wait = stream(Flavour::Mariadb, Follow::Gtid, false).await_position(&position, 1050);
        assert_eq!(wait, "SELECT MASTER_GTID_WAIT('0-1-5', 1.050);\n");
    }

    #[test]
    fn trouble_is_told_in_full_with_what_to_do() {
        let row = [
            ("Replica_IO_Running", "Connecting"),
            ("Replica_SQL_Running", "Yes"),
            ("Last_IO_Errno", "1045"),
            ("Last_IO_Error", "Access denied"),
        ];
        let row: Record = row.into_iter().map(|(key, value)| (key.to_owned(), Some(value.to_owned()))).collect();
        let state = State::of(&row);
        assert_eq!(state.receiver, Receiver::Dials);
        let trouble = state.trouble().unwrap();
        assert!(trouble.contains("does not receive: the receiver: Access denied (1045); the account"), "{trouble}");
    }

    #[test]
    fn positions_are_read() {
        let row = [Some("0-1-5,7-2-9".to_owned())];
        let found = read_position(&row, Flavour::Mariadb, Follow::Gtid, 7).unwrap();
        assert_eq!(found.gtid.as_deref(), Some("7-2-9"));
        let row = [Some("bin.000002".to_owned()), Some("157".to_owned())];
        assert_eq!(read_position(&row, Flavour::Mysql, Follow::Position, 0).unwrap().offset, Some(157));
    }
}
