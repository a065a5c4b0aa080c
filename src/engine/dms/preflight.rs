//! What could go wrong with DMS, besides what could go wrong between any two servers of PostgreSQL; and what DMS does not
//! carry, which nobody can look for.

use std::time::Duration;

use super::super::{Engine, postgres::Postgres};
use super::words::{self, Names};
use crate::engine::postgres::carrier;
use crate::plan::Plan;
use crate::preflight::{self, Check, Finding};
use crate::runbook::model::{Dms, DmsRunner, DmsServerless, DmsTask, Lob};
use crate::systems::aws::dms::{self as driver, Operations};
use crate::systems::aws::{Access as AwsAccess, Permission, Service};
use crate::systems::postgres::{Access, Session, ident};
use crate::systems::world::World;
use crate::systems::{DriverError, Result};

/// The target dials nobody, and copies nothing: these are about the stream forward.
const NOT_FORWARD: [&str; 3] = ["replication-url", "replication-address", "host-based-authentication"];
/// A transaction waits this long in DMS before it is applied, and takes its way.
const SECONDS_IN_DMS: Duration = Duration::from_secs(20);

pub(in crate::engine) async fn findings(plan: &Plan, accept: &[String]) -> Result<Vec<Finding>> {
    let mut findings = Postgres.preflight(plan, accept).await?;
    let (Some(pair), Some(task)) = (&plan.pair, carrier::task(plan)) else { return Ok(findings) };
    let forward = |found: &Finding| found.system == pair.source && NOT_FORWARD.contains(&found.id.as_str());
    findings.retain(|found| !forward(found) && found.id != "sync-workers");
    let world = World::new(plan.systems.clone());
    let source = world.postgres(&pair.source)?.connect(Access::ReadOnly).await?;
    let target = world.postgres(&pair.target)?.connect(Access::ReadOnly).await?;
    let mut ours = runner(&world, task).await;
    ours.extend([
        reader(&source, task, plan).await?,
        writer(&target, task).await?,
        keys(&source, plan).await?,
        not_carried(task),
    ]);
    if let Lob::Limited(limit) = task.lob {
        ours.push(long_values(&source, plan, limit.0).await?);
    }
    ours.extend(budget(plan));
    findings.extend(preflight::accept(ours, accept));
    findings.sort_by_key(|finding| finding.level);
    Ok(findings)
}

/// What runs the task.
pub(in crate::engine) async fn runner(world: &World, task: &DmsTask) -> Vec<Finding> {
    match world.dms(&task.instance) {
        Ok(Dms { serverless: Some(spec), .. }) => {
            let mut findings = vec![serverless(world, task, &spec).await];
            findings.extend(secrets(task));
            findings
        }
        _ => vec![instance(world, task).await],
    }
}

/// There is nothing of it before a run makes it: only whether DMS answers can be seen.
async fn serverless(world: &World, task: &DmsTask, spec: &DmsServerless) -> Finding {
    let why = "The task runs by it; without it nothing is carried.";
    let check = Check { id: "dms-serverless", system: &task.instance, why };
    let look = async {
        let aws = world.aws(&task.instance, AwsAccess::ReadOnly).await?;
        driver::task(&aws, DmsRunner::Serverless, &Names::planned().task).await
    };
    match look.await {
        Ok(_) => {
            let detail = format!(
                "{} to {} units of 2 GiB. It takes DMS about half an hour to provide them, and only then are the \
                 connections tried; the account needs the role AWSServiceRoleForDMSServerless.",
                spec.min_capacity.unwrap_or(1),
                spec.max_capacity
            );
            check.pass("the run makes a serverless replication", detail)
        }
        Err(error) => check.fail("DMS does not answer", format!("{error}."), vec!["-- see the reason".to_owned()]),
    }
}

/// "AWS DMS Serverless limitations": it reaches Secrets Manager by a VPC endpoint only.
fn secrets(task: &DmsTask) -> Option<Finding> {
    let check = Check {
        id: "dms-secret-endpoint",
        system: &task.instance,
        why: "A serverless replication has no way to Secrets Manager but a VPC endpoint, which only EC2 could show us.",
    };
    let names = [("source", &task.source), ("target", &task.target)];
    let by_secret: Vec<&str> =
        names.iter().filter(|(_, login)| login.secret.is_some()).map(|(name, _)| *name).collect();
    if by_secret.is_empty() {
        return None;
    }
    let mend =
        vec!["-- make an endpoint of com.amazonaws.REGION.secretsmanager in the network, or give a `url`".to_owned()];
    let detail = format!("DMS reads a secret for its login at the {}.", by_secret.join(" and the "));
    Some(check.warn("DMS needs a VPC endpoint of Secrets Manager", detail, mend))
}

