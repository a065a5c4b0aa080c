//! `parameters`: values in the parameter group of a server of RDS, and the reboot that brings them into force. What stood
//! there before is journaled first, and put back by an undo.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};

use self::standing::{Found, Standing, read};
use super::notes::{key, noted, noted_as};
use super::rds_server::{self, Waiting};
use super::{Action, Description, StepError};
use crate::clock;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Act, Durability, Move};
use crate::plan::Plan;
use crate::runbook::model::{Parameters, Reboot};
use crate::systems::Certainty;
use crate::systems::aws::rds::{self as driver, Change, Kind};
use crate::systems::aws::{Aws, Call, Service};
use crate::systems::pair::Heading;

mod asking;
mod finding;
mod standing;

pub(super) use finding::{finding, permissions};

/// A change of a static parameter shows as one that waits for a reboot by then; and a reboot in the status.
const SHOWS: Duration = Duration::from_secs(30);

/// Values by parameter; `None` is the engine's default.
type Values = BTreeMap<String, Option<String>>;

#[async_trait]
impl Action for Parameters {
    fn describe(&self, plan: &Plan, _way: Heading) -> Description {
        let Some(spec) = rds_server::system(plan, &self.of) else { return Description::default() };
        let (kind, called) = (plan.kind_of_rds(&self.of), rds_server::called(spec));
        let (modify, group) = match kind {
            Kind::Instance => ("ModifyDBParameterGroup", "DBParameterGroupName"),
            Kind::Cluster => ("ModifyDBClusterParameterGroup", "DBClusterParameterGroupName"),
        };
        let method = "immediate, or pending-reboot IF STATIC";
        let set = |(name, value): (&String, &String)| json!({ "ParameterName": name, "ParameterValue": value, "ApplyMethod": method });
        let change = |values: Value| {
            let call = Call::new(Service::Rds, modify, json!({ group: "THAT OF THE SERVER", "Parameters": values }));
            (self.of.clone(), call.to_string())
        };
        let instance = if kind == Kind::Instance { called } else { "EACH THAT WAITS, THE WRITER LAST" };
        let reboot = Call::new(Service::Rds, "RebootDBInstance", json!({ "DBInstanceIdentifier": instance }));
        let reboot =
            (self.reboot == Reboot::WhenNeeded).then(|| (self.of.clone(), format!("{reboot} # if one waits for it")));
        let clients =
            "if one of them is static, the server is rebooted: connections break, mostly for less than a minute";
        Description {
            summary: format!(
                "Set {} parameters of the {} {called}, and wait until they are in force",
                self.set.len(),
                kind.word()
            ),
            apply: [change(self.set.iter().map(set).collect())].into_iter().chain(reboot.clone()).collect(),
            undo: [change(json!("AS THEY WERE"))].into_iter().chain(reboot.clone()).collect(),
            clients: reboot.map(|_| clients.to_owned()),
        }
    }

    async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let aws = cx.rig.aws(&self.of).await?;
        let wanted = self.set.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
        self.bring(cx, state, of, &aws, wanted).await
    }

    async fn undo(&self, cx: &Context, state: &RunState, of: &Move) -> Result<Value, StepError> {
        let Some(before) = noted_as::<Values>(state, of, "apply-before") else { return Ok(json!({})) };
        let aws = cx.rig.aws(&self.of).await?.urgent();
        let found = read(cx, &aws, &self.of).await?;
        // What somebody else has set since is his.
        let ours = |name: &str, was: &Option<String>| {
            let now = found.value(name);
            now == self.set.get(name).cloned() || now == *was
        };
        let (mine, others): (Values, Values) = before.into_iter().partition(|(name, was)| ours(name, was));
        let mut done = self.bring(cx, state, of, &aws, mine).await?;
        if !others.is_empty() {
            done["left"] = json!(others.keys().collect::<Vec<_>>());
        }
        Ok(done)
    }
}

