//! The way back: the record of the deployment is deleted, if this run has made it and nobody has switched it over. RDS then
//! makes the green one a server of its own ("Deleting a blue/green deployment" in the user guides of RDS and of Aurora), which
//! is kept, or deleted with a last snapshot.
//!
//! After a switchover the green one is what serves, under the blue one's name: it is never deleted.
//!
//! <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/blue-green-deployments-deleting.html>
//! <https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/blue-green-deployments-deleting.html>

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{is_ours, judge};
use crate::clock;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, Move};
use crate::runbook::model::{CreateBlueGreen, UndoCreate};
use crate::steps::StepError;
use crate::steps::notes::{key, noted, noted_as};
use crate::steps::rds_server::{self, Waiting};
use crate::systems::aws::Aws;
use crate::systems::aws::rds::blue_green::{self as driver, Deployment, Standing};
use crate::systems::aws::rds::{self, Kind, Server};
use crate::systems::{Certainty, DriverError};

/// What was asked for and never seen is looked for this long.
const SHOWS: Duration = Duration::from_secs(5);

/// The green one of the record that is deleted: in a switchover it would be renamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Green {
    resource: String,
    identifier: String,
}

impl CreateBlueGreen {
    pub(super) async fn take_back(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let aws = cx.rig.aws(&self.of).await?.urgent();
        let (name, began) = (self.called(cx)?, clock::monotonic());
        let waiting = Waiting::new(&self.of, self.timeout);
        let made: Option<String> = noted_as(state, of, "apply-made");
        let unseen = made.is_none() && noted_as::<String>(state, of, "apply-asked").is_some();
        let mut green: Option<Green> = noted(state, of, "green");
        loop {
            let found = driver::deployment_named(&aws, &name).await?.filter(|found| is_ours(found, &cx.run));
            let found = found.filter(|found| made.as_ref().is_none_or(|made| *made == found.id));
            let words = match &found {
                Some(found) if found.standing == Standing::Completed => {
                    return Ok(json!({ "summary": format!("{name} was switched over since, and is left as it is") }));
                }
                Some(found) => self.delete(cx, of, &aws, found, &mut green).await?,
                None if unseen && green.is_none() && began.elapsed() < SHOWS => {
                    format!("{name} was asked for, and is looked for")
                }
                None => match self.green_left(cx, of, &aws, green.as_ref()).await? {
                    Ok(summary) => return Ok(json!({ "summary": summary })),
                    Err(words) => words,
                },
            };
            waiting.rest_for(cx, of, &words, &self.told_of(cx, found.as_ref())).await?;
        }
    }

    /// Deletes the record, once it can be.
    async fn delete(
        &self,
        cx: &Context,
        of: &Move,
        aws: &Aws,
        found: &Deployment,
        green: &mut Option<Green>,
    ) -> Result<String, StepError> {
        let deleting = matches!(&found.standing, Standing::Other(status) if status == "DELETING");
        let under_way = found.standing == Standing::Switching || deleting;
        let unknown = found.green.is_none() && found.standing == Standing::Provisioning;
        if under_way || (unknown && self.undo == UndoCreate::DeleteWithSnapshot) {
            return Ok(judge::progress(found));
        }
        *green = self.green(aws, found).await?;
        cx.note(of, json!({ key(of, "deleting"): found.id, key(of, "green"): green }), Durability::Synced)?;
        cx.still_mine()?;
        match driver::delete_deployment(aws, &found.id).await {
            Ok(()) => Ok(format!("the record of {} was asked to be deleted", found.name)),
            Err(error) if error.certainty == Certainty::Unknown || error.is_code(driver::NO_DEPLOYMENT) => {
                Ok(format!("the record of {} was asked to be deleted, and is looked for", found.name))
            }
            // It can be when RDS is through with it; an invalid one is a person's to mend.
            Err(error) if error.is_code(driver::DEPLOYMENT_BUSY) && found.standing == Standing::Provisioning => {
                Ok(format!("{}: {}", judge::progress(found), error.reason))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn green(&self, aws: &Aws, found: &Deployment) -> Result<Option<Green>, DriverError> {
        let Some((kind, identifier)) = found.kind().zip(found.green_identifier()) else { return Ok(None) };
        match rds::server(aws, kind, identifier).await {
            Ok(Server { resource_id: resource, identifier, .. }) => Ok(Some(Green { resource, identifier })),
            Err(error) if error.is_code(rds::NO_INSTANCE) || error.is_code(rds::NO_CLUSTER) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The record is gone: what is left (`Ok`), or what is still to wait for.
    async fn green_left(
        &self,
        cx: &Context,
        of: &Move,
        aws: &Aws,
        green: Option<&Green>,
    ) -> Result<Result<String, String>, StepError> {
        let Some(Green { resource, identifier }) = green else {
            return Ok(Ok(format!("there is no {} that this run has made", self.called(cx)?)));
        };
        let kind = Kind::of_resource(resource);
        let green = kind.word();
        let Some(found) = rds::by_resource(aws, kind, resource).await? else {
            return Ok(Ok(format!("the record is deleted, and so is its green {green} {identifier}")));
        };
        let now = &found.identifier;
        if self.undo == UndoCreate::Keep || now != identifier {
            return Ok(Ok(format!("the record is deleted; its green {green} is kept as {now}: it goes on to cost")));
        }
        Ok(Err(match found.status.as_str() {
            _ if found.replicates.is_some() => format!("{now} is {}, and still follows", found.status),
            "available" | "stopped" | "failed" => self.delete_green(cx, of, aws, &found).await?,
            status => format!("{now} is {status}"),
        }))
    }

    /// While RDS has it as a replica still, it takes no last snapshot of it (`DeleteDBInstance` in the API reference).
    async fn delete_green(&self, cx: &Context, of: &Move, aws: &Aws, found: &Server) -> Result<String, StepError> {
        match rds_server::delete(cx, of, aws, &self.of, found).await {
            Err(StepError::Driver(error)) if error.is_code("InvalidParameterCombination") => {
                Ok(format!("{} can't be deleted yet: {}", found.identifier, error.reason))
            }
            other => other,
        }
    }
}
