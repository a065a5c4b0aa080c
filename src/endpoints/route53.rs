//! A DNS record of Route 53: replaced by DELETE of exactly what was read and CREATE, in one batch, so that AWS itself
//! refuses it when somebody else has changed it since. Caches keep the former answer for as long as its TTL said.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_route53::types::{ResourceRecord, ResourceRecordSet};
use serde_json::{Value, json};

use super::ends::texts;
use super::told::{Reach, Waiting};
use super::{Endpoint, Errand, Leads, Outcome, Route};
use crate::clock;
use crate::preflight::{Check, Finding};
use crate::runbook::model::{Lowered, Route53};
use crate::systems::aws::route53::{self as driver, same_name};
use crate::systems::aws::{Aws, Call, Permission, Service};
use crate::systems::pair::Heading;
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError, Result};

const PAUSE: Duration = Duration::from_secs(3);
/// AWS spreads a change within this time, as it says; for a change whose id was lost.
const SPREAD: Duration = Duration::from_secs(60);

/// A record that clients resolve.
pub struct Record {
    reach: Reach,
    spec: Route53,
}

impl Record {
    pub(super) fn new(world: &World, name: &str, spec: &Route53) -> Self {
        Self { reach: Reach::new(world, name), spec: spec.clone() }
    }

    /// Values of a simple record, or set identifiers of weighted ones.
    fn ends(&self, route: &Route) -> Result<(String, String)> {
        match &self.spec.weighted {
            Some(weighted) if route.way == Heading::Forth => Ok((weighted.from.clone(), weighted.to.clone())),
            Some(weighted) => Ok((weighted.to.clone(), weighted.from.clone())),
            None => texts(route, self.spec.from.as_deref(), self.spec.to.as_deref()),
        }
    }

    async fn read(&self, aws: &Aws) -> Result<Vec<ResourceRecordSet>> {
        driver::records(aws, &self.spec.zone, &self.spec.record, &driver::kind(self.spec.kind)).await
    }

    fn leads(&self, sets: &[ResourceRecordSet], route: &Route) -> Result<Leads> {
        let (from, to) = self.ends(route)?;
        Ok(match &self.spec.weighted {
            Some(_) => weighted(sets, &from, &to),
            None => simple(sets, &from, &to),
        })
    }

    /// The record sets that are replaced, and by what.
    fn change(
        &self,
        sets: &[ResourceRecordSet],
        route: &Route,
    ) -> Result<(Vec<ResourceRecordSet>, Vec<ResourceRecordSet>)> {
        let (from, to) = self.ends(route)?;
        if self.spec.weighted.is_none() {
            let record = ResourceRecord::builder().value(to).build();
            let record = record.map_err(|error| self.odd(error.to_string()))?;
            let mut new = sets.to_vec();
            for set in &mut new {
                set.resource_records = Some(vec![record.clone()]);
            }
            return Ok((sets.to_vec(), new));
        }
        let ours = |set: &&ResourceRecordSet| [Some(&*from), Some(&*to)].contains(&set.set_identifier());
        let old: Vec<ResourceRecordSet> = sets.iter().filter(ours).cloned().collect();
        let weight = old.iter().filter_map(|set| set.weight).max().unwrap_or(0).max(1);
        let mut new = old.clone();
        for set in &mut new {
            set.weight = Some(if set.set_identifier() == Some(&to) { weight } else { 0 });
        }
        Ok((old, new))
    }

    fn odd(&self, reason: String) -> DriverError {
        DriverError::new(&self.reach.name, "change the record", reason, Certainty::NotSent)
    }

