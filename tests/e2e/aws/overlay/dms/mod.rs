//! DMS: its control plane as we believe it to be, and behind it a task that really loads and follows, from one real server
//! to another, with the logins that it was told, by `test_decoding`, as DMS does.
//!
//! Taken from the DMS API reference (`CreateReplicationInstance`, `CreateEndpoint`, `TestConnection`,
//! `CreateReplicationTask`, `StartReplicationTask`: "the only valid value for the first run of the task is
//! start-replication", `StopReplicationTask`, `DeleteReplicationTask`, `DescribeTableStatistics`, `ReplicationTask`: its
//! stop reasons) and the user guide: "Task status", "Full-load task settings" (`StopTaskCachedChangesApplied`), "Deleting a
//! replication instance" (its tasks first), "Using a PostgreSQL database as a source" (a slot, the plugin `test_decoding`,
//! origins are not looked at), "… as a target" (`AfterConnectScript`), "Selection rules", "Transformation rules".
//!
//! MySQL: from "Using a MySQL-compatible database as a source" that it reads the binary log as a replica does, with
//! `REPLICATION SLAVE` and `REPLICATION CLIENT`; from "… as a target" that it writes ordinary statements as an ordinary
//! user, so that triggers and foreign keys act, and every row is a transaction of the target's own.
//!
//! Serverless is in `serverless.rs`.
//!
//! Also a belief: a task whose target refuses its login stays `running` and tries again ("recoverable error").

mod binlog;
mod columns;
mod decode;
mod mysql;
mod rows;
mod serverless;
mod things;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::aws::proxy::{Asked, Overlay, Protocol, Reply, refusal};
pub use rows::{Login, TableOf};
use serverless::{ON_INSTANCE, SERVERLESS, Words};
use things::{Connection, Endpoint, On, Task, Thing, Told};

/// How many looks each state that passes by itself lasts.
const LOOKS: usize = 2;

/// DMS in one account and region.
#[derive(Clone, Default)]
pub struct Dms(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    instances: Vec<Thing>,
    endpoints: Vec<Endpoint>,
    /// By the ARNs of instance and endpoint.
    connections: BTreeMap<(String, String), Connection>,
    tasks: Vec<Task>,
    next: usize,
    /// How often tasks were started, those too that are gone; and what all of them said.
    starts: usize,
    told: Vec<Arc<Mutex<Told>>>,
    /// The table whose load fails next, once.
    fails: Option<String>,
    /// Secrets that DMS may read, by their ARNs: what it would be told otherwise.
    secrets: BTreeMap<String, Value>,
    /// MySQL: the program that reads a binary log.
    reader: std::path::PathBuf,
}

