//! The preflight of everything in AWS: whose credentials these are and how long they last, what they may do, and each
//! system.

use std::time::Duration;

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_iam::types::PolicyEvaluationDecisionType;
use jiff::Timestamp;

use super::alb;
use super::finding::{Check, Finding, names};
use crate::clock;
use crate::plan::{self, Plan};
use crate::runbook::model::{Step, System};
use crate::systems::Result;
use crate::systems::aws::alb::survey;
use crate::systems::aws::{Access, Aws, Permission, Service, account};
use crate::systems::world::World;

/// Looks at every system of AWS; reads only.
pub async fn findings(plan: &Plan, accept: &[String]) -> Result<Vec<Finding>> {
    let world = World::new(plan.systems.clone());
    let mut findings = Vec::new();
    let first = plan.systems.iter().find(|(_, system)| system.aws().is_some());
    if let Some((name, _)) = first {
        let aws = world.aws(name, Access::ReadOnly).await?;
        findings.push(credentials(name, &aws, plan).await);
        findings.push(permissions(name, &aws, plan).await?);
    }
    for (name, system) in &plan.systems {
        if matches!(system, System::Alb(_)) {
            let (aws, spec) = (world.aws(name, Access::ReadOnly).await?, world.alb(name)?);
            findings.extend(alb::judge(name, &spec, &survey::read(&aws, &spec).await?));
        }
    }
    findings.extend(super::rds::findings(plan, &world).await?);
    findings.extend(super::decommission::findings(plan, &world).await?);
    Ok(super::accept(findings, accept))
}

/// Credentials that end before the run does hold it in the middle.
async fn credentials(name: &str, aws: &Aws, plan: &Plan) -> Finding {
    let check = Check {
        id: "aws-credentials",
        system: name,
        why: "A run whose credentials expire holds where it is, until somebody gets new ones.",
    };
    let planned = at_least(plan);
    let config = aws.config();
    let Some(provider) = config.credentials_provider() else {
        return check.fail("there are no credentials", "the default chain has no provider.", login());
    };
    let found = match provider.provide_credentials().await {
        Ok(found) => found,
        Err(error) => return check.fail("there are no credentials", format!("{error}."), login()),
    };
    let expires = found.expiry().and_then(|at| Timestamp::try_from(at).ok());
    judge_lifetime(check, expires, found.session_token().is_some(), planned, clock::now())
}

fn login() -> Vec<String> {
    vec!["-- aws sso login --profile NAME, or a role for this machine".to_owned()]
}

fn judge_lifetime(
    check: Check<'_>,
    expires: Option<Timestamp>,
    session: bool,
    planned: Duration,
    now: Timestamp,
) -> Finding {
    let planned_words = format!("the run takes {} at least", humantime::format_duration(planned));
    match expires {
        Some(at) if Duration::try_from(at.duration_since(now)).unwrap_or_default() < planned => {
            let detail =
                format!("these expire at {at}; {planned_words}. Roles and SSO sessions get new ones by themselves.");
            check.warn("the credentials may expire before the run ends", detail, login())
        }
        Some(at) => check.pass("the credentials last", format!("until {at}; {planned_words}.")),
        None if session => {
            let detail = format!("a session's token without a time; {planned_words}.");
            check.warn("it is not known how long the credentials last", detail, login())
        }
        None => check.pass("the credentials do not expire", "a long-lived key."),
    }
}

/// How long a run takes at least: what the runbook itself wants waited.
pub(super) fn at_least(plan: &Plan) -> Duration {
    let one = |step: &Step| match step {
        Step::Shift(shift) => {
            let bake = shift.bake.map_or(Duration::ZERO, |bake| bake.0);
            bake * u32::try_from(shift.weights.len()).unwrap_or(1)
        }
        Step::Bake(bake) => bake.span.0,
        _ => Duration::ZERO,
    };
    plan.steps.iter().map(|step| one(&step.step)).sum()
}

/// Every permission that the run will need, asked beforehand.
async fn permissions(name: &str, aws: &Aws, plan: &Plan) -> Result<Finding> {
    let check = Check {
        id: "aws-permissions",
        system: name,
        why: "A permission that is missing stops the run in the middle, perhaps on its way back.",
    };
    let wanted = plan::permissions(plan)?;
    let mend = || vec![format!("pointsman iam-policy {} > policy.json  -- and attach it", plan.file)];
    let identity = account::identity(aws).await?;
    if identity.arn.ends_with(":root") {
        let detail = "IAM can't be asked about it: no policy binds it. A role that may do only this is safer.";
        return Ok(check.warn("the account's root user may do everything", detail, mend()));
    }
    match simulate(aws, &principal(&identity.arn), &wanted).await {
        Ok(denied) if denied.is_empty() => {
            Ok(check
                .pass("the run may do all that it will do", format!("{} actions, as {}.", wanted.len(), identity.arn)))
        }
        Ok(denied) => Ok(check.fail(
            "the run may not do all that it will do",
            format!("{}; as {}.", names(&denied), identity.arn),
            mend(),
        )),
        Err(error) => {
            let detail =
                format!("IAM could not be asked ({}); the reads were made, the writes were not tried.", error.reason);
            Ok(check.warn("it is not known whether the run may do all that it will do", detail, mend()))
        }
    }
}

/// The role behind a session: policies belong to it.
fn principal(arn: &str) -> String {
    let Some((head, rest)) = arn.split_once(":assumed-role/") else { return arn.to_owned() };
    let role = rest.split('/').next().unwrap_or(rest);
    format!("{}:role/{role}", head.replacen(":sts:", ":iam:", 1))
}

async fn simulate(aws: &Aws, principal: &str, wanted: &[Permission]) -> Result<Vec<String>> {
    let mut denied = Vec::new();
    for permission in wanted.iter().filter(|permission| !permission.action.starts_with("iam:")) {
        let send = || {
            let call = aws.iam().simulate_principal_policy().policy_source_arn(principal);
            call.action_names(&permission.action).resource_arns(&permission.resource).send()
        };
        let answer = aws.read(Service::Iam, "ask what the run may do", send).await?;
        let allowed = |decision: &PolicyEvaluationDecisionType| *decision == PolicyEvaluationDecisionType::Allowed;
        if !answer.evaluation_results().iter().all(|result| allowed(result.eval_decision())) {
            denied.push(format!("{} on {}", permission.action, permission.resource));
        }
    }
    Ok(denied)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    const CHECK: Check<'_> = Check { id: "aws-credentials", system: "web", why: "" };

    #[test]
    fn policies_belong_to_roles() {
        let session = "arn:aws:sts::123456789012:assumed-role/deploy/me";
        assert_eq!(principal(session), "arn:aws:iam::123456789012:role/deploy");
        assert_eq!(principal("arn:aws:iam::123456789012:user/me"), "arn:aws:iam::123456789012:user/me");
    }

    #[test]
    fn credentials_must_last_as_long_as_the_run() {
        let now = Timestamp::UNIX_EPOCH;
        let hour = Duration::from_secs(3600);
        let level = |expires: Option<i64>, session| {
            let expires = expires.map(|second| Timestamp::from_second(second).unwrap());
            judge_lifetime(CHECK, expires, session, hour, now).level
        };
        assert_eq!(level(Some(1800), true), Level::Warn);
        assert_eq!(level(Some(7200), true), Level::Pass);
        assert_eq!(level(None, true), Level::Warn, "a session's end is not known");
        assert_eq!(level(None, false), Level::Pass);
    }
}
