//! How a variable is changed, so that it stays changed.

use crate::systems::mysql::literal;
use crate::systems::mysql::survey::Survey;

/// Variables that a server takes at its start only.
const AT_START: &[&str] =
    &["innodb_page_size", "log_bin", "log_replica_updates", "log_slave_updates", "lower_case_table_names"];

/// The statements that set a variable; lines that begin with `--` are for a person.
pub fn change(side: &Survey, name: &str, value: &str) -> Vec<String> {
    if side.server.rds {
        let when = if AT_START.contains(&name) { "reboot the instance" } else { "it is applied at once" };
        return vec![format!("-- in the DB parameter group of {}: {name} = {value}; {when}", side.system)];
    }
    if AT_START.contains(&name) {
        return vec![format!("-- in the [mysqld] section of {}: {name} = {value}; restart the server", side.system)];
    }
    let shown = worded(value);
    if side.is_mariadb() {
        return vec![
            format!("SET GLOBAL {name} = {shown};"),
            format!("-- and in the [mysqld] section: {name} = {value}, so that a restart keeps it"),
        ];
    }
    vec![format!("SET PERSIST {name} = {shown};")]
}

/// Numbers and words of one kind stand as they are.
fn worded(value: &str) -> String {
    let plain = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { value.to_owned() } else { literal(value) }
}

/// Who a privilege is granted to.
pub fn ours(side: &Survey) -> String {
    let name = &side.account.name;
    let (user, host) = name.rsplit_once('@').unwrap_or((name, "%"));
    format!("{}@{}", literal(user), literal(host))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{input, mariadb};
    use super::*;

    #[test]
    fn a_variable_is_changed_as_the_server_allows() {
        let mut side = input().source;
        assert_eq!(change(&side, "sync_binlog", "1"), ["SET PERSIST sync_binlog = 1;"]);
        assert_eq!(change(&side, "sql_mode", "A,B"), ["SET PERSIST sql_mode = 'A,B';"]);
        assert!(
            change(&side, "log_bin", "ON")[0]
                .starts_with("-- in the [mysqld] section of source: log_bin = ON; restart")
        );
        side.server.rds = true;
        assert!(change(&side, "sync_binlog", "1")[0].contains("parameter group"));
        assert!(change(&side, "log_bin", "ON")[0].contains("reboot"));
        let side = mariadb().source;
        assert_eq!(change(&side, "sync_binlog", "1")[0], "SET GLOBAL sync_binlog = 1;");
        assert_eq!(ours(&side), "'pointsman'@'%'");
    }
}
