//! Everything that is worth knowing about one server before it is moved, read in one go and without changing anything:
//! every query runs in a read-only session, several in one round trip. A survey holds no secret.

mod accounts;
mod activity;
mod model;
mod objects;
mod queries;
mod reach;
mod read;
mod running;

pub use accounts::*;
pub use activity::*;
pub use model::*;
pub use objects::*;
pub use reach::{Found, Reach};

use super::gtid::GtidSet;
use crate::systems::Result;
use crate::systems::survey::Dialled;

impl Dialled {
    /// Reads a server's URL and resolves its host.
    async fn of_mysql(database: &super::Database) -> Result<Self> {
        let target = database.target()?;
        let dialled = Self {
            host: target.host,
            port: target.port,
            database: target.schema.unwrap_or_default(),
            user: target.user,
            with_password: !target.password.expose().is_empty(),
            addresses: Vec::new(),
        };
        Ok(dialled.resolved().await)
    }
}

/// Transactions that only the target has; empty without any, `None` when that can't be told.
#[must_use]
pub fn errant(source: &Survey, target: &Survey) -> Option<String> {
    if target.is_mariadb() {
        return Some(written_there(target));
    }
    let read = |side: &Survey| GtidSet::read(&side.activity.gtids).ok();
    Some(read(target)?.without(&read(source)?).to_string())
}

/// MariaDB's position names the last transaction of each domain with the server that made it: what bears the target's
/// own id was written there.
fn written_there(target: &Survey) -> String {
    let own = target.variable("server_id").unwrap_or_default();
    let written = |gtid: &&str| gtid.split('-').nth(1) == Some(own);
    target.activity.gtids.split(',').map(str::trim).filter(written).collect::<Vec<&str>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::mysql::Flavour;

    fn with(flavour: Flavour, gtids: &str) -> Survey {
        let mut survey = Survey::default();
        survey.server.flavour = flavour;
        survey.activity.gtids = gtids.to_owned();
        survey.variables.insert("server_id".into(), "2".into());
        survey
    }

    #[test]
    fn what_only_the_target_has_is_found() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let mysql = |text: &str| with(Flavour::Mysql, text);
        let source = mysql(&format!("{uuid}:1-9"));
        assert_eq!(errant(&source, &mysql(&format!("{uuid}:1-5"))), Some(String::new()));
        assert_eq!(errant(&source, &mysql(&format!("{uuid}:1-10"))), Some(format!("{uuid}:10")));
        assert_eq!(errant(&source, &mysql("u:5-1")), None);
        let mariadb = |text: &str| with(Flavour::Mariadb, text);
        assert_eq!(errant(&mariadb("0-1-9"), &mariadb("0-1-7")), Some(String::new()));
        assert_eq!(errant(&mariadb("0-1-9"), &mariadb("0-1-7,5-2-3")), Some("5-2-3".into()));
    }
}
