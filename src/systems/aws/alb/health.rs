//! How fit a target group is: targets counted by their state. A group of which no target is healthy gets traffic all the
//! same (AWS calls it fail-open), so that a working site proves nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::routes::short;
use crate::runbook::model::HealthFloor;
use crate::systems::Result;
use crate::systems::aws::{Aws, Service};

/// The targets of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Health {
    /// How many are in each state.
    pub states: BTreeMap<String, u32>,
    /// Why those are not healthy that are not, for a person.
    pub reasons: Vec<String>,
}

impl Health {
    /// Targets that get new requests, or would if they were healthy: those that leave do not count.
    #[must_use]
    pub fn registered(&self) -> u32 {
        let leaving = ["draining", "unhealthy.draining"];
        self.states.iter().filter(|(state, _)| !leaving.contains(&state.as_str())).map(|(_, count)| count).sum()
    }

    /// Healthy targets.
    #[must_use]
    pub fn healthy(&self) -> u32 {
        self.states.get("healthy").copied().unwrap_or(0)
    }

    /// Why the group can't take traffic; nothing when it can.
    #[must_use]
    pub fn unfit(&self, group: &str, floor: &HealthFloor) -> Option<String> {
        let (healthy, registered) = (self.healthy(), self.registered());
        let name = short(group);
        if registered == 0 {
            return Some(format!("{name} has no targets: requests to it would get 503"));
        }
        let ratio = f64::from(healthy) * 100.0 / f64::from(registered);
        if healthy >= floor.count.max(1) && ratio >= floor.ratio.0 {
            return None;
        }
        let reasons = if self.reasons.is_empty() { String::new() } else { format!(": {}", self.reasons.join(", ")) };
        let wanted = format!("at least {} and {} of them are wanted", floor.count.max(1), floor.ratio);
        let open = if healthy == 0 { " (it fails open: it would get traffic all the same)" } else { "" };
        Some(format!("{name} has {healthy} healthy of {registered} targets, {wanted}{open}{reasons}"))
    }

    /// For a person: `3 of 4 healthy`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} of {} healthy", self.healthy(), self.registered())
    }
}

/// Reads the health of a group.
pub async fn read(aws: &Aws, group: &str) -> Result<Health> {
    let what = format!("read the health of {}", short(group));
    let send = || aws.elbv2().describe_target_health().target_group_arn(group).send();
    let answer = aws.read(Service::Elbv2, &what, send).await?;
    let mut health = Health::default();
    for target in answer.target_health_descriptions() {
        let told = target.target_health.as_ref();
        let state = told.and_then(|told| told.state.as_ref()).map_or("unknown", |state| state.as_str());
        *health.states.entry(state.to_owned()).or_default() += 1;
        if state != "healthy" {
            let id = target.target.as_ref().and_then(|target| target.id.as_deref()).unwrap_or("?");
            let port =
                target.target.as_ref().and_then(|target| target.port).map_or(String::new(), |port| format!(":{port}"));
            let reason =
                told.and_then(|told| told.reason.as_ref()).map_or(String::new(), |why| format!(" ({})", why.as_str()));
            health.reasons.push(format!("{id}{port} is {state}{reason}"));
        }
    }
    health.reasons.sort();
    health.reasons.truncate(10);
    Ok(health)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::units::{Share, Span};

    const FLOOR: HealthFloor = HealthFloor { count: 2, ratio: Share(50.0), within: Span::secs(1) };

    fn unfit(states: &[(&str, u32)]) -> Option<String> {
        let states = states.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect();
        Health { states, reasons: vec![] }.unfit("arn:a:b:c:d:targetgroup/green/1", &FLOOR)
    }

    #[test]
    fn count_and_ratio_both_matter() {
        assert_eq!(unfit(&[("healthy", 2)]), None);
        assert_eq!(unfit(&[("healthy", 2), ("unhealthy", 2)]), None);
        assert!(unfit(&[("healthy", 2), ("unhealthy", 3)]).unwrap().contains("2 healthy of 5"), "the ratio");
        assert!(unfit(&[("healthy", 1)]).unwrap().contains("1 healthy of 1"), "the count");
    }

    #[test]
    fn an_empty_group_and_one_that_fails_open_are_unfit() {
        assert!(unfit(&[]).unwrap().contains("503"));
        assert!(unfit(&[("draining", 4)]).unwrap().contains("no targets"));
        assert!(unfit(&[("unhealthy", 4)]).unwrap().contains("fails open"));
        assert!(unfit(&[("unused", 2)]).is_some() && unfit(&[("initial", 2)]).is_some());
    }
}
