//! MySQL 8.0 to 9.x and MariaDB 10.6 to 11.x: one driver, since they speak one protocol; where they differ, the
//! [`Flavour`] decides.

pub mod accounts;
pub mod catalog;
pub mod clone;
pub mod compare;
pub mod definition;
pub mod dial;
pub mod dump;
pub mod fence;
pub mod flavour;
pub mod gtid;
pub mod mydumper;
pub mod probe;
pub mod programs;
pub mod replica;
pub mod retention;
pub mod session;
pub mod setup;
pub mod stream;
pub mod survey;

pub use flavour::{Flavour, Version};
pub use session::{Access, Database, Record, Session, TextRows};

/// Quotes an identifier for SQL.
#[must_use]
pub fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Quotes a text for SQL; our sessions never have `NO_BACKSLASH_ESCAPES`.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes() {
        assert_eq!(ident("a`b"), "`a``b`");
        assert_eq!(literal(r"it's \ here"), r"'it''s \\ here'");
    }
}