type Answer = Result<Value, (&'static str, String)>;

const MISSING: &str = "ResourceNotFoundFault";
const STATE: &str = "InvalidResourceStateFault";
const EXISTS: &str = "ResourceAlreadyExistsFault";

impl Dms {
    /// With a replication instance that is there.
    pub fn with_instance(name: &str) -> Self {
        let dms = Self::default();
        dms.lock().make_instance(name, "available", Value::Null);
        dms
    }

    /// A secret with `username`, `password`, `host` and `port`, as DMS wants them.
    pub fn secret(&self, arn: &str, secret: Value) {
        self.lock().secrets.insert(arn.to_owned(), secret);
    }

    /// Follows MySQL or MariaDB with this program, `mysqlbinlog` or `mariadb-binlog`.
    pub fn reads_with(&self, program: std::path::PathBuf) {
        self.lock().reader = program;
    }

    /// The load of this table fails, once.
    pub fn fails(&self, table: &str) {
        self.lock().fails = Some(table.to_owned());
    }

    /// The names of everything that is there.
    pub fn there(&self) -> Vec<String> {
        let state = self.lock();
        let things = state.instances.iter().chain(state.endpoints.iter().map(|one| &one.thing));
        let all = things.chain(state.tasks.iter().map(|task| &task.thing));
        all.filter(|thing| thing.status != "deleting").map(|thing| thing.name.clone()).collect()
    }

    /// What the tasks say that they found in a table.
    pub fn validation(&self, table: &str) -> String {
        let state = self.lock();
        let told = state.tasks.iter().flat_map(|task| lock(&task.told).tables.clone());
        told.map(|found| found.described())
            .find(|found| found["TableName"] == table)
            .map_or_else(String::new, |found| found["ValidationState"].as_str().unwrap_or_default().to_owned())
    }

    /// How often tasks were really started.
    pub fn started(&self) -> usize {
        self.lock().starts
    }

    /// Transactions that the tasks have applied behind their loads.
    pub fn applied(&self) -> u64 {
        self.lock().told.iter().map(|told| lock(told).applied).sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Overlay for Dms {
    fn instead(&self, asked: &Asked) -> Option<Reply> {
        if asked.service != "dms" {
            return None;
        }
        let answer = self.answer(&asked.action, &asked.parameters);
        Some(match answer {
            Ok(body) => Reply::new(200, "application/x-amz-json-1.1", body.to_string()),
            Err((code, message)) => refusal(Protocol::Json, 400, code, &message),
        })
    }
}

impl Dms {
    fn answer(&self, action: &str, asked: &Value) -> Answer {
        let mut state = self.lock();
        match action {
            "DescribeReplicationInstances" => state.describe_instances(asked),
            "CreateReplicationInstance" => state.create_instance(asked),
            "DeleteReplicationInstance" => state.delete_instance(asked),
            "DescribeEndpoints" => state.describe_endpoints(asked),
            "CreateEndpoint" => state.create_endpoint(asked),
            "DeleteEndpoint" => state.delete_endpoint(asked),
            "TestConnection" => self.test(&mut state, asked),
            "DescribeConnections" => state.describe_connections(asked),
            "DescribeReplicationTasks" => state.describe_tasks(asked),
            "CreateReplicationTask" => state.create_task(asked),
            "StartReplicationTask" => state.start(asked, &ON_INSTANCE),
            "StopReplicationTask" => state.stop(asked, ON_INSTANCE.arn),
            "DeleteReplicationTask" => state.delete_task(asked, ON_INSTANCE.arn),
            "DescribeTableStatistics" => state.statistics(asked, &ON_INSTANCE),
            "DescribeReplications" => state.describe_replications(asked),
            "DescribeReplicationConfigs" => state.describe_configs(asked),
            "CreateReplicationConfig" => state.create_config(asked),
            "StartReplication" => state.start(asked, &SERVERLESS),
            "StopReplication" => state.stop(asked, SERVERLESS.arn),
            "DeleteReplicationConfig" => state.delete_task(asked, SERVERLESS.arn),
            "DescribeReplicationTableStatistics" => state.statistics(asked, &SERVERLESS),
            other => Err(("UnknownOperationException", format!("the overlay has no {other}"))),
        }
    }

    /// Really dials, with the login that it was told.
    fn test(&self, state: &mut State, asked: &Value) -> Answer {
        let (instance, endpoint) = (text(asked, "ReplicationInstanceArn"), text(asked, "EndpointArn"));
        let Some(found) = state.endpoints.iter().find(|one| one.thing.arn == endpoint) else {
            return Err((MISSING, "no such endpoint".into()));
        };
        let (login, key) = (found.login.clone(), (instance, endpoint));
        state.connections.insert(key.clone(), Connection { status: "testing", ..Connection::default() });
        let dms = self.clone();
        tokio::spawn(async move {
            let outcome = if mysql::is_mysql(&login) {
                mysql::connect(&login).await.map(drop)
            } else {
                login.connect().await.map(drop)
            };
            if let Some(connection) = dms.lock().connections.get_mut(&key) {
                connection.outcome = Some(outcome);
            }
        });
        Ok(json!({ "Connection": { "Status": "testing" } }))
    }
}

fn text(asked: &Value, key: &str) -> String {
    asked[key].as_str().unwrap_or_default().to_owned()
}

fn filtered(asked: &Value, name: &str) -> Option<String> {
    let filters = asked["Filters"].as_array()?;
    filters
        .iter()
        .find(|filter| filter["Name"] == name)
        .and_then(|filter| Some(filter["Values"][0].as_str()?.to_owned()))
}

impl State {
    fn thing(&mut self, kind: &str, name: &str, status: &'static str, asked: Value) -> Thing {
        self.next += 1;
        let arn = format!("arn:aws:dms:us-east-1:123456789012:{kind}:X{:09}", self.next);
        Thing { arn, name: name.to_owned(), status, looks: 0, asked }
    }

    fn make_instance(&mut self, name: &str, status: &'static str, asked: Value) {
        let thing = self.thing("rep", name, status, asked);
        self.instances.push(thing);
    }

    fn describe_instances(&mut self, asked: &Value) -> Answer {
        self.instances.retain_mut(|thing| !thing.is_gone());
        let name = filtered(asked, "replication-instance-id");
        let mut found = Vec::new();
        for thing in self.instances.iter_mut().filter(|thing| name.as_ref().is_none_or(|name| *name == thing.name)) {
            thing.look("creating", "available");
            found.push(json!({ "ReplicationInstanceIdentifier": thing.name, "ReplicationInstanceArn": thing.arn,
                "ReplicationInstanceStatus": thing.status, "ReplicationInstanceClass": "dms.t3.medium",
                "EngineVersion": "3.5.4", "AllocatedStorage": 50, "InstanceCreateTime": 1_780_000_000.5 }));
        }
        or_missing(&found, "ReplicationInstances")
    }

    fn create_instance(&mut self, asked: &Value) -> Answer {
        let name = text(asked, "ReplicationInstanceIdentifier");
        if self.instances.iter().any(|thing| thing.name == name) {
            return Err((EXISTS, format!("Replication instance already exists: {name}")));
        }
        assert_eq!(asked["PubliclyAccessible"], false, "{asked}");
        self.make_instance(&name, "creating", asked.clone());
        Ok(json!({ "ReplicationInstance": { "ReplicationInstanceStatus": "creating" } }))
    }

    fn delete_instance(&mut self, asked: &Value) -> Answer {
        let arn = text(asked, "ReplicationInstanceArn");
        if self.tasks.iter().any(|task| task.on == On::Instance(arn.clone())) {
            return Err((STATE, "the replication instance has tasks".into()));
        }
        let found = self.instances.iter_mut().find(|thing| thing.arn == arn);
        deleting(found)
    }

    fn describe_endpoints(&mut self, asked: &Value) -> Answer {
        self.endpoints.retain_mut(|endpoint| !endpoint.thing.is_gone());
        let name = filtered(asked, "endpoint-id");
        let ours = self.endpoints.iter().filter(|one| name.as_ref().is_none_or(|name| *name == one.thing.name));
        let found = ours.map(|one| {
            json!({ "EndpointIdentifier": one.thing.name, "EndpointArn": one.thing.arn,
                                           "Status": one.thing.status, "Username": one.login.user })
        });
        or_missing(&found.collect::<Vec<_>>(), "Endpoints")
    }

    fn create_endpoint(&mut self, asked: &Value) -> Answer {
        let name = text(asked, "EndpointIdentifier");
        if self.endpoints.iter().any(|one| one.thing.name == name) {
            return Err((EXISTS, format!("Endpoint already in use: {name}")));
        }
        let thing = self.thing("endpoint", &name, "active", asked.clone());
        let login = Login::told(asked);
        let login = match login.secret.as_ref().and_then(|arn| self.secrets.get(arn)) {
            Some(secret) => login.with(secret),
            None => login,
        };
        self.endpoints.push(Endpoint { thing, login });
        Ok(json!({ "Endpoint": { "EndpointIdentifier": name, "Status": "active" } }))
    }

    fn delete_endpoint(&mut self, asked: &Value) -> Answer {
        let arn = text(asked, "EndpointArn");
        if self.tasks.iter().any(|task| task.source == arn || task.target == arn) {
            return Err((STATE, "the endpoint is used by a task".into()));
        }
        self.connections.retain(|(_, endpoint), _| *endpoint != arn);
        deleting(self.endpoints.iter_mut().map(|one| &mut one.thing).find(|thing| thing.arn == arn))
    }

    fn describe_connections(&mut self, asked: &Value) -> Answer {
        let wanted = (filtered(asked, "replication-instance-arn"), filtered(asked, "endpoint-arn"));
        let mut found = Vec::new();
        for ((instance, endpoint), connection) in &mut self.connections {
            let is = |wanted: &Option<String>, arn: &String| wanted.as_ref().is_none_or(|wanted| wanted == arn);
            if !is(&wanted.0, instance) || !is(&wanted.1, endpoint) {
                continue;
            }
            connection.look();
            found.push(json!({ "ReplicationInstanceArn": instance, "EndpointArn": endpoint,
                               "Status": connection.status, "LastFailureMessage": connection.failure }));
        }
        or_missing(&found, "Connections")
    }

    fn describe_tasks(&mut self, asked: &Value) -> Answer {
        self.tasks.retain_mut(|task| !task.thing.is_gone());
        let name = filtered(asked, "replication-task-id");
        let mut found = Vec::new();
        let ours =
            |task: &&mut Task| task.on != On::Serverless && name.as_ref().is_none_or(|name| *name == task.thing.name);
        for task in self.tasks.iter_mut().filter(ours) {
            task.look();
            let (reason, failure) = task.words();
            found.push(json!({ "ReplicationTaskIdentifier": task.thing.name, "ReplicationTaskArn": task.thing.arn,
                "Status": task.thing.status, "StopReason": reason, "LastFailureMessage": failure,
                "SourceEndpointArn": task.source, "TargetEndpointArn": task.target,
                "ReplicationTaskCreationDate": 1_780_000_000.25,
                "TableMappings": task.thing.asked["TableMappings"],
                "ReplicationTaskSettings": task.thing.asked["ReplicationTaskSettings"] }));
        }
        or_missing(&found, "ReplicationTasks")
    }

    fn create_task(&mut self, asked: &Value) -> Answer {
        let name = text(asked, "ReplicationTaskIdentifier");
        if self.tasks.iter().any(|task| task.thing.name == name) {
            return Err((EXISTS, format!("Replication task already exists: {name}")));
        }
        let ends = [text(asked, "SourceEndpointArn"), text(asked, "TargetEndpointArn")];
        let instance = text(asked, "ReplicationInstanceArn");
        let tested = |endpoint: &String| {
            self.connections.get(&(instance.clone(), endpoint.clone())).is_some_and(|one| one.status == "successful")
        };
        if !ends.iter().all(tested) {
            return Err((STATE, "Test connection for replication instance and endpoint should be successful".into()));
        }
        are_json(asked, ["TableMappings", "ReplicationTaskSettings"])?;
        let thing = self.thing("task", &name, "creating", asked.clone());
        self.add_task(thing, ends, On::Instance(instance));
        Ok(json!({ "ReplicationTask": { "ReplicationTaskIdentifier": name, "Status": "creating" } }))
    }

    fn add_task(&mut self, thing: Thing, [source, target]: [String; 2], on: On) {
        let told: Arc<Mutex<Told>> = Arc::default();
        self.told.push(Arc::clone(&told));
        self.tasks.push(Task { thing, source, target, on, told, started: 0, stop: None, loaded: false });
    }

    fn start(&mut self, asked: &Value, words: &Words) -> Answer {
        let (arn, how) = (text(asked, words.arn), text(asked, words.kind));
        let login = |arn: &str| self.endpoints.iter().find(|one| one.thing.arn == arn).map(|one| one.login.clone());
        let ends =
            self.tasks.iter().find(|task| task.thing.arn == arn).map(|task| (login(&task.source), login(&task.target)));
        let fails = self.fails.clone();
        let Some(task) = self.tasks.iter_mut().find(|task| task.thing.arn == arn) else {
            return Err((MISSING, "no such task".into()));
        };
        let first = task.started == 0;
        match (task.thing.status, how.as_str()) {
            ("ready" | "created", "start-replication") if first => self.fails = None,
            ("stopped" | "failed", "resume-processing") if !first => {}
            ("ready" | "created" | "stopped" | "failed", _) => {
                let message = format!("Start Type : {how}, is not valid for this task");
                return Err(("InvalidParameterCombinationException", message));
            }
            (status, _) => return Err((STATE, format!("the task is {status}"))),
        }
        let Some((Some(source), Some(target))) = ends else { return Err((STATE, "an endpoint is gone".into())) };
        let (stop, stopped) = watch::channel(false);
        task.started += 1;
        (task.thing.status, task.thing.looks, task.stop) = (words.starting, 0, Some(stop));
        lock(&task.told).ended = None;
        let (asked, told) = (&task.thing.asked, Arc::clone(&task.told));
        if mysql::is_mysql(&source) {
            let work = mysql::Work::new(&self.reader, asked, (source, target), told, fails);
            tokio::spawn(work.run(!task.loaded, stopped));
        } else {
            let work = rows::Work::new(&task.thing.arn, asked, (source, target), told, fails);
            tokio::spawn(work.run(!task.loaded, stopped));
        }
        self.starts += 1;
        Ok(json!({ words.answer: { "Status": words.starting } }))
    }

    fn stop(&mut self, asked: &Value, key: &str) -> Answer {
        let arn = text(asked, key);
        let Some(task) = self.tasks.iter_mut().find(|task| task.thing.arn == arn) else {
            return Err((MISSING, "no such task".into()));
        };
        if task.thing.status == "stopping" || !task.is_busy() {
            return Err((STATE, format!("Replication Task cannot be stopped, it is {}", task.thing.status)));
        }
        (task.thing.status, task.thing.looks) = ("stopping", 0);
        if let Some(stop) = &task.stop {
            stop.send(true).ok();
        }
        Ok(json!({}))
    }

    /// With a task goes its slot.
    fn delete_task(&mut self, asked: &Value, key: &str) -> Answer {
        let arn = text(asked, key);
        let login = |arn: &str| self.endpoints.iter().find(|one| one.thing.arn == arn).map(|one| one.login.clone());
        let source = self.tasks.iter().find(|task| task.thing.arn == arn).and_then(|task| login(&task.source));
        let found = self.tasks.iter_mut().find(|task| task.thing.arn == arn);
        if let Some(task) = found.as_ref().filter(|task| task.is_busy()) {
            return Err((STATE, format!("the task is {}", task.thing.status)));
        }
        if let Some(source) = source.filter(|login| !mysql::is_mysql(login)) {
            tokio::spawn(rows::drop_slot(source, arn));
        }
        deleting(found.map(|task| &mut task.thing))
    }

    fn statistics(&mut self, asked: &Value, words: &Words) -> Answer {
        let arn = text(asked, words.arn);
        let Some(task) = self.tasks.iter().find(|task| task.thing.arn == arn) else {
            return Err((MISSING, "no such task".into()));
        };
        let told = lock(&task.told);
        let tables: Vec<Value> = told.tables.iter().map(TableOf::described).collect();
        Ok(json!({ words.arn: arn, words.tables: tables }))
    }
}

fn are_json(asked: &Value, keys: [&str; 2]) -> Result<(), (&'static str, String)> {
    for key in keys {
        serde_json::from_str::<Value>(&text(asked, key))
            .map_err(|error| ("InvalidParameterValueException", error.to_string()))?;
    }
    Ok(())
}

/// A filter that lets nothing through is refused.
fn or_missing(found: &[Value], key: &str) -> Answer {
    if found.is_empty() {
        Err((MISSING, format!("No {key} found matching given filter")))
    } else {
        Ok(json!({ key: found }))
    }
}

fn deleting(found: Option<&mut Thing>) -> Answer {
    let Some(thing) = found else { return Err((MISSING, "it is not there".into())) };
    (thing.status, thing.looks) = ("deleting", 0);
    Ok(json!({}))
}
