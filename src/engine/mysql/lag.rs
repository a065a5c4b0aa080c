//! How far the side that carries the writes is ahead: of what it has committed against what the other side has executed,
//! and the age of the last token that arrived. `Seconds_Behind_Source` is not asked: it says 0 when the receiver is cut
//! off.

use crate::engine::Lag;
use crate::gates::{GateContext, seconds};
use crate::plan::{Follow, MysqlSide};
use crate::runbook::model::ReplicationLag;
use crate::systems::Result;
use crate::systems::mysql::gtid::{GtidPosition, GtidSet};
use crate::systems::mysql::stream::{State, Stream};
use crate::systems::mysql::{Flavour, Session, TextRows};
use crate::systems::pair::Flow;

/// A token that nobody has written for this long says nothing about the stream.
const HEARTBEAT_LOST_SECS: f64 = 5.0;

/// What is committed on a server, in GTIDs.
const fn committed(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mysql => {
            "SELECT @@GLOBAL.gtid_mode, REPLACE(@@GLOBAL.gtid_executed, '\\n', ''), @@GLOBAL.server_id;\n"
        }
        Flavour::Mariadb => "SELECT 'ON', @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_domain_id;\n",
    }
}

/// What the other side has executed of it.
const fn executed(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mysql => "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '');\n",
        Flavour::Mariadb => "SELECT @@GLOBAL.gtid_slave_pos;\n",
    }
}

const FILES: &str = "SHOW BINARY LOGS;\n";

fn token(table: &str) -> String {
    format!("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', written_at) / 1000000, token FROM {table} WHERE id = 1")
}

fn token_and_clock(table: &str) -> String {
    format!(
        "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', written_at) / 1000000, token, \
         TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000 FROM {table} WHERE id = 1"
    )
}

pub(super) fn describe(flavour: Flavour, gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
    let (publisher, subscriber) = (flow.publisher(), flow.subscriber());
    let mut lines = vec![
        format!("{publisher}: {}{FILES}", committed(flavour)),
        format!("{subscriber}: {}; {}", shown(flavour, flow), executed(flavour)),
    ];
    if gate.max_age.is_some() {
        lines.push(format!("{subscriber}: {}", token(flow.token_table())));
        lines.push(format!("{publisher}: {}", token_and_clock(flow.token_table())));
    }
    lines
}

fn shown(flavour: Flavour, flow: Flow<'_>) -> String {
    let stream = Stream::new(flow.heading, flavour, Follow::Gtid, &MysqlSide::default());
    if flow.pair.is_of_replica(flow.heading) { stream.of_replica().show() } else { stream.show() }
}

/// What was read of the side that is written.
struct Written {
    gtid: Option<String>,
    domain: u32,
    /// Files of its binary log with their sizes, in order.
    files: Vec<(String, u64)>,
}

pub(super) async fn measure(
    flavour: Flavour,
    gate: &ReplicationLag,
    flow: Flow<'_>,
    context: &GateContext<'_>,
) -> Result<Lag> {
    // What is written is read first: what the other side has executed then can only be more.
    let reads = async |session: &Session| written(session).await;
    let written = context.sessions.mysql.ask(context.world, flow.publisher(), reads).await?;
    let follows = async |session: &Session| follower(session, flavour, flow).await;
    let (state, done) = match context.sessions.mysql.ask(context.world, flow.subscriber(), follows).await? {
        Ok(found) => found,
        Err(why) => return Ok(Lag::Nothing(why)),
    };
    let bytes = behind(flavour, &written, &state, &done);
    if gate.max_age.is_none() {
        return Ok(Lag::Known { bytes: Some(bytes), age: None });
    }
    Ok(match age(flow, context).await? {
        Ok(age) => Lag::Known { bytes: Some(bytes), age: Some(age) },
        Err(why) => Lag::Nothing(why),
    })
}

async fn written(session: &Session) -> Result<Written> {
    let sql = format!("{}{FILES}", committed(session.flavour()));
    let results = session.batch("read its position", &sql).await?;
    let first = results.first().and_then(|rows| rows.first()).cloned().unwrap_or_default();
    let value = |column: usize| first.get(column).cloned().flatten().unwrap_or_default();
    let file = |row: &Vec<Option<String>>| Some((row.first()?.clone()?, row.get(1)?.as_deref()?.parse().ok()?));
    Ok(Written {
        gtid: (value(0) == "ON").then(|| value(1)),
        domain: value(2).parse().unwrap_or(0),
        files: results.get(1).map_or(&[][..], TextRows::as_slice).iter().filter_map(file).collect(),
    })
}

