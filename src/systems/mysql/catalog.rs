//! Who answers, and what it has: identity of a server, its schemas, tables, accounts.

use super::session::Record;
use super::{Flavour, Session, Version, literal};
use crate::systems::Result;

/// Schemas of the servers' own, and ours.
pub const NOT_OF_THE_APPLICATION: &str = "'mysql', 'information_schema', 'performance_schema', 'sys', 'pointsman', \
     'rdsadmin', 'tmp', 'innodb', 'mysql_innodb_cluster_metadata'";

/// Who answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Which of the two.
    pub flavour: Flavour,
    /// Its version.
    pub version: Version,
    /// `server_uuid`, where it has one.
    pub uuid: Option<String>,
    /// `server_id`.
    pub server_id: u32,
    /// The account that let us in: `user@host`.
    pub account: String,
    /// The schema that we are in.
    pub schema: Option<String>,
    /// Whether it has RDS's procedures.
    pub rds_procedures: bool,
    /// Global variables, by name.
    pub variables: Record,
    /// Our privileges, as `SHOW GRANTS` lists them.
    pub grants: Vec<String>,
}

impl Identity {
    /// A global variable; empty when the server has none of this name.
    #[must_use]
    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).and_then(Option::as_deref).unwrap_or_default()
    }

    /// Whether a switch is on.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        matches!(self.variable(name).to_ascii_uppercase().as_str(), "ON" | "1" | "YES" | "TRUE")
    }

    /// Whether our account has a privilege for everything (`*.*`).
    #[must_use]
    pub fn may(&self, privilege: &str) -> bool {
        self.grants.iter().any(|grant| {
            let upper = grant.to_ascii_uppercase();
            let Some((listed, _)) = upper.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" ON *.* TO ")) else {
                return false;
            };
            // MySQL lists dynamic privileges one by one, beside ALL.
            let all = listed == "ALL PRIVILEGES" && (self.flavour == Flavour::Mariadb || !privilege.contains('_'));
            // The static ones stand with a space behind the comma, the dynamic ones without.
            all || listed.split(',').any(|one| one.trim() == privilege)
        })
    }

    /// Whether global variables can be set, and replication changed, by statements; else it takes RDS's procedures.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        match self.flavour {
            Flavour::Mysql => {
                let all = ["SYSTEM_VARIABLES_ADMIN", "REPLICATION_SLAVE_ADMIN", "CONNECTION_ADMIN"];
                self.may("SUPER") || all.iter().all(|privilege| self.may(privilege))
            }
            Flavour::Mariadb => {
                self.may("SUPER") || (self.may("READ_ONLY ADMIN") && self.may("REPLICATION SLAVE ADMIN"))
            }
        }
    }

    /// What tells this server from every other: its `server_uuid`, or (MariaDB) what stands for it.
    #[must_use]
    pub fn server(&self) -> String {
        self.uuid.clone().unwrap_or_else(|| {
            let uid = self.variable("server_uid");
            let named = if uid.is_empty() { self.variable("hostname") } else { uid };
            format!("{named}:{}:{}", self.variable("port"), self.variable("datadir"))
        })
    }
}

const PROCEDURES: &str = "SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'mysql' \
     AND ROUTINE_NAME IN ('rds_set_external_master', 'rds_set_external_source', 'rds_set_external_master_gtid', \
     'rds_set_external_source_with_auto_position')";

/// Reads who answers.
pub async fn identity(session: &Session) -> Result<Identity> {
    let what = "read its identity";
    let results = session
        .batch(
            what,
            &format!("SHOW GLOBAL VARIABLES;\nSELECT CURRENT_USER(), DATABASE();\n{PROCEDURES};\nSHOW GRANTS;"),
        )
        .await?;
    let [variables, who, procedures, grants] = &results[..] else {
        return Err(incomplete(session, what));
    };
    let pair =
        |row: &Vec<Option<String>>| Some((row.first()?.clone()?.to_ascii_lowercase(), row.get(1).cloned().flatten()));
    let first = |rows: &super::TextRows, column: usize| rows.first().and_then(|row| row.get(column)?.clone());
    let variables: Record = variables.iter().filter_map(pair).collect();
    let number = |name: &str| variables.get(name).and_then(|value| value.as_deref()?.parse().ok());
    Ok(Identity {
        flavour: session.flavour(),
        version: session.version(),
        uuid: variables.get("server_uuid").cloned().flatten(),
        server_id: number("server_id").unwrap_or(0),
        account: first(who, 0).unwrap_or_default(),
        schema: first(who, 1),
        rds_procedures: first(procedures, 0).is_some_and(|count| count != "0"),
        grants: grants.iter().filter_map(|row| row.first()?.clone()).collect(),
        variables,
    })
}

