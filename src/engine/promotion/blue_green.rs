//! A Blue/Green deployment of RDS, and its switchover by RDS.
//!
//! What RDS does in a switchover is in the user guides of RDS and of Aurora, "Switching a blue/green deployment": it checks its
//! guardrails, stops writes and drops connections on both sides, waits until the green one has everything, renames both (the
//! green one gets the blue one's identifier and endpoint, the blue one `-old1`; of a cluster each instance, too), and lets
//! clients in. If that fails or lasts too long, all of it is taken back.

use std::time::Duration;

use serde_json::json;

use super::asking::{Asking, Look};
use super::{ASKED, Promotable, intend};
use crate::clock;
use crate::endpoints::arn;
use crate::engine::{Lines, Outcome};
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::{Plan, references};
use crate::runbook::model::{Name, Step, System};
use crate::runbook::units::Span;
use crate::steps::StepError;
use crate::systems::aws::rds::Kind;
use crate::systems::aws::rds::blue_green::{self as driver, Standing};
use crate::systems::aws::{Aws, Call, Permission, Service};
use crate::systems::{Certainty, Result};

/// What RDS takes when nothing is said.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_SwitchoverBlueGreenDeployment.html>
const LIMIT: Span = Span::secs(300);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// What the source was told by at arming, in the notes of the window.
const LEFT: &str = "left_server";

/// The deployment that a plan switches over.
#[derive(Clone)]
pub struct BlueGreen {
    /// The `rds` system of the green one.
    pub rds: Name,
    /// Its identifier.
    pub id: String,
    /// How long RDS may take for the switchover.
    limit: Span,
}

impl BlueGreen {
    /// That of a plan.
    pub fn of(plan: &Plan, rds: Name) -> Self {
        let limit = plan.steps.iter().find_map(|step| match &step.step {
            Step::Replicate(step) => step.switchover_timeout,
            _ => None,
        });
        let id = plan.choices.blue_green.as_ref().map(|chosen| chosen.id.clone()).unwrap_or_default();
        Self { rds, id, limit: limit.unwrap_or(LIMIT) }
    }

    /// The call, as the plan shows it.
    pub fn call(&self) -> String {
        let parameters =
            json!({ "BlueGreenDeploymentIdentifier": self.id, "SwitchoverTimeout": self.limit.0.as_secs() });
        Call::new(Service::Rds, "SwitchoverBlueGreenDeployment", parameters).to_string()
    }

    /// What `finalize` deletes: the record alone.
    pub fn deletion(&self) -> Lines {
        let parameters = json!({ "BlueGreenDeploymentIdentifier": self.id });
        let call = Call::new(Service::Rds, "DeleteBlueGreenDeployment", parameters);
        vec![(self.rds.clone(), call.to_string())]
    }

    /// What it asks of IAM; a switchover is made of other calls, which must be allowed too, and so is the deletion of a
    /// record, though it deletes no server ("Authorizing access to … blue/green deployment operations" in both user guides:
    /// names that RDS makes up are reached by no pattern).
    pub fn permissions(&self, plan: &Plan) -> Vec<Permission> {
        let Some(System::Rds(spec)) = plan.systems.get(&self.rds) else { return Vec::new() };
        let on = |operation, resource: &str| Permission::on(Service::Rds, operation, arn("rds", &spec.aws, resource));
        let deployment = format!("deployment:{}", if self.id.is_empty() { "*" } else { &self.id });
        let kind = plan.kind_of_rds(&self.rds);
        let mut all: Vec<_> = driver::reads(kind).map(|read| Permission::anywhere(Service::Rds, read)).collect();
        all.push(on("SwitchoverBlueGreenDeployment", &deployment));
        all.push(on("DeleteBlueGreenDeployment", &deployment));
        all.extend(made_of(kind).iter().map(|(operation, resource)| on(operation, resource)));
        all
    }

    async fn aws(&self, cx: &Context) -> Result<Aws> {
        Ok(cx.rig.aws(&self.rds).await?.urgent())
    }

    /// Refuses when RDS would not switch it over now.
    pub(super) async fn may(&self, kind: &dyn Promotable, cx: &Context) -> Outcome<()> {
        let refused = |message: String, hint: &str| Err(StepError::told(FailureKind::Refused, message, Some(hint)));
        let Some(found) = driver::deployment(&self.aws(cx).await?, &self.id).await? else {
            let message = format!("{}: the Blue/Green deployment {} is gone", self.rds, self.id);
            return refused(message, "somebody has deleted it; make another, and a new plan");
        };
        // After one that failed, it may be tried again.
        if !matches!(found.standing, Standing::Available | Standing::Failed) {
            let message = format!("{}: the Blue/Green deployment {} is {}", self.rds, found.name, found.words);
            return refused(message, "it must be AVAILABLE before writes stop");
        }
        kind.guardrails(cx).await
    }

    /// Remembers what tells the server that is left from the green one, whatever name leads where.
    pub(super) async fn remember(&self, kind: &dyn Promotable, cx: &Context, of: &Move) -> Outcome<()> {
        let left = kind.mark(cx, &cx.pair()?.source).await?;
        cx.note(of, json!({ (LEFT): left }), Durability::Ordered)
    }

