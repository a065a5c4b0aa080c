//! What the server itself says: a group that is in sync is AWS's word, and the value is the server's.

use super::Values;
use super::standing::Found;
use crate::executor::context::Context;
use crate::runbook::model::System;
use crate::steps::StepError;
use crate::systems::mysql;
use crate::systems::postgres::Access;

/// The first parameter that a database of the runbook that stands on the server has otherwise, in words.
pub(super) async fn differs(cx: &Context, found: &Found, wanted: &Values) -> Result<Option<String>, StepError> {
    let Some((database, system)) = cx.plan.systems.iter().find(|(name, _)| is_there(cx, name, found)) else {
        return Ok(None);
    };
    for (name, value) in wanted.iter().filter_map(|(name, value)| Some((name, value.as_deref()?))) {
        let said = match system {
            System::Postgres(_) => postgres(cx, database, name).await?,
            _ => mysql(cx, database, name).await?,
        };
        if let Some(said) = said.filter(|said| comparable(value) && plain(said) != plain(value)) {
            return Ok(Some(format!("the group says {name} = {value}, and {database} itself {said}")));
        }
    }
    Ok(None)
}

/// Whether a system is a database, and reached where the server is.
fn is_there(cx: &Context, name: &str, found: &Found) -> bool {
    let is_database =
        matches!(cx.plan.systems.get(name), Some(System::Postgres(_) | System::Mysql(_) | System::Mariadb(_)));
    let Some(there) = found.server.address.as_ref().filter(|_| is_database) else { return false };
    cx.world.address(name).is_ok_and(|here| here.host == there.host && here.port == there.port)
}

async fn postgres(cx: &Context, database: &str, name: &str) -> Result<Option<String>, StepError> {
    let session = cx.world.postgres(database)?.connect(Access::ReadOnly).await?;
    let sql = "SELECT setting FROM pg_settings WHERE lower(name) = lower($1)";
    let rows = session.rows(&format!("read {name}"), sql, &[&name]).await?;
    Ok(rows.first().and_then(|row| row.try_get(0).ok()))
}

async fn mysql(cx: &Context, database: &str, name: &str) -> Result<Option<String>, StepError> {
    let session = cx.world.mysql(database)?.connect(mysql::Access::ReadOnly).await?;
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let rows = session.rows(&format!("read {name}"), &format!("SHOW GLOBAL VARIABLES LIKE '{name}'")).await?;
    Ok(rows.into_iter().next().and_then(|row| row.into_iter().nth(1).flatten()))
}

/// A formula of RDS, such as `{DBInstanceClassMemory/32768}`, stands for a value that only RDS knows.
fn comparable(value: &str) -> bool {
    !value.contains('{')
}

/// `1`, `on` and `TRUE` are one and the same, as are lists with and without spaces.
fn plain(value: &str) -> String {
    let value: String = value.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    match value.as_str() {
        "1" | "on" | "true" | "yes" => "on".to_owned(),
        "0" | "off" | "false" | "no" => "off".to_owned(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_many_spellings() {
        assert_eq!(plain("1"), plain("ON"));
        assert_eq!(plain("a, b"), plain("A,b"));
        assert_ne!(plain("10"), plain("1"));
        assert!(!comparable("{DBInstanceClassMemory/9531392}"));
    }
}
