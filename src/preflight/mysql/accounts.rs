//! Accounts: whether the application finds its own on the target, and can log in there.

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use super::mend::ours;
use crate::systems::mysql::survey::{Account, Survey};

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    vec![missing(input), passwords(input), plugins(input)]
}

/// Accounts of the application: not the server's own, not ours.
fn of_application(side: &Survey) -> impl Iterator<Item = &Account> {
    let accounts = side.accounts.as_deref().unwrap_or_default().iter();
    accounts
        .filter(|account| !account.is_servers_own() && account.name() != side.account.name && account.user != "root")
}

/// Whether `replicate` makes this account on the target, with its password and grants.
pub(super) fn is_carried(input: &PreflightInput, name: &str) -> bool {
    of_application(&input.source).any(|account| !account.locked && account.name() == name)
}

fn hidden(check: Check<'_>, input: &PreflightInput) -> Option<Finding> {
    let side = input.sides().into_iter().find(|side| side.accounts.is_none())?;
    let mend = vec![format!("GRANT SELECT ON mysql.* TO {}; -- on {}", ours(side), side.system)];
    Some(check.warn("accounts can't be seen", format!("Our account may not read mysql.user of {}.", side.system), mend))
}

fn missing(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "accounts-missing",
        system: &input.target.system,
        why: "After the switch the application logs in as before; an account that is not there is an outage.",
    };
    if let Some(finding) = hidden(check, input) {
        return finding;
    }
    let there: Vec<&Account> = input.target.accounts.iter().flatten().collect();
    let found: Vec<&Account> = of_application(&input.source)
        .filter(|account| !account.locked)
        .filter(|account| !there.iter().any(|other| (&other.user, &other.host) == (&account.user, &account.host)))
        .collect();
    if found.is_empty() {
        return check
            .pass("every account is on the target", format!("{} accounts.", of_application(&input.source).count()));
    }
    let mend = found
        .iter()
        .map(|account| {
            format!(
                "-- SHOW CREATE USER {0}; SHOW GRANTS FOR {0}; on the source, and run what they say on the target",
                account.sql_name()
            )
        })
        .collect();
    let title = count(found.len(), "account is not on the target", "accounts are not on the target");
    let detail = format!("{}.", names(found.iter().map(|account| account.name())));
    if input.wanted.copy_schema {
        return check.pass("accounts are carried over by the copy", detail);
    }
    check.fail(title, detail, mend)
}

fn passwords(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "account-passwords",
        system: &input.target.system,
        why: "An account with another password is an outage for whoever logs in with the old one.",
    };
    if let Some(finding) = hidden(check, input) {
        return finding;
    }
    let there: Vec<&Account> = input.target.accounts.iter().flatten().collect();
    let differs = |account: &&Account| {
        there.iter().any(|other| {
            (&other.user, &other.host) == (&account.user, &account.host)
                && (other.print != account.print || other.plugin != account.plugin)
        })
    };
    let found: Vec<&Account> =
        of_application(&input.source).filter(|account| !account.locked).filter(differs).collect();
    if found.is_empty() {
        return check.pass("accounts that are on both sides have the same passwords", "Fingerprints were compared.");
    }
    let mend = found
        .iter()
        .map(|account| {
            format!(
                "-- SHOW CREATE USER {}; on the source, and ALTER USER … IDENTIFIED WITH … AS … on the target",
                account.sql_name()
            )
        })
        .collect();
    let detail = format!("{}.", names(found.iter().map(|account| account.name())));
    check.warn(count(found.len(), "account has another password", "accounts have other passwords"), detail, mend)
}

/// Plugins that are part of each server, in every version that is known.
const BUILT_IN: &[&str] = &["caching_sha2_password", "sha256_password"];

fn plugins(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "authentication-plugins",
        system: &input.target.system,
        why: "An account logs in by its plugin: one that the target does not load keeps the application out \
              (mysql_native_password is gone from MySQL 9).",
    };
    let target = &input.target;
    let known = |plugin: &str| {
        let built_in = !target.is_mariadb() && BUILT_IN.contains(&plugin);
        plugin.is_empty() || built_in || target.plugins.iter().any(|name| name == plugin)
    };
    let found: Vec<&Account> = of_application(&input.source)
        .filter(|account| !account.locked && !known(&account.plugin.to_ascii_lowercase()))
        .collect();
    if found.is_empty() {
        return check.pass("the target loads every authentication plugin", "Those of the application's accounts.");
    }
    let detail = format!("{}.", names(found.iter().map(|account| format!("{} ({})", account.name(), account.plugin))));
    let mend = found
        .iter()
        .map(|account| {
            let plugin = if target.is_mariadb() { "ed25519" } else { "caching_sha2_password" };
            format!(
                "ALTER USER {} IDENTIFIED WITH {plugin} BY '…'; -- on the source, with the application's password",
                account.sql_name()
            )
        })
        .collect();
    check.fail("some accounts can't log in on the target", detail, mend)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{account, judged, judged_mariadb};
    use super::*;

    #[test]
    fn accounts_are_carried_or_must_be_there() {
        let with = |copy_schema| {
            judged("accounts-missing", "target", move |input| {
                input.wanted.copy_schema = copy_schema;
                input.source.accounts.as_mut().unwrap().push(account("batch"));
            })
        };
        assert_eq!(with(true).level, Level::Pass);
        let missing = with(false);
        assert!(
            missing.level == Level::Fail && missing.detail == "batch@%." && missing.mend[0].contains("'batch'@'%'")
        );
        assert_eq!(judged("accounts-missing", "target", |_| ()).level, Level::Pass);
        for id in ["accounts-missing", "account-passwords"] {
            let hidden = judged(id, "target", |input| input.source.accounts = None);
            assert!(hidden.level == Level::Warn && hidden.mend[0].starts_with("GRANT SELECT ON mysql.*"));
        }
    }

    #[test]
    fn passwords_are_compared_by_their_prints() {
        let id = "account-passwords";
        assert_eq!(judged(id, "target", |_| ()).level, Level::Pass);
        let other = judged(id, "target", |input| {
            input.target.accounts = Some(vec![Account { print: Some("bb".into()), ..account("app") }]);
        });
        assert!(other.level == Level::Warn && other.detail == "app@%.");
    }

    #[test]
    fn plugins_that_the_target_lacks_are_refused() {
        let id = "authentication-plugins";
        let with = |plugin: &'static str| {
            judged(id, "target", move |input| {
                input.source.accounts = Some(vec![Account { plugin: plugin.into(), ..account("app") }]);
            })
        };
        assert_eq!(with("caching_sha2_password").level, Level::Pass);
        let native = with("mysql_native_password");
        assert!(native.level == Level::Fail && native.mend[0].contains("caching_sha2_password"));
        assert_eq!(judged_mariadb(id, "target", |_| ()).level, Level::Pass);
        let ed25519 = judged_mariadb(id, "target", |input| {
            input.source.accounts = Some(vec![Account { plugin: "ed25519".into(), ..account("app") }]);
        });
        assert_eq!(ed25519.level, Level::Fail);
    }
}