async fn instance(world: &World, task: &DmsTask) -> Finding {
    let check = Check {
        id: "dms-instance",
        system: &task.instance,
        why: "The task runs on it; without it nothing is carried.",
    };
    let look = async {
        let aws = world.aws(&task.instance, AwsAccess::ReadOnly).await?;
        let spec = world.dms(&task.instance)?;
        let Some(identifier) = spec.instance else { return Ok(None) };
        Ok::<_, DriverError>(Some((driver::instance(&aws, &identifier).await?, identifier)))
    };
    match look.await {
        Ok(None) => check.pass("the run makes the replication instance", "It takes DMS about 10 minutes."),
        Ok(Some((Some(found), _))) if found.status == "available" => {
            let detail = format!("{}, {}, version {}.", found.identifier, found.class, found.version);
            check.pass("the replication instance is available", detail)
        }
        Ok(Some((Some(found), identifier))) => {
            let mend = vec![format!("-- wait until {identifier} is available, or mend it in the console of DMS")];
            check.fail("the replication instance is not available", format!("{identifier} is {}.", found.status), mend)
        }
        Ok(Some((None, identifier))) => {
            let mend = vec!["-- correct `instance`, or let the run make one with `create`".to_owned()];
            check.fail("there is no such replication instance", format!("{identifier}."), mend)
        }
        Err(error) => check.fail("DMS does not answer", format!("{error}."), vec!["-- see the reason".to_owned()]),
    }
}

const READER: &str = "SELECT r.rolcanlogin, r.rolsuper OR r.rolreplication OR EXISTS (SELECT FROM pg_roles m \
     WHERE m.rolname = 'rds_replication' AND pg_has_role(r.oid, m.oid, 'MEMBER')), r.rolname = current_user \
     FROM pg_roles r WHERE r.rolname = $1";
const UNREADABLE: &str = "SELECT t FROM unnest($2::text[]) t WHERE NOT has_table_privilege($1, t, 'SELECT')";

