//! PostgreSQL 15 to 18.

pub mod barrier;
pub mod catalog;
pub mod compare;
pub mod dial;
pub mod fence;
pub mod hold;
pub mod probe;
pub mod schema_copy;
pub mod session;
pub mod setup;
pub mod standby;
pub mod stream;
pub mod survey;
pub(in crate::systems) mod tls;

pub use session::{Access, Database, Session};

/// Quotes an identifier for SQL.
#[must_use]
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text for SQL, safe whatever `standard_conforming_strings` says.
#[must_use]
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}