    /// Has RDS switch over, if it has not yet, and waits until the green one takes writes.
    pub(super) async fn carry_out(
        &self,
        kind: &dyn Promotable,
        cx: &Context,
        state: &RunState,
        of: &Move,
        limit: Span,
    ) -> Outcome<()> {
        let began = clock::monotonic();
        let mut asking = Asking { at: remembered(state, "promote", ASKED), ..Asking::default() };
        loop {
            let words = match self.look(kind, cx, state, &mut asking).await {
                Look::Arrived => return Ok(()),
                Look::Free(words) => {
                    asking = self.ask(cx, of, words).await?;
                    "asked for".to_owned()
                }
                Look::Refused(words) => {
                    // Whoever says `retry` has it asked for again.
                    intend(cx, of, None)?;
                    return Err(not_switched(&self.rds, &words, kind.way_out()));
                }
                Look::Busy(words) => words,
            };
            if began.elapsed() > limit.0 {
                let message = format!("{} was not switched over within {limit}: {words}", self.rds);
                let hint = "see what its events say; when it is completed, `pointsman retry` goes on";
                return Err(StepError::told(FailureKind::Deadline, message, Some(hint)));
            }
            cx.progress(&of.step, &format!("the switchover of {}: {words}", self.rds));
            cx.listen(of, &self.rds, &asking.sources);
            tokio::time::sleep(PAUSE.min(began.elapsed() / 4).max(PAUSE / 20)).await;
        }
    }

    /// Deletes the record of a deployment that was switched over; both servers stay (user guide, "Deleting a blue/green
    /// deployment").
    pub async fn delete_record(&self, cx: &Context) -> Outcome<()> {
        let aws = self.aws(cx).await?;
        let found = driver::deployment(&aws, &self.id).await?;
        if found.is_none_or(|found| found.standing != Standing::Completed) {
            return Ok(());
        }
        cx.still_mine()?;
        match driver::delete_deployment(&aws, &self.id).await {
            Err(error) if error.certainty != Certainty::Unknown && !error.is_code(driver::NO_DEPLOYMENT) => {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }

    async fn look(&self, kind: &dyn Promotable, cx: &Context, state: &RunState, asking: &mut Asking) -> Look {
        let found = async { driver::deployment(&self.aws(cx).await?, &self.id).await }.await;
        match found {
            Err(error) => Look::Busy(format!("{}: {}", error.what, error.reason)),
            Ok(Some(found)) if found.standing != Standing::Completed => {
                asking.sources = found.sources();
                asking.judge(&found)
            }
            // The record may have been deleted by somebody since.
            Ok(record) => match self.arrived(kind, cx, state).await {
                Ok(Some(words)) if record.is_none() => Look::Refused(format!("its record is gone, and {words}")),
                Ok(Some(words)) => Look::Busy(words),
                Ok(None) => Look::Arrived,
                Err(error) => Look::Busy(format!("RDS has switched it over; {}: {}", error.what, error.reason)),
            },
        }
    }

    /// Whether the target's name leads to the green one, and that takes writes; else what is the matter.
    async fn arrived(&self, kind: &dyn Promotable, cx: &Context, state: &RunState) -> Result<Option<String>> {
        let Some(pair) = &cx.plan.pair else { return Ok(None) };
        references::reread(&cx.plan).await?;
        cx.rig.part_from(&[&pair.source, &pair.target]).await;
        if kind.follows(cx, &pair.target).await? {
            return Ok(Some(format!("{} {}", pair.target, kind.still())));
        }
        let left: Option<String> = remembered(state, "window", LEFT);
        let now = kind.mark(cx, &pair.target).await?;
        // The name may lead to the old server until it is looked up again.
        let is_new = left.is_some_and(|left| kind.is_other(&left, &now));
        Ok((!is_new).then(|| format!("{} leads to the old server still", pair.target)))
    }

    /// Asks for it, once: the intent is journaled first, and what came of it is looked for.
    async fn ask(&self, cx: &Context, of: &Move, before: String) -> Outcome<Asking> {
        let now = clock::now();
        intend(cx, of, Some(now))?;
        cx.still_mine()?;
        match driver::switch_over(&self.aws(cx).await?, &self.id, self.limit).await {
            Err(error) if error.certainty != Certainty::Unknown => {
                intend(cx, of, None)?;
                Err(error.into())
            }
            _ => Ok(Asking { at: Some(now), before: Some(before), ..Asking::default() }),
        }
    }
}

/// The calls that a switchover and the deletion of a record are made of, with what they are about; and the reboot.
const fn made_of(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Instance => &[
            ("ModifyDBInstance", "db:*"),
            ("PromoteReadReplica", "db:*"),
            ("RebootDBInstance", "db:*"),
            ("DeleteDBInstance", "db:*"),
        ],
        Kind::Cluster => &[
            ("ModifyDBCluster", "cluster:*"),
            ("PromoteReadReplicaDBCluster", "cluster:*"),
            ("RebootDBInstance", "db:*"),
            ("DeleteDBCluster", "cluster:*"),
            ("DeleteDBInstance", "db:*"),
            ("DeleteDBClusterEndpoint", "cluster-endpoint:*"),
        ],
    }
}

fn not_switched(rds: &str, words: &str, way_out: &str) -> StepError {
    let message = format!("RDS did not switch {rds} over, and took everything back: it is {words}");
    let hint = format!(
        "its events say why (`aws rds describe-events`); both sides are fenced and equal. Mend it, then `pointsman retry` has \
         it asked for again{way_out}"
    );
    StepError::told(FailureKind::Deadline, message, Some(&hint))
}
