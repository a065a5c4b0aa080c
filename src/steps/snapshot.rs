//! `snapshot`: a backup of a server of RDS that outlives it. Its name comes from the run and the step, so that it is found
//! again whatever was lost, and never made twice. An undo keeps it.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::notes::{key, noted};
use super::rds_server::{self, TAG, Waiting};
use super::{Action, Description, StepError};
use crate::endpoints::arn;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::preflight::{Check, Finding};
use crate::runbook::model::Snapshot;
use crate::systems::aws::rds::{self as driver, Kind, SNAPSHOT_EXISTS, Server};
use crate::systems::aws::{Aws, Call, Permission, Service};
use crate::systems::pair::Heading;
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError};

#[async_trait]
impl Action for Snapshot {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        let Some(spec) = rds_server::system(plan, &self.of) else { return Description::default() };
        let (kind, called, new) = (plan.kind_of_rds(&self.of), rds_server::called(spec), "pointsman-…");
        let (create, look) = match kind {
            Kind::Instance => (
                Call::new(
                    Service::Rds,
                    "CreateDBSnapshot",
                    json!({ "DBInstanceIdentifier": called, "DBSnapshotIdentifier": new }),
                ),
                Call::new(Service::Rds, "DescribeDBSnapshots", json!({ "DBSnapshotIdentifier": new })),
            ),
            Kind::Cluster => (
                Call::new(
                    Service::Rds,
                    "CreateDBClusterSnapshot",
                    json!({ "DBClusterIdentifier": called, "DBClusterSnapshotIdentifier": new }),
                ),
                Call::new(Service::Rds, "DescribeDBClusterSnapshots", json!({ "DBClusterSnapshotIdentifier": new })),
            ),
        };
        let clients = "writes to an instance that is not Multi-AZ may wait for some seconds when its snapshot begins";
        Description {
            summary: format!("Take a snapshot of the {} {called}, and wait until it is available", kind.word()),
            apply: [create, look].map(|call| (self.of.clone(), call.to_string())).into(),
            undo: vec![(self.of.clone(), "# none: the snapshot is kept".to_owned())],
            clients: (kind == Kind::Instance).then(|| clients.to_owned()),
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let name = self.take(cx, state, of).await?;
        Ok(json!({ "snapshot": name, "summary": format!("the snapshot {name} of {} is available", self.of) }))
    }

    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let name = self.called(cx, state, of);
        Ok(json!({ "summary": format!("the snapshot {name} of {} is kept, if it was begun", self.of) }))
    }
}

impl Snapshot {
    /// Takes it, or finds the one that this act has taken; gives its name once it is available.
    pub(super) async fn take(&self, cx: &Context, state: &RunState, of: &Move) -> Result<String, StepError> {
        let aws = cx.rig.aws(&self.of).await?;
        let name = self.called(cx, state, of);
        let waiting = Waiting::new(&self.of, self.timeout);
        loop {
            let server = rds_server::server(cx, &aws, &self.of).await?;
            let words = match driver::snapshot(&aws, server.kind, &name).await? {
                Some(found) if !found.is_of(&server) => return Err(self.taken(&name, &found.of)),
                Some(found) => match found.status.as_str() {
                    "available" => return Ok(name),
                    "creating" | "copying" | "pending" => {
                        format!("the snapshot {name} is {}, {}% done", found.status, found.percent)
                    }
                    status => return Err(self.failed(cx, state, of, &name, status)?),
                },
                None if server.is_available() => self.begin(cx, of, &aws, &server, &name).await?,
                None => format!("{} is {}, and must be available for its snapshot", server.identifier, server.status),
            };
            waiting.rest(cx, of, &words).await?;
        }
    }

    /// What the snapshot is called: one that failed is not the one that is made next.
    fn called(&self, cx: &Context, state: &RunState, of: &Move) -> String {
        rds_server::identifier(&cx.run, of, &self.of, noted(state, of, "failed").unwrap_or_default())
    }

