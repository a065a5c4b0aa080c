//! What could go wrong with DMS, besides what could go wrong between any two servers of MySQL or MariaDB; and what DMS does
//! not carry. From "Using a MySQL-compatible database as a source", "… as a target" and "MySQL assessments" of the DMS
//! user guide.

use super::super::preflight as native;
use crate::engine::dms::preflight::{budget, runner};
use crate::engine::postgres::carrier;
use crate::plan::Plan;
use crate::preflight::{self, Check, Finding};
use crate::runbook::model::{DmsTask, Lob};
use crate::systems::Result;
use crate::systems::mysql::catalog::{self, Identity, listed};
use crate::systems::mysql::{Access, Flavour, Session, ident, literal};
use crate::systems::world::World;

/// The target dials nobody, follows nobody and is not loaded by a dump: these are about the stream forward.
const NOT_FORWARD: [&str; 5] =
    ["replication-url", "replication-address", "replication-tls", "parallel-apply", "gtid-consistency"];
/// DMS needs these on the target, and these on the source.
const WRITES: [&str; 8] = ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "INDEX"];
const READS: [&str; 1] = ["SELECT"];
const FOLLOWS: [&str; 2] = ["REPLICATION CLIENT", "REPLICATION SLAVE"];

pub(super) async fn findings(plan: &Plan, flavour: Flavour, accept: &[String]) -> Result<Vec<Finding>> {
    let mut findings = native::findings(plan, accept).await?;
    let (Some(pair), Some(task)) = (&plan.pair, carrier::task(plan)) else { return Ok(findings) };
    // The source is dialled by nobody; the target is, on the way back.
    findings.retain(|found| !(found.system == pair.source && NOT_FORWARD.contains(&found.id.as_str())));
    let world = World::new(plan.systems.clone());
    let source = world.mysql(&pair.source)?.connect(Access::ReadOnly).await?;
    let target = world.mysql(&pair.target)?.connect(Access::ReadOnly).await?;
    let (here, there) = tokio::try_join!(catalog::identity(&source), catalog::identity(&target))?;
    let mut ours = runner(&world, task).await;
    ours.extend([
        reader(&source, task, plan, flavour).await?,
        writer(&target, task, plan).await?,
        keys(&source, plan).await?,
        compression(&source, &here, flavour),
        load(&target, &there),
        cascades(&source, plan).await?,
        not_carried(task),
    ]);
    ours.extend(columns(&source, plan).await?);
    if let Lob::Limited(limit) = task.lob {
        ours.push(long_values(&source, plan, limit.0).await?);
    }
    ours.extend(budget(plan));
    findings.extend(preflight::accept(ours, accept));
    findings.sort_by_key(|finding| finding.level);
    Ok(findings)
}

/// What a user may, everywhere or in a schema, for each of its accounts.
async fn lacking(session: &Session, user: &str, schemas: &[String], wanted: &[&str]) -> Result<Option<Vec<String>>> {
    let like = literal(&format!("{}@%", literal(user)));
    let accounts = format!("SELECT COUNT(*) FROM mysql.user WHERE User = {}", literal(user));
    if session.value("look for the account of DMS", &accounts).await?.as_deref() == Some("0") {
        return Ok(None);
    }
    let everywhere =
        format!("SELECT '', PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE LIKE {like}");
    let some = format!(
        "SELECT REPLACE(TABLE_SCHEMA, '\\\\', ''), PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE LIKE {like}"
    );
    let mut granted = catalog::pairs(session, "read its privileges", &everywhere).await?;
    granted.extend(catalog::pairs(session, "read its privileges", &some).await?);
    let may = |schema: &str, privilege: &str| {
        granted.iter().any(|(at, word)| (at.is_empty() || at == schema) && word == privilege)
    };
    let lacks = |schema: &&String| !wanted.iter().all(|privilege| may(schema, privilege));
    Ok(Some(schemas.iter().filter(lacks).cloned().collect()))
}

/// MariaDB calls one of them otherwise from 10.5 on.
async fn follows(source: &Session, user: &str, flavour: Flavour) -> Result<bool> {
    let sql = format!(
        "SELECT GROUP_CONCAT(DISTINCT PRIVILEGE_TYPE) FROM information_schema.USER_PRIVILEGES WHERE GRANTEE LIKE {}",
        literal(&format!("{}@%", literal(user)))
    );
    let found = source.value("read its privileges", &sql).await?.unwrap_or_default();
    let has = |word: &str| found.split(',').any(|one| one == word);
    let monitor = has("REPLICATION CLIENT") || (flavour == Flavour::Mariadb && has("BINLOG MONITOR"));
    Ok(monitor && has("REPLICATION SLAVE"))
}

fn with_ours(plan: &Plan) -> Vec<String> {
    plan.choices.schemas.iter().cloned().chain(["pointsman".to_owned()]).collect()
}

