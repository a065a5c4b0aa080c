//! Health of targets, which the emulator has as `healthy` always.
//!
//! States and reasons: Elastic Load Balancing API reference, `TargetHealth`; Application Load Balancers user guide, "Target
//! group health checks" ("Target health status", "Health check reason codes").

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
};

use crate::aws::proxy::{Asked, Overlay, Reply};

/// What the load balancer finds of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Healthy,
    /// Registered just now, not checked yet.
    Initial,
    Unhealthy,
    /// Deregistered, with requests under way.
    Draining,
    /// The group is in no rule, so that nobody checks.
    Unused,
}

impl Health {
    const fn words(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Healthy => ("healthy", None),
            Self::Initial => ("initial", Some("Elb.InitialHealthChecking")),
            Self::Unhealthy => ("unhealthy", Some("Target.FailedHealthChecks")),
            Self::Draining => ("draining", Some("Target.DeregistrationInProgress")),
            Self::Unused => ("unused", Some("Target.NotInUse")),
        }
    }
}

/// Answers for the groups whose health a test has set; of others the emulator speaks.
#[derive(Default)]
pub struct TargetHealth(Mutex<BTreeMap<String, Vec<Health>>>);

impl TargetHealth {
    /// From now on the group has one target for each of these.
    pub fn set(&self, group: &str, targets: &[Health]) {
        self.lock().insert(group.to_owned(), targets.to_vec());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<Health>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Overlay for TargetHealth {
    fn instead(&self, asked: &Asked) -> Option<Reply> {
        if asked.action != "DescribeTargetHealth" {
            return None;
        }
        let group = asked.parameters["TargetGroupArn"].as_str()?;
        let targets = self.lock().get(group)?.clone();
        let mut members = String::new();
        for (number, health) in targets.into_iter().enumerate() {
            let (state, reason) = health.words();
            let reason = reason.map(|reason| format!("<Reason>{reason}</Reason>")).unwrap_or_default();
            write!(
                members,
                "<member><Target><Id>10.0.0.{number}</Id><Port>80</Port></Target><HealthCheckPort>80</HealthCheckPort>\
                 <TargetHealth><State>{state}</State>{reason}</TargetHealth></member>"
            )
            .unwrap();
        }
        let body = format!(
            "<DescribeTargetHealthResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
             <DescribeTargetHealthResult><TargetHealthDescriptions>{members}</TargetHealthDescriptions>\
             </DescribeTargetHealthResult><ResponseMetadata><RequestId>0</RequestId></ResponseMetadata>\
             </DescribeTargetHealthResponse>"
        );
        Some(Reply::new(200, "text/xml", body))
    }
}