/// The login at the source reads every table, and may follow the write-ahead log.
async fn reader(source: &Session, task: &DmsTask, plan: &Plan) -> Result<Finding> {
    let role = &task.source.role;
    let check =
        Check { id: "dms-source-login", system: source.system(), why: "What DMS may not read it does not carry." };
    let rows = source.rows("look at the login of DMS", READER, &[role]).await?;
    let Some(row) = rows.first() else { return Ok(check.fail("DMS has no login there", no_role(role), create(role))) };
    let (logs_in, replicates, ours): (bool, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let name = ident(role);
    if ours || !logs_in || !replicates {
        let mend = vec![format!("ALTER ROLE {name} LOGIN REPLICATION; -- on RDS: GRANT rds_replication TO {name};")];
        let detail = format!("{role} must be a role of DMS's own, with LOGIN and REPLICATION.");
        return Ok(check.fail("the login of DMS can't follow the source", detail, mend));
    }
    let tables: Vec<String> = tables(plan);
    let rows = source.rows("see what DMS may read", UNREADABLE, &[role, &tables]).await?;
    if rows.is_empty() {
        return Ok(check.pass("the login of DMS may read and follow the source", format!("{role}.")));
    }
    let mend = rows.iter().map(|row| format!("GRANT SELECT ON {} TO {name};", row.get::<_, String>(0))).collect();
    Ok(check.fail("DMS may not read every table", format!("{} tables are closed to {role}.", rows.len()), mend))
}

const WRITER: &str = "SELECT r.rolcanlogin, r.rolsuper OR has_parameter_privilege(r.oid, 'session_replication_role', 'SET') \
     OR EXISTS (SELECT FROM pg_roles m WHERE m.rolname = 'rds_superuser' AND pg_has_role(r.oid, m.oid, 'MEMBER')), \
     r.rolname = current_user FROM pg_roles r WHERE r.rolname = $1";

/// The login at the target is DMS's alone: it is taken away at the switch.
async fn writer(target: &Session, task: &DmsTask) -> Result<Finding> {
    let role = &task.target.role;
    let check = Check {
        id: "dms-target-login",
        system: target.system(),
        why: "It is taken away before the target opens, so that nothing is carried in a circle; and with it DMS keeps \
              triggers and foreign keys from firing twice.",
    };
    let rows = target.rows("look at the login of DMS", WRITER, &[role]).await?;
    let Some(row) = rows.first() else { return Ok(check.fail("DMS has no login there", no_role(role), create(role))) };
    let (logs_in, replica, ours): (bool, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let name = ident(role);
    if ours {
        let detail = format!("{role} is the role of this run, which would shut itself out.");
        return Ok(check.fail("DMS has no login of its own", detail, create("dms")));
    }
    if !logs_in || !replica {
        let mend = vec![
            format!("ALTER ROLE {name} LOGIN;"),
            format!(
                "GRANT SET ON PARAMETER session_replication_role TO {name}; -- on RDS: GRANT rds_superuser TO {name};"
            ),
        ];
        let detail = format!("{role} must log in, and set session_replication_role.");
        return Ok(check.fail("the login of DMS can't write as a replica", detail, mend));
    }
    Ok(check.pass("the login of DMS writes as a replica", format!("{role}.")))
}

fn no_role(role: &str) -> String {
    format!("There is no role {role}.")
}

fn create(role: &str) -> Vec<String> {
    vec![format!("CREATE ROLE {} LOGIN PASSWORD '…'; -- of DMS's own", ident(role))]
}

const KEYLESS: &str = "SELECT t FROM unnest($1::text[]) t WHERE NOT EXISTS \
     (SELECT FROM pg_index i WHERE i.indrelid = t::regclass AND i.indisprimary)";

/// "Using a PostgreSQL database as a source": a table must have a primary key for its changes to be carried.
async fn keys(source: &Session, plan: &Plan) -> Result<Finding> {
    let check = Check {
        id: "dms-primary-key",
        system: source.system(),
        why: "Of a table without a primary key DMS carries no update and no delete, and compares no row.",
    };
    let rows = source.rows("look for primary keys", KEYLESS, &[&tables(plan)]).await?;
    if rows.is_empty() {
        return Ok(check.pass("every table has a primary key", format!("{} tables.", plan.choices.tables.len())));
    }
    let mend = rows.iter().map(|row| format!("ALTER TABLE {} ADD PRIMARY KEY (…);", row.get::<_, String>(0))).collect();
    Ok(check.fail("tables have no primary key", format!("{} tables.", rows.len()), mend))
}

/// Columns that DMS takes for large ("Source data types for PostgreSQL": CLOB, NCLOB and BLOB), as text.
const LARGE: &str = "SELECT format('%I.%I', n.nspname, c.relname), quote_ident(a.attname), a.atttypid = 'bytea'::regtype FROM pg_attribute a \
     JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r' AND n.nspname::text = ANY ($1) \
       AND a.atttypid IN ('text'::regtype, 'bytea'::regtype, 'json'::regtype, 'jsonb'::regtype, 'xml'::regtype) ORDER BY 1, 2";

/// A value that is longer than `lob: { limited: … }` allows stops the task, or is cut off.
async fn long_values(source: &Session, plan: &Plan, limit: u64) -> Result<Finding> {
    let check = Check {
        id: "dms-long-values",
        system: source.system(),
        why: "DMS carries nothing that is longer than `lob` says: it stops there, or cuts it off.",
    };
    let mut found = Vec::new();
    for row in source.rows("look for large columns", LARGE, &[&plan.choices.schemas]).await? {
        let (table, column, bytes): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        // What a bytea's text is has nothing to do with its length.
        let value = if bytes { column.clone() } else { format!("{column}::text") };
        let sql = format!("SELECT coalesce(max(octet_length({value})), 0)::bigint FROM {table}");
        let longest: i64 = source.value("look for long values", &sql, &[]).await?;
        found.push((format!("{table}.{column}"), u64::try_from(longest).unwrap_or(0)));
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
    let detail = "No update of a primary key's columns, and no change of the schema. (Indexes, constraints, defaults, \
                  triggers and sequences are made and carried by the run; a value that is too long stops the task.)";
    let mend =
        vec!["-- make sure that nothing does this while the task runs; keep `verify` before `finalize`".to_owned()];
    check.warn("what DMS does not carry", detail, mend)
}

/// Writes wait in the window for as long as DMS takes.
pub(in crate::engine) fn budget(plan: &Plan) -> Option<Finding> {
    let (position, window) = plan.window()?;
    let check = Check {
        id: "dms-budget",
        system: &plan.steps[position].id,
        why: "Inside the window writes wait until a row has gone through DMS, which takes seconds.",
    };
    let detail = format!("It is {}.", window.budget);
    Some(if window.budget.0 < SECONDS_IN_DMS {
        let mend = vec!["-- `budget: 60s`, or more than the latency that DMS shows twice".to_owned()];
        check.warn("the window's budget is small for DMS", detail, mend)
    } else {
        check.pass("the window's budget is large enough for DMS", detail)
    })
}

fn tables(plan: &Plan) -> Vec<String> {
    plan.choices.tables.iter().map(|(schema, table)| format!("{}.{}", ident(schema), ident(table))).collect()
}

/// What a run asks of IAM for DMS: its resources get their ARNs when they are made, so that most are not bound.
pub(crate) fn permissions(plan: &Plan) -> Vec<Permission> {
    let Some(task) = carrier::task(plan) else { return Vec::new() };
    let of_task = Operations::of(words::runner(plan));
    let mut operations = vec!["CreateEndpoint", "DescribeEndpoints", "DeleteEndpoint", "AddTagsToResource"];
    operations.extend([of_task.create, of_task.start, of_task.stop, of_task.delete, of_task.statistics]);
    operations.extend(of_task.looks);
    if words::runner(plan) == DmsRunner::Instance {
        operations.extend(["DescribeReplicationInstances", "TestConnection", "DescribeConnections"]);
    }
    if words::spec(plan, task).is_some_and(|spec| spec.create.is_some()) {
        operations.extend(["CreateReplicationInstance", "DeleteReplicationInstance"]);
    }
    let mut all: Vec<Permission> =
        operations.into_iter().map(|operation| Permission::anywhere(Service::Dms, operation)).collect();
    all.push(Permission::anywhere(Service::Cloudwatch, "GetMetricData"));
    let roles = [&task.source, &task.target].into_iter().filter_map(|login| login.access_role.clone());
    all.extend(roles.map(|role| Permission::on(Service::Iam, "PassRole", role)));
    all
}
