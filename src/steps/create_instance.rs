//! `create-instance`: an instance of RDS with the settings of the runbook. It has the tag of the run: what this run made is
//! found again after a lost answer, and what somebody else made is never touched.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::notes::{key, noted, noted_as};
use super::rds_server::{self, TAG, Waiting};
use super::{Action, Description, StepError};
use crate::endpoints::arn;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::preflight::{Check, Finding};
use crate::runbook::model::{CreateInstance, System, UndoCreate};
use crate::secret::{Secret, remote};
use crate::systems::aws::rds::{self as driver, Kind, NO_INSTANCE, Server};
use crate::systems::aws::{Aws, Call, Permission, Service};
use crate::systems::pair::Heading;
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError};

mod offer;

/// Statuses out of which an instance does not come by itself.
const BROKEN: [&str; 8] = [
    "failed",
    "incompatible-network",
    "incompatible-parameters",
    "incompatible-option-group",
    "incompatible-create",
    "insufficient-capacity",
    "inaccessible-encryption-credentials",
    "storage-full",
];

#[async_trait]
impl Action for CreateInstance {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        let Some(spec) = rds_server::system(plan, &self.of) else { return Description::default() };
        let called = rds_server::called(spec);
        let line =
            |operation, parameters| (self.of.clone(), Call::new(Service::Rds, operation, parameters).to_string());
        let look = line("DescribeDBInstances", json!({ "DBInstanceIdentifier": called }));
        let undo = match self.undo {
            UndoCreate::Keep => vec![(self.of.clone(), "# none: the instance is kept".to_owned())],
            UndoCreate::DeleteWithSnapshot => {
                let deletion = rds_server::deletion(Kind::Instance, called).into_iter();
                deletion.map(|(operation, parameters)| line(operation, parameters)).collect()
            }
        };
        Description {
            summary: format!(
                "Make the instance {called} ({} {}, {}), and wait until it is available",
                self.engine, self.engine_version, self.class
            ),
            apply: vec![line("CreateDBInstance", self.parameters(called)), look],
            undo,
            clients: None,
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let aws = cx.rig.aws(&self.of).await?;
        let called = rds_server::called(&cx.world.rds(&self.of)?).to_owned();
        let waiting = Waiting::new(&self.of, self.timeout);
        let mut known = noted::<String>(state, of, "made");
        loop {
            let words = match find(&aws, &called).await? {
                Some(found) if !is_ours(&found, &cx.run) => return Err(self.taken(&called)),
                Some(found) if BROKEN.contains(&found.status.as_str()) => return Err(self.broken(&found)),
                Some(found) => {
                    if known.is_none() {
                        cx.note(of, json!({ key(of, "made"): found.resource_id }), Durability::Synced)?;
                        known = Some(found.resource_id.clone());
                    }
                    if found.is_available() && found.address.is_some() {
                        return Ok(result(&found));
                    }
                    format!("{called} is {}", found.status)
                }
                None if known.is_some() => return Err(self.gone(&called)),
                None => self.begin(cx, of, &aws, &called).await?,
            };
            waiting.rest(cx, of, &words).await?;
        }
    }

    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let aws = cx.rig.aws(&self.of).await?.urgent();
        let called = rds_server::called(&cx.world.rds(&self.of)?).to_owned();
        if self.undo == UndoCreate::Keep {
            return Ok(json!({ "summary": format!("{called} is kept, if it was made") }));
        }
        let waiting = Waiting::new(&self.of, self.timeout);
        let made: Option<String> = noted_as(state, of, "apply-made");
        loop {
            let found = find(&aws, &called).await?.filter(|found| is_ours(found, &cx.run));
            let Some(found) = found.filter(|found| made.as_ref().is_none_or(|made| *made == found.resource_id)) else {
                return Ok(json!({ "summary": format!("there is no {called} that this run has made") }));
            };
            let words = match found.status.as_str() {
                "available" | "stopped" | "failed" => rds_server::delete(cx, of, &aws, &self.of, &found).await?,
                status => format!("{called} is {status}"),
            };
            waiting.rest(cx, of, &words).await?;
        }
    }
}