/// The stream's state and what was executed, or why nothing is known.
async fn follower(
    session: &Session,
    flavour: Flavour,
    flow: Flow<'_>,
) -> Result<std::result::Result<(State, String), String>> {
    let (side, name) = (session.system(), flow.stream());
    let stream = Stream::new(flow.heading, flavour, Follow::Gtid, &MysqlSide::default());
    let mut state = stream.state(session).await?;
    if state.is_none() {
        // The nameless one: a replica's own, or of RDS's procedures.
        state = stream.of_replica().state(session).await?;
    }
    let Some(state) = state else { return Ok(Err(format!("{side} has no replication of the name {name}"))) };
    if let Some(trouble) = state.trouble() {
        return Ok(Err(format!("{name} does not run on {side}: {trouble}")));
    }
    let done = session.value("read what it has executed", executed(flavour)).await?.unwrap_or_default();
    Ok(Ok((state, done)))
}

/// Bytes of the binary log that the other side has not executed. Positions of parallel appliers lag behind what they
/// have done; where the GTIDs say that all is done, nothing is behind.
fn behind(flavour: Flavour, written: &Written, state: &State, done: &str) -> f64 {
    let all_done = written.gtid.as_deref().is_some_and(|gtid| match flavour {
        Flavour::Mysql => match (GtidSet::read(gtid), GtidSet::read(done)) {
            (Ok(gtid), Ok(done)) => gtid.without(&done).is_empty(),
            _ => false,
        },
        Flavour::Mariadb => match (GtidPosition::read(gtid), GtidPosition::read(done)) {
            (Ok(gtid), Ok(done)) => gtid.of_domain(written.domain).ahead_of(&done) == 0,
            _ => false,
        },
    });
    if all_done { 0.0 } else { ahead(&written.files, &state.file, state.offset) }
}

#[expect(clippy::cast_precision_loss, reason = "a binary log is far below 2^52 bytes")]
fn ahead(files: &[(String, u64)], file: &str, offset: u64) -> f64 {
    let later: u64 = files.iter().filter(|(name, _)| name.as_str() >= file).map(|(_, size)| size).sum();
    let left = later.saturating_sub(offset) as f64;
    // Not everything is done: never nothing.
    left.max(1.0)
}

/// Seconds since the last token that has arrived was written, or why that is not known. Only the executor writes it.
pub(super) async fn age(flow: Flow<'_>, context: &GateContext<'_>) -> Result<std::result::Result<f64, String>> {
    let (arrived_sql, written_sql) = (token(flow.token_table()), token_and_clock(flow.token_table()));
    let what = "read the token";
    let arrived = async |session: &Session| session.rows(what, &arrived_sql).await;
    let arrived = context.sessions.mysql.ask(context.world, flow.subscriber(), arrived).await?;
    let written = async |session: &Session| session.rows(what, &written_sql).await;
    let written = context.sessions.mysql.ask(context.world, flow.publisher(), written).await?;
    let number = |rows: &TextRows, column: usize| rows.first()?.get(column)?.as_deref()?.parse::<f64>().ok();
    let (Some(arrived_at), Some(written_at), Some(now)) =
        (number(&arrived, 0), number(&written, 0), number(&written, 2))
    else {
        return Ok(Err("no token has travelled through the stream yet".to_owned()));
    };
    if now - written_at > HEARTBEAT_LOST_SECS {
        let silence = seconds(now - written_at);
        return Ok(Err(format!("nobody has written a token on {} for {silence}", flow.publisher())));
    }
    Ok(Ok((now - arrived_at).max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::mysql::stream::Receiver;

    fn written(gtid: Option<&str>) -> Written {
        let files = vec![("bin.000001".to_owned(), 1000), ("bin.000002".to_owned(), 500)];
        Written { gtid: gtid.map(str::to_owned), domain: 0, files }
    }

    fn state(file: &str, offset: u64) -> State {
        State { receiver: Receiver::Runs, applies: true, file: file.into(), offset, ..State::default() }
    }

    #[test]
    fn bytes_are_counted_over_files_unless_the_gtids_say_that_all_is_done() {
        let near = state("bin.000001", 400);
        assert!((behind(Flavour::Mysql, &written(None), &near, "") - 1100.0).abs() < 0.1);
        let server = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let set = written(Some(&format!("{server}:1-9")));
        assert!(behind(Flavour::Mysql, &set, &near, &format!("{server}:1-9")) < 0.1);
        assert!(behind(Flavour::Mysql, &set, &near, &format!("{server}:1-8")) > 1000.0);
        assert!(behind(Flavour::Mysql, &set, &state("bin.000002", 500), &format!("{server}:1-8")) >= 1.0);
        assert!(behind(Flavour::Mariadb, &written(Some("0-1-9,5-2-7")), &near, "0-1-9") < 0.1);
    }
}
