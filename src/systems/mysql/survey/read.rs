//! Reads a survey, part by part.

use std::collections::BTreeMap;

use super::{
    Account, Column, Disk, ForeignKey, OwnAccount, Program, ProgramKind, Schema, Server, Survey, Table, granted,
    queries, running, unquoted,
};
use crate::clock;
use crate::systems::Result;
use crate::systems::mysql::catalog::{self, Identity};
use crate::systems::mysql::{Access, Database, Session, TextRows, retention};
use crate::systems::survey::{ClockReading, Dialled};

impl Survey {
    /// Reads one server. `nonce` is mixed into the fingerprints of passwords, so that two surveys of one gathering can
    /// be compared and nothing can be learned from a stored one; it is not kept.
    pub async fn read(database: &Database, nonce: &str) -> Result<Self> {
        let dialled = Dialled::of_mysql(database).await?;
        let session = database.connect(Access::ReadOnly).await?;
        let clock = clock(&session).await?;
        let identity = catalog::identity(&session).await?;
        let mut survey = Self {
            system: database.name.clone(),
            address: database.spec.address.clone(),
            clock,
            account: own(&identity),
            server: Server {
                flavour: identity.flavour,
                version: identity.version,
                uuid: identity.uuid.clone(),
                ..Server::default()
            },
            variables: identity.variables.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect(),
            ..Self::default()
        };
        words(&session, &mut survey).await?;
        survey.server.rds = database.spec.is_rds().unwrap_or(!survey.account.rds_procedures.is_empty());
        if survey.server.rds {
            survey.server.rds_retention_hours = kept_by_rds(&session).await;
        }
        objects(&session, &mut survey).await?;
        survey.accounts = accounts(&session, nonce).await;
        survey.persisted = persisted(&session).await;
        survey.disk = disk(&session, &survey, &dialled).await;
        survey.dialled = dialled;
        running::read(&session, &mut survey).await?;
        Ok(survey)
    }
}

/// A value of a row; empty when it is null or missing.
pub(super) fn text(row: &[Option<String>], column: usize) -> String {
    row.get(column).cloned().flatten().unwrap_or_default()
}

/// A value of a row as a number.
pub(super) fn number(row: &[Option<String>], column: usize) -> i64 {
    text(row, column).parse().unwrap_or(0)
}

fn flag(row: &[Option<String>], column: usize) -> bool {
    number(row, column) != 0
}

fn firsts(rows: &TextRows) -> Vec<String> {
    rows.iter().map(|row| text(row, 0)).collect()
}

async fn clock(session: &Session) -> Result<ClockReading> {
    let (asked, started) = (clock::now(), clock::monotonic());
    let theirs = session.value("read the clock", "SELECT UNIX_TIMESTAMP(NOW(6)) * 1000").await?;
    let theirs = theirs.and_then(|text| text.parse().ok()).unwrap_or_default();
    Ok(ClockReading::new(asked, started.elapsed(), theirs))
}

fn own(identity: &Identity) -> OwnAccount {
    OwnAccount {
        name: identity.account.clone(),
        privileges: identity.grants.iter().flat_map(|line| granted(line)).collect(),
        rds_procedures: Vec::new(),
    }
}

async fn words(session: &Session, survey: &mut Survey) -> Result<()> {
    let what = "read what it knows";
    let answers = session.batch(what, queries::WORDS).await?;
    let [charsets, collations, plugins, zones, procedures, leftovers] = answers.as_slice() else {
        return Err(catalog::incomplete(session, what));
    };
    (survey.charsets, survey.collations, survey.plugins) = (firsts(charsets), firsts(collations), firsts(plugins));
    survey.named_time_zones = zones.first().is_some_and(|row| flag(row, 0));
    survey.account.rds_procedures = firsts(procedures);
    if !leftovers.is_empty() {
        survey.activity.leftovers.push(("schema pointsman".to_owned(), "DROP SCHEMA pointsman;".to_owned()));
    }
    survey.plugins.extend(keyring(session).await);
    Ok(())
}

/// MySQL's keyring is a component, which is no plugin.
async fn keyring(session: &Session) -> Option<String> {
    let sql = "SELECT COUNT(*) FROM performance_schema.keyring_component_status WHERE STATUS_VALUE = 'Active'";
    let found = session.value("look for a keyring", sql).await.ok().flatten()?;
    (found != "0").then(|| "component_keyring".to_owned())
}

async fn kept_by_rds(session: &Session) -> Option<Option<i64>> {
    retention::read(session).await.ok()
}

async fn objects(session: &Session, survey: &mut Survey) -> Result<()> {
    let what = "read its tables";
    let answers = session.batch(what, &queries::tables()).await?;
    let [schemas, tables, keys, columns] = answers.as_slice() else { return Err(catalog::incomplete(session, what)) };
    let schema =
        |row: &Vec<Option<String>>| Schema { name: text(row, 0), charset: text(row, 1), collation: text(row, 2) };
    survey.schemas = schemas.iter().map(schema).collect();
    survey.tables = assembled(tables, keys, columns);
    let what = "read its programs";
    let answers = session.batch(what, &queries::programs()).await?;
    let [programs, foreign, sequences] = answers.as_slice() else { return Err(catalog::incomplete(session, what)) };
    survey.programs = programs.iter().map(|row| program(row)).collect();
    survey.foreign_keys = foreign.iter().map(|row| foreign_key(row)).collect();
    survey.sequences = firsts(sequences);
    Ok(())
}

