//! Application Load Balancers. An [`Alb`] is all routes of a system that move together. Its calls know no precondition
//! and replace whole lists of actions: everything is read first, compared, and read back afterwards.

pub mod actions;
pub mod forward;
pub mod health;
pub mod observe;
pub mod routes;
pub mod survey;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

pub use actions::Action;
pub use routes::{Route, State};

use self::actions::Stickiness;
use self::forward::Groups;
use self::observe::{ByCloudwatch, ByHttp, dimension_of_balancer};
use self::routes::{short, weights_words};
use super::{Aws, Permission, Service, throttle};
use crate::clock;
use crate::runbook::model::{Alb as Spec, Observe, StickyRule};
use crate::systems::traffic::{Meter, Part, Toward, Traffic};
use crate::systems::{Certainty, DriverError, Result};

/// How long what was written may take to be read back.
const READ_BACK: Duration = Duration::from_secs(60);
/// Tries of a write whose answer was lost.
const WRITES: u32 = 3;

/// A load balancer of the runbook.
#[derive(Clone, Debug)]
pub struct Alb {
    name: String,
    spec: Spec,
    aws: Aws,
    planned: Option<State>,
}

impl Alb {
    /// The load balancer of this name; `planned` is what stood in it when the plan was made.
    #[must_use]
    pub const fn new(name: String, spec: Spec, aws: Aws, planned: Option<State>) -> Self {
        Self { name, spec, aws, planned }
    }

    /// What stands in its routes now.
    pub async fn state(&self) -> Result<State> {
        routes::read(&self.aws, &self.spec.listeners, &self.spec.rules).await
    }

    fn refused(&self, what: &str, reason: impl std::fmt::Display) -> DriverError {
        DriverError::new(&self.name, what, reason, Certainty::Refused)
    }

    fn stored(&self, state: &Value) -> Result<State> {
        let unreadable = |error| self.refused("read what was journaled", error);
        serde_json::from_value(state.clone()).map_err(unreadable)
    }

    fn weighed(&self, state: &Value, share: f64) -> Result<Value> {
        let mut state = self.stored(state)?;
        for route in &mut state.routes {
            route.actions = with_share(&self.spec, route, share)
                .map_err(|reason| self.refused(&format!("weigh {}", route.words()), reason))?;
        }
        Ok(json!(state))
    }