pub(crate) fn incomplete(session: &Session, what: &str) -> crate::systems::DriverError {
    let certainty = crate::systems::Certainty::Unknown;
    crate::systems::DriverError::new(session.system(), what, "the answer is incomplete", certainty)
}

/// The application's schemas.
pub async fn application_schemas(session: &Session) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE LOWER(SCHEMA_NAME) NOT IN ({NOT_OF_THE_APPLICATION}) \
         ORDER BY 1"
    );
    let rows = session.rows("list the schemas", &sql).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// The tables of these schemas, without views and sequences.
pub async fn tables(session: &Session, schemas: &[String]) -> Result<Vec<(String, String)>> {
    of_type(session, "list the tables", schemas, "'BASE TABLE', 'SYSTEM VERSIONED'").await
}

/// The sequences of these schemas; MariaDB has some.
pub async fn sequences(session: &Session, schemas: &[String]) -> Result<Vec<(String, String)>> {
    of_type(session, "list the sequences", schemas, "'SEQUENCE'").await
}

/// Those of these schemas that are there, with the statement that makes each of them, empty.
pub async fn schemas_there(session: &Session, schemas: &[String]) -> Result<Vec<(String, String)>> {
    let sql = format!(
        "SELECT SCHEMA_NAME, CONCAT('CREATE DATABASE IF NOT EXISTS `', REPLACE(SCHEMA_NAME, '`', '``'), \
         '` CHARACTER SET ', DEFAULT_CHARACTER_SET_NAME, ' COLLATE ', DEFAULT_COLLATION_NAME) \
         FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ({}) ORDER BY 1",
        listed(schemas)
    );
    pairs(session, "list the schemas", &sql).await
}

async fn of_type(session: &Session, what: &str, schemas: &[String], types: &str) -> Result<Vec<(String, String)>> {
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({}) \
         AND TABLE_TYPE IN ({types}) ORDER BY 1, 2",
        listed(schemas)
    );
    pairs(session, what, &sql).await
}

/// Two columns of text.
pub async fn pairs(session: &Session, what: &str, sql: &str) -> Result<Vec<(String, String)>> {
    let rows = session.rows(what, sql).await?;
    let pair = |row: Vec<Option<String>>| {
        let mut values = row.into_iter();
        Some((values.next()??, values.next()??))
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

/// Texts for `IN (…)`; never empty, which would be a mistake of syntax.
#[must_use]
pub fn listed(texts: &[String]) -> String {
    if texts.is_empty() {
        return "''".to_owned();
    }
    texts.iter().map(|text| literal(text)).collect::<Vec<String>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_we_may() {
        let grants = |flavour, text: &str| Identity { flavour, grants: vec![text.into()], ..Identity::default() };
        let root = grants(Flavour::Mariadb, "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION");
        assert!(root.is_administrator());
        let some = grants(Flavour::Mysql, "GRANT RELOAD, SUPER ON *.* TO `x`@`%`");
        assert!(some.may("SUPER") && some.may("RELOAD") && !some.may("PROCESS"));
        let dynamic = "GRANT SYSTEM_VARIABLES_ADMIN,REPLICATION_SLAVE_ADMIN,CONNECTION_ADMIN ON *.* TO `x`@`%`";
        assert!(grants(Flavour::Mysql, dynamic).is_administrator());
        let rds = grants(Flavour::Mysql, "GRANT SELECT, PROCESS ON *.* TO `admin`@`%`");
        assert!(!rds.is_administrator());
        let schema_only = grants(Flavour::Mysql, "GRANT ALL PRIVILEGES ON `app`.* TO `x`@`%`");
        assert!(!schema_only.may("SELECT"));
    }
}
