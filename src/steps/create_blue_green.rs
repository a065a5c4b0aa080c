//! `create-blue-green`: a Blue/Green deployment of RDS with the settings of the runbook. Its name is its identity, and it has
//! the tag of the run: what this run made is found again after a lost answer, and what somebody else made is never touched.
//!
//! "Creating a blue/green deployment in Amazon RDS" in the user guide:
//! <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/blue-green-deployments-creating.html>

mod back;
mod finding;
mod judge;

use async_trait::async_trait;
use serde_json::{Value, json};

pub(super) use self::finding::{findings, permissions};
use super::notes::{key, noted};
use super::rds_server::{self, TAG, Waiting};
use super::{Action, Description, StepError};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::runbook::model::{CreateBlueGreen, UndoCreate};
use crate::systems::aws::rds::blue_green::{self as driver, Deployment, Standing};
use crate::systems::aws::rds::{self, Source};
use crate::systems::aws::{Aws, Call, Service};
use crate::systems::pair::Heading;
use crate::systems::{Certainty, DriverError};

#[async_trait]
impl Action for CreateBlueGreen {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        let specs = rds_server::system(plan, &self.of).zip(rds_server::system(plan, &self.from));
        let Some((spec, source)) = specs else { return Description::default() };
        let (name, source) = (rds_server::called(spec), rds_server::called(source));
        let filter = json!([{ "Name": "blue-green-deployment-name", "Values": [name] }]);
        let apply = [
            ("CreateBlueGreenDeployment", self.parameters(name, source)),
            ("DescribeBlueGreenDeployments", json!({ "Filters": filter })),
        ];
        let clients = "writes to an instance that is not Multi-AZ may wait, for a minute at most, when RDS copies it";
        Description {
            summary: format!(
                "Make the Blue/Green deployment {name} of {source} ({}), and wait until it is available",
                self.changes()
            ),
            apply: apply.map(|call| self.line(call)).into(),
            undo: self.undone(),
            clients: Some(clients.to_owned()),
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let aws = cx.rig.aws(&self.of).await?;
        let name = self.called(cx)?;
        let waiting = Waiting::new(&self.of, self.timeout);
        let mut known = noted::<String>(state, of, "made");
        loop {
            let found = driver::deployment_named(&aws, &name).await?;
            let words = match &found {
                Some(found) if !is_ours(found, &cx.run) => return Err(self.taken(cx, &aws, found).await?),
                Some(found) if known.as_ref().is_some_and(|known| *known != found.id) => return Err(self.gone(&name)),
                Some(found) => {
                    if known.is_none() {
                        cx.note(of, json!({ key(of, "made"): found.id }), Durability::Synced)?;
                        known = Some(found.id.clone());
                    }
                    match self.stands(&aws, found).await? {
                        Stands::Ready(result) => return Ok(result),
                        Stands::Busy(words) => words,
                    }
                }
                None if known.is_some() => return Err(self.gone(&name)),
                None => self.begin(cx, of, &aws, &name).await?,
            };
            waiting.rest_for(cx, of, &words, &self.told_of(cx, found.as_ref())).await?;
        }
    }

    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        self.take_back(cx, state, of).await
    }
}

/// How a deployment of ours stands.
enum Stands {
    /// As planned, with what is remembered.
    Ready(Value),
    /// On its way.
    Busy(String),
}

impl CreateBlueGreen {
    fn called(&self, cx: &Context) -> Result<String, DriverError> {
        Ok(rds_server::called(&cx.world.rds(&self.of)?).to_owned())
    }

    fn line(&self, (operation, parameters): (&'static str, Value)) -> (String, String) {
        (self.of.clone(), Call::new(Service::Rds, operation, parameters).to_string())
    }

    /// What takes it back, for the plan.
    fn undone(&self) -> Vec<(String, String)> {
        let kept = "# the green instance is kept: RDS makes it one of its own, and it goes on to cost";
        let record = ("DeleteBlueGreenDeployment", json!({ "BlueGreenDeploymentIdentifier": "bgd-…" }));
        let mut undo = vec![self.line(record)];
        match self.undo {
            UndoCreate::Keep => undo.push((self.of.clone(), kept.to_owned())),
            UndoCreate::DeleteWithSnapshot => {
                undo.extend(rds_server::deletion("THE GREEN INSTANCE").map(|call| self.line(call)));
            }
        }
        undo
    }

    /// What is sent.
    fn parameters(&self, name: &str, source: &str) -> Value {
        let mut all = json!({
            "BlueGreenDeploymentName": name, "Source": format!("THE ARN OF {source}"),
            "Tags": [{ "Key": TAG, "Value": "THE RUN" }],
        });
        let more = [
            ("TargetEngineVersion", self.engine_version.as_ref().map(|text| json!(text))),
            ("TargetDBInstanceClass", self.class.as_ref().map(|text| json!(text))),
            ("TargetDBParameterGroupName", self.parameter_group.as_ref().map(|text| json!(text))),
            ("TargetAllocatedStorage", self.storage.map(|size| json!(size.0 >> 30))),
            ("TargetStorageType", self.storage_type.as_ref().map(|text| json!(text))),
            ("TargetIops", self.iops.map(|iops| json!(iops))),
            ("TargetStorageThroughput", self.throughput.map(|mib| json!(mib))),
        ];
        for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            all[name] = value;
        }
        all
    }

