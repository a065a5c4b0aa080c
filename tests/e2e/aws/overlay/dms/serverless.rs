//! DMS Serverless: a configuration and its one replication. Behind it the same worker as behind a task.
//!
//! Beliefs, from the DMS API reference (`CreateReplicationConfig`, its `ResourceIdentifier`; `ComputeConfig`: its units;
//! `StartReplication`, `StopReplication`, `DeleteReplicationConfig`; `DescribeReplications`: "Valid filter names:
//! replication-config-arn | replication-config-id"; `Replication`: its stop reasons and failure messages) and the user guide:
//! <https://docs.aws.amazon.com/dms/latest/userguide/CHAP_Serverless.Components.html> (states, connections that are tested as
//! it starts, "Test connection failed for endpoint X.", `StopTaskCachedChangesApplied`),
//! <https://docs.aws.amazon.com/dms/latest/userguide/CHAP_Serverless.Limitations.html> (deleted only when it does not run). That a
//! replication is listed as `created` before it was ever started is a belief without a page.

use serde_json::{Value, json};

use super::{Answer, EXISTS, MISSING, On, State, Task, are_json, filtered, or_missing, text};

/// What one way of DMS calls the same things.
pub(super) struct Words {
    pub(super) arn: &'static str,
    pub(super) kind: &'static str,
    pub(super) starting: &'static str,
    pub(super) answer: &'static str,
    pub(super) tables: &'static str,
}

pub(super) const ON_INSTANCE: Words = Words {
    arn: "ReplicationTaskArn",
    kind: "StartReplicationTaskType",
    starting: "starting",
    answer: "ReplicationTask",
    tables: "TableStatistics",
};

pub(super) const SERVERLESS: Words = Words {
    arn: "ReplicationConfigArn",
    kind: "StartReplicationType",
    starting: "initializing",
    answer: "Replication",
    tables: "ReplicationTableStatistics",
};

/// Units of capacity that there are.
const UNITS: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384];

impl State {
    fn replications(&mut self, asked: &Value) -> impl Iterator<Item = &mut Task> {
        self.tasks.retain_mut(|task| !task.thing.is_gone());
        let name = filtered(asked, "replication-config-id");
        let is = move |task: &&mut Task| {
            task.on == On::Serverless && name.as_ref().is_none_or(|name| *name == task.thing.name)
        };
        self.tasks.iter_mut().filter(is)
    }

    pub(super) fn describe_replications(&mut self, asked: &Value) -> Answer {
        let described = |task: &mut Task| {
            task.look();
            let (reason, failure) = task.words();
            let tested = format!("Test connection failed for endpoint: {failure}");
            let failures = if failure.is_empty() { vec![] } else { vec![if task.loaded { failure } else { tested }] };
            json!({ "ReplicationConfigIdentifier": task.thing.name, "ReplicationConfigArn": task.thing.arn,
                    "Status": task.thing.status, "StopReason": reason, "FailureMessages": failures,
                    "ProvisionData": { "ProvisionState": "provisioned", "ProvisionedCapacityUnits": 1 },
                    "ReplicationCreateTime": 1_780_000_000.25 })
        };
        let found: Vec<Value> = self.replications(asked).map(described).collect();
        or_missing(&found, "Replications")
    }

    pub(super) fn describe_configs(&mut self, asked: &Value) -> Answer {
        let described = |task: &mut Task| json!({ "ReplicationConfigIdentifier": task.thing.name, "ReplicationConfigArn": task.thing.arn });
        let found: Vec<Value> = self.replications(asked).map(described).collect();
        or_missing(&found, "ReplicationConfigs")
    }

    pub(super) fn create_config(&mut self, asked: &Value) -> Answer {
        let (name, end) = (text(asked, "ReplicationConfigIdentifier"), text(asked, "ResourceIdentifier"));
        if self.tasks.iter().any(|task| task.thing.name == name) {
            return Err((EXISTS, format!("Replication config already exists: {name}")));
        }
        let ends = [text(asked, "SourceEndpointArn"), text(asked, "TargetEndpointArn")];
        if !ends.iter().all(|arn| self.endpoints.iter().any(|one| one.thing.arn == *arn)) {
            return Err((MISSING, "an endpoint is not there".into()));
        }
        let units = &asked["ComputeConfig"]["MaxCapacityUnits"];
        if !units.as_u64().is_some_and(|units| UNITS.contains(&units)) || end.len() > 31 {
            return Err(("InvalidParameterValueException", format!("{units} units, {end}")));
        }
        are_json(asked, ["TableMappings", "ReplicationSettings"])?;
        // What carries the rows reads them where a task has them.
        let mut kept = asked.clone();
        kept["ReplicationTaskSettings"] = asked["ReplicationSettings"].clone();
        let mut thing = self.thing("replication-config", &name, "created", kept);
        thing.arn = format!("arn:aws:dms:us-east-1:123456789012:replication-config:{end}");
        self.add_task(thing, ends, On::Serverless);
        Ok(json!({ "ReplicationConfig": { "ReplicationConfigIdentifier": name } }))
    }
}