fn assembled(tables: &TextRows, keys: &TextRows, columns: &TextRows) -> Vec<Table> {
    let mut all: BTreeMap<(String, String), Table> = tables
        .iter()
        .map(|row| {
            let table = Table {
                schema: text(row, 0),
                name: text(row, 1),
                engine: text(row, 2),
                collation: text(row, 3),
                encrypted: is_encrypted(&text(row, 4)),
                rows: number(row, 5),
                bytes: number(row, 6),
                ..Table::default()
            };
            ((text(row, 0), text(row, 1)), table)
        })
        .collect();
    for row in keys {
        if let Some(table) = all.get_mut(&(text(row, 0), text(row, 1))) {
            let name = text(row, 2);
            if name == "PRIMARY" {
                table.primary_key = true;
            } else if !flag(row, 3) {
                table.unique_key.get_or_insert(name);
            }
        }
    }
    for row in columns {
        if let Some(table) = all.get_mut(&(text(row, 0), text(row, 1))) {
            let (charset, collation) = (row.get(4).cloned().flatten(), row.get(5).cloned().flatten());
            table.columns.push(Column {
                name: text(row, 2),
                kind: text(row, 3),
                charset,
                collation,
                extra: text(row, 6),
            });
        }
    }
    all.into_values().collect()
}

fn is_encrypted(options: &str) -> bool {
    let bare = options.to_ascii_lowercase().replace(['\'', '"', '`'], "");
    bare.contains("encryption=y") || bare.contains("encrypted=yes")
}

fn program(row: &[Option<String>]) -> Program {
    let kind = match text(row, 0).as_str() {
        "trigger" => ProgramKind::Trigger,
        "routine" => ProgramKind::Routine,
        "event" => ProgramKind::Event,
        _ => ProgramKind::View,
    };
    let (schema, name, definer) = (text(row, 1), text(row, 2), text(row, 3));
    Program { kind, schema, name, definer, as_definer: flag(row, 4), about: text(row, 5) }
}

fn foreign_key(row: &[Option<String>]) -> ForeignKey {
    ForeignKey {
        schema: text(row, 0),
        table: text(row, 1),
        name: text(row, 2),
        to_schema: text(row, 3),
        to_table: text(row, 4),
        on_update: text(row, 5),
        on_delete: text(row, 6),
    }
}

/// `None` when our account may not read them.
async fn accounts(session: &Session, nonce: &str) -> Option<Vec<Account>> {
    let sql = queries::accounts(session.flavour(), session.version(), nonce);
    let answers = session.batch("read the accounts", &sql).await.ok()?;
    let [accounts, privileges] = answers.as_slice() else { return None };
    let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in privileges {
        held.entry(unquoted(&text(row, 0))).or_default().push(text(row, 1));
    }
    let account = |row: &Vec<Option<String>>| {
        let mut account = Account {
            user: text(row, 0),
            host: text(row, 1),
            plugin: text(row, 2),
            locked: flag(row, 3),
            privileges: Vec::new(),
            print: row.get(4).cloned().flatten(),
        };
        account.privileges = held.remove(&account.name()).unwrap_or_default();
        account
    };
    Some(accounts.iter().map(account).collect())
}

/// What `SET PERSIST` left; a server that has no such thing, or does not show it, has none.
async fn persisted(session: &Session) -> BTreeMap<String, String> {
    let sql = "SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.persisted_variables";
    let rows = session.rows("read what is persisted", sql).await.unwrap_or_default();
    rows.iter().map(|row| (text(row, 0), text(row, 1))).collect()
}

/// SQL has no word for free room, so it is known only when the server runs on this machine, which its name proves.
async fn disk(session: &Session, survey: &Survey, dialled: &Dialled) -> Disk {
    let logs = session.records("read the size of the binary log", "SHOW BINARY LOGS").await.ok();
    let size = |record: &crate::systems::mysql::Record| {
        record.get("File_size").and_then(|size| size.as_deref()?.parse::<i64>().ok()).unwrap_or(0)
    };
    let folder = survey.variable("datadir").map(str::to_owned);
    let here = rustix::system::uname().nodename().to_string_lossy() == survey.variable("hostname").unwrap_or_default();
    let free = |folder: &String| {
        let found = rustix::fs::statvfs(folder.as_str()).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    };
    Disk {
        binlog_bytes: logs.map(|logs| logs.iter().map(size).sum()),
        free_bytes: if here && dialled.is_loopback() { folder.as_ref().and_then(free) } else { None },
        folder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[&str]) -> Vec<Option<String>> {
        values.iter().map(|&value| Some(value.to_owned())).collect()
    }

    #[test]
    fn tables_are_put_together_from_three_answers() {
        let tables = vec![
            row(&["shop", "a", "InnoDB", "utf8mb4_bin", "ENCRYPTION='Y'", "5", "99"]),
            row(&["shop", "b", "MyISAM", "", "", "", ""]),
        ];
        let keys = vec![
            row(&["shop", "a", "PRIMARY", "0"]),
            row(&["shop", "b", "loose", "1"]),
            row(&["shop", "b", "tight", "0"]),
            row(&["shop", "view", "PRIMARY", "0"]),
        ];
        let columns = vec![
            row(&["shop", "a", "id", "int", "", "", "auto_increment"]),
            row(&["shop", "view", "id", "int", "", "", ""]),
        ];
        let found = assembled(&tables, &keys, &columns);
        assert_eq!(found.len(), 2);
        assert!(found[0].primary_key && found[0].encrypted && (found[0].rows, found[0].bytes) == (5, 99));
        assert!(found[0].columns.len() == 1 && found[0].columns[0].counts_up());
        assert!(!found[1].primary_key && found[1].unique_key.as_deref() == Some("tight"));
        assert!(is_encrypted("`ENCRYPTED`=YES") && !is_encrypted("encryption='N'"));
    }
}
