//! Whether mydumper can read the rows of a source: it is installed here, knows the server, and leaves nothing out.

use super::Side;
use crate::runbook::model::TlsMode;
use crate::systems::mysql::{catalog, mydumper};
use crate::systems::{DriverError, Result};

/// What stands in its way.
pub(super) async fn obstacle(schemas: &[String], source: &Side<'_>) -> Result<Option<String>> {
    let identity = source.identity;
    let Some(series) = mydumper::installed().await else {
        return Ok(Some("it is not installed here".to_owned()));
    };
    if let Some(why) = series.obstacle(identity.flavour, identity.version) {
        return Ok(Some(why));
    }
    if let [_, other, ..] = schemas {
        return Ok(Some(format!("of several schemas (such as {other}) it may wait for itself for ever")));
    }
    Ok(match by_settings(source) {
        Some(why) => Some(why),
        None => by_tables(schemas, source).await?,
    })
}

fn by_settings(source: &Side<'_>) -> Option<String> {
    if source.chosen.mysql.as_ref().is_some_and(|chosen| chosen.rds) {
        return Some("RDS lets nobody lock all tables for a moment".to_owned());
    }
    // 0.10 asks for TLS, and goes on without it; a certificate's name is not looked at.
    if matches!(source.database.spec.tls.mode, TlsMode::Require | TlsMode::VerifyFull) {
        return Some("it does not insist on TLS".to_owned());
    }
    let escapes = source.identity.variable("sql_mode").contains("NO_BACKSLASH_ESCAPES");
    escapes.then(|| "sql_mode has NO_BACKSLASH_ESCAPES, which its files can't be loaded with".to_owned())
}

async fn by_tables(schemas: &[String], source: &Side<'_>) -> Result<Option<String>> {
    let tables = catalog::tables(source.session, schemas).await?;
    let plain = |(schema, table): &&(String, String)| mydumper::is_plain(schema) && mydumper::is_plain(table);
    if let Some((schema, table)) = tables.iter().find(|table| !plain(table)) {
        return Ok(Some(format!("the name {schema}.{table} does not fit into that of a file")));
    }
    let listed = catalog::listed(schemas);
    let other = format!(
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, ' is of ', ENGINE) FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA IN ({listed}) AND TABLE_TYPE <> 'SEQUENCE' AND ENGINE <> 'InnoDB' LIMIT 1"
    );
    if let Some(which) = source.session.value("look for other engines", &other).await? {
        return Ok(Some(format!("{which}, and every write would wait while it is read")));
    }
    let hidden = format!(
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, '.', COLUMN_NAME) FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA IN ({listed}) AND EXTRA LIKE '%INVISIBLE%' LIMIT 1"
    );
    if let Some(which) = source.session.value("look for invisible columns", &hidden).await? {
        return Ok(Some(format!("{which} is invisible, and it would leave it out")));
    }
    room(&listed, source).await
}

/// The rows lie here for a while.
async fn room(listed: &str, source: &Side<'_>) -> Result<Option<String>> {
    let sql = format!("SELECT SUM(DATA_LENGTH) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({listed})");
    let size = source.session.value("read its size", &sql).await?.and_then(|sum| sum.parse::<u64>().ok()).unwrap_or(0);
    let folder = std::env::temp_dir();
    let found = rustix::fs::statvfs(&folder).map_err(|error| {
        let certainty = crate::systems::Certainty::NotSent;
        DriverError::new(source.session.system(), "look for room", format!("{}: {error}", folder.display()), certainty)
    })?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let shown = |bytes: u64| bytesize::ByteSize(bytes).display().iec().to_string();
    Ok((free < size)
        .then(|| format!("{} has {} free, and the rows have {}", folder.display(), shown(free), shown(size))))
}
