//! Application Load Balancers: what must be there and fit together, what clients will notice, and who else writes the
//! same rules.

use std::collections::BTreeMap;

use super::finding::{Check, Finding, names};
use crate::runbook::model::{Alb, StickyRule};
use crate::systems::aws::alb::forward;
use crate::systems::aws::alb::routes::{Route, short};
use crate::systems::aws::alb::survey::{AlbSurvey, GroupSurvey};

/// Judges one load balancer.
pub(super) fn judge(name: &str, spec: &Alb, survey: &AlbSurvey) -> Vec<Finding> {
    let mut findings = vec![routes(name, spec, survey), groups(name, spec, survey)];
    for (side, group) in ["from", "to"].into_iter().zip(&survey.groups) {
        if let Some(group) = group {
            findings.push(health(name, spec, side, group));
        }
    }
    findings.push(sticky_targets(name, spec, survey));
    findings.push(pinned(name, spec, survey));
    findings.push(slow_start(name, survey));
    findings.push(deregistration(name, survey));
    findings.push(writers(name, survey));
    findings.push(ahead(name, survey));
    findings
}

fn ours(survey: &AlbSurvey) -> &[Route] {
    survey.state.as_ref().map_or(&[], |state| state.routes.as_slice())
}

fn routes(name: &str, spec: &Alb, survey: &AlbSurvey) -> Finding {
    let check = Check {
        id: "alb-routes",
        system: name,
        why: "A rule that is not there, or whose actions can't be weighed, stops the shift half-way.",
    };
    if let Some(unread) = &survey.unread {
        let mend = vec![format!("-- correct `listeners` or `rules` of {name}")];
        return check.fail("a listener or a rule is not there", unread.clone(), mend);
    }
    let groups = forward::Groups { from: &spec.from, to: &spec.to };
    let refused = |route: &Route| {
        let weighed = forward::with_share(&route.actions, groups, 0.0).err().or_else(|| {
            let leads = forward::divided(&route.actions).iter().any(|(arn, weight)| *arn == spec.from && *weight > 0);
            (!leads).then(|| format!("it gives no weight to {}", short(&spec.from)))
        });
        weighed.map(|reason| format!("{}: {reason}", route.words()))
    };
    let refused: Vec<String> = ours(survey).iter().filter_map(refused).collect();
    if refused.is_empty() {
        let words: Vec<String> = ours(survey).iter().map(Route::words).collect();
        return check.pass("every listener and rule can be weighed", names(&words));
    }
    check.fail(
        "a route can't be weighed",
        names(&refused),
        vec![format!("-- its forward action must lead to {} alone", spec.from)],
    )
}

fn groups(name: &str, spec: &Alb, survey: &AlbSurvey) -> Finding {
    let check = Check {
        id: "alb-groups",
        system: name,
        why: "A target group serves one load balancer, in its own network; AWS refuses another.",
    };
    let missing: Vec<&str> = [&spec.from, &spec.to]
        .into_iter()
        .zip(&survey.groups)
        .filter_map(|(arn, group)| group.is_none().then_some(arn.as_str()))
        .collect();
    if !missing.is_empty() {
        return check.fail(
            "a target group is not there",
            names(&missing),
            vec![format!("-- correct `from` or `to` of {name}")],
        );
    }
    let [Some(from), Some(to)] = &survey.groups else { return check.pass("", "") };
    let mut wrong = Vec::new();
    if from.vpc != to.vpc {
        wrong.push(format!("{} is in {}, {} in {}", short(&from.arn), vpc(from), short(&to.arn), vpc(to)));
    }
    if let Some(other) = to.balancers.iter().find(|balancer| !from.balancers.contains(balancer)) {
        wrong.push(format!("{} serves another load balancer: {other}", short(&to.arn)));
    }
    if wrong.is_empty() {
        return check.pass(
            "both target groups belong to the load balancer",
            format!("{} and {}", short(&from.arn), short(&to.arn)),
        );
    }
    check.fail(
        "the target groups do not belong together",
        names(&wrong),
        vec!["-- make a target group in the load balancer's network".into()],
    )
}

fn vpc(group: &GroupSurvey) -> &str {
    group.vpc.as_deref().unwrap_or("no network")
}

