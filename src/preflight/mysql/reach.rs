//! Whether each server can dial the other. The one that follows dials, so the way there and the way back go opposite
//! ways. From here only hints can be had; the channel that `replicate` starts is the proof.

use super::PreflightInput;
use super::finding::{Check, Finding};
use crate::systems::mysql::survey::{Reach, Survey};

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = Vec::new();
    for reach in &input.reach {
        let side = |name: &str| input.sides().into_iter().find(|side| side.system == name);
        if let (Some(from), Some(to)) = (side(&reach.from), side(&reach.to)) {
            findings.extend([dial(reach, to), address(reach, from), protection(reach, from, to)]);
        }
    }
    findings
}

fn dial(reach: &Reach, to: &Survey) -> Finding {
    let check = Check {
        id: "replication-url",
        system: &reach.to,
        why: "The other server dials this for replication; wrong credentials would stop `replicate`, or leave no way back.",
    };
    let at = format!("{} as {}", reach.dialled.endpoint(), reach.dialled.user);
    let Some(found) = &reach.found else {
        let mend = vec![format!(
            "-- correct `replication-url` of {}, or open the way to it; if only {}'s network reaches it, accept \
             `replication-url`",
            reach.to, reach.from
        )];
        let reason = reach.failure.as_deref().unwrap_or("no answer");
        return check.fail("the replication URL leads nowhere from here", format!("{at}: {reason}."), mend);
    };
    let other_uuid = matches!((&found.uuid, &to.server.uuid), (Some(there), Some(here)) if there != here);
    if other_uuid || to.number("server_id").is_some_and(|id| id != found.server_id) {
        let mend = vec![format!("-- correct `replication-url` (or `url`) of {}", reach.to)];
        return check.fail(
            "the replication URL leads to another server",
            format!("{at} is not the server of `url`."),
            mend,
        );
    }
    if !found.replicates {
        let (user, host) = found.account.rsplit_once('@').unwrap_or((&found.account, "%"));
        let account = format!("{}@{}", crate::systems::mysql::literal(user), crate::systems::mysql::literal(host));
        let mend = vec![format!("GRANT REPLICATION SLAVE ON *.* TO {account};")];
        return check.fail(
            "the account of the replication URL may not replicate",
            format!("{at}, as {}.", found.account),
            mend,
        );
    }
    let detail = format!(
        "{at} answers from here. That {} can dial it too is proved when `replicate` starts the channel.",
        reach.from
    );
    check.pass("the replication URL works from here", detail)
}

fn address(reach: &Reach, from: &Survey) -> Finding {
    let check = Check {
        id: "replication-address",
        system: &reach.to,
        why: "A name or an address can mean something else on the other server's host than it does here.",
    };
    let (host, dialler) = (&reach.dialled.host, &from.dialled);
    let read = format!("{} dials `{host}` to reach {}.", reach.from, reach.to);
    let mend = || vec![format!("-- give {} a `replication-url` with an address that {} reaches", reach.to, reach.from)];
    if reach.dialled.is_loopback() {
        if dialler.is_loopback() {
            return check.pass("both servers are on this machine", read);
        }
        let detail = format!("{read} There it means the server's own host ({}).", dialler.host);
        return check.fail("the address means the dialling server itself", detail, mend());
    }
    if reach.dialled.is_private() && !dialler.is_private() && !dialler.is_loopback() {
        let detail = format!("{read} It must be in {}'s network, or routed to it.", reach.from);
        return check.warn("the address is a private one", detail, mend());
    }
    let detail = format!("{read} Firewalls, security groups and the account's host part must let it through.");
    check.pass("the address means the same everywhere", detail)
}

