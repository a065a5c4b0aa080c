//! A task, in both ways of DMS: how its state is read, and the calls that change it. None is sent twice when its answer was
//! lost; the caller looks.

use aws_sdk_databasemigration::types as sdk;

use super::change::tag;
use crate::runbook::model::{DmsRunner, DmsServerless};
use crate::systems::Result;
use crate::systems::aws::{Aws, Service};

/// What the calls about a task are called, and their parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations {
    /// Makes it.
    pub create: &'static str,
    /// Starts it, for the first time or again.
    pub start: &'static str,
    /// Stops it.
    pub stop: &'static str,
    /// Deletes it.
    pub delete: &'static str,
    /// Says how it is; all of these are asked.
    pub looks: &'static [&'static str],
    /// Says how its tables are.
    pub statistics: &'static str,
    /// The parameter that holds its ARN.
    pub arn: &'static str,
    /// The parameter that says how it starts.
    pub kind: &'static str,
}

impl Operations {
    /// Those of one way.
    #[must_use]
    pub const fn of(runner: DmsRunner) -> &'static Self {
        match runner {
            DmsRunner::Instance => &Self {
                create: "CreateReplicationTask",
                start: "StartReplicationTask",
                stop: "StopReplicationTask",
                delete: "DeleteReplicationTask",
                looks: &["DescribeReplicationTasks"],
                statistics: "DescribeTableStatistics",
                arn: "ReplicationTaskArn",
                kind: "StartReplicationTaskType",
            },
            DmsRunner::Serverless => &Self {
                create: "CreateReplicationConfig",
                start: "StartReplication",
                stop: "StopReplication",
                delete: "DeleteReplicationConfig",
                looks: &["DescribeReplications", "DescribeReplicationConfigs"],
                statistics: "DescribeReplicationTableStatistics",
                arn: "ReplicationConfigArn",
                kind: "StartReplicationType",
            },
        }
    }
}

/// Where a task stands, whatever DMS calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was never started.
    Ready,
    /// It was started, and does not run yet.
    Starting,
    /// It loads, or follows.
    Running,
    /// It stands still, and knows where it stopped.
    Stopped,
    /// It ended with an error.
    Failed,
    /// Serverless: it stood still for so long that DMS took its capacity away, and forgot its tables and its place.
    Forgotten,
    /// It is being deleted.
    Deleting,
    /// On the way from one of these to another.
    Passing,
}

impl State {
    /// Reads what DMS says: "Task status" of a task; "AWS DMS Serverless components" and "… limitations" of a serverless
    /// replication, whose capacity has a state of its own
    /// (<https://docs.aws.amazon.com/dms/latest/userguide/CHAP_Serverless.Limitations.html>).
    #[must_use]
    pub fn read(runner: DmsRunner, status: &str, capacity: &str) -> Self {
        match (runner, status) {
            (_, "running") => Self::Running,
            (_, "failed") => Self::Failed,
            (_, "deleting") => Self::Deleting,
            (_, "ready") | (DmsRunner::Serverless, "created") => Self::Ready,
            (DmsRunner::Serverless, "stopped") if capacity == "deprovisioned" => Self::Forgotten,
            (_, "stopped") => Self::Stopped,
            (DmsRunner::Instance, "starting") => Self::Starting,
            (
                DmsRunner::Serverless,
                "initializing"
                | "preparing_metadata_resources"
                | "testing_connection"
                | "fetching_metadata"
                | "calculating_capacity"
                | "provisioning_capacity"
                | "replication_starting",
            ) => Self::Starting,
            _ => Self::Passing,
        }
    }
}

/// What a task runs on.
#[derive(Clone, Debug)]
pub enum On<'a> {
    /// The replication instance of this ARN.
    Instance(String),
    /// Capacity that comes with it.
    Serverless(&'a DmsServerless),
}

/// A task to be made.
#[derive(Clone, Debug)]
pub struct NewTask<'a> {
    /// Its identifier.
    pub identifier: &'a str,
    /// What it runs on.
    pub on: &'a On<'a>,
    /// ARN of the source's endpoint.
    pub source: &'a str,
    /// ARN of the target's.
    pub target: &'a str,
    /// The tables, as JSON.
    pub mappings: &'a str,
    /// The settings, as JSON.
    pub settings: &'a str,
    /// The run that makes it.
    pub run: &'a str,
}

/// Makes a task; it does not start.
pub async fn create_task(aws: &Aws, new: &NewTask<'_>) -> Result<()> {
    match new.on {
        On::Instance(arn) => on_instance(aws, new, arn).await,
        On::Serverless(spec) => serverless(aws, new, spec).await,
    }
}

