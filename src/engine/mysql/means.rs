//! How the first copy is made: by a clone where both servers allow it, else by mydumper where it is installed and can read
//! the source, else by the server's own dump program.

mod parallel;

use super::choose::refused;
use crate::plan::{CopyBy, SideChoices};
use crate::runbook::model::{CopyMeans, Replicate, TlsMode};
use crate::systems::Result;
use crate::systems::mysql::catalog::{self, Identity};
use crate::systems::mysql::{Database, Flavour, Session, dial};

/// One of the two servers, as it was looked at.
pub(super) struct Side<'a> {
    /// How the runbook names and reaches it.
    pub(super) database: Database,
    /// A session to it.
    pub(super) session: &'a Session,
    /// Who answered.
    pub(super) identity: &'a Identity,
    /// What was chosen for it.
    pub(super) chosen: &'a SideChoices,
}

/// The means and its reason.
pub(super) async fn choose(
    replicate: &Replicate,
    schemas: &[String],
    source: &Side<'_>,
    target: &Side<'_>,
) -> Result<(CopyBy, String)> {
    let asked = || "the runbook says so".to_owned();
    let no_clone = async || match by_settings(replicate, source, target) {
        Some(why) => Ok(Some(why)),
        None => on_the_servers(source, target).await,
    };
    let system = source.session.system();
    let not = |what: &str, why: String| {
        let reason = format!("{system} can't be {what}: {why}");
        refused(target.session, reason, "say `copy: dump` of `replicate`, or mend that")
    };
    match replicate.copy {
        CopyMeans::Dump => Ok((CopyBy::Dump, asked())),
        CopyMeans::Clone => match no_clone().await? {
            None => Ok((CopyBy::Clone, asked())),
            Some(why) => Err(not("cloned", why)),
        },
        CopyMeans::Mydumper => match parallel::obstacle(schemas, source).await? {
            None => Ok((CopyBy::Mydumper, asked())),
            Some(why) => Err(not("read by mydumper", why)),
        },
        CopyMeans::Auto => {
            let Some(why) = no_clone().await? else {
                return Ok((CopyBy::Clone, "both servers have the clone plugin, and are alike".to_owned()));
            };
            match parallel::obstacle(schemas, source).await? {
                None => Ok((CopyBy::Mydumper, format!("no clone: {why}; mydumper is installed here"))),
                Some(other) => Ok((CopyBy::Dump, format!("no clone: {why}; no mydumper: {other}"))),
            }
        }
    }
}

/// What must be the same on both, since the files are.
const ALIKE: &[&str] = &[
    "version_compile_os",
    "version_compile_machine",
    "innodb_page_size",
    "innodb_data_file_path",
    "lower_case_table_names",
    "character_set_server",
    "collation_server",
];

fn by_settings(replicate: &Replicate, source: &Side<'_>, target: &Side<'_>) -> Option<String> {
    let (here, there) = (source.identity, target.identity);
    let rds = |side: &Side<'_>| side.chosen.mysql.as_ref().is_some_and(|chosen| chosen.rds);
    if here.flavour == Flavour::Mariadb {
        return Some("MariaDB has no clone plugin".to_owned());
    }
    if !replicate.schemas.is_empty() || !replicate.copy_schema {
        return Some("it takes every schema, whole".to_owned());
    }
    if rds(source) || rds(target) {
        return Some("RDS lets nobody clone".to_owned());
    }
    if source.database.spec.tls.mode == TlsMode::VerifyFull {
        return Some("it does not verify the identity of the source".to_owned());
    }
    if !versions_clone(here.version.0, there.version.0) {
        return Some(format!("the versions are {} and {}", here.version, there.version));
    }
    if let Some(name) = ALIKE.iter().find(|name| here.variable(name) != there.variable(name)) {
        return Some(format!("{name} is {} and {}", here.variable(name), there.variable(name)));
    }
    if !there.is_on("persisted_globals_load") {
        return Some(
            "persisted_globals_load of the target is off: its events would run when it has started".to_owned(),
        );
    }
    // The privilege comes with the plugin: who had all of them before has not got this one.
    for (side, privilege) in [(target, "CLONE_ADMIN"), (source, "BACKUP_ADMIN")] {
        if !side.identity.may(privilege) {
            return Some(format!("{} may not on {} (GRANT {privilege})", side.identity.account, side.session.system()));
        }
    }
    same_login(&source.database, &target.database).err()
}

/// From 8.0.37 on within a series, before that of equal versions.
fn versions_clone(here: i32, there: i32) -> bool {
    here == there || (here / 100 == there / 100 && here.min(there) >= 80_037)
}

/// Accounts are cloned too: what lets us into the source must let us into the target afterwards.
fn same_login(source: &Database, target: &Database) -> std::result::Result<(), String> {
    let read = |database: &Database| dial::own(&database.name, &database.spec).map_err(|error| error.reason);
    let (here, there) = (read(source)?, read(target)?);
    if here.user == there.user && here.password.expose() == there.password.expose() {
        return Ok(());
    }
    Err("the URLs have different users or passwords, and a clone replaces the target's accounts".to_owned())
}

async fn on_the_servers(source: &Side<'_>, target: &Side<'_>) -> Result<Option<String>> {
    for side in [source, target] {
        let sql =
            "SELECT COUNT(*) FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone' AND PLUGIN_STATUS = 'ACTIVE'";
        if side.session.value("look for the clone plugin", sql).await?.is_none_or(|count| count == "0") {
            let system = side.session.system();
            return Ok(Some(format!("{system} has no clone plugin (INSTALL PLUGIN clone SONAME 'mysql_clone.so')")));
        }
    }
    let schemas = catalog::application_schemas(target.session).await?;
    if let Some((schema, table)) = catalog::tables(target.session, &schemas).await?.first() {
        return Ok(Some(format!("the target has tables, such as {schema}.{table}, and a clone removes them")));
    }
    let kept = "SELECT GROUP_CONCAT(VARIABLE_NAME) FROM performance_schema.persisted_variables \
                WHERE VARIABLE_NAME IN ('event_scheduler', 'super_read_only')";
    if let Some(names) = target.session.value("read what it keeps", kept).await? {
        return Ok(Some(format!("the target keeps a value for {names}, which the clone needs to set (RESET PERSIST)")));
    }
    let (here, there) = (accounts(source.session).await?, accounts(target.session).await?);
    let only_there: Vec<String> = there.into_iter().filter(|account| !here.contains(account)).collect();
    if only_there.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!("accounts that only the target has would be gone: {}", only_there.join(", "))))
}

async fn accounts(session: &Session) -> Result<Vec<String>> {
    let sql = "SELECT CONCAT(User, '@', Host) FROM mysql.user ORDER BY 1";
    let rows = session.rows("list the accounts", sql).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_of_a_series_clone_from_8_0_37_on() {
        assert!(versions_clone(80_030, 80_030) && versions_clone(80_400, 80_406) && versions_clone(80_037, 80_042));
        assert!(!versions_clone(80_030, 80_031) && !versions_clone(80_042, 80_400) && !versions_clone(80_036, 80_037));
    }
}
