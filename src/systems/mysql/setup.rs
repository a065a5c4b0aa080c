//! What a run keeps on both servers: a schema `pointsman` with the run's epoch, the tokens of both streams, a table for
//! canary writes, and the procedures that the window calls.
//!
//! Both streams are live from the beginning, so everything here may also come through a stream. Every row exists on
//! both servers from the start and is changed by one of them only: `run` has one row a server, by its `server_id`. A
//! server that is fenced with `super_read_only` refuses our rows too; for the moment of a write it is `read_only`.
//!
//! What must be done by the executor that has the run, and by no other, is done under a lock of the server (`GET_LOCK`)
//! that is taken after looking at the epoch: `SET GLOBAL` and `KILL` know no transaction that could hold a row.

use super::{Flavour, Session, literal};
use crate::systems::Result;
use crate::systems::pair::Heading;

/// SQLSTATE: client sessions do not end.
pub const SESSIONS_LEFT: &str = "PM002";
/// SQLSTATE: another run has the database.
pub const CLAIMED: &str = "PM005";
/// SQLSTATE: an older executor is in the middle of something.
pub const BUSY: &str = "PM006";
/// Code: no such table.
const NO_TABLE: &str = "1146";
/// Code: no such schema.
const NO_SCHEMA: &str = "1049";
/// Code: no such procedure.
const NO_PROCEDURE: &str = "1305";
/// Codes: the server is read-only, and our account is not let through.
const NOT_WRITABLE: [&str; 2] = ["1227", "1290"];

/// Sessions of clients, as a condition on `information_schema.PROCESSLIST`; `EXEMPT` is a list of users with commas.
pub const CLIENTS: &str = "COMMAND NOT IN ('Binlog Dump', 'Binlog Dump GTID', 'Daemon') AND COMMAND NOT LIKE 'Slave%' \
     AND USER NOT IN ('system user', 'event_scheduler', 'rdsadmin', 'rdsrepladmin', 'mysql.session', 'mariadb.sys') \
     AND IS_USED_LOCK(CONCAT('pointsman:', ID)) IS NULL AND NOT FIND_IN_SET(USER, EXEMPT)";

const TABLES: &str = "CREATE DATABASE IF NOT EXISTS pointsman;
CREATE TABLE IF NOT EXISTS pointsman.run (server_id bigint unsigned PRIMARY KEY, run varchar(190) NOT NULL, epoch bigint unsigned NOT NULL) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS pointsman.token_forward (id int PRIMARY KEY, run varchar(190) NOT NULL, token varchar(64) NOT NULL, written_at datetime(6) NOT NULL) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS pointsman.token_backward (id int PRIMARY KEY, run varchar(190) NOT NULL, token varchar(64) NOT NULL, written_at datetime(6) NOT NULL) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS pointsman.canary (token varchar(64) PRIMARY KEY, written_at timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) ENGINE=InnoDB;
INSERT IGNORE INTO pointsman.token_forward VALUES (1, '', '', UTC_TIMESTAMP(6));
INSERT IGNORE INTO pointsman.token_backward VALUES (1, '', '', UTC_TIMESTAMP(6));
";

/// Removes the schema; repeatable.
pub const TEARDOWN: &str = "DROP DATABASE IF EXISTS pointsman";

/// Makes the schema; repeatable. `servers` are the `server_id`s of both.
#[must_use]
pub fn script(flavour: Flavour, servers: [u32; 2], rds: bool) -> String {
    let rows = servers.map(|server| format!("INSERT IGNORE INTO pointsman.run VALUES ({server}, '', 0);\n")).concat();
    let procedures = [hold_procedure(), take_procedure(flavour), token_procedure(flavour), expel_procedure(rds)];
    format!("{TABLES}{rows}{}", procedures.concat())
}

/// Looks at the epoch, and keeps every other executor out until the lock is given back.
fn hold_procedure() -> String {
    procedure(
        "hold_epoch",
        "IN run_id varchar(190), IN held bigint unsigned",
        "  DECLARE found int DEFAULT 0;
  DECLARE words varchar(128);
  IF COALESCE(GET_LOCK('pointsman', 5), 0) <> 1 THEN
    SIGNAL SQLSTATE 'PM006' SET MESSAGE_TEXT = 'another executor is in the middle of something';
  END IF;
  SELECT COUNT(*) INTO found FROM pointsman.run r WHERE r.server_id = @@GLOBAL.server_id AND r.run = run_id AND r.epoch = held;
  IF found = 0 THEN
    DO RELEASE_LOCK('pointsman');
    SET words = LEFT(CONCAT('another executor has run ', run_id, ' (this one has epoch ', held, ')'), 128);
    SIGNAL SQLSTATE 'PM001' SET MESSAGE_TEXT = words;
  END IF;
",
    )
}