fn health(name: &str, spec: &Alb, side: &str, group: &GroupSurvey) -> Finding {
    let check = Check {
        id: "alb-health",
        system: name,
        why: "An empty group answers 503, and one without a healthy target gets traffic all the same, so that nobody notices.",
    };
    let title = if side == "to" { "the group that traffic moves to" } else { "the group that traffic leaves" };
    let Some(unfit) = group.health.unfit(&group.arn, &spec.health) else {
        return check.pass(format!("{title} is fit"), format!("{}: {}.", short(&group.arn), group.health.words()));
    };
    let mend = vec![format!("-- register healthy targets in {}", group.arn)];
    let unused = group.health.states.keys().all(|state| matches!(state.as_str(), "unused" | "initial"));
    if side == "to" && group.health.registered() > 0 && unused {
        let detail = format!(
            "{}: {} targets, not checked as long as no rule names it. The shift names it with weight 0 and waits up to {}.",
            short(&group.arn),
            group.health.registered(),
            spec.health.within
        );
        return check.warn(
            format!("{title} is not checked yet"),
            detail,
            vec!["-- none needed: the shift waits for it".into()],
        );
    }
    check.fail(format!("{title} is not fit"), unfit, mend)
}

/// Stickiness to targets behind a rule with weights needs stickiness to groups too: AWS refuses it else.
fn sticky_targets(name: &str, spec: &Alb, survey: &AlbSurvey) -> Finding {
    let check = Check {
        id: "alb-target-stickiness",
        system: name,
        why: "AWS refuses weights on a group whose targets are sticky, unless the rule is sticky too; with a cookie of the \
              application it refuses them always.",
    };
    let sticky: Vec<&GroupSurvey> =
        survey.groups.iter().flatten().filter(|group| group.is_on("stickiness.enabled")).collect();
    if sticky.is_empty() {
        return check.pass("no target group is sticky", "stickiness.enabled is off.");
    }
    let named: Vec<String> = sticky.iter().map(|group| short(&group.arn)).collect();
    let app =
        sticky.iter().any(|group| group.attributes.get("stickiness.type").is_some_and(|kind| kind == "app_cookie"));
    let off = spec.stickiness == StickyRule::Off
        || ours(survey).iter().any(|route| forward::stickiness(&route.actions).is_none());
    let mend = sticky.iter().map(|group| {
        format!("aws elbv2 modify-target-group-attributes --target-group-arn {} --attributes Key=stickiness.enabled,Value=false", group.arn)
    });
    if app || off {
        let reason = if app { "by a cookie of the application" } else { "and a rule that would be weighed is not" };
        return check.fail("a target group is sticky", format!("{}, {reason}.", names(&named)), mend.collect());
    }
    check.pass("sticky groups have sticky rules", names(&named))
}

/// How long clients stay where they are, whatever the weights say.
fn pinned(name: &str, spec: &Alb, survey: &AlbSurvey) -> Finding {
    let check = Check {
        id: "alb-stickiness",
        system: name,
        why: "A client with a cookie goes to its group whatever the weights say: the share that arrives lags behind, and \
              traffic goes on to a group of weight 0.",
    };
    let longest = ours(survey).iter().filter_map(|route| forward::stickiness(&route.actions)).max();
    match (longest, spec.stickiness) {
        (None, _) => check.pass("clients do not stick to a group", "no rule is sticky."),
        (Some(seconds), StickyRule::Keep) => {
            let span = crate::runbook::units::Span::secs(u64::try_from(seconds).unwrap_or(0));
            let detail = format!(
                "clients stay with their group for up to {span} after they came; the share that is seen lags behind by as much."
            );
            let mend = vec![format!("-- {name}: `stickiness: off`, or shorten it one old duration before the run")];
            check.warn("clients stick to their group", detail, mend)
        }
        (Some(seconds), StickyRule::Off) => check.pass(
            "stickiness is taken off while traffic is shifted",
            format!("it is {seconds} s now; rollback puts it back."),
        ),
    }
}