impl Parameters {
    /// Makes the group say so, and the server obey it. What is so already is not touched.
    async fn bring(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        aws: &Aws,
        wanted: Values,
    ) -> Result<Value, StepError> {
        let (waiting, began) = (Waiting::new(&self.of, self.timeout), clock::monotonic());
        let mut needs_reboot = noted::<bool>(state, of, "static").unwrap_or_default();
        // A reboot that an executor before this one asked for may be under way unseen.
        let mut asked = noted::<String>(state, of, "rebooting").map(|instance| (instance, began));
        loop {
            let found = read(cx, aws, &self.of).await?;
            let changes = found.changes(&self.of, &wanted)?;
            let words = match &found.standing {
                _ if !changes.is_empty() => {
                    needs_reboot |= changes.iter().any(|change| !change.at_once);
                    self.change(cx, state, of, aws, &found, &changes).await?
                }
                _ if found.busy.is_some() => found.words(),
                Standing::Applying => found.words(),
                Standing::Waits(instances) if self.reboot == Reboot::Never => {
                    let summary = format!("set, and waits for a reboot of {}", instances.join(", "));
                    return Ok(json!({ "summary": summary }));
                }
                Standing::Waits(instances) if is_under_way(asked.as_ref(), &instances[0]) => found.words(),
                Standing::Waits(instances) => {
                    asked = Some((instances[0].clone(), clock::monotonic()));
                    self.restart(cx, of, aws, &instances[0]).await?
                }
                Standing::InSync if needs_reboot && asked.is_none() && began.elapsed() < SHOWS => {
                    "it does not say yet that it waits for a reboot".to_owned()
                }
                Standing::InSync => match self.not_in_force(cx, &found, &wanted).await? {
                    None => return Ok(json!({ "summary": format!("in force, by the group {}", found.group) })),
                    Some(words) => words,
                },
            };
            waiting.rest(cx, of, &words).await?;
        }
    }

    async fn change(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        aws: &Aws,
        found: &Found,
        changes: &[Change],
    ) -> Result<String, StepError> {
        let is_static = changes.iter().any(|change| !change.at_once);
        let mut note = json!({ key(of, "group"): found.group, key(of, "static"): is_static });
        if of.act == Act::Apply && noted::<Values>(state, of, "before").is_none() {
            note[key(of, "before")] = json!(found.before(self.set.keys()));
        }
        cx.note(of, note, Durability::Synced)?;
        cx.still_mine()?;
        match driver::change_parameters(aws, found.server.kind, &found.group, changes).await {
            Ok(()) => Ok(format!("the group {} was changed", found.group)),
            Err(error) if error.certainty == Certainty::Unknown => {
                Ok(format!("the group {} was changed, or not; it is read back", found.group))
            }
            // Something else changes it, or a server that has it.
            Err(error) if error.is_code("InvalidDBParameterGroupState") => Ok(error.reason),
            Err(error) => Err(error.into()),
        }
    }

    async fn restart(&self, cx: &Context, of: &Move, aws: &Aws, instance: &str) -> Result<String, StepError> {
        cx.note(of, json!({ key(of, "rebooting"): instance }), Durability::Synced)?;
        cx.still_mine()?;
        match driver::reboot(aws, instance).await {
            Ok(()) => Ok(format!("{instance} is rebooted")),
            Err(error) if error.certainty == Certainty::Unknown || error.is_code("InvalidDBInstanceState") => {
                Ok(format!("{instance} was asked to reboot, and is looked at"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What a database of the runbook that is this server says otherwise, if one is.
    async fn not_in_force(&self, cx: &Context, found: &Found, wanted: &Values) -> Result<Option<String>, StepError> {
        asking::differs(cx, found, wanted).await
    }
}

/// Whether a reboot that was asked for may not show yet.
fn is_under_way(asked: Option<&(String, Instant)>, instance: &str) -> bool {
    asked.is_some_and(|(named, at)| named == instance && at.elapsed() < SHOWS)
}