async fn on_instance(aws: &Aws, new: &NewTask<'_>, instance: &str) -> Result<()> {
    let ask = || {
        let call = aws.dms().create_replication_task().replication_task_identifier(new.identifier);
        let call = call.replication_instance_arn(instance).migration_type(sdk::MigrationTypeValue::FullLoadAndCdc);
        let call = call.source_endpoint_arn(new.source).target_endpoint_arn(new.target);
        call.table_mappings(new.mappings).replication_task_settings(new.settings).tags(tag(new.run)).send()
    };
    aws.write(Service::Dms, &format!("make the task {}", new.identifier), ask).await.map(drop)
}

/// The identifier is the end of its ARN too (`ResourceIdentifier`): by whichever of both CloudWatch knows it, it is known.
async fn serverless(aws: &Aws, new: &NewTask<'_>, spec: &DmsServerless) -> Result<()> {
    let groups = (!spec.security_groups.is_empty()).then(|| spec.security_groups.clone());
    let compute = sdk::ComputeConfig::builder()
        .set_min_capacity_units(spec.min_capacity.map(i32::from))
        .max_capacity_units(i32::from(spec.max_capacity))
        .multi_az(spec.multi_az)
        .set_replication_subnet_group_id(spec.subnet_group.clone())
        .set_vpc_security_group_ids(groups)
        .build();
    let ask = || {
        let call = aws.dms().create_replication_config().replication_config_identifier(new.identifier);
        let call = call.resource_identifier(new.identifier).replication_type(sdk::MigrationTypeValue::FullLoadAndCdc);
        let call = call.source_endpoint_arn(new.source).target_endpoint_arn(new.target).compute_config(compute.clone());
        call.table_mappings(new.mappings).replication_settings(new.settings).tags(tag(new.run)).send()
    };
    aws.write(Service::Dms, &format!("make the serverless replication {}", new.identifier), ask).await.map(drop)
}

/// How a task starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// For the first time.
    New,
    /// Where it stopped.
    Resume,
}

impl Start {
    /// DMS's word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "start-replication",
            Self::Resume => "resume-processing",
        }
    }
}

/// Starts a task.
pub async fn start(aws: &Aws, runner: DmsRunner, arn: &str, how: Start) -> Result<()> {
    let what = format!("start the task ({})", how.word());
    match runner {
        DmsRunner::Instance => {
            let kind = sdk::StartReplicationTaskTypeValue::from(how.word());
            let call = || aws.dms().start_replication_task().replication_task_arn(arn);
            let ask = || call().start_replication_task_type(kind.clone()).send();
            aws.write(Service::Dms, &what, ask).await.map(drop)
        }
        DmsRunner::Serverless => {
            let call = || aws.dms().start_replication().replication_config_arn(arn);
            let ask = || call().start_replication_type(how.word()).send();
            aws.write(Service::Dms, &what, ask).await.map(drop)
        }
    }
}

/// Stops a task.
pub async fn stop(aws: &Aws, runner: DmsRunner, arn: &str) -> Result<()> {
    let what = "stop the task";
    match runner {
        DmsRunner::Instance => {
            let ask = || aws.dms().stop_replication_task().replication_task_arn(arn).send();
            aws.write(Service::Dms, what, ask).await.map(drop)
        }
        DmsRunner::Serverless => {
            let ask = || aws.dms().stop_replication().replication_config_arn(arn).send();
            aws.write(Service::Dms, what, ask).await.map(drop)
        }
    }
}

/// Deletes a task.
pub async fn delete_task(aws: &Aws, runner: DmsRunner, arn: &str) -> Result<()> {
    let what = "delete the task";
    match runner {
        DmsRunner::Instance => {
            let ask = || aws.dms().delete_replication_task().replication_task_arn(arn).send();
            aws.write(Service::Dms, what, ask).await.map(drop)
        }
        DmsRunner::Serverless => {
            let ask = || aws.dms().delete_replication_config().replication_config_arn(arn).send();
            aws.write(Service::Dms, what, ask).await.map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_each_way_of_dms_says_it() {
        let on = |status| State::read(DmsRunner::Instance, status, "");
        assert_eq!((on("ready"), on("starting"), on("creating")), (State::Ready, State::Starting, State::Passing));
        assert_eq!((on("stopped"), on("created")), (State::Stopped, State::Passing));
        let own = |status, capacity| State::read(DmsRunner::Serverless, status, capacity);
        assert_eq!((own("created", ""), own("testing_connection", "")), (State::Ready, State::Starting));
        assert_eq!(own("stopped", "provisioned"), State::Stopped);
        assert_eq!(own("stopped", "deprovisioned"), State::Forgotten, "it can't go on where it stopped");
        assert_eq!((own("deprovisioning", ""), own("modifying", "")), (State::Passing, State::Passing));
    }
}