async fn reader(source: &Session, task: &DmsTask, plan: &Plan, flavour: Flavour) -> Result<Finding> {
    let (user, system) = (&task.source.role, source.system());
    let check = Check { id: "dms-source-login", system, why: "What DMS may not read it does not carry." };
    let Some(closed) = lacking(source, user, &with_ours(plan), &READS).await? else {
        return Ok(check.fail("DMS has no account there", format!("There is no user {user}."), create(user)));
    };
    let account = format!("{}@'%'", literal(user));
    let mut mend: Vec<String> =
        closed.iter().map(|schema| format!("GRANT SELECT ON {}.* TO {account};", ident(schema))).collect();
    if !follows(source, user, flavour).await? {
        mend.push(format!("GRANT {} ON *.* TO {account};", FOLLOWS.join(", ")));
    }
    if mend.is_empty() {
        return Ok(check.pass("the account of DMS may read and follow the source", format!("{user}.")));
    }
    Ok(check.fail("the account of DMS may not read or follow everything", format!("{user}."), mend))
}

/// The account at the target is DMS's alone: it is locked at the switch.
async fn writer(target: &Session, task: &DmsTask, plan: &Plan) -> Result<Finding> {
    let (user, system) = (&task.target.role, target.system());
    let why = "It is locked before the target opens, so that nothing is carried in a circle.";
    let check = Check { id: "dms-target-login", system, why };
    let Some(closed) = lacking(target, user, &with_ours(plan), &WRITES).await? else {
        return Ok(check.fail("DMS has no account there", format!("There is no user {user}."), create(user)));
    };
    if target.value("read who we are", "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)").await?.as_ref() == Some(user) {
        let detail = format!("{user} is the user of this run, which would shut itself out.");
        return Ok(check.fail("DMS has no account of its own", detail, create("dms")));
    }
    if closed.is_empty() {
        return Ok(check.pass("the account of DMS may write on the target", format!("{user}.")));
    }
    let account = format!("{}@'%'", literal(user));
    let grant = |schema: &String| format!("GRANT {} ON {}.* TO {account};", WRITES.join(", "), ident(schema));
    let detail = format!("{user}; privileges can be given on a schema that is not there yet.");
    Ok(check.fail("the account of DMS may not write everywhere", detail, closed.iter().map(grant).collect()))
}

fn create(user: &str) -> Vec<String> {
    vec![format!("CREATE USER {}@'%' IDENTIFIED BY '…'; -- of DMS's own", literal(user))]
}

const KEYLESS: &str = "SELECT t.TABLE_SCHEMA, t.TABLE_NAME FROM information_schema.TABLES t WHERE t.TABLE_TYPE = 'BASE TABLE' \
     AND t.TABLE_SCHEMA IN (SCHEMAS) AND NOT EXISTS (SELECT 1 FROM information_schema.TABLE_CONSTRAINTS c WHERE \
     c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME AND c.CONSTRAINT_TYPE = 'PRIMARY KEY') ORDER BY 1, 2";

async fn keys(source: &Session, plan: &Plan) -> Result<Finding> {
    let check = Check {
        id: "dms-primary-key",
        system: source.system(),
        why: "Of a table without a primary key DMS finds no row again, and compares none.",
    };
    let sql = KEYLESS.replace("SCHEMAS", &listed(&plan.choices.schemas));
    let found = catalog::pairs(source, "look for primary keys", &sql).await?;
    if found.is_empty() {
        return Ok(check.pass("every table has a primary key", format!("{} tables.", plan.choices.tables.len())));
    }
    let mend = found
        .iter()
        .map(|(schema, table)| format!("ALTER TABLE {}.{} ADD PRIMARY KEY (…);", ident(schema), ident(table)));
    Ok(check.fail("tables have no primary key", format!("{} tables.", found.len()), mend.collect()))
}

/// "Limitations on using a MySQL database as a source": "AWS DMS doesn't support binary log transaction compression".
fn compression(source: &Session, here: &Identity, flavour: Flavour) -> Finding {
    let name = if flavour == Flavour::Mariadb { "log_bin_compress" } else { "binlog_transaction_compression" };
    let check = Check {
        id: "dms-compression",
        system: source.system(),
        why: "DMS reads no compressed transactions: it would leave them out.",
    };
    if !here.is_on(name) {
        return check.pass("the binary log is not compressed", format!("{name} is off."));
    }
    let mend = vec![
        format!("SET GLOBAL {name} = OFF; -- and in the configuration, or the parameter group"),
        "-- sessions that are open compress on: let the application connect again".to_owned(),
    ];
    check.fail("the binary log is compressed", format!("{name} is ON."), mend)
}

/// "MySQL assessments": `local_infile` of the target must be 1.
fn load(target: &Session, there: &Identity) -> Finding {
    let check = Check { id: "dms-local-infile", system: target.system(), why: "DMS loads tables by LOAD DATA LOCAL." };
    if there.is_on("local_infile") {
        return check.pass("DMS may load tables", "local_infile is ON.");
    }
    let mend = vec!["SET GLOBAL local_infile = ON; -- on RDS in the parameter group".to_owned()];
    check.fail("DMS may not load tables", "local_infile is OFF.", mend)
}