/// Makes an epoch the only one; `claiming` takes a server that no run has.
fn take_procedure(flavour: Flavour) -> String {
    let body = format!(
        "  DECLARE owner varchar(190) DEFAULT NULL;
  DECLARE known bigint unsigned DEFAULT 0;
  DECLARE shut int DEFAULT 0;
  DECLARE words varchar(128);
{}  IF COALESCE(GET_LOCK('pointsman', 10), 0) <> 1 THEN
    SIGNAL SQLSTATE 'PM006' SET MESSAGE_TEXT = 'another executor is in the middle of something';
  END IF;
  SELECT MAX(r.run), COALESCE(MAX(r.epoch), 0) INTO owner, known FROM pointsman.run r WHERE r.server_id = @@GLOBAL.server_id;
  IF claiming AND owner NOT IN ('', run_id) THEN
    SET words = LEFT(CONCAT('run ', owner, ' has this database'), 128);
    SIGNAL SQLSTATE 'PM005' SET MESSAGE_TEXT = words;
  END IF;
  IF (claiming AND owner = '') OR (owner = run_id AND known < held) THEN
{}    UPDATE pointsman.run r SET r.run = run_id, r.epoch = held WHERE r.server_id = @@GLOBAL.server_id;
{}  END IF;
  DO RELEASE_LOCK('pointsman');
",
        shutting(flavour),
        open(flavour),
        shut(flavour)
    );
    procedure("take", "IN run_id varchar(190), IN held bigint unsigned, IN claiming int", &body)
}

/// Writes a token into a stream, under the lock that `hold_epoch` took.
fn token_procedure(flavour: Flavour) -> String {
    let body = format!(
        "  DECLARE shut int DEFAULT 0;
{}{}  IF forth THEN
    UPDATE pointsman.token_forward t SET t.run = run_id, t.token = text, t.written_at = UTC_TIMESTAMP(6) WHERE t.id = 1;
  ELSE
    UPDATE pointsman.token_backward t SET t.run = run_id, t.token = text, t.written_at = UTC_TIMESTAMP(6) WHERE t.id = 1;
  END IF;
{}",
        shutting(flavour),
        open(flavour),
        shut(flavour)
    );
    procedure("write_token", "IN forth int, IN run_id varchar(190), IN text varchar(64)", &body)
}

/// Ends the sessions of clients and waits until none is left: ending one is asynchronous, and one that was logging in
/// may appear late.
fn expel_procedure(rds: bool) -> String {
    let kill = if rds { "CALL mysql.rds_kill(one)" } else { "KILL CONNECTION one" };
    let clients = CLIENTS.replace("EXEMPT", "exempt");
    let body = format!(
        "  DECLARE one bigint unsigned;
  DECLARE still int DEFAULT 1;
  DECLARE ended int DEFAULT 0;
  DECLARE words varchar(128);
  DECLARE latest datetime(6) DEFAULT SYSDATE(6) + INTERVAL limit_ms * 1000 MICROSECOND;
  WHILE still > 0 DO
    SET still = 0;
    SET ended = 0;
    BEGIN
      DECLARE client CURSOR FOR SELECT p.ID FROM information_schema.PROCESSLIST p WHERE {clients};
      DECLARE CONTINUE HANDLER FOR NOT FOUND SET ended = 1;
      DECLARE CONTINUE HANDLER FOR 1094 BEGIN END;
      OPEN client;
      FETCH client INTO one;
      WHILE NOT ended DO
        SET still = still + 1;
        {kill};
        FETCH client INTO one;
      END WHILE;
      CLOSE client;
    END;
    IF still > 0 AND SYSDATE(6) > latest THEN
      SELECT LEFT(CONCAT('sessions of clients do not end: ', GROUP_CONCAT(CONCAT(p.USER, ' id ', p.ID, ' from ', p.HOST))), 128)
        INTO words FROM information_schema.PROCESSLIST p WHERE {clients};
      SIGNAL SQLSTATE 'PM002' SET MESSAGE_TEXT = words;
    END IF;
    IF still > 0 THEN DO SLEEP(0.0005); END IF;
  END WHILE;
"
    );
    procedure("expel", "IN exempt text, IN limit_ms int", &body)
}

fn procedure(name: &str, parameters: &str, body: &str) -> String {
    format!(
        "DROP PROCEDURE IF EXISTS pointsman.{name};\n\
         CREATE PROCEDURE pointsman.{name}({parameters}) SQL SECURITY INVOKER\nBEGIN\n{body}END;\n"
    )
}

/// Whatever fails, the fence stands again.
const fn shutting(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mysql => {
            "  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    IF shut THEN SET GLOBAL super_read_only = ON; END IF;
    DO RELEASE_LOCK('pointsman');
    RESIGNAL;
  END;
"
        }
        Flavour::Mariadb => {
            "  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    DO RELEASE_LOCK('pointsman');
    RESIGNAL;
  END;
"
        }
    }
}

const fn open(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mysql => {
            "    SET shut = @@GLOBAL.super_read_only;\n    IF shut THEN SET GLOBAL super_read_only = OFF; END IF;\n"
        }
        Flavour::Mariadb => "",
    }
}

const fn shut(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mysql => "    IF shut THEN SET GLOBAL super_read_only = ON; END IF;\n",
        Flavour::Mariadb => "",
    }
}

