//! Reading what DMS has.

use aws_sdk_databasemigration::types as sdk;

use super::{Connection, Endpoint, Instance, MISSING, State, Table, Task};
use crate::runbook::model::DmsRunner;
use crate::systems::Result;
use crate::systems::aws::{Aws, Service};

fn filter(name: &str, value: &str) -> sdk::Filter {
    sdk::Filter::builder().name(name).values(value).build().unwrap_or_else(|_| unreachable!("both are set"))
}

/// DMS answers a filter that lets nothing through with an error.
fn or_none<T>(answer: Result<Option<T>>) -> Result<Option<T>> {
    match answer {
        Err(error) if error.is_code(MISSING) => Ok(None),
        other => other,
    }
}

fn text(value: Option<String>) -> String {
    value.unwrap_or_default()
}

/// A replication instance by its identifier.
pub async fn instance(aws: &Aws, identifier: &str) -> Result<Option<Instance>> {
    let filter = filter("replication-instance-id", identifier);
    let ask = || aws.dms().describe_replication_instances().filters(filter.clone()).send();
    let answer = aws.read(Service::Dms, &format!("look at the replication instance {identifier}"), ask).await;
    or_none(
        answer.map(|answer| answer.replication_instances.unwrap_or_default().into_iter().map(Instance::from).next()),
    )
}

impl From<sdk::ReplicationInstance> for Instance {
    fn from(found: sdk::ReplicationInstance) -> Self {
        Self {
            arn: text(found.replication_instance_arn),
            identifier: text(found.replication_instance_identifier),
            status: text(found.replication_instance_status),
            class: text(found.replication_instance_class),
            version: text(found.engine_version),
        }
    }
}

/// An endpoint by its identifier.
pub async fn endpoint(aws: &Aws, identifier: &str) -> Result<Option<Endpoint>> {
    let filter = filter("endpoint-id", identifier);
    let ask = || aws.dms().describe_endpoints().filters(filter.clone()).send();
    let answer = aws.read(Service::Dms, &format!("look at the endpoint {identifier}"), ask).await;
    let ours = |found: sdk::Endpoint| Endpoint {
        arn: text(found.endpoint_arn),
        identifier: text(found.endpoint_identifier),
        status: text(found.status),
    };
    or_none(answer.map(|answer| answer.endpoints.unwrap_or_default().into_iter().map(ours).next()))
}

/// The last test of a connection; none when there was none.
pub async fn connection(aws: &Aws, instance: &str, endpoint: &str) -> Result<Option<Connection>> {
    let filters = vec![filter("endpoint-arn", endpoint), filter("replication-instance-arn", instance)];
    let ask = || aws.dms().describe_connections().set_filters(Some(filters.clone())).send();
    let answer = aws.read(Service::Dms, "look at the test of the connection", ask).await;
    let same = |found: &sdk::Connection| {
        found.endpoint_arn() == Some(endpoint) && found.replication_instance_arn() == Some(instance)
    };
    let ours =
        |found: sdk::Connection| Connection { status: text(found.status), failure: text(found.last_failure_message) };
    or_none(answer.map(|answer| answer.connections.unwrap_or_default().into_iter().find(same).map(ours)))
}

/// A task by its identifier. Boxed: a future that holds both ways is too deep a type for those that hold it.
pub async fn task(aws: &Aws, runner: DmsRunner, identifier: &str) -> Result<Option<Task>> {
    match runner {
        DmsRunner::Instance => Box::pin(on_instance(aws, identifier)).await,
        DmsRunner::Serverless => Box::pin(serverless(aws, identifier)).await,
    }
}

async fn on_instance(aws: &Aws, identifier: &str) -> Result<Option<Task>> {
    let filter = filter("replication-task-id", identifier);
    let ask = || aws.dms().describe_replication_tasks().filters(filter.clone()).send();
    let answer = aws.read(Service::Dms, &format!("look at the task {identifier}"), ask).await;
    or_none(answer.map(|answer| answer.replication_tasks.unwrap_or_default().into_iter().map(Task::from).next()))
}

