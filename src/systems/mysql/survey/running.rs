//! Reads what goes on in a server.

use std::collections::BTreeMap;

use super::read::{number, text};
use super::{Channel, OldTransaction, SessionGroup, Survey, queries};
use crate::systems::Result;
use crate::systems::mysql::{Flavour, Record, Session, TextRows};

/// Whoever may not see sessions sees its own: then nothing is known, which is not "none".
pub(super) async fn read(session: &Session, survey: &mut Survey) -> Result<()> {
    if survey.account.may(&["PROCESS"]) {
        let answers = session.batch("read its sessions", queries::SESSIONS).await?;
        if let [sessions, transactions] = answers.as_slice() {
            survey.activity.readers = readers(sessions);
            survey.activity.sessions = Some(groups(sessions));
            survey.activity.transactions = Some(transactions.iter().map(|row| transaction(row)).collect());
        }
    }
    let flavour = session.flavour();
    // A refusal is a finding of its own: it is a privilege that is missing.
    let prepared = session.rows("look for prepared transactions", queries::prepared(flavour)).await;
    survey.activity.prepared = prepared.ok().map(|rows| rows.iter().filter_map(|row| xid(row, flavour)).collect());
    let channels = session.records("read its channels", queries::channels(flavour)).await.unwrap_or_default();
    survey.activity.channels = channels.iter().map(channel).collect();
    let log = session.records("read its position", queries::log(flavour, session.version())).await.unwrap_or_default();
    for (name, value) in log.iter().flatten().filter(|(name, _)| name.ends_with("_DB")) {
        // Neither is a variable, and both decide what is carried.
        survey.variables.insert(name.to_ascii_lowercase(), value.clone().unwrap_or_default());
    }
    if flavour == Flavour::Mysql {
        let rows = session.rows("read its filters", queries::FILTERS).await.unwrap_or_default();
        survey.variables.extend(rows.iter().map(|row| (text(row, 0).to_ascii_lowercase(), text(row, 1))));
    }
    let gtids = match flavour {
        Flavour::Mysql => "SELECT @@GLOBAL.gtid_executed",
        Flavour::Mariadb => "SELECT @@GLOBAL.gtid_binlog_pos",
    };
    survey.activity.gtids = session.value("read its GTIDs", gtids).await?.unwrap_or_default();
    Ok(())
}

/// `10.0.0.1:40001` without the port.
fn place(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((address, port)) if port.parse::<u16>().is_ok() => address.to_owned(),
        _ => host.to_owned(),
    }
}

fn is_reader(row: &[Option<String>]) -> bool {
    text(row, 4).starts_with("Binlog Dump")
}

fn readers(sessions: &TextRows) -> Vec<String> {
    sessions
        .iter()
        .filter(|row| is_reader(row))
        .map(|row| format!("{}@{}", text(row, 1), place(&text(row, 2))))
        .collect()
}

fn groups(sessions: &TextRows) -> Vec<SessionGroup> {
    let mut groups: BTreeMap<(String, String, Option<String>), SessionGroup> = BTreeMap::new();
    for row in sessions.iter().filter(|row| !is_reader(row)) {
        let host = place(&text(row, 2));
        let schema = row.get(3).cloned().flatten();
        let group = groups.entry((text(row, 1), host.clone(), schema.clone())).or_insert_with(|| SessionGroup {
            user: text(row, 1),
            host,
            schema,
            ..SessionGroup::default()
        });
        group.ids.push(number(row, 0).unsigned_abs());
    }
    groups.into_values().collect()
}

fn transaction(row: &[Option<String>]) -> OldTransaction {
    OldTransaction {
        id: number(row, 0).unsigned_abs(),
        user: text(row, 1),
        host: place(&text(row, 2)),
        state: text(row, 3),
        age_s: number(row, 4),
        changed: number(row, 5),
    }
}