/// Takes a server for a run: refused as long as another run has it, since both would share the streams, and the
/// rollback of one would drop those of the other.
pub async fn claim(session: &Session, run: &str, epoch: u64) -> Result<()> {
    let sql = format!("CALL pointsman.take({}, {epoch}, 1)", literal(run));
    session.batch("take it for the run", &sql).await.map(drop).map_err(|error| {
        let hint = "nothing was changed there. Let that run end (`pointsman status`, `resume` or `rollback` with its name). \
                    If its journal is lost, drop what `pointsman check` names, then DROP DATABASE pointsman";
        if error.is_code(CLAIMED) { error.with_hint(hint) } else { error }
    })
}

/// The run that has a server; `None` where nobody does.
pub async fn owner(session: &Session) -> Result<Option<String>> {
    let sql = "SELECT run FROM pointsman.run WHERE server_id = @@GLOBAL.server_id";
    match session.value("see which run has it", sql).await {
        Err(error) if error.is_code(NO_TABLE) || error.is_code(NO_SCHEMA) => Ok(None),
        other => Ok(other?.filter(|run| !run.is_empty())),
    }
}

/// Makes `epoch` the only one that may change a server that the run has. Waits for what an older executor has under
/// way. Does nothing before [`claim`], nor on a server that takes no writes of ours: no executor can change anything there,
/// and with an epoch that was not raised none can later.
pub async fn raise_epoch(session: &Session, run: &str, epoch: u64) -> Result<()> {
    let sql = format!("CALL pointsman.take({}, {epoch}, 0)", literal(run));
    match session.batch("take the run there", &sql).await {
        Err(error) if [NO_TABLE, NO_SCHEMA, NO_PROCEDURE].iter().any(|code| error.is_code(code)) => Ok(()),
        Err(error) if NOT_WRITABLE.iter().any(|code| error.is_code(code)) => {
            // Its handler may have been refused as well.
            let_go(session).await;
            match session.value("see whether it takes writes", "SELECT @@GLOBAL.read_only").await?.as_deref() {
                Some("0") | None => Err(error),
                Some(_) => Ok(()),
            }
        }
        other => other.map(drop),
    }
}

/// The statement that everything of ours begins with: it fails when another executor has the run.
#[must_use]
pub fn hold_epoch(run: &str, epoch: u64) -> String {
    format!("CALL pointsman.hold_epoch({}, {epoch});\n", literal(run))
}

/// What gives the lock of [`hold_epoch`] back.
pub const LET_GO: &str = "DO RELEASE_LOCK('pointsman');\n";

/// Statements that only the executor with this epoch may send.
#[must_use]
pub fn held(run: &str, epoch: u64, sql: &str) -> String {
    format!("{}{sql}{LET_GO}", hold_epoch(run, epoch))
}

/// Writes a token into a stream, on its publisher.
#[must_use]
pub fn write_token(heading: Heading, run: &str, token: &str) -> String {
    let forth = i32::from(heading == Heading::Forth);
    format!("CALL pointsman.write_token({forth}, {}, {});\n", literal(run), literal(token))
}

/// Sends statements that only the executor with this epoch may send; the lock is given back whatever happens.
pub async fn send_held(
    session: &Session,
    what: &str,
    (run, epoch): (&str, u64),
    sql: &str,
) -> Result<Vec<super::TextRows>> {
    let done = session.batch(what, &held(run, epoch, sql)).await;
    if done.is_err() {
        let_go(session).await;
    }
    done
}

/// Behind statements that broke off: gives the lock back, and has the session log what it writes, as before.
pub async fn let_go(session: &Session) {
    drop(session.batch("let go", LET_GO).await);
    log_again(session).await;
}

/// An account that may not switch it off has never done so, and is refused.
async fn log_again(session: &Session) {
    drop(session.batch("log again", "SET SESSION sql_log_bin = 1").await);
}

/// Keeps statements out of the binary log, where that is allowed.
#[must_use]
pub fn quietly(quiet: bool, sql: &str) -> String {
    if quiet { format!("SET SESSION sql_log_bin = 0;\n{sql}SET SESSION sql_log_bin = 1;\n") } else { sql.to_owned() }
}

/// Sends such statements; afterwards the session logs as before, whatever happened.
pub async fn send_quietly(session: &Session, what: &str, quiet: bool, sql: &str) -> Result<()> {
    let done = session.batch(what, &quietly(quiet, sql)).await;
    if done.is_err() && quiet {
        log_again(session).await;
    }
    done.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mariadb_has_no_super_read_only() {
        assert!(!script(Flavour::Mariadb, [1, 2], false).contains("super_read_only"));
        let mysql = script(Flavour::Mysql, [1, 2], true);
        assert!(mysql.contains("super_read_only") && mysql.contains("CALL mysql.rds_kill(one)"));
        assert!(mysql.contains("VALUES (1, '', 0)") && mysql.contains("VALUES (2, '', 0)"));
    }

    #[test]
    fn quotes_what_it_is_given() {
        assert_eq!(hold_epoch("it's", 3), "CALL pointsman.hold_epoch('it''s', 3);\n");
        assert!(write_token(Heading::Back, "r", "t").starts_with("CALL pointsman.write_token(0,"));
    }
}
