//! Functions, procedures, views, events and triggers: read as the server shows them, with the settings under which they
//! were made, and made anew under the same ones.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::catalog::{self, listed};
use super::session::Record;
use super::{Session, ident, literal};
use crate::systems::{DriverError, Result};

/// No such table: a view upon another one that is not made yet.
const NO_TABLE: &str = "1146";

/// A kind of program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A stored function.
    Function,
    /// A stored procedure.
    Procedure,
    /// A view.
    View,
    /// An event.
    Event,
    /// A trigger.
    Trigger,
}

impl Kind {
    /// SQL's word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Function => "FUNCTION",
            Self::Procedure => "PROCEDURE",
            Self::View => "VIEW",
            Self::Event => "EVENT",
            Self::Trigger => "TRIGGER",
        }
    }

    /// Column of `SHOW CREATE` that holds the statement.
    const fn column(self) -> &'static str {
        match self {
            Self::Function => "Create Function",
            Self::Procedure => "Create Procedure",
            Self::View => "Create View",
            Self::Event => "Create Event",
            Self::Trigger => "SQL Original Statement",
        }
    }

    fn list(self, schemas: &[String]) -> String {
        let all = listed(schemas);
        match self {
            Self::Function | Self::Procedure => format!(
                "SELECT ROUTINE_SCHEMA, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA IN ({all}) \
                 AND ROUTINE_TYPE = '{}' ORDER BY 1, 2",
                self.word()
            ),
            Self::View => format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA IN ({all}) ORDER BY 1, 2"
            ),
            Self::Event => format!(
                "SELECT EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA IN ({all}) ORDER BY 1, 2"
            ),
            // Those of one event of one table fire in the order in which they are made.
            Self::Trigger => format!(
                "SELECT TRIGGER_SCHEMA, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA IN ({all}) \
                 ORDER BY TRIGGER_SCHEMA, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER"
            ),
        }
    }
}

/// A program with what it was made under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its kind.
    pub kind: Kind,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The statement that makes it.
    pub create: String,
    /// Variables of a session, with their values.
    pub under: Vec<(String, String)>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}", self.kind.word(), ident(&self.schema), ident(&self.name))
    }
}

impl Program {
    fn of(kind: Kind, schema: &str, name: &str, row: &Record) -> Option<Self> {
        let value = |key: &str| row.get(key).cloned().flatten();
        let settings = ["sql_mode", "character_set_client", "collation_connection", "time_zone"];
        let under = settings.iter().filter_map(|key| Some(((*key).to_owned(), value(key)?))).collect();
        Some(Self { kind, schema: schema.into(), name: name.into(), create: value(kind.column())?, under })
    }

    /// What takes it away.
    #[must_use]
    pub fn dropped(&self) -> String {
        let (word, schema, name) = (self.kind.word(), ident(&self.schema), ident(&self.name));
        format!("DROP {word} IF EXISTS {schema}.{name}")
    }

    /// The settings, and what takes it away before it is made. An event does not run before it is told to.
    fn prepared(&self) -> String {
        let set: Vec<String> =
            self.under.iter().map(|(name, value)| format!("SESSION {name} = {}", literal(value))).collect();
        let set = if set.is_empty() { String::new() } else { format!("SET {};\n", set.join(", ")) };
        format!("USE {};\n{set}{};\n", ident(&self.schema), self.dropped())
    }

    /// The statement that makes it; an event at rest.
    #[must_use]
    pub fn made(&self) -> String {
        if self.kind != Kind::Event {
            return self.create.clone();
        }
        self.create.replacen("PRESERVE ENABLE", "PRESERVE DISABLE", 1)
    }

    /// Makes it anew, in a session of its own kind: its settings stay as they were set.
    pub async fn make(&self, session: &Session, quiet: bool) -> Result<()> {
        let log = if quiet { "SET SESSION sql_log_bin = 0;\n" } else { "" };
        let what = format!("make {self}");
        session.batch(&what, &format!("{log}{}", self.prepared())).await?;
        // Alone, so that nothing that ends the statement becomes part of it.
        session.batch(&what, &self.made()).await.map(drop)
    }
}

/// All programs of a kind.
pub async fn read(session: &Session, kind: Kind, schemas: &[String]) -> Result<Vec<Program>> {
    let mut found = Vec::new();
    for (schema, name) in catalog::pairs(session, "list what the server runs itself", &kind.list(schemas)).await? {
        let sql = format!("SHOW CREATE {} {}.{}", kind.word(), ident(&schema), ident(&name));
        let rows = session.records("read how it is made", &sql).await?;
        let program = rows.first().and_then(|row| Program::of(kind, &schema, &name, row));
        let hidden = || {
            let reason = format!("it does not show how {} {schema}.{name} is made", kind.word());
            DriverError::new(session.system(), "read how it is made", reason, crate::systems::Certainty::Refused)
                .with_hint("our account needs SELECT on mysql.*, SHOW VIEW, TRIGGER and EVENT there")
        };
        found.push(program.ok_or_else(hidden)?);
    }
    Ok(found)
}

/// Makes programs anew. One that needs another one waits for it.
pub async fn make_all(session: &Session, programs: &[Program], quiet: bool) -> Result<()> {
    let mut left: Vec<&Program> = programs.iter().collect();
    while !left.is_empty() {
        let (before, mut waiting, mut why) = (left.len(), Vec::new(), None);
        for program in left {
            match program.make(session, quiet).await {
                Err(error) if error.is_code(NO_TABLE) => {
                    waiting.push(program);
                    why = Some(error);
                }
                other => other?,
            }
        }
        if let Some(error) = why.filter(|_| waiting.len() == before) {
            return Err(error);
        }
        left = waiting;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Program {
        let create = "CREATE DEFINER=`root`@`%` EVENT `tidy` ON SCHEDULE EVERY 1 HOUR ON COMPLETION NOT PRESERVE ENABLE DO \
                      SELECT 'PRESERVE ENABLE'";
        let row = [("Create Event", create), ("sql_mode", "ANSI_QUOTES"), ("time_zone", "SYSTEM")];
        let row = row.map(|(key, value)| (key.to_owned(), Some(value.to_owned()))).into_iter().collect();
        Program::of(Kind::Event, "shop", "tidy", &row).unwrap()
    }

    #[test]
    fn an_event_is_made_at_rest_and_under_its_own_settings() {
        let event = event();
        assert!(event.made().contains("NOT PRESERVE DISABLE DO SELECT 'PRESERVE ENABLE'"), "{}", event.made());
        assert_eq!(
            event.prepared(),
            "USE `shop`;\nSET SESSION sql_mode = 'ANSI_QUOTES', SESSION time_zone = 'SYSTEM';\nDROP EVENT IF EXISTS `shop`.`tidy`;\n"
        );
    }
}
