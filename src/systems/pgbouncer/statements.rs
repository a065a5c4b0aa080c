//! The statements that are sent to the admin console, as text. The plan shows what these functions give, and the driver
//! sends what these functions give.

use crate::runbook::units::Span;

/// Lists the databases: where they lead, and whether they are paused.
pub const SHOW_DATABASES: &str = "SHOW DATABASES";
/// Lists the clients.
pub const SHOW_CLIENTS: &str = "SHOW CLIENTS";
/// Lists the server connections, each with the client that holds it.
pub const SHOW_SERVERS: &str = "SHOW SERVERS";
/// Lists the pools.
pub const SHOW_POOLS: &str = "SHOW POOLS";
/// Lists the settings.
pub const SHOW_CONFIG: &str = "SHOW CONFIG";
/// Says which PgBouncer it is.
pub const SHOW_VERSION: &str = "SHOW VERSION";
/// Reads the configuration file again. Resets what was `SET`.
pub const RELOAD: &str = "RELOAD";

/// Lets running transactions end, then holds every client.
#[must_use]
pub fn pause(database: &str) -> String {
    format!("PAUSE {}", ident(database))
}

/// Lets the clients go.
#[must_use]
pub fn resume(database: &str) -> String {
    format!("RESUME {}", ident(database))
}

/// Closes server connections as they are released, so that new ones follow a moved DNS name.
#[must_use]
pub fn reconnect(database: &str) -> String {
    format!("RECONNECT {}", ident(database))
}

/// Drops every client and server connection and leaves the database paused.
#[must_use]
pub fn kill(database: &str) -> String {
    format!("KILL {}", ident(database))
}

/// Sets how long clients wait after a failed login to the server. Quoted: the console takes no bare decimals.
#[must_use]
pub fn set_login_retry(span: Span) -> String {
    format!("SET server_login_retry='{}'", span.0.as_secs_f64())
}

/// Sets how many server connections there may be for a role; 0 for no limit.
#[must_use]
pub fn limit_connections(limit: &str) -> String {
    format!("SET max_user_connections='{limit}'")
}

/// The console reads lower-case words bare, and anything else in double quotes.
fn ident(name: &str) -> String {
    let bare = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if bare && !name.is_empty() { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_when_they_need_it() {
        assert_eq!(pause("orders"), "PAUSE orders");
        assert_eq!(resume("Orders-1"), "RESUME \"Orders-1\"");
        assert_eq!(kill("a\"b"), "KILL \"a\"\"b\"");
    }

    #[test]
    fn retries_keep_their_milliseconds() {
        assert_eq!(set_login_retry(Span::millis(500)), "SET server_login_retry='0.5'");
        assert_eq!(set_login_retry(Span::secs(0)), "SET server_login_retry='0'");
    }
}