    /// Writes one route and reads it back until it is there. An answer that was lost is settled by reading.
    async fn write_route(&self, wanted: &Route) -> Result<()> {
        let mut tries = 0;
        loop {
            let found = self.route(&wanted.arn).await?;
            if forward::same(&found.actions, &wanted.actions) {
                return Ok(());
            }
            tries += 1;
            match wanted.send(&self.aws).await {
                Ok(()) => return self.read_back(wanted).await,
                Err(error) if error.certainty == Certainty::Unknown && tries < WRITES => {
                    tokio::time::sleep(throttle::backoff(tries)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn route(&self, arn: &str) -> Result<Route> {
        let one = [arn.to_owned()];
        let (listeners, rules) = if routes::is_rule(arn) { (&[][..], &one[..]) } else { (&one[..], &[][..]) };
        let state = routes::read(&self.aws, listeners, rules).await?;
        state.routes.into_iter().next().ok_or_else(|| self.refused("read it", "there is no such route"))
    }

    async fn read_back(&self, wanted: &Route) -> Result<()> {
        let latest = clock::monotonic() + READ_BACK;
        let mut pause = Duration::from_millis(100);
        loop {
            let found = self.route(&wanted.arn).await?;
            if forward::same(&found.actions, &wanted.actions) {
                return Ok(());
            }
            if clock::monotonic() >= latest {
                let reason = format!(
                    "it was told {}, and {} s later has {}",
                    weights_words(wanted),
                    READ_BACK.as_secs(),
                    weights_words(&found)
                );
                let what = format!("read {} back", wanted.words());
                return Err(DriverError::new(&self.name, &what, reason, Certainty::Unknown)
                    .with_hint("look for something else that writes it: ECS, CloudFormation, Terraform, a person"));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

/// What was done and what was not, when one of several routes failed.
fn partial(error: DriverError, wanted: &State, failed: usize) -> DriverError {
    if wanted.routes.len() == 1 {
        return error;
    }
    let names = |routes: &[Route]| routes.iter().map(Route::words).collect::<Vec<_>>().join(", ");
    let (done, rest) = (&wanted.routes[..failed], &wanted.routes[failed + 1..]);
    let reason = format!(
        "{}; written before it: {}; not yet: {}",
        error.reason,
        if done.is_empty() { "none".to_owned() } else { names(done) },
        if rest.is_empty() { "none".to_owned() } else { names(rest) }
    );
    DriverError { reason, ..error }
}

/// The actions of a route with weights for a share, and with the stickiness that the runbook wants meanwhile.
fn with_share(spec: &Spec, route: &Route, share: f64) -> std::result::Result<Vec<Action>, String> {
    let actions = forward::with_share(&route.actions, groups(spec), share)?;
    match spec.stickiness {
        StickyRule::Keep => Ok(actions),
        StickyRule::Off => {
            forward::with_stickiness(&actions, Some(Stickiness { enabled: Some(false), duration_seconds: None }))
        }
    }
}

fn groups(spec: &Spec) -> Groups<'_> {
    Groups { from: &spec.from, to: &spec.to }
}

#[async_trait]
impl Traffic for Alb {
    fn destination(&self) -> String {
        short(&self.spec.to)
    }

    fn planned(&self) -> Option<Value> {
        self.planned.as_ref().map(|state| json!(state))
    }

    async fn look(&self) -> Result<Value> {
        Ok(json!(self.state().await?))
    }

    fn parts(&self, state: &Value) -> Result<Vec<Part>> {
        let state = self.stored(state)?;
        let route = |route: &Route| Part {
            name: route.arn.clone(),
            value: json!([route.priority, route.conditions, route.transforms, forward::canonical(&route.actions)]),
            words: format!("{} at {}: {}", route.words(), route.priority, weights_words(route)),
        };
        let before = |(listener, rules): &(String, Vec<String>)| Part {
            name: format!("before {listener}"),
            value: json!(rules),
            words: format!(
                "rules before it in {}: {}",
                short(listener),
                if rules.is_empty() { "none".to_owned() } else { rules.join("; ") }
            ),
        };
        Ok(state.routes.iter().map(route).chain(state.before.iter().map(before)).collect())
    }

    async fn unfit(&self, side: Toward) -> Result<Option<String>> {
        let group = if side == Toward::To { &self.spec.to } else { &self.spec.from };
        Ok(health::read(&self.aws, group).await?.unfit(group, &self.spec.health))
    }

    fn patience(&self) -> Duration {
        self.spec.health.within.0
    }

    fn prepared(&self, state: &Value) -> Result<Value> {
        let mut prepared = self.stored(state)?;
        for route in &mut prepared.routes {
            if forward::divided(&route.actions).iter().any(|(arn, _)| *arn == self.spec.to) {
                continue;
            }
            // A group that no rule names is not checked: it is named with weight 0 first.
            route.actions = forward::with_share(&route.actions, groups(&self.spec), 0.0).map_err(|reason| {
                self.refused(&format!("attach {} to {}", short(&self.spec.to), route.words()), reason)
            })?;
        }
        Ok(json!(prepared))
    }

    fn without_source(&self, state: &Value) -> Result<Option<Value>> {
        let mut left = self.stored(state)?;
        for route in &mut left.routes {
            route.actions = forward::without(&route.actions, groups(&self.spec)).map_err(|reason| {
                self.refused(&format!("take {} out of {}", short(&self.spec.from), route.words()), reason)
            })?;
        }
        Ok(Some(json!(left)))
    }

    fn with_share(&self, state: &Value, share: f64) -> Result<Value> {
        self.weighed(state, share)
    }

    fn share(&self, state: &Value) -> Result<Option<f64>> {
        let state = self.stored(state)?;
        let shares: Vec<Option<f64>> =
            state.routes.iter().map(|route| forward::share(&route.actions, groups(&self.spec))).collect();
        let first = shares.first().copied().flatten();
        let agree = |share: &Option<f64>| share.zip(first).is_some_and(|(share, first)| (share - first).abs() < 0.01);
        Ok(first.filter(|_| shares.iter().all(agree)))
    }

    async fn write(&self, wanted: &Value) -> Result<()> {
        let wanted = self.stored(wanted)?;
        for (at, route) in wanted.routes.iter().enumerate() {
            self.write_route(route).await.map_err(|error| partial(error, &wanted, at))?;
        }
        Ok(())
    }

    fn settle(&self) -> Duration {
        self.spec.settle.0
    }

    async fn count(&self) -> Result<Box<dyn Meter>> {
        match &self.spec.observe {
            Observe::Cloudwatch(spec) => {
                let mut balancers: Vec<String> = self
                    .spec
                    .listeners
                    .iter()
                    .chain(&self.spec.rules)
                    .filter_map(|arn| dimension_of_balancer(arn))
                    .collect();
                balancers.sort();
                balancers.dedup();
                let sides = [self.spec.from.as_str(), self.spec.to.as_str()];
                Ok(Box::new(ByCloudwatch::new(self.aws.clone(), *spec, balancers, sides)))
            }
            Observe::Http(spec) => Ok(Box::new(ByHttp::new(&self.name, spec.clone())?)),
        }
    }
}

/// What is sent for a share, word for word, from what stood there when the plan was made.
#[must_use]
pub fn describe_share(spec: &Spec, planned: &State, share: f64) -> Vec<String> {
    let one = |route: &Route| match with_share(spec, route, share) {
        Ok(actions) => Route { actions, ..route.clone() }.call().to_string(),
        Err(reason) => format!("-- {} can't be weighed: {reason}", route.words()),
    };
    planned.routes.iter().map(one).collect()
}

/// What names the new group with weight 0 where no route names it yet, word for word.
#[must_use]
pub fn describe_attach(spec: &Spec, planned: &State) -> Vec<String> {
    let names_it = |route: &&Route| forward::divided(&route.actions).iter().any(|(arn, _)| *arn == spec.to);
    let routes = planned.routes.iter().filter(|route| !names_it(route));
    let attached = routes.filter_map(|route| {
        let actions = forward::with_share(&route.actions, groups(spec), 0.0).ok()?;
        Some(Route { actions, ..route.clone() }.call().to_string())
    });
    attached.collect()
}

/// What clients notice of a shift.
#[must_use]
pub fn describe_clients(spec: &Spec, planned: Option<&State>) -> String {
    let routes = planned.map_or(&[][..], |state| state.routes.as_slice());
    let sticky = routes.iter().filter_map(|route| forward::stickiness(&route.actions)).max();
    let first = "new requests go to the new group by these shares; requests under way are not touched";
    match sticky {
        Some(seconds) if spec.stickiness == StickyRule::Keep => {
            format!("{first}; clients with a cookie stay with their group for up to {seconds} s")
        }
        Some(_) => {
            format!("{first}; stickiness is off meanwhile, so that a client may change its group between requests")
        }
        None => first.to_owned(),
    }
}

/// What puts everything back, word for word.
#[must_use]
pub fn describe_undo(planned: &State) -> Vec<String> {
    planned.routes.iter().map(|route| route.call().to_string()).collect()
}

/// The arguments of the AWS command line that put a route back by hand.
#[must_use]
pub fn by_hand(route: &Route, region: Option<&str>) -> String {
    let region = region.map(|region| format!(" --region {region}")).unwrap_or_default();
    let call = route.call();
    if route.is_default() {
        return format!(
            "aws elbv2 modify-listener{region} --listener-arn {} --default-actions '{}'",
            route.arn, call.parameters["DefaultActions"]
        );
    }
    format!("aws elbv2 modify-rule{region} --rule-arn {} --actions '{}'", route.arn, call.parameters["Actions"])
}

/// What shifting it asks of IAM.
#[must_use]
pub fn permissions(spec: &Spec) -> Vec<Permission> {
    let read = [
        "DescribeListeners",
        "DescribeRules",
        "DescribeTargetHealth",
        "DescribeTargetGroups",
        "DescribeTargetGroupAttributes",
        "DescribeTags",
    ];
    let mut all: Vec<Permission> =
        read.into_iter().map(|operation| Permission::anywhere(Service::Elbv2, operation)).collect();
    all.extend(spec.listeners.iter().map(|arn| Permission::on(Service::Elbv2, "ModifyListener", arn)));
    all.extend(spec.rules.iter().map(|arn| Permission::on(Service::Elbv2, "ModifyRule", arn)));
    if matches!(spec.observe, Observe::Cloudwatch(_)) {
        all.push(Permission::anywhere(Service::Cloudwatch, "GetMetricData"));
    }
    all
}