fn protection(reach: &Reach, from: &Survey, to: &Survey) -> Finding {
    let check = Check {
        id: "replication-tls",
        system: &reach.to,
        why: "Every row goes over this connection; and an account with caching_sha2_password logs in over TLS only, or \
              with a key that is fetched in the clear.",
    };
    let has_tls = to.is_on("have_ssl")
        || to.variable("have_ssl").is_some_and(|value| value.eq_ignore_ascii_case("yes"))
        || to.variable("ssl_cert").is_some_and(|path| !path.is_empty());
    let local = reach.dialled.is_loopback() && from.dialled.is_loopback();
    let encrypted = reach.found.as_ref().is_some_and(|found| found.encrypted);
    if local && !encrypted {
        return check.pass("replication stays on this machine", "It needs no protection there.");
    }
    if !has_tls {
        let mend = vec!["-- give the server a certificate: ssl_ca, ssl_cert, ssl_key; ALTER INSTANCE RELOAD TLS (MariaDB: FLUSH SSL)".to_owned()];
        return check.warn("replication goes in the clear", "The server has no certificate.", mend);
    }
    if !encrypted {
        let mend = vec![format!("-- `tls: {{ mode: require }}` (or `verify-full` with a `ca`) for {}", reach.to)];
        return check.warn(
            "replication goes in the clear",
            "The server has a certificate, and `tls` does not ask for it.",
            mend,
        );
    }
    if from.server.rds && reach.verified {
        let mend = vec![format!("-- `tls: {{ mode: require }}` for {}, if its network is trusted", reach.to)];
        return check.warn(
            "replication is encrypted, and nobody is identified",
            "`tls` asks for the other's identity, and RDS as the side that follows never verifies a certificate.",
            mend,
        );
    }
    if from.server.rds {
        return check.pass(
            "replication is encrypted, and nobody is identified",
            "RDS as the side that follows never verifies the other's certificate.",
        );
    }
    if reach.without_ca {
        let mend = vec![format!("-- `replication-ca` of {}: the file's path on the host of {}", reach.to, reach.from)];
        let detail =
            format!("`tls.ca` is a file of this machine, and {} looks into its own host's trust store.", reach.from);
        return check.warn("the other server may not know whom to trust", detail, mend);
    }
    if reach.verified {
        let detail =
            format!("The certificate of {} is for `{}`; {} verifies it too.", reach.to, reach.dialled.host, reach.from);
        return check.pass("replication is encrypted, and the other is identified", detail);
    }
    check.pass("replication is encrypted", "TLS, as `tls` says.")
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::testing::{judged, set};
    use super::super::{Finding, Level, PreflightInput};
    use super::*;

    fn of_source(id: &str, spoil: fn(&mut PreflightInput, &mut Reach)) -> Finding {
        judged(id, "source", move |input| {
            let mut reach = input.reach.remove(0);
            spoil(input, &mut reach);
            input.reach = vec![reach];
        })
    }

    #[test]
    fn what_the_url_leads_to_is_looked_at() {
        let id = "replication-url";
        assert_eq!(of_source(id, |_, _| ()).level, Level::Pass);
        let nowhere = of_source(id, |_, reach| (reach.found, reach.failure) = (None, Some("refused".into())));
        assert!(nowhere.level == Level::Fail && nowhere.detail.contains("refused"));
        let change = |spoil: fn(&mut crate::systems::mysql::survey::Found)| {
            judged(id, "source", move |input| {
                if let Some(found) = &mut input.reach[0].found {
                    spoil(found);
                }
            })
        };
        assert_eq!(change(|found| found.uuid = Some("other".into())).level, Level::Fail);
        assert_eq!(change(|found| found.server_id = 99).level, Level::Fail);
        let bare = change(|found| found.replicates = false);
        assert_eq!(bare.mend, ["GRANT REPLICATION SLAVE ON *.* TO 'repl'@'%';"]);
    }

    #[test]
    fn loopback_and_private_addresses_mean_something_else_elsewhere() {
        let id = "replication-address";
        assert_eq!(of_source(id, |_, _| ()).level, Level::Pass);
        let own = of_source(id, |_, reach| reach.dialled.host = "localhost".into());
        assert_eq!(own.level, Level::Fail);
        let both = of_source(id, |input, reach| {
            reach.dialled.host = "localhost".into();
            input.target.dialled.host = "localhost".into();
        });
        assert_eq!(both.level, Level::Pass);
        let private = of_source(id, |_, reach| reach.dialled.addresses = vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))]);
        assert_eq!(private.level, Level::Warn);
    }

    #[test]
    fn replication_in_the_clear_is_told() {
        let id = "replication-tls";
        assert_eq!(of_source(id, |_, _| ()).level, Level::Pass);
        let clear = |input: &mut PreflightInput, reach: &mut Reach| {
            set(&mut input.source, "ssl_cert", "server-cert.pem");
            if let Some(found) = &mut reach.found {
                found.encrypted = false;
            }
        };
        assert!(of_source(id, clear).mend[0].contains("mode: require"));
        let none = of_source(id, |input, _| set(&mut input.source, "ssl_cert", ""));
        assert!(none.level == Level::Warn && none.mend[0].contains("certificate"));
        let local = of_source(id, |input, reach| {
            reach.dialled.host = "localhost".into();
            input.target.dialled.host = "localhost".into();
            reach.found = None;
        });
        assert_eq!(local.level, Level::Pass);
        let rds = of_source(id, |input, _| input.target.server.rds = true);
        assert!(rds.level == Level::Pass && rds.detail.contains("never verifies"));
        let verified = of_source(id, |_, reach| reach.verified = true);
        assert!(verified.level == Level::Pass && verified.title.contains("identified"));
        let nowhere = of_source(id, |_, reach| (reach.verified, reach.without_ca) = (true, true));
        assert!(nowhere.level == Level::Warn && nowhere.mend[0].contains("`replication-ca` of source"));
        let rds = of_source(id, |input, reach| {
            reach.verified = true;
            input.target.server.rds = true;
        });
        assert_eq!(rds.level, Level::Warn);
    }
}