/// What a foreign key does to other rows is logged from 9.6 on only.
async fn cascades(source: &Session, plan: &Plan) -> Result<Finding> {
    let check = Check {
        id: "dms-cascades",
        system: source.system(),
        why: "What a foreign key deletes or changes must happen on the target exactly once.",
    };
    let sql = format!(
        "SELECT CONSTRAINT_SCHEMA, CONCAT(TABLE_NAME, '.', CONSTRAINT_NAME) FROM information_schema.REFERENTIAL_CONSTRAINTS \
         WHERE CONSTRAINT_SCHEMA IN ({}) AND (DELETE_RULE NOT IN ('RESTRICT', 'NO ACTION') OR UPDATE_RULE NOT IN \
         ('RESTRICT', 'NO ACTION')) ORDER BY 1, 2",
        listed(&plan.choices.schemas)
    );
    let found = catalog::pairs(source, "look for cascades", &sql).await?;
    if found.is_empty() {
        return Ok(check.pass("no foreign key changes other rows", "None has ON DELETE or ON UPDATE with an action."));
    }
    let logged = plan.choices.dms.as_ref().is_some_and(|dms| dms.cascades_logged);
    let how = if logged {
        "The source logs what they do: DMS carries it, and its sessions on the target have foreign_key_checks = 0"
    } else {
        "The source does not log what they do: DMS does not carry it, and the target's foreign keys do it there once more"
    };
    Ok(check.pass("what foreign keys do happens once", format!("{how} ({} foreign keys).", found.len())))
}

/// Columns that DMS knows nothing of, or changes.
async fn columns(source: &Session, plan: &Plan) -> Result<Vec<Finding>> {
    let schemas = listed(&plan.choices.schemas);
    let sql = format!(
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME), COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN \
         ({schemas}) AND EXTRA LIKE '%INVISIBLE%' ORDER BY 1, 2"
    );
    let invisible = catalog::pairs(source, "look for invisible columns", &sql).await?;
    let mut findings = Vec::new();
    if !invisible.is_empty() {
        let check = Check {
            id: "dms-invisible-columns",
            system: source.system(),
            why: "DMS reads the columns that `SELECT *` shows: another one would be empty on the target.",
        };
        let mend = invisible
            .iter()
            .map(|(table, column)| format!("-- ALTER TABLE {table} ALTER COLUMN {column} SET VISIBLE;"));
        findings.push(check.fail("columns are invisible", format!("{} columns.", invisible.len()), mend.collect()));
    }
    Ok(findings)
}

/// Columns that DMS takes for large: "Source data types for MySQL".
const LARGE: &str = "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME), COLUMN_NAME FROM information_schema.COLUMNS c JOIN \
     information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) WHERE t.TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA IN (SCHEMAS) \
     AND DATA_TYPE IN ('tinyblob', 'blob', 'mediumblob', 'longblob', 'tinytext', 'text', 'mediumtext', 'longtext', 'json', \
     'geometry', 'point', 'linestring', 'polygon', 'multipoint', 'multilinestring', 'multipolygon', 'geomcollection') ORDER BY 1, 2";

/// A value that is longer than `lob: limited` allows is cut off.
async fn long_values(source: &Session, plan: &Plan, limit: u64) -> Result<Finding> {
    let check =
        Check { id: "dms-long-values", system: source.system(), why: "DMS cuts off what is longer than `lob`." };
    let sql = LARGE.replace("SCHEMAS", &listed(&plan.choices.schemas));
    let mut found = Vec::new();
    for (table, column) in catalog::pairs(source, "look for large columns", &sql).await? {
        let name = table
            .split_once('.')
            .map_or_else(|| ident(&table), |(schema, name)| format!("{}.{}", ident(schema), ident(name)));
        let sql = format!("SELECT COALESCE(MAX(OCTET_LENGTH({})), 0) FROM {name}", ident(&column));
        let longest = source.value("look for long values", &sql).await?.and_then(|text| text.parse().ok());
        found.push((format!("{table}.{column}"), longest.unwrap_or(0)));
    }
    Ok(preflight::long_values(check, limit, &found))
}

/// Nobody can see from outside what an application will do.
fn not_carried(task: &DmsTask) -> Finding {
    let check = Check {
        id: "dms-not-carried",
        system: &task.instance,
        why: "DMS says nothing of what it leaves out: only `verify` finds it.",
    };
    let detail = "No change of the schema, no change of a partition, no XA transaction before version 3.5. (AUTO_INCREMENT, \
                  defaults, secondary keys, foreign keys, views, routines, triggers and events are made by the run; a value \
                  that is too long stops the task.)";
    let mend =
        vec!["-- make sure that nothing does this while the task runs; keep `verify` before `finalize`".to_owned()];
    check.warn("what DMS does not carry", detail, mend)
}