    /// What RDS's events are about.
    fn told_of(&self, cx: &Context, found: Option<&Deployment>) -> Vec<Source> {
        let Some(found) = found else {
            let called = cx.world.rds(&self.from).map(|spec| rds_server::called(&spec).to_owned());
            return called.into_iter().map(Source::Instance).collect();
        };
        found.sources()
    }

    /// Asks for it. Where the answer is lost, the next look finds it, or it is asked for again: under one name there is
    /// one at most.
    async fn begin(&self, cx: &Context, of: &Move, aws: &Aws, name: &str) -> Result<String, StepError> {
        let reads = cx.rig.aws(&self.from).await?;
        let source = rds_server::server(cx, &reads, &self.from).await?;
        let mut unfit = judge::unfit(self, &source);
        unfit.extend(finding::unfit_groups(self, &reads, &source).await?);
        if !unfit.is_empty() {
            return Err(self.refused(format!("{} can't be copied: {}", source.identifier, unfit.join("; ")), UNFIT));
        }
        if !source.is_available() {
            return Ok(format!("{} is {}, and must be available to be copied", source.identifier, source.status));
        }
        cx.note(of, json!({ key(of, "asked"): name }), Durability::Synced)?;
        cx.still_mine()?;
        match driver::create_deployment(aws, name, &source.arn, self, (TAG, &cx.run)).await {
            Ok(()) => Ok(format!("{name} is being made")),
            Err(error) if error.certainty == Certainty::Unknown || error.is_code(driver::DEPLOYMENT_EXISTS) => {
                Ok(format!("{name} was asked for, and is looked for"))
            }
            // Something else began with it in between.
            Err(error) if error.is_code("InvalidDBInstanceState") => {
                Ok(format!("{} can't be copied yet: {}", source.identifier, error.reason))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn stands(&self, aws: &Aws, found: &Deployment) -> Result<Stands, StepError> {
        let words = judge::progress(found);
        match &found.standing {
            Standing::Provisioning => Ok(Stands::Busy(words)),
            Standing::Available => self.is_as_planned(aws, found).await,
            Standing::Switching | Standing::Completed | Standing::Failed => {
                Err(self.refused(format!("{words}: somebody switches it over"), "find out who; it is not touched"))
            }
            Standing::Other(_) => Err(self.refused(words, BROKEN)),
        }
    }

    async fn is_as_planned(&self, aws: &Aws, found: &Deployment) -> Result<Stands, StepError> {
        let Some(green) = found.green_identifier() else {
            return Ok(Stands::Busy(format!("{} is {}, without a green instance yet", found.name, found.words)));
        };
        let green = rds::instance(aws, green).await?;
        let called = &green.server.identifier;
        if !green.server.is_available() {
            return Ok(Stands::Busy(format!("{}: its green instance {called} is {}", found.name, green.server.status)));
        }
        let differs = judge::differs(self, &green);
        if !differs.is_empty() {
            let message = format!("the green instance {called} is not as planned: {}", differs.join("; "));
            return Err(self.refused(message, DIFFERS));
        }
        Ok(Stands::Ready(json!({ "deployment": found.id, "green": called, "resource": green.server.resource_id,
            "summary": format!("{} is available, its green instance {called} follows", found.name) })))
    }

    fn refused(&self, message: impl std::fmt::Display, hint: &str) -> StepError {
        StepError::told(FailureKind::Refused, format!("{}: {message}", self.of), Some(hint))
    }

    /// One of this name is there, and is somebody else's; with what is otherwise than in the plan.
    async fn taken(&self, cx: &Context, aws: &Aws, found: &Deployment) -> Result<StepError, StepError> {
        let mut differs = Vec::new();
        let source = rds_server::server(cx, &cx.rig.aws(&self.from).await?, &self.from).await?;
        if found.blue != source.arn {
            differs.push(format!("it is of {}, planned {}", found.blue_identifier(), source.identifier));
        }
        if let Some(green) = found.green_identifier()
            && let Ok(green) = rds::instance(aws, green).await
        {
            differs.extend(judge::differs(self, &green));
        }
        let differs = if differs.is_empty() { "it is as planned otherwise".to_owned() } else { differs.join("; ") };
        let message = format!(
            "there is a Blue/Green deployment {} already ({}, {}), and this run has not made it: {differs}",
            found.name, found.id, found.words
        );
        Ok(self.refused(message, TAKEN))
    }

    fn gone(&self, name: &str) -> StepError {
        let message = format!("{name} was made by this run, and is gone: somebody has deleted it");
        self.refused(message, "find out who; `pointsman rollback`, then a new run makes another")
    }
}

fn is_ours(found: &Deployment, run: &str) -> bool {
    found.tags.get(TAG).is_some_and(|tag| tag == run)
}

const UNFIT: &str = "nothing was made: mend it, then `pointsman retry`, or correct the step in a new run";
const TAKEN: &str = "it is not touched: leave the step out, or choose another name in a new run";
const DIFFERS: &str = "somebody has changed it, or RDS made it otherwise: mend it, then `pointsman retry`";
const BROKEN: &str = "its events say more (`aws rds describe-events --source-type blue-green-deployment`); mend it, then \
                      `pointsman retry`, or `pointsman rollback` deletes its record";
