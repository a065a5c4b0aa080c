//! Tables, and the programs that are stored beside them.

use serde::{Deserialize, Serialize};

use crate::systems::mysql::ident;

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its storage engine.
    pub engine: String,
    /// Its default collation.
    pub collation: String,
    /// Whether it is encrypted on disk.
    pub encrypted: bool,
    /// Rows, as the server guesses.
    pub rows: i64,
    /// Bytes with its indexes.
    pub bytes: i64,
    /// Whether it has a primary key.
    pub primary_key: bool,
    /// A unique key without nullable columns, if it has one.
    pub unique_key: Option<String>,
    /// Its columns in order.
    pub columns: Vec<Column>,
}

impl Table {
    /// `schema.table`, for people.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// `` `schema`.`table` ``, for statements.
    #[must_use]
    pub fn sql_name(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.name))
    }

    /// Whether its primary key is the one that the server makes up and hides (`sql_generate_invisible_primary_key`).
    #[must_use]
    pub fn made_up_key(&self) -> bool {
        self.columns.iter().any(Column::is_made_up_key)
    }
}

/// A column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type: `varchar(20)`.
    pub kind: String,
    /// Its character set, if it has one.
    pub charset: Option<String>,
    /// Its collation, if it has one.
    pub collation: Option<String>,
    /// Such as `auto_increment`, `VIRTUAL GENERATED`, `INVISIBLE`.
    pub extra: String,
}

impl Column {
    /// Whether the server computes it.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.has("GENERATED") && !self.has("DEFAULT_GENERATED") || self.has("VIRTUAL") || self.has("PERSISTENT")
    }

    /// Whether `SELECT *` leaves it out.
    #[must_use]
    pub fn is_invisible(&self) -> bool {
        self.has("INVISIBLE")
    }

    /// Whether it is a number of single precision.
    #[must_use]
    pub fn is_float(&self) -> bool {
        self.kind.to_ascii_lowercase().starts_with("float")
    }

    /// Whether it counts up by itself.
    #[must_use]
    pub fn counts_up(&self) -> bool {
        self.has("AUTO_INCREMENT")
    }

    fn is_made_up_key(&self) -> bool {
        self.name == "my_row_id" && self.is_invisible() && self.counts_up()
    }

    fn has(&self, word: &str) -> bool {
        self.extra.to_ascii_uppercase().contains(word)
    }
}

/// What is stored in a schema and runs by itself or when it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What it is.
    pub kind: ProgramKind,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `user@host` whose privileges it has, or who made it.
    pub definer: String,
    /// Whether it has its definer's privileges.
    pub as_definer: bool,
    /// Of an event: whether it is enabled here. Of a trigger: `schema.table` it is on.
    pub about: String,
}

impl Program {
    /// `schema.name`, for people.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// Kinds of programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramKind {
    /// A view.
    #[default]
    View,
    /// A trigger.
    Trigger,
    /// A procedure or function.
    Routine,
    /// A job of the event scheduler.
    Event,
}

/// A foreign key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Schema of the table that refers.
    pub schema: String,
    /// That table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Schema of the table that is referred to.
    pub to_schema: String,
    /// That table.
    pub to_table: String,
    /// Such as `CASCADE`.
    pub on_update: String,
    /// Such as `SET NULL`.
    pub on_delete: String,
}

impl ForeignKey {
    /// Whether a change of the other table changes rows of this one.
    #[must_use]
    pub fn cascades(&self) -> bool {
        let acts = |rule: &str| rule.eq_ignore_ascii_case("cascade") || rule.to_ascii_lowercase().starts_with("set ");
        acts(&self.on_update) || acts(&self.on_delete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_column_is_stands_in_its_extra() {
        let column = |name: &str, extra: &str| Column { name: name.into(), extra: extra.into(), ..Column::default() };
        assert!(column("a", "VIRTUAL GENERATED").is_generated());
        assert!(column("a", "STORED GENERATED INVISIBLE").is_generated());
        assert!(column("a", "PERSISTENT").is_generated());
        assert!(!column("a", "DEFAULT_GENERATED on update CURRENT_TIMESTAMP").is_generated());
        assert!(column("my_row_id", "auto_increment INVISIBLE").is_made_up_key());
        assert!(!column("id", "auto_increment INVISIBLE").is_made_up_key());
        assert!(!column("my_row_id", "auto_increment").is_made_up_key());
    }

    #[test]
    fn rules_that_change_rows_cascade() {
        let key =
            |rule: &str| ForeignKey { on_delete: rule.into(), on_update: "RESTRICT".into(), ..ForeignKey::default() };
        assert!(key("CASCADE").cascades() && key("SET NULL").cascades());
        assert!(!key("NO ACTION").cascades());
    }
}
