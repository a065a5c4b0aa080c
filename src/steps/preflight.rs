//! `preflight`: everything that could go wrong, looked at before anything is changed.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Action, Description, StepError, leading};
use crate::engine;
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::Plan;
use crate::preflight::{self, Finding, Level};
use crate::runbook::model::{Preflight, Step};
use crate::systems;
use crate::systems::pair::Heading;

#[async_trait]
impl Action for Preflight {
    fn describe(&self, _plan: &Plan, _way: Heading) -> Description {
        Description::new(
            "Look at both databases, the poolers and the ways between them; refuse to start if something is not as it must be",
        )
    }

    async fn apply(&self, cx: &Context, _state: &RunState, of: &Move) -> Result<Value, StepError> {
        let findings = findings(&cx.plan, &self.accept).await?;
        let summary = preflight::counts(&findings);
        cx.note(of, json!({ "findings": findings, "summary": summary }), Durability::Ordered)?;
        if preflight::passes(&findings) {
            return Ok(json!({}));
        }
        let failed: Vec<String> = findings
            .iter()
            .filter(|finding| finding.level == Level::Fail)
            .map(|finding| format!("{}: {} ({})", finding.system, finding.title, finding.id))
            .collect();
        let hint = format!("pointsman check {} shows each with the statement that mends it", cx.plan.file);
        Err(StepError::told(FailureKind::Preflight, failed.join("; "), Some(&hint)))
    }
}

/// Looks at everything that the plan names; reads only.
pub async fn findings(plan: &Plan, accept: &[String]) -> systems::Result<Vec<Finding>> {
    let mut findings =
        if plan.pair.is_some() { engine::of_plan(plan).preflight(plan, accept).await? } else { Vec::new() };
    findings.extend(preflight::references::findings(plan).await);
    findings.extend(preflight::aws::findings(plan, accept).await?);
    findings.extend(preflight::accept(leading::findings(plan).await, accept));
    Ok(findings)
}

/// What the runbook accepts.
pub fn accepted(plan: &Plan) -> Vec<String> {
    let accepts = |step: &crate::plan::PlanStep| match &step.step {
        Step::Preflight(preflight) => preflight.accept.clone(),
        _ => Vec::new(),
    };
    plan.steps.iter().flat_map(accepts).collect()
}
