//! A server that follows another one by itself: whom, how, and whether it could be promoted in the other's place.

use super::catalog::Identity;
use super::session::Record;
use super::{Flavour, Session};
use crate::systems::Result;

/// One stream of a server that follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follows {
    /// Name of the channel or connection; empty for the nameless one.
    pub name: String,
    /// `server_uuid` of the one that is followed, where it has one and was reached.
    pub uuid: Option<String>,
    /// Its `server_id`; 0 before it was reached.
    pub server_id: u32,
    /// Who logs in there.
    pub user: String,
    /// Seconds that it applies late, on purpose.
    pub delay: u64,
    /// Why it does not run; `None` when it does.
    pub trouble: Option<String>,
}

/// Whom a server follows: every channel.
pub async fn read(session: &Session) -> Result<Vec<Follows>> {
    let sql = match session.flavour() {
        Flavour::Mysql => "SHOW REPLICA STATUS",
        Flavour::Mariadb => "SHOW ALL SLAVES STATUS",
    };
    Ok(session.records("look whom it follows", sql).await?.iter().map(follows).collect())
}

fn follows(row: &Record) -> Follows {
    let of = |names: &[&str]| names.iter().find_map(|name| row.get(*name).cloned().flatten()).unwrap_or_default();
    let number = |names: &[&str]| of(names).parse().unwrap_or(0);
    Follows {
        name: of(&["Channel_Name", "Connection_name"]),
        uuid: Some(of(&["Source_UUID", "Master_UUID"])).filter(|uuid| !uuid.is_empty()),
        server_id: u32::try_from(number(&["Source_Server_Id", "Master_Server_Id"])).unwrap_or(0),
        user: of(&["Source_User", "Master_User"]),
        delay: number(&["SQL_Delay"]),
        trouble: super::stream::State::of(row).trouble(),
    }
}

/// The only channel of a server, without a name, if it follows this very source; else what is not so.
pub fn only<'a>(all: &'a [Follows], source: &Identity) -> std::result::Result<&'a Follows, String> {
    let one = match all {
        [] => return Err("it follows nobody".to_owned()),
        [one] => one,
        all => return Err(format!("it has {} channels, and a replica of one server has one", all.len())),
    };
    if !one.name.is_empty() {
        return Err(format!("its channel has a name ({}), and the nameless one is promoted", one.name));
    }
    if one.server_id == 0 {
        return Err("it has never reached the one that it follows".to_owned());
    }
    let other_uuid = matches!((&one.uuid, &source.uuid), (Some(there), Some(here)) if there != here);
    if other_uuid || one.server_id != source.server_id {
        let seen = one.uuid.clone().map_or_else(String::new, |uuid| format!(", {uuid}"));
        return Err(format!("it follows another server (server_id {}{seen})", one.server_id));
    }
    Ok(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn source() -> Identity {
        Identity { uuid: Some(UUID.into()), server_id: 7, ..Identity::default() }
    }

    fn one() -> Follows {
        Follows { uuid: Some(UUID.into()), server_id: 7, user: "repl".into(), ..Follows::default() }
    }

    #[test]
    fn a_replica_follows_this_very_server_and_nobody_else() {
        assert_eq!(only(&[one()], &source()).map(|found| found.user.as_str()), Ok("repl"));
        let why = |all: &[Follows]| only(all, &source()).unwrap_err();
        assert!(why(&[]).contains("nobody") && why(&[one(), one()]).contains("2 channels"));
        assert!(why(&[Follows { name: "feed".into(), ..one() }]).contains("(feed)"));
        assert!(why(&[Follows { server_id: 0, uuid: None, ..one() }]).contains("never reached"));
        assert!(why(&[Follows { server_id: 8, ..one() }]).contains("server_id 8"));
        assert!(why(&[Follows { uuid: Some("other".into()), ..one() }]).contains("other"), "a server_id may be reused");
        // MariaDB has no uuid.
        assert!(only(&[Follows { uuid: None, ..one() }], &Identity { uuid: None, ..source() }).is_ok());
    }

    #[test]
    fn both_flavours_are_read() {
        let row = |pairs: &[(&str, &str)]| -> Record {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
        };
        let mariadb = follows(&row(&[
            ("Connection_name", ""),
            ("Master_Server_Id", "7"),
            ("Master_User", "repl"),
            ("SQL_Delay", "30"),
            ("Slave_IO_Running", "Yes"),
            ("Slave_SQL_Running", "No"),
        ]));
        let stopped = Some("it does not apply".to_owned());
        assert_eq!(mariadb, Follows { uuid: None, delay: 30, trouble: stopped, ..one() });
    }
}
