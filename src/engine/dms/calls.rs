//! The calls to DMS as the plan shows them, word for word, for each way of DMS.

use serde_json::{Value, json};

use super::words::{self, Names};
use crate::engine::Lines;
use crate::engine::postgres::carrier;
use crate::plan::Plan;
use crate::runbook::model::{DmsInstance, DmsServerless, DmsTask, Replicate};
use crate::systems::aws::dms::{self as driver, Operations, SOURCE_ATTRIBUTES, Start, TARGET_SCRIPT};
use crate::systems::aws::{Call, Service};

/// Everything up to the end of the load.
pub(in crate::engine) fn makes(plan: &Plan, task: &DmsTask, step: &Replicate) -> Vec<Call> {
    let names = Names::planned();
    let create = words::spec(plan, task).and_then(|spec| spec.create.as_ref());
    let mut calls: Vec<Call> = create.map(|create| create_instance(create, &names)).into_iter().collect();
    calls.extend(endpoints(plan, task, &names));
    calls.extend(task_calls(plan, task, step, &names));
    calls
}

/// What lets the task go on where it stopped.
pub(in crate::engine) fn resume(plan: &Plan) -> Call {
    start(plan, &Names::planned(), Start::Resume)
}

fn start(plan: &Plan, names: &Names, how: Start) -> Call {
    let operations = Operations::of(words::runner(plan));
    let parameters = json!({ operations.arn: names.task, operations.kind: how.word() });
    Call::new(Service::Dms, operations.start, parameters)
}

fn create_instance(create: &DmsInstance, names: &Names) -> Call {
    let parameters = json!({
        "ReplicationInstanceIdentifier": names.instance, "ReplicationInstanceClass": create.class,
        "AllocatedStorage": driver::gibibytes(create), "ReplicationSubnetGroupIdentifier": create.subnet_group,
        "VpcSecurityGroupIds": create.security_groups, "EngineVersion": create.engine_version,
        "MultiAZ": create.multi_az, "PubliclyAccessible": false, "AutoMinorVersionUpgrade": false,
    });
    Call::new(Service::Dms, "CreateReplicationInstance", parameters)
}

/// Both endpoints. Where there is an instance, each is tested from it; a serverless replication tests them as it starts.
fn endpoints(plan: &Plan, task: &DmsTask, names: &Names) -> Vec<Call> {
    let tested = words::serverless(plan, task).is_none();
    let mut calls = Vec::new();
    for (login, name, source) in [(&task.source, &names.source, true), (&task.target, &names.target, false)] {
        let mut parameters = json!({
            "EndpointIdentifier": name, "EndpointType": if source { "source" } else { "target" },
            "EngineName": words::engine(plan, login).name(), "DatabaseName": words::database(plan, source),
            "SslMode": driver::tls_word(login.tls, login.certificate.is_some()), "CertificateArn": login.certificate,
        });
        let (key, mut settings) = endpoint_settings(plan, source);
        if source && !words::is_mysql(plan) {
            parameters["ExtraConnectionAttributes"] = json!(SOURCE_ATTRIBUTES);
        }
        if let (Some(secret), Some(role)) = (&login.secret, &login.access_role) {
            settings["SecretsManagerSecretId"] = json!(secret);
            settings["SecretsManagerAccessRoleArn"] = json!(role);
        } else {
            parameters["Username"] = json!(login.role);
            parameters["Password"] = json!("not shown");
        }
        parameters[key] = settings;
        calls.push(Call::new(Service::Dms, "CreateEndpoint", parameters));
        if tested {
            let tested = json!({ "ReplicationInstanceArn": "THE INSTANCE", "EndpointArn": name });
            calls.push(Call::new(Service::Dms, "TestConnection", tested));
        }
    }
    calls
}

/// What only a kind of server has, under its key.
fn endpoint_settings(plan: &Plan, source: bool) -> (&'static str, Value) {
    if words::is_mysql(plan) {
        return ("MySQLSettings", json!({ "AfterConnectScript": words::script(plan, source) }));
    }
    let settings = if source {
        json!({ "CaptureDdls": false, "HeartbeatEnable": false, "FailTasksOnLobTruncation": true })
    } else {
        json!({ "AfterConnectScript": TARGET_SCRIPT })
    };
    ("PostgreSQLSettings", settings)
}

fn task_calls(plan: &Plan, task: &DmsTask, step: &Replicate, names: &Names) -> Vec<Call> {
    let operations = Operations::of(words::runner(plan));
    let (mappings, settings) = (words::mappings(&plan.choices).to_string(), words::settings(task, step).to_string());
    let ends =
        json!({ "SourceEndpointArn": names.source, "TargetEndpointArn": names.target, "TableMappings": mappings });
    let own = match words::serverless(plan, task) {
        Some(spec) => json!({
            "ReplicationConfigIdentifier": names.task, "ResourceIdentifier": names.task,
            "ReplicationType": "full-load-and-cdc", "ComputeConfig": compute(spec), "ReplicationSettings": settings,
        }),
        None => json!({
            "ReplicationTaskIdentifier": names.task, "MigrationType": "full-load-and-cdc",
            "ReplicationInstanceArn": "THE INSTANCE", "ReplicationTaskSettings": settings,
        }),
    };
    let look = json!({ operations.arn: names.task });
    vec![
        Call::new(Service::Dms, operations.create, merged(ends, own)),
        start(plan, names, Start::New),
        Call::new(Service::Dms, operations.statistics, look),
    ]
}

fn compute(spec: &DmsServerless) -> Value {
    json!({
        "MinCapacityUnits": spec.min_capacity, "MaxCapacityUnits": spec.max_capacity, "MultiAZ": spec.multi_az,
        "ReplicationSubnetGroupId": spec.subnet_group, "VpcSecurityGroupIds": spec.security_groups,
    })
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Some(one), Value::Object(other)) = (one.as_object_mut(), other) {
        one.extend(other);
    }
    one
}

/// What takes away all that the run makes in DMS, in order.
pub(in crate::engine) fn deletions(plan: &Plan) -> Lines {
    let Some(task) = carrier::task(plan) else { return Vec::new() };
    let (names, operations) = (Names::planned(), Operations::of(words::runner(plan)));
    let mut all = vec![
        (operations.stop, operations.arn, names.task.as_str()),
        (operations.delete, operations.arn, names.task.as_str()),
        ("DeleteEndpoint", "EndpointArn", names.source.as_str()),
        ("DeleteEndpoint", "EndpointArn", names.target.as_str()),
    ];
    if words::spec(plan, task).is_some_and(|spec| spec.create.is_some()) {
        all.push(("DeleteReplicationInstance", "ReplicationInstanceArn", names.instance.as_str()));
    }
    let line =
        |(operation, key, name): (_, &str, &str)| Call::new(Service::Dms, operation, json!({ key: name })).to_string();
    all.into_iter().map(|call| (task.instance.clone(), line(call))).collect()
}