impl From<sdk::ReplicationTask> for Task {
    fn from(found: sdk::ReplicationTask) -> Self {
        let status = text(found.status);
        Self {
            arn: text(found.replication_task_arn),
            state: State::read(DmsRunner::Instance, &status, ""),
            status,
            stop_reason: text(found.stop_reason),
            failure: text(found.last_failure_message),
        }
    }
}

/// The replication says how it is. Before there is one, its configuration says that it will be.
async fn serverless(aws: &Aws, identifier: &str) -> Result<Option<Task>> {
    let filter = filter("replication-config-id", identifier);
    let ask = || aws.dms().describe_replications().filters(filter.clone()).send();
    let what = format!("look at the serverless replication {identifier}");
    let answer = aws.read(Service::Dms, &what, ask).await;
    let found = answer.map(|answer| answer.replications.unwrap_or_default().into_iter().map(Task::from).next());
    if let Some(found) = or_none(found)? {
        return Ok(Some(found));
    }
    let ask = || aws.dms().describe_replication_configs().filters(filter.clone()).send();
    let answer = aws.read(Service::Dms, &what, ask).await;
    or_none(answer.map(|answer| answer.replication_configs.unwrap_or_default().into_iter().map(never_started).next()))
}

impl From<sdk::Replication> for Task {
    fn from(found: sdk::Replication) -> Self {
        let (status, capacity) = (text(found.status), found.provision_data.and_then(|data| data.provision_state));
        Self {
            arn: text(found.replication_config_arn),
            state: State::read(DmsRunner::Serverless, &status, capacity.as_deref().unwrap_or_default()),
            status,
            stop_reason: text(found.stop_reason),
            failure: found.failure_messages.unwrap_or_default().join("; "),
        }
    }
}

fn never_started(found: sdk::ReplicationConfig) -> Task {
    let (stop_reason, failure) = (String::new(), String::new());
    let (status, state) = ("created".to_owned(), State::Ready);
    Task { arn: text(found.replication_config_arn), status, state, stop_reason, failure }
}

/// What a task says of its tables, all pages of it.
pub async fn tables(aws: &Aws, runner: DmsRunner, task: &str) -> Result<Vec<Table>> {
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let (tables, marker) = Box::pin(page(aws, runner, task, next)).await?;
        found.extend(tables.unwrap_or_default().into_iter().map(Table::from));
        next = marker.filter(|marker| !marker.is_empty());
        if next.is_none() {
            return Ok(found);
        }
    }
}

type Page = (Option<Vec<sdk::TableStatistics>>, Option<String>);

async fn page(aws: &Aws, runner: DmsRunner, task: &str, from: Option<String>) -> Result<Page> {
    let what = "read the statistics of the tables";
    match runner {
        DmsRunner::Instance => {
            let call = || aws.dms().describe_table_statistics().replication_task_arn(task);
            let ask = || call().max_records(500).set_marker(from.clone()).send();
            let answer = aws.read(Service::Dms, what, ask).await?;
            Ok((answer.table_statistics, answer.marker))
        }
        DmsRunner::Serverless => {
            let call = || aws.dms().describe_replication_table_statistics().replication_config_arn(task);
            let ask = || call().max_records(500).set_marker(from.clone()).send();
            let answer = aws.read(Service::Dms, what, ask).await?;
            Ok((answer.replication_table_statistics, answer.marker))
        }
    }
}

impl From<sdk::TableStatistics> for Table {
    fn from(found: sdk::TableStatistics) -> Self {
        Self {
            schema: text(found.schema_name),
            name: text(found.table_name),
            state: text(found.table_state),
            loaded: found.full_load_rows,
            errors: found.full_load_error_rows,
            validation: text(found.validation_state),
            pending: found.validation_pending_records,
            failed: found.validation_failed_records,
            suspended: found.validation_suspended_records,
        }
    }
}