fn slow_start(name: &str, survey: &AlbSurvey) -> Finding {
    let check = Check {
        id: "alb-slow-start",
        system: name,
        why: "Targets that were registered in an empty group, or healthy before slow start was set, do not start slowly: it \
              does not protect the first step.",
    };
    let slow: Vec<String> = survey
        .groups
        .iter()
        .flatten()
        .filter(|group| group.seconds("slow_start.duration_seconds").unwrap_or(0) > 0)
        .map(|group| short(&group.arn))
        .collect();
    if slow.is_empty() {
        return check.pass("no group starts slowly", "slow_start.duration_seconds is 0.");
    }
    let mend = vec!["-- begin with small weights; the first step must not rest on slow start".into()];
    check.warn("slow start does not protect the first step", names(&slow), mend)
}

fn deregistration(name: &str, survey: &AlbSurvey) -> Finding {
    let check = Check {
        id: "alb-deregistration",
        system: name,
        why: "Requests under way on targets that leave are cut after this delay.",
    };
    let delays: Vec<String> = survey
        .groups
        .iter()
        .flatten()
        .filter_map(|group| {
            Some(format!("{}: {} s", short(&group.arn), group.seconds("deregistration_delay.timeout_seconds")?))
        })
        .collect();
    check.pass(
        "the groups' deregistration delay",
        if delays.is_empty() { "not told.".to_owned() } else { names(&delays) },
    )
}

/// Signs of who else writes a resource, by its tags.
fn owner(tags: &BTreeMap<String, String>) -> Option<String> {
    let by = |key: &str| {
        let lower = key.to_ascii_lowercase();
        if lower.starts_with("aws:cloudformation:stack-name") {
            Some("CloudFormation")
        } else if lower.contains("terraform") || lower.contains("opentofu") {
            Some("Terraform")
        } else if lower.contains("pulumi") {
            Some("Pulumi")
        } else if lower.starts_with("elbv2.k8s.aws/") || lower.starts_with("ingress.k8s.aws/") {
            Some("the AWS Load Balancer Controller of a Kubernetes cluster")
        } else if lower.starts_with("amazonecsmanaged") {
            Some("ECS")
        } else {
            None
        }
    };
    tags.iter().find_map(|(key, value)| {
        let managed = matches!(key.to_ascii_lowercase().as_str(), "managedby" | "managed-by" | "managed_by");
        by(key).map(|who| format!("{who} ({key}={value})")).or_else(|| managed.then(|| format!("{value} ({key})")))
    })
}

fn writers(name: &str, survey: &AlbSurvey) -> Finding {
    let check = Check {
        id: "alb-writers",
        system: name,
        why: "Whoever else writes these rules overwrites our weights, or has them overwritten: there is no lock on a rule.",
    };
    let mut found: Vec<String> =
        survey.tags.iter().filter_map(|(arn, tags)| Some(format!("{}: {}", short(arn), owner(tags)?))).collect();
    let services = survey.writers.clone().unwrap_or_default();
    if !services.is_empty() {
        let detail = format!("services that shift traffic between these groups themselves: {}.", names(&services));
        return check.fail(
            "an ECS service writes these rules itself",
            detail,
            vec![
                "-- deploy nothing while the run goes on, and set the service's strategy to ROLLING; or let ECS shift"
                    .into(),
            ],
        );
    }
    if survey.writers.is_none() {
        found.push("ECS could not be asked".into());
    }
    if found.is_empty() {
        return check.pass(
            "nobody else is known to write these rules",
            "no tags of infrastructure tools, no service of ECS that shifts.",
        );
    }
    let mend = vec!["-- apply nothing there while the run goes on; afterwards let it ignore the weights (Terraform: `ignore_changes = [action]`)".into()];
    check.warn("somebody else may write these rules", names(&found), mend)
}

fn ahead(name: &str, survey: &AlbSurvey) -> Finding {
    let check = Check {
        id: "alb-rules-before",
        system: name,
        why: "A rule with a smaller number takes its requests before ours is looked at: they are not shifted.",
    };
    let before: Vec<String> =
        survey.state.iter().flat_map(|state| &state.before).flat_map(|(_, rules)| rules.clone()).collect();
    if before.is_empty() {
        return check.pass("no other rule stands before ours", "every request that ours is for reaches it.");
    }
    let mend =
        vec![format!("-- add them to `rules` of {name}, or make sure that their requests are not meant to move")];
    check.warn("other rules stand before ours", names(&before), mend)
}
