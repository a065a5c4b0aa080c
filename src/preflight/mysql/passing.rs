//! Who passes the fence: accounts that write although the server is read-only, and our own.

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use crate::systems::mysql::survey::{Account, SessionGroup, Survey};

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    vec![bypass(input), own(input)]
}

fn connected(side: &Survey, user: &str) -> usize {
    side.activity.sessions.iter().flatten().filter(|group| group.user == user).map(|group| group.ids.len()).sum()
}

fn bypass(input: &PreflightInput) -> Finding {
    let side = &input.source;
    let check = Check {
        id: "fence-bypass",
        system: &side.system,
        why: "`read_only` lets these write on; `super_read_only` stops them, but MariaDB and RDS have none: there each \
              has to be locked out, and what it writes after the drain is lost.",
    };
    let Some(accounts) = &side.accounts else {
        let mend = vec![format!("GRANT SELECT ON mysql.* TO {};", super::mend::ours(side))];
        return check.warn("it is not known who passes read_only", "Our account may not read mysql.user.", mend);
    };
    let stopped = !side.is_mariadb() && !side.server.rds;
    let passes = |account: &&Account| {
        account.passes_read_only()
            && !account.is_servers_own()
            && !account.locked
            && account.name() != side.account.name
    };
    let found: Vec<&Account> = accounts.iter().filter(passes).collect();
    let exempt: Vec<&&Account> =
        found.iter().filter(|account| input.wanted.exempt_accounts.contains(&account.user)).collect();
    let revoke = |account: &Account| {
        let held: Vec<String> = account.privileges.iter().map(|name| granted_as(side, name)).collect();
        format!("REVOKE {} ON *.* FROM {};", held.join(", "), account.sql_name())
    };
    if !exempt.is_empty() {
        let detail = format!("{}.", names(exempt.iter().map(|account| account.name())));
        let mend = exempt.iter().map(|account| revoke(account)).collect();
        return check.fail("an account that the fence leaves in may write", detail, mend);
    }
    if found.is_empty() {
        return check.pass(
            "nobody but us passes read_only",
            "No other account has SUPER, CONNECTION ADMIN or READ ONLY ADMIN.",
        );
    }
    let named =
        names(found.iter().map(|account| format!("{} ({} connected)", account.name(), connected(side, &account.user))));
    if stopped {
        return check.pass("super_read_only stops those that pass read_only", format!("{named}."));
    }
    let using: Vec<&&Account> = found.iter().filter(|account| connected(side, &account.user) > 0).collect();
    if using.is_empty() {
        return check.pass("accounts that pass read_only are locked out by the fence", format!("{named}."));
    }
    let mut mend: Vec<String> = using.iter().map(|account| revoke(account)).collect();
    mend.push("-- if the application uses it; the fence locks it, and its sessions are ended".to_owned());
    check.warn(
        count(using.len(), "account in use passes read_only", "accounts in use pass read_only"),
        format!("{named}."),
        mend,
    )
}

/// A privilege as the server's grammar spells it.
fn granted_as(side: &Survey, name: &str) -> String {
    match name {
        "READ ONLY ADMIN" => "READ_ONLY ADMIN".to_owned(),
        "CONNECTION ADMIN" if !side.is_mariadb() => "CONNECTION_ADMIN".to_owned(),
        other => other.to_owned(),
    }
}

fn own(input: &PreflightInput) -> Finding {
    let side = &input.source;
    let check = Check {
        id: "own-account-sessions",
        system: &side.system,
        why: "The fence leaves our own account in; an application that uses it too would go on writing.",
    };
    let Some(sessions) = &side.activity.sessions else {
        let mend = vec![format!("GRANT PROCESS ON *.* TO {};", super::mend::ours(side))];
        return check.warn("sessions can't be seen", "Our account sees its own only.", mend);
    };
    let user = side.account.name.rsplit_once('@').map_or(side.account.name.as_str(), |(user, _)| user);
    let found: Vec<&SessionGroup> = sessions.iter().filter(|group| group.user == user).collect();
    if found.is_empty() {
        return check.pass("nobody else uses our account", format!("{}.", side.account.name));
    }
    let shown = names(found.iter().map(|group| format!("{} from {}", group.ids.len(), group.host)));
    let mend = vec![
        "CREATE USER pointsman@'%' IDENTIFIED BY '…'; -- with the privileges of ours; and use it in `url`".to_owned(),
    ];
    check.warn("somebody else is connected as our account", format!("{}: {shown}.", side.account.name), mend)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{account, judged, judged_mariadb, session};
    use super::*;

    fn dba() -> Account {
        Account { privileges: vec!["READ ONLY ADMIN".into()], ..account("dba") }
    }

    #[test]
    fn who_passes_the_fence_is_named_where_nothing_stops_them() {
        let id = "fence-bypass";
        let mysql = judged(id, "source", |input| input.source.accounts = Some(vec![dba()]));
        assert_eq!(mysql.level, Level::Pass);
        let mariadb = |connected| {
            judged_mariadb(id, "source", move |input| {
                input.source.accounts = Some(vec![dba()]);
                if connected {
                    input.source.activity.sessions = Some(vec![session("dba", "10.0.0.1")]);
                }
            })
        };
        assert_eq!([mariadb(true).level, mariadb(false).level], [Level::Warn, Level::Pass]);
        assert_eq!(mariadb(true).mend[0], "REVOKE READ_ONLY ADMIN ON *.* FROM 'dba'@'%';");
        let exempt = judged(id, "source", |input| {
            input.source.accounts = Some(vec![dba()]);
            input.wanted.exempt_accounts = vec!["dba".into()];
        });
        assert_eq!(exempt.level, Level::Fail);
        assert_eq!(judged(id, "source", |input| input.source.accounts = None).level, Level::Warn);
        assert_eq!(judged(id, "source", |_| ()).level, Level::Pass);
    }

    #[test]
    fn our_account_is_for_us() {
        let id = "own-account-sessions";
        let used =
            judged(id, "source", |input| input.source.activity.sessions = Some(vec![session("pointsman", "10.0.0.1")]));
        assert_eq!(used.level, Level::Warn);
        assert_eq!(judged(id, "source", |input| input.source.activity.sessions = None).level, Level::Warn);
        assert_eq!(judged(id, "source", |_| ()).level, Level::Pass);
    }
}
