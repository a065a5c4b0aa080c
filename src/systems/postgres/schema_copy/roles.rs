//! Looks for the roles of a schema on the target before anything is changed there: a role that is missing would stop the
//! copy half-way, and only a person knows its password.

use super::SchemaScript;
use crate::systems::postgres::{Access, Database, ident};
use crate::systems::{Certainty, DriverError, Result};

/// Refuses when the target lacks a role that owns something or is granted something, or when our role can't act for it
/// there. The error holds the statements that mend it.
pub async fn check_roles(source: &Database, target: &Database, script: &SchemaScript) -> Result<()> {
    let roles = script.roles();
    let session = target.connect(Access::ReadOnly).await?;
    let sql = "SELECT w.name, r.oid IS NOT NULL, \
               coalesce(pg_has_role(current_user, r.oid, 'MEMBER'), false), current_user::text \
               FROM unnest($1::text[]) AS w(name) LEFT JOIN pg_roles r ON r.rolname = w.name ORDER BY 1";
    let rows = session.rows("look for the roles", sql, &[&roles]).await?;
    let owners = owners(script);
    let mut missing = Vec::new();
    let mut grants = Vec::new();
    for row in rows {
        let (name, there, member): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
        let us: String = row.get(3);
        if !there {
            missing.push(name);
        } else if !member && owners.contains(&name) {
            grants.push(format!("GRANT {} TO {};", ident(&name), ident(&us)));
        }
    }
    if missing.is_empty() && grants.is_empty() {
        return Ok(());
    }
    let mut statements = create_statements(source, &missing).await?;
    statements.extend(grants);
    Err(refused(target, &missing, &statements))
}

/// Roles that own something: our own must be a member of them to hand it over.
fn owners(script: &SchemaScript) -> Vec<String> {
    let all = script.pre_data.iter().chain(&script.post_data);
    let owning = all.filter(|statement| statement.sql.contains(" OWNER TO ") || statement.sql.starts_with("SET LOCAL"));
    owning.flat_map(|statement| super::classify::roles_named(&statement.sql)).collect()
}

fn refused(target: &Database, missing: &[String], statements: &[String]) -> DriverError {
    let reason = if missing.is_empty() {
        "our role may not hand objects over to the roles that own them".to_owned()
    } else {
        format!("it has no role {}; nothing was changed", missing.join(", "))
    };
    DriverError::new(&target.name, "look for the roles of the schema", reason, Certainty::NotSent)
        .with_hint(format!("run there, with passwords where a role logs in: {}", statements.join(" ")))
}

/// What would make the roles as the source has them; without passwords, and without `SUPERUSER`, which a managed server
/// does not give.
async fn create_statements(source: &Database, missing: &[String]) -> Result<Vec<String>> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let session = source.connect(Access::ReadOnly).await?;
    let sql = "SELECT format('CREATE ROLE %I%s%s%s%s;', rolname, CASE WHEN rolcanlogin THEN ' LOGIN' END, \
               CASE WHEN NOT rolinherit THEN ' NOINHERIT' END, CASE WHEN rolcreatedb THEN ' CREATEDB' END, \
               CASE WHEN rolcreaterole THEN ' CREATEROLE' END) FROM pg_roles WHERE rolname::text = ANY($1) ORDER BY rolname";
    let roles = session.rows("read its roles", sql, &[&missing]).await?;
    let sql = "SELECT format('GRANT %I TO %I;', g.rolname, m.rolname) FROM pg_auth_members a \
               JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member \
               WHERE g.rolname::text = ANY($1) OR m.rolname::text = ANY($1) ORDER BY 1";
    let grants = session.rows("read its role memberships", sql, &[&missing]).await?;
    Ok(roles.iter().chain(&grants).map(|row| row.get(0)).collect())
}