    /// Caches must have forgotten the former TTL by now.
    fn fresh(&self, sets: &[ResourceRecordSet]) -> Outcome<()> {
        let max = self.spec.max_ttl.0;
        let ttl = ttl(sets);
        if ttl > max {
            let message = format!("its TTL is {} s, and the runbook accepts {} s", ttl.as_secs(), max.as_secs());
            let hint = format!(
                "lower it, and wait for at least {} s, while caches forget the former one; say so with `lowered`",
                ttl.as_secs()
            );
            return Err(self.reach.refused(message, &hint));
        }
        match self.spec.lowered.as_ref().and_then(remaining) {
            Some(wait) => {
                let message =
                    format!("its TTL was lowered too late: caches may keep the former one for {} s", wait.as_secs());
                Err(self.reach.refused(message, "wait, then `pointsman retry`"))
            }
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Endpoint for Record {
    fn name(&self) -> &str {
        &self.reach.name
    }

    fn probe(&self) -> Option<&str> {
        self.spec.probe.as_deref()
    }

    fn describe_switch(&self, route: &Route) -> Vec<String> {
        let Ok((from, to)) = self.ends(route) else { return Vec::new() };
        let kind = driver::kind(self.spec.kind);
        let set = |extra: Value| {
            let mut set = json!({ "Name": self.spec.record, "Type": kind.as_str(), "TTL": "AS IT IS" });
            if let (Some(set), Value::Object(extra)) = (set.as_object_mut(), extra) {
                set.extend(extra);
            }
            set
        };
        let value = |value: &str| set(json!({ "ResourceRecords": [{ "Value": value }] }));
        let weight = |name: &str, weight: &str| set(json!({ "SetIdentifier": name, "Weight": weight }));
        let change = |action: &str, set: Value| json!({ "Action": action, "ResourceRecordSet": set });
        let changes = if self.spec.weighted.is_some() {
            vec![
                change("DELETE", weight(&from, "W")),
                change("DELETE", weight(&to, "0")),
                change("CREATE", weight(&from, "0")),
                change("CREATE", weight(&to, "W")),
            ]
        } else {
            vec![change("DELETE", value(&from)), change("CREATE", value(&to))]
        };
        let call = |operation, parameters| Call::new(Service::Route53, operation, parameters).to_string();
        let zone = &self.spec.zone;
        vec![
            call(
                "ListResourceRecordSets",
                json!({ "HostedZoneId": zone, "StartRecordName": self.spec.record, "StartRecordType": kind.as_str() }),
            ),
            call("ChangeResourceRecordSets", json!({ "HostedZoneId": zone, "ChangeBatch": { "Changes": changes } })),
            call("GetChange", json!({ "Id": "OF THE CHANGE" })),
        ]
    }

    fn clients(&self, _route: &Route) -> Option<String> {
        let (name, ttl) = (&self.reach.name, self.spec.max_ttl);
        Some(format!(
            "those that resolve {name} anew follow within its TTL (at most {ttl}); open connections and caches that \
             ignore the TTL stay until they are ended"
        ))
    }

    fn permissions(&self) -> Vec<Permission> {
        let zone = format!("arn:aws:route53:::hostedzone/{}", self.spec.zone);
        vec![
            Permission::on(Service::Route53, "ListResourceRecordSets", zone.clone()),
            Permission::on(Service::Route53, "ChangeResourceRecordSets", zone),
            Permission::on(Service::Route53, "GetChange", "arn:aws:route53:::change/*"),
        ]
    }

    async fn findings(&self, route: &Route) -> Result<Vec<Finding>> {
        let aws = self.reach.look().await?;
        let sets = self.read(&aws).await?;
        let leads = self.leads(&sets, route)?;
        Ok(vec![self.reach.route(&leads), judge_ttl(&self.reach.name, &self.spec, ttl(&sets))])
    }

    async fn observe(&self, errand: &Errand<'_>) -> Result<Leads> {
        let aws = self.reach.aws(errand).await?;
        self.leads(&self.read(&aws).await?, errand.route)
    }

    async fn switch(&self, errand: &Errand<'_>) -> Outcome {
        let aws = self.reach.aws(errand).await?;
        let sets = self.read(&aws).await?;
        let leads = self.leads(&sets, errand.route)?;
        if leads != Leads::From {
            return Err(self.reach.refused(format!("it was changed meanwhile ({leads:?})"), "find out who changes it"));
        }
        self.fresh(&sets)?;
        let (old, new) = self.change(&sets, errand.route)?;
        let name = &self.reach.name;
        errand.note(name, "before", words(&old))?;
        errand.note(name, &errand.own("began"), true)?;
        errand.cx.still_mine()?;
        let comment = format!("pointsman {} {}", errand.cx.run, errand.of.step);
        let change = driver::replace(&aws, &self.spec.zone, &comment, &old, &new).await?;
        errand.note(name, &errand.own("change"), change.clone())?;
        let leads = self.leads(&self.read(&aws).await?, errand.route)?;
        if leads != Leads::To {
            return Err(self
                .reach
                .in_doubt(format!("change {change} was made, and the record reads otherwise ({leads:?})")));
        }
        Ok(json!({ "change": change, "before": words(&old), "now": words(&new) }))
    }

    /// All servers of Route 53 have it, and then the TTL has passed.
    async fn settle(&self, errand: &Errand<'_>) -> Outcome<Option<String>> {
        let aws = self.reach.aws(errand).await?;
        let name = &self.reach.name;
        if errand.latest::<bool>(name, &errand.own("began"))?.is_none() {
            // It led there already.
            return Ok(None);
        }
        match errand.latest::<String>(name, &errand.own("change"))? {
            Some(id) => {
                let waiting = Waiting::new(self.spec.timeout.0);
                while !driver::is_in_sync(&aws, &id).await? {
                    waiting.rest(errand, PAUSE, &format!("{name}: change {id} is not INSYNC yet")).await?;
                }
            }
            None => rest(errand, SPREAD, &format!("{name}: the change's id was lost; it spreads within 60 s")).await?,
        }
        let ttl = ttl(&self.read(&aws).await?);
        rest(errand, ttl, &format!("{name}: caches keep the former answer for {} s", ttl.as_secs())).await?;
        Ok(Some(format!(
            "{name} leads there on all servers of Route 53, and its TTL of {} s has passed",
            ttl.as_secs()
        )))
    }
}

/// Whether caches will have forgotten the former answer in time.
fn judge_ttl(name: &str, spec: &Route53, ttl: Duration) -> Finding {
    let check = Check {
        id: "dns-ttl",
        system: name,
        why: "Resolvers and clients keep an answer for as long as its TTL said when they asked.",
    };
    let (now, max) = (ttl.as_secs(), spec.max_ttl);
    if ttl > max.0 {
        let mend = vec![format!(
            "-- lower the TTL of {} to {} s, wait {now} s, and say `lowered: {{ at: …, from: {now}s }}`",
            spec.record,
            max.0.as_secs()
        )];
        return check.fail("the TTL is too long", format!("it is {now} s; the runbook accepts {max}."), mend);
    }
    match spec.lowered.as_ref().map(remaining) {
        Some(Some(wait)) => {
            let detail = format!("caches may keep the former one for {} s more.", wait.as_secs());
            check.fail("the TTL was lowered too late", detail, vec![format!("-- wait {} s", wait.as_secs())])
        }
        Some(None) => check.pass("the TTL was lowered in time", format!("it is {now} s.")),
        None => check.warn(
            "it is not known since when the TTL is so short",
            format!("it is {now} s; Route 53 does not say what it was before."),
            vec![format!("-- say `lowered: {{ at: …, from: … }}` of {name}, if it was longer")],
        ),
    }
}

async fn rest(errand: &Errand<'_>, span: Duration, words: &str) -> Outcome<()> {
    errand.cx.progress(&errand.of.step, words);
    errand.cx.rest(span).await
}

/// How long caches may still keep the TTL that was before.
pub(super) fn remaining(lowered: &Lowered) -> Option<Duration> {
    let at: jiff::Timestamp = lowered.at.parse().ok()?;
    let free = at.saturating_add(lowered.from.0).ok()?;
    Duration::try_from(free.duration_since(clock::now())).ok().filter(|wait| !wait.is_zero())
}

fn ttl(sets: &[ResourceRecordSet]) -> Duration {
    let longest = sets.iter().filter_map(|set| set.ttl).max().unwrap_or(0);
    Duration::from_secs(u64::try_from(longest).unwrap_or(0))
}

/// A simple record has one value.
fn simple(sets: &[ResourceRecordSet], from: &str, to: &str) -> Leads {
    let [set] = sets else {
        return Leads::Neither(format!("it has {} record sets where one is expected: {}", sets.len(), words(sets)));
    };
    if set.alias_target().is_some() || set.set_identifier().is_some() {
        return Leads::Neither(format!("it is no simple record: {}", words(sets)));
    }
    match set.resource_records() {
        [record] if same_name(record.value(), to) => Leads::To,
        [record] if same_name(record.value(), from) => Leads::From,
        _ => Leads::Neither(format!("it says {}", words(sets))),
    }
}

/// All of the weight is on one of two record sets; both at 0 would answer with either.
fn weighted(sets: &[ResourceRecordSet], from: &str, to: &str) -> Leads {
    let weight = |name: &str| {
        let set = sets.iter().find(|set| set.set_identifier() == Some(name));
        set.and_then(|set| set.weight)
    };
    let stranger = |set: &&ResourceRecordSet| {
        ![Some(from), Some(to)].contains(&set.set_identifier()) && set.weight.is_none_or(|weight| weight > 0)
    };
    if let Some(other) = sets.iter().find(stranger) {
        let name = other.set_identifier().unwrap_or("(none)");
        return Leads::Neither(format!("another record set, {name}, takes a part: {}", words(sets)));
    }
    match (weight(from), weight(to)) {
        (Some(0), Some(weight)) if weight > 0 => Leads::To,
        (Some(weight), Some(0)) if weight > 0 => Leads::From,
        _ => Leads::Neither(format!("its weights are {}", words(sets))),
    }
}

fn words(sets: &[ResourceRecordSet]) -> String {
    let word = |set: &ResourceRecordSet| {
        let values: Vec<&str> = set.resource_records().iter().map(ResourceRecord::value).collect();
        let alias = set.alias_target().map(|alias| format!("alias of {}", alias.dns_name()));
        let weight = set.weight.map(|weight| format!(" weight {weight}")).unwrap_or_default();
        let name = set.set_identifier().map(|name| format!("{name}: ")).unwrap_or_default();
        format!("{name}{}{weight}", alias.unwrap_or_else(|| values.join(" ")))
    };
    if sets.is_empty() { "nothing".to_owned() } else { sets.iter().map(word).collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use aws_sdk_route53::types::RrType;

    use super::*;

    fn set(name: Option<&str>, value: &str, weight: Option<i64>) -> ResourceRecordSet {
        let record = ResourceRecord::builder().value(value).build().unwrap();
        let set = ResourceRecordSet::builder().name("db.example.com.").r#type(RrType::Cname).ttl(60);
        set.set_set_identifier(name.map(str::to_owned)).set_weight(weight).resource_records(record).build().unwrap()
    }

    #[test]
    fn a_simple_record_leads_to_one_side_or_to_neither() {
        assert_eq!(simple(&[set(None, "old.", None)], "old", "new"), Leads::From);
        assert_eq!(simple(&[set(None, "NEW", None)], "old", "new"), Leads::To);
        let third = simple(&[set(None, "third", None)], "old", "new");
        assert_eq!(third, Leads::Neither("it says third".into()));
        assert!(matches!(simple(&[], "old", "new"), Leads::Neither(words) if words.contains("nothing")));
        assert!(matches!(simple(&[set(Some("a"), "old", Some(1))], "old", "new"), Leads::Neither(_)));
    }

    #[test]
    fn weights_are_all_on_one_side_or_it_leads_to_neither() {
        let pair = |a, b| weighted(&[set(Some("a"), "old", a), set(Some("b"), "new", b)], "a", "b");
        assert_eq!(pair(Some(100), Some(0)), Leads::From);
        assert_eq!(pair(Some(0), Some(7)), Leads::To);
        for (a, b) in [(Some(0), Some(0)), (Some(50), Some(50)), (Some(1), None)] {
            assert!(matches!(pair(a, b), Leads::Neither(_)), "{a:?} {b:?}");
        }
        let sets = [set(Some("a"), "old", Some(1)), set(Some("b"), "new", Some(0)), set(Some("c"), "x", Some(1))];
        assert!(matches!(weighted(&sets, "a", "b"), Leads::Neither(words) if words.contains("another record set, c")));
        assert!(matches!(weighted(&sets[..1], "a", "b"), Leads::Neither(_)));
    }

    #[test]
    fn a_ttl_is_judged_by_its_length_and_its_age() {
        use crate::preflight::Level;
        let spec = |lowered: Value| -> Route53 {
            serde_json::from_value(json!({ "zone": "Z", "record": "db", "max-ttl": "60s", "lowered": lowered }))
                .unwrap()
        };
        let judged = |lowered: Value, ttl| judge_ttl("dns", &spec(lowered), Duration::from_secs(ttl)).level;
        let at = |ago: u64| json!({ "at": (clock::now() - Duration::from_secs(ago)).to_string(), "from": "1h" });
        assert_eq!(judged(Value::Null, 300), Level::Fail);
        assert_eq!(judged(Value::Null, 60), Level::Warn);
        assert_eq!(judged(at(600), 60), Level::Fail);
        assert_eq!(judged(at(4000), 60), Level::Pass);
    }

    #[test]
    fn caches_keep_what_a_ttl_said_before() {
        let lowered =
            |at: jiff::Timestamp| Lowered { at: at.to_string(), from: crate::runbook::units::Span::secs(3600) };
        let now = clock::now();
        assert_eq!(remaining(&lowered(now - Duration::from_secs(7200))), None);
        let left = remaining(&lowered(now - Duration::from_secs(600))).unwrap();
        assert!((2990..=3000).contains(&left.as_secs()), "{left:?}");
    }
}