impl CreateInstance {
    /// What is sent, but for a password.
    fn parameters(&self, called: &str) -> Value {
        let mut all = json!({
            "DBInstanceIdentifier": called, "Engine": self.engine, "EngineVersion": self.engine_version,
            "DBInstanceClass": self.class, "AllocatedStorage": self.storage.0 >> 30, "MultiAZ": self.multi_az,
            "PubliclyAccessible": false, "MasterUsername": self.user, "BackupRetentionPeriod": self.backup_days,
            "DeletionProtection": self.deletion_protection, "StorageEncrypted": self.encrypted,
            "Tags": [{ "Key": TAG, "Value": "THE RUN" }],
        });
        let more = [
            ("StorageType", &self.storage_type),
            ("DBSubnetGroupName", &self.subnet_group),
            ("DBParameterGroupName", &self.parameter_group),
            ("DBName", &self.database),
            // A reference; what it stands for is read when the call is made.
            ("MasterUserPassword", &self.password),
        ];
        for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            all[name] = json!(value);
        }
        if self.password.is_none() {
            all["ManageMasterUserPassword"] = json!(true);
        }
        if !self.security_groups.is_empty() {
            all["VpcSecurityGroupIds"] = json!(self.security_groups);
        }
        all
    }

    async fn begin(&self, cx: &Context, of: &Move, aws: &Aws, called: &str) -> Result<String, StepError> {
        let password: Option<Secret> = match &self.password {
            Some(reference) => Some(remote::fresh(reference).await.map_err(|error| self.unresolved(error))?),
            None => None,
        };
        cx.note(of, json!({ key(of, "asked"): called }), Durability::Synced)?;
        cx.still_mine()?;
        match driver::create_instance(aws, called, self, password.as_ref(), (TAG, &cx.run)).await {
            Ok(()) => Ok(format!("{called} is being made")),
            Err(error) if error.certainty == Certainty::Unknown || error.is_code("DBInstanceAlreadyExists") => {
                Ok(format!("{called} was asked for, and is looked for"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn unresolved(&self, error: crate::secret::SecretError) -> StepError {
        DriverError::unresolved(&self.of, "find the master user's password", error).into()
    }

    fn taken(&self, called: &str) -> StepError {
        let message = format!("{}: there is an instance {called} already, and this run has not made it", self.of);
        let hint = "it is not touched: leave the step out, or choose another identifier in a new run";
        StepError::told(FailureKind::Refused, message, Some(hint))
    }

    fn broken(&self, found: &Server) -> StepError {
        let message = format!("{}: {} is {}", self.of, found.identifier, found.status);
        let hint = "its events say why (`aws rds describe-events`); mend it, then `pointsman retry`";
        StepError::told(FailureKind::Refused, message, Some(hint))
    }

    fn gone(&self, called: &str) -> StepError {
        let message =
            format!("{}: {called} was made by this run, and is gone: somebody has deleted or renamed it", self.of);
        StepError::told(
            FailureKind::Refused,
            message,
            Some("find out who; `pointsman rollback`, then a new run makes another"),
        )
    }
}

async fn find(aws: &Aws, called: &str) -> Result<Option<Server>, DriverError> {
    match driver::instance(aws, called).await {
        Ok(found) => Ok(Some(found.server)),
        Err(error) if error.is_code(NO_INSTANCE) || error.is_code("DBInstanceNotFoundFault") => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_ours(found: &Server, run: &str) -> bool {
    found.tags.get(TAG).is_some_and(|tag| tag == run)
}

fn result(found: &Server) -> Value {
    let address = found.address.as_ref().map(ToString::to_string).unwrap_or_default();
    json!({ "resource": found.resource_id, "secret": found.secret,
            "summary": format!("{} is available at {address}", found.identifier) })
}

/// Whether the name is free, and RDS offers what shall have it; reads only.
pub(super) async fn finding(step: &CreateInstance, world: &World) -> Finding {
    let check = Check {
        id: "create-instance",
        system: &step.of,
        why: "An instance that somebody else has made is not touched, and the run holds.",
    };
    match rds_server::looked_at(world, &step.of).await {
        Err(error) if error.is_code(NO_INSTANCE) => offer::judge(check, step, offer::read(step, world).await),
        Err(error) => {
            check.fail("it can't be looked at", format!("{error}."), vec!["-- correct the system".to_owned()])
        }
        Ok(found) => check.fail(
            "there is such an instance already",
            format!("{} is {}.", found.identifier, found.status),
            vec!["-- leave the step out, or choose another identifier".to_owned()],
        ),
    }
}

/// What the step asks of IAM.
pub(super) fn permissions(step: &CreateInstance, world: &World) -> Vec<Permission> {
    let Some(System::Rds(spec)) = world.get(&step.of) else { return Vec::new() };
    let called = Some(rds_server::called(spec)).filter(|name| !name.contains("${")).unwrap_or("*");
    let on = |operation, resource: &str| Permission::on(Service::Rds, operation, arn("rds", &spec.aws, resource));
    let db = format!("db:{called}");
    let mut all = vec![Permission::anywhere(Service::Rds, "DescribeDBInstances"), on("AddTagsToResource", &db)];
    all.extend(offer::permissions());
    // Creating names the groups that it uses, too.
    let group = |kind: &str, name: &Option<String>| format!("{kind}:{}", name.as_deref().unwrap_or("*"));
    let used = [group("subgrp", &step.subnet_group), group("pg", &step.parameter_group), "og:*".to_owned(), db.clone()];
    all.extend(used.iter().map(|resource| on("CreateDBInstance", resource)));
    if step.password.is_none() {
        let secret = arn("secretsmanager", &spec.aws, "secret:rds!*");
        all.extend(
            ["CreateSecret", "TagResource"]
                .map(|operation| Permission::on(Service::SecretsManager, operation, secret.clone())),
        );
    }
    if step.undo == UndoCreate::DeleteWithSnapshot {
        all.extend([on("ModifyDBInstance", &db), on("DeleteDBInstance", &db)]);
        all.extend(["DeleteDBInstance", "CreateDBSnapshot"].map(|operation| on(operation, "snapshot:pointsman-*")));
    }
    all
}