    /// Asks for it. Where the answer is lost, the next look finds it, or it is asked for again: under one name there is
    /// one at most.
    async fn begin(
        &self,
        cx: &Context,
        of: &Move,
        aws: &Aws,
        server: &Server,
        name: &str,
    ) -> Result<String, StepError> {
        cx.note(of, json!({ key(of, "snapshot"): name }), Durability::Synced)?;
        cx.still_mine()?;
        let there = |error: &DriverError| SNAPSHOT_EXISTS.iter().any(|code| error.is_code(code));
        match driver::create_snapshot(aws, server, name, &[(TAG, &cx.run)]).await {
            Ok(()) => Ok(format!("the snapshot {name} was begun")),
            Err(error) if error.certainty == Certainty::Unknown || there(&error) => {
                Ok(format!("the snapshot {name} was asked for, and is looked for"))
            }
            // Something else began with it in between.
            Err(error) if error.code.as_deref().is_some_and(|code| code.starts_with("InvalidDB")) => {
                Ok(format!("{} can't be backed up yet: {}", server.identifier, error.reason))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn taken(&self, name: &str, of: &str) -> StepError {
        let message = format!("{}: there is a snapshot {name} already, of another server ({of})", self.of);
        StepError::told(FailureKind::Refused, message, Some("delete or rename it, then `pointsman retry`"))
    }

    /// The next try makes another one.
    fn failed(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        name: &str,
        status: &str,
    ) -> Result<StepError, StepError> {
        let failed = noted::<u64>(state, of, "failed").unwrap_or_default();
        cx.note(of, json!({ key(of, "failed"): failed + 1 }), Durability::Synced)?;
        let message = format!("{}: the snapshot {name} is {status}", self.of);
        let hint = "its events say why (`aws rds describe-events --source-type db-snapshot`); \
                    `pointsman retry` makes another one";
        Ok(StepError::told(FailureKind::Refused, message, Some(hint)))
    }
}

/// Whether the server can be backed up; reads only.
pub(super) async fn finding(step: &Snapshot, world: &World) -> Finding {
    let check = Check {
        id: "snapshot",
        system: &step.of,
        why: "A server that is not there, or not available, can't be backed up, and the run holds in the middle.",
    };
    match rds_server::looked_at(world, &step.of).await {
        Ok(server) if server.is_available() => {
            check.pass("a snapshot can be taken", format!("{} is available.", server.identifier))
        }
        Ok(server) => check.warn(
            "a snapshot can't be taken now",
            format!("{} is {}; the step waits until it is available.", server.identifier, server.status),
            vec!["-- wait until it is available".to_owned()],
        ),
        Err(error) => check.fail(
            "the server can't be read",
            format!("{error}."),
            vec!["-- correct what the system names".to_owned()],
        ),
    }
}

/// What the step asks of IAM.
pub(super) fn permissions(step: &Snapshot, plan: &Plan) -> Vec<Permission> {
    let Some(spec) = rds_server::system(plan, &step.of) else { return Vec::new() };
    let called = rds_server::pattern(spec);
    let (create, reads, server, snapshot) = match plan.kind_of_rds(&step.of) {
        Kind::Instance => {
            ("CreateDBSnapshot", ["DescribeDBInstances", "DescribeDBSnapshots"], "db", "snapshot:pointsman-*")
        }
        Kind::Cluster => (
            "CreateDBClusterSnapshot",
            ["DescribeDBClusters", "DescribeDBClusterSnapshots"],
            "cluster",
            "cluster-snapshot:pointsman-*",
        ),
    };
    let on = |operation, resource: &str| Permission::on(Service::Rds, operation, arn("rds", &spec.aws, resource));
    let mut all =
        vec![on(create, &format!("{server}:{called}")), on(create, snapshot), on("AddTagsToResource", snapshot)];
    all.extend(reads.map(|operation| Permission::anywhere(Service::Rds, operation)));
    all
}