/// The id of a prepared transaction as `XA COMMIT` takes it: MariaDB says it so, MySQL gives its parts in one.
fn xid(row: &[Option<String>], flavour: Flavour) -> Option<String> {
    let data = text(row, 3);
    if flavour == Flavour::Mariadb {
        return Some(data);
    }
    let hex = data.strip_prefix("0x").unwrap_or(&data);
    let (global, branch) = hex.split_at_checked(usize::try_from(number(row, 1)).ok()? * 2)?;
    Some(format!("X'{global}',X'{branch}',{}", number(row, 0)))
}

fn channel(record: &Record) -> Channel {
    let of = |names: &[&str]| names.iter().find_map(|name| record.get(*name).cloned().flatten()).unwrap_or_default();
    let runs = |names: &[&str]| of(names).eq_ignore_ascii_case("yes");
    let filters = record.iter().filter(|(name, _)| name.starts_with("Replicate_") && !name.contains("Server_Ids"));
    let filters = filters.filter_map(|(name, value)| {
        let value = value.as_deref().filter(|value| !value.is_empty())?;
        Some(format!("{} = {value}", name.to_ascii_lowercase()))
    });
    Channel {
        name: of(&["Channel_Name", "Connection_name"]),
        source: format!("{}:{}", of(&["Source_Host", "Master_Host"]), of(&["Source_Port", "Master_Port"])),
        running: runs(&["Replica_IO_Running", "Slave_IO_Running"])
            || runs(&["Replica_SQL_Running", "Slave_SQL_Running"]),
        filters: filters.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[&str]) -> Vec<Option<String>> {
        values.iter().map(|&value| Some(value.to_owned())).collect()
    }

    #[test]
    fn sessions_are_grouped_and_readers_are_told_apart() {
        let sessions = vec![
            row(&["5", "app", "10.0.0.1:40001", "shop", "Sleep"]),
            row(&["6", "app", "10.0.0.1:40002", "shop", "Query"]),
            row(&["7", "repl", "10.0.0.9:40003", "", "Binlog Dump GTID"]),
            row(&["8", "root", "localhost", "", "Sleep"]),
        ];
        let found = groups(&sessions);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].user.as_str(), found[0].host.as_str(), found[0].ids.as_slice()),
            ("app", "10.0.0.1", &[5, 6][..])
        );
        assert_eq!(readers(&sessions), ["repl@10.0.0.9"]);
    }

    #[test]
    fn a_prepared_transaction_is_named_as_statements_take_it() {
        assert_eq!(xid(&row(&["1", "2", "1", "0x616263"]), Flavour::Mysql).unwrap(), "X'6162',X'63',1");
        assert_eq!(xid(&row(&["1", "1", "0", "0x61"]), Flavour::Mysql).unwrap(), "X'61',X'',1");
        assert_eq!(xid(&row(&["1", "1", "0", "'a'"]), Flavour::Mariadb).unwrap(), "'a'");
        assert_eq!(xid(&row(&["1", "9", "0", "0x61"]), Flavour::Mysql), None);
    }

    #[test]
    fn channels_of_both_flavours_are_read() {
        let record = |pairs: &[(&str, &str)]| -> Record {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
        };
        let mysql = channel(&record(&[
            ("Channel_Name", "pointsman_forward"),
            ("Source_Host", "h"),
            ("Source_Port", "3306"),
            ("Replica_IO_Running", "Connecting"),
            ("Replica_SQL_Running", "Yes"),
            ("Replicate_Ignore_DB", "audit"),
            ("Replicate_Do_DB", ""),
        ]));
        assert_eq!((mysql.source.as_str(), mysql.running), ("h:3306", true));
        assert_eq!(mysql.filters, ["replicate_ignore_db = audit"]);
        let mariadb = channel(&record(&[("Connection_name", "x"), ("Master_Host", "h"), ("Slave_SQL_Running", "No")]));
        assert_eq!((mariadb.name.as_str(), mariadb.running), ("x", false));
    }
}
