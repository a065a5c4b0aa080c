//! Accounts: those of the application are carried to the target with their grants, as far as they are missing there; and
//! the one that the other server replicates with.

use super::dial::Target;
use super::{Flavour, Session, fence, literal, setup};
use crate::secret::Secret;
use crate::systems::Result;
use crate::systems::pair::Heading;

/// The accounts that we make for replication, where the runbook names none: on the source, and on the target. They have names
/// of their own, since a stream that carried one (where it can't be kept out of the binary log) would else give the other
/// server's a password that its follower does not have.
pub const REPLICATION_USERS: [&str; 2] = ["pointsman_repl", "pointsman_repl_back"];

/// The one that the follower in a direction logs in with.
#[must_use]
pub const fn replication_user(heading: Heading) -> &'static str {
    match heading {
        Heading::Forth => REPLICATION_USERS[0],
        Heading::Back => REPLICATION_USERS[1],
    }
}

/// What became of the accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Made on the target.
    pub made: Vec<String>,
    /// There already, and left as they are.
    pub there: Vec<String>,
    /// What the target did not take, and why: for a person.
    pub left: Vec<String>,
}

/// Sends one statement, kept out of the binary log where that is allowed.
async fn send(session: &Session, what: &str, quiet: bool, sql: &str) -> Result<()> {
    setup::send_quietly(session, what, quiet, &format!("{sql};\n")).await
}

/// Makes the accounts of the source that the target lacks, with their grants.
pub async fn carry(source: &Session, target: &Session, exempt: &[String], quiet: bool) -> Result<Carried> {
    let (here, there) = (fence::accounts(source, exempt).await?, every_account(target).await?);
    let mut carried = Carried::default();
    for account in here.iter().filter(|account| is_carried(account)) {
        if there.contains(account) {
            carried.there.push(account.clone());
            continue;
        }
        match make(source, target, account, quiet).await? {
            Ok(()) => carried.made.push(account.clone()),
            Err(why) => {
                carried.left.push(format!("{account}: {why}"));
                continue;
            }
        }
        for grant in grants(source, account).await? {
            if let Err(error) = send(target, "grant", quiet, &grant).await {
                carried.left.push(format!("{grant}: {}", error.reason));
            }
        }
    }
    Ok(carried)
}

/// Accounts of the source that the target lacks.
pub async fn missing(source: &Session, target: &Session, exempt: &[String]) -> Result<Vec<String>> {
    let (here, there) = (fence::accounts(source, exempt).await?, every_account(target).await?);
    Ok(here.into_iter().filter(|account| is_carried(account) && !there.contains(account)).collect())
}

/// The servers' own administrators are not the application's.
fn is_carried(account: &str) -> bool {
    !account.starts_with("'root'@") && !REPLICATION_USERS.iter().any(|ours| account.starts_with(&literal(ours)))
}

async fn every_account(session: &Session) -> Result<Vec<String>> {
    let sql = "SELECT CONCAT(QUOTE(User), '@', QUOTE(Host)) FROM mysql.user";
    let rows = session.rows("list the accounts", sql).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

async fn make(
    source: &Session,
    target: &Session,
    account: &str,
    quiet: bool,
) -> Result<std::result::Result<(), String>> {
    if source.flavour() == Flavour::Mysql {
        source.batch("ask for readable passwords", "SET SESSION print_identified_with_as_hex = ON").await?;
    }
    let Some(made) = source.value("read an account", &format!("SHOW CREATE USER {account}")).await? else {
        return Ok(Err("the source does not say how it is made".to_owned()));
    };
    Ok(send(target, "make an account", quiet, &made).await.map_err(|error| error.reason))
}

async fn grants(source: &Session, account: &str) -> Result<Vec<String>> {
    let rows = source.rows("read its grants", &format!("SHOW GRANTS FOR {account}")).await?;
    let all = rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
    // MariaDB repeats the password with the first one, and the account has it already.
    let without = |grant: String| {
        grant.split_once(" IDENTIFIED BY PASSWORD ").map_or(grant.clone(), |(head, tail)| {
            let option = if tail.contains("WITH GRANT OPTION") { " WITH GRANT OPTION" } else { "" };
            format!("{head}{option}")
        })
    };
    Ok(all.map(without).collect())
}

/// Drops accounts that we made.
pub async fn discard(session: &Session, accounts: &[String], quiet: bool) -> Result<()> {
    for account in accounts {
        send(session, "drop an account", quiet, &format!("DROP USER IF EXISTS {account}")).await?;
    }
    Ok(())
}

/// Lets every account of the application write a canary, or no more.
pub async fn allow_canaries(session: &Session, exempt: &[String], allow: bool) -> Result<()> {
    let (verb, link) = if allow { ("GRANT", "TO") } else { ("REVOKE", "FROM") };
    for account in fence::accounts(session, exempt).await? {
        let sql = format!("{verb} INSERT ON pointsman.canary {link} {account}");
        // What was never granted, or is no more there, needs no revoking.
        let done = session.batch("canary writes", &sql).await.map(drop);
        if allow {
            done?;
        }
    }
    Ok(())
}

/// Makes the account that the other server replicates with, or gives it a new password; gives that.
pub async fn make_replication_user(
    session: &Session,
    user: &str,
    token: &str,
    encrypted: bool,
    quiet: bool,
) -> Result<Secret> {
    let password = format!("{token}-Aa1!");
    let account = format!("{}@'%'", literal(user));
    let require = if encrypted { "SSL" } else { "NONE" };
    let sql = format!(
        "CREATE USER IF NOT EXISTS {account} IDENTIFIED BY {quoted};\nALTER USER {account} IDENTIFIED BY {quoted} REQUIRE {require};\n\
         GRANT REPLICATION SLAVE ON *.* TO {account};\n",
        quoted = literal(&password)
    );
    setup::send_quietly(session, "make the account of replication", quiet, &sql).await?;
    Ok(Secret::new(password))
}

/// What drops both accounts; where one could not be kept out of the binary log, the other server has it as well.
#[must_use]
pub fn drop_replication_users() -> String {
    format!("DROP USER IF EXISTS {};\n", REPLICATION_USERS.map(|user| format!("{}@'%'", literal(user))).join(", "))
}

/// The same place, dialled by the account that we made.
#[must_use]
pub fn dialled_as_ours(target: &Target, user: &str, password: Secret) -> Target {
    Target { user: user.to_owned(), password, schema: None, ..target.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_carries_of_one_account_is_not_the_other_one() {
        assert_ne!(replication_user(Heading::Forth), replication_user(Heading::Back));
        let dropped = drop_replication_users();
        assert!(REPLICATION_USERS.iter().all(|user| dropped.contains(&format!("'{user}'@'%'"))), "{dropped}");
        assert!(REPLICATION_USERS.iter().all(|user| !is_carried(&format!("'{user}'@'%'"))));
    }
}
