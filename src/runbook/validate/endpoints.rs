//! Endpoints that only say where the database is, and tasks of ECS: their values, and where they may stand.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::Check;
use super::values::host_and_port;
use crate::runbook::model::{
    Ecs, Failover, Name, Part, Rds, RecordKind, Route53, RunTask, Step, Switch, System, UndoTask,
};

pub(super) fn values(check: &mut Check<'_>) {
    for (name, system) in &check.runbook.systems {
        let path = format!("/systems/{name}/{}", system.kind());
        match system {
            System::Route53(system) => route53(check, &path, system),
            System::SecretsManager(system) => {
                content(check, &path, &system.keys, system.text);
                addresses(check, &path, [&system.from, &system.to]);
            }
            System::SsmParameter(system) => {
                content(check, &path, &system.keys, system.text);
                addresses(check, &path, [&system.from, &system.to]);
            }
            System::Ecs(system) => ecs(check, &path, system),
            System::CloudMap(system) => {
                if system.attributes.is_empty() {
                    let remedy = "write one such as `{ AWS_INSTANCE_CNAME: host }`";
                    check.error(&format!("{path}/attributes"), "empty-list", "no attribute is changed", remedy);
                }
                addresses(check, &path, [&system.from, &system.to]);
            }
            System::Rds(system) => rds(check, &path, system),
            System::RdsProxy(system) => servers(check, &path, &system.from, &system.to),
            System::RdsNames(system) => {
                servers(check, &path, &system.from, &system.to);
                of_one_kind(check, &path, &system.from, &system.to);
            }
            _ => {}
        }
    }
}

fn servers(check: &mut Check<'_>, path: &str, from: &str, to: &str) {
    check.system(&format!("{path}/from"), from, "rds");
    check.system(&format!("{path}/to"), to, "rds");
}

/// An instance can't have the name of a cluster and keep its DNS name.
fn of_one_kind(check: &mut Check<'_>, path: &str, from: &str, to: &str) {
    let cluster = |name: &str| match check.runbook.systems.get(name) {
        Some(System::Rds(spec)) => Some(spec.cluster.is_some()),
        _ => None,
    };
    if let (Some(from), Some(to)) = (cluster(from), cluster(to))
        && from != to
    {
        let message = "an instance and a cluster have DNS names of different forms: clients would not follow";
        check.error(&format!("{path}/to"), "mixed-kinds", message, "use a secret, a parameter or a DNS record instead");
    }
}

/// Exactly one of an instance, a cluster and a Blue/Green deployment.
fn rds(check: &mut Check<'_>, path: &str, system: &Rds) {
    let said = [&system.instance, &system.cluster, &system.blue_green].into_iter().flatten().count();
    if said == 1 || check.is_poisoned_below(path) {
        return;
    }
    let message = "either `instance`, `cluster` or `blue-green` says which server of RDS it is";
    let remedy = "write `instance: IDENTIFIER`, `cluster: IDENTIFIER`, or `blue-green: NAME` of a deployment";
    check.error(&format!("{path}#"), "no-server", message, remedy);
}

fn addresses(check: &mut Check<'_>, path: &str, ends: [&Option<String>; 2]) {
    for (key, end) in ["from", "to"].into_iter().zip(ends) {
        if let Some(address) = end {
            host_and_port(check, &format!("{path}/{key}"), address);
        }
    }
}

fn content(check: &mut Check<'_>, path: &str, keys: &BTreeMap<String, Part>, text: Option<Part>) {
    if keys.is_empty() != text.is_none() || check.is_poisoned_below(path) {
        return;
    }
    let remedy =
        "for JSON write `keys: { host: host, port: port }`, else one of `text: url`, `text: host-port`, `text: host`";
    check.error(
        &format!("{path}#"),
        "no-content",
        "either `keys` or `text` says where in it the address stands",
        remedy,
    );
}

fn route53(check: &mut Check<'_>, path: &str, system: &Route53) {
    if system.weighted.is_some() && (system.from.is_some() || system.to.is_some()) {
        let message = "weighted records are named by their set identifiers, and `from` and `to` mean values";
        check.error(&format!("{path}/weighted"), "bad-record", message, "remove `from` and `to`, or `weighted`");
    }
    if system.weighted.as_ref().is_some_and(|weighted| weighted.from == weighted.to) {
        check.error(
            &format!("{path}/weighted/to"),
            "bad-record",
            "weight can't move to itself",
            "name the other record",
        );
    }
    for (key, value) in [("from", &system.from), ("to", &system.to)] {
        let Some(value) = value.as_ref().filter(|value| !value.contains("${")) else { continue };
        if system.kind == RecordKind::A && value.parse::<Ipv4Addr>().is_err() {
            let message = format!("`{value}` is not an IPv4 address, which an A record holds");
            check.error(
                &format!("{path}/{key}"),
                "bad-record",
                &message,
                "write the address, or make it `type: CNAME`",
            );
        }
        if system.kind == RecordKind::Cname && (value.contains(':') || value.parse::<Ipv4Addr>().is_ok()) {
            let message = format!("`{value}` is not a name, which a CNAME record holds");
            check.error(&format!("{path}/{key}"), "bad-record", &message, "write a host without a port, or `type: A`");
        }
    }
    if let Some(lowered) = &system.lowered
        && lowered.at.parse::<jiff::Timestamp>().is_err()
        && !lowered.at.contains("${")
    {
        let message = format!("`{}` is not a moment", lowered.at);
        let remedy = "write it with its offset, such as `\"2026-11-25T01:00:00Z\"`";
        check.error(&format!("{path}/lowered/at"), "bad-time", &message, remedy);
    }
}

fn ecs(check: &mut Check<'_>, path: &str, system: &Ecs) {
    let Some(set) = &system.set else { return };
    let at = format!("{path}/set");
    match set.part {
        Some(_) => addresses(check, &at, [&set.from, &set.to]),
        None if set.from.is_none() || set.to.is_none() => {
            let message = "without `part` the whole value is compared and replaced, and both must be known";
            check.error(&at, "no-content", message, "add `from` and `to` (such as the ARNs of two secrets), or `part`");
        }
        None => {}
    }
}

/// The steps that are not inside a window, with their paths.
fn outer<'a>(check: &Check<'a>) -> Vec<(String, &'a Step)> {
    let steps = check.runbook.steps.iter().enumerate();
    steps.map(|(n, step)| (format!("/steps/{n}/{}", step.kind()), step)).collect()
}

pub(super) fn order(check: &mut Check<'_>) {
    let steps = outer(check);
    let at = |kind: &str| steps.iter().position(|(_, step)| step.kind() == kind);
    let (window, replicate, finalize) = (at("window"), at("replicate"), at("finalize"));
    let mut led: BTreeMap<&Name, String> = BTreeMap::new();
    for (n, (path, step)) in steps.iter().enumerate() {
        match step {
            Step::Switch(switch) => {
                let streams = replicate.is_some_and(|at| at < n) && finalize.is_none_or(|at| n < at);
                let before = window.is_some_and(|window| n < window);
                let when = When { has_pair: replicate.is_some(), before, streams };
                outside(check, path, switch, &when);
                twice(check, path, switch, &mut led);
            }
            Step::RunTask(task) => {
                run_task(check, path, task);
                let between = replicate.is_some_and(|at| at < n) && finalize.is_none_or(|at| n < at);
                let rolled = steps[..n].iter().any(|(_, step)| rolls(check, step));
                migrates(check, path, task, between, rolled);
            }
            Step::Failover(step) => {
                let between = replicate.is_some_and(|at| at < n) && finalize.is_none_or(|at| n < at);
                failover(check, path, step, between);
            }
            _ => {}
        }
    }
}

/// Where a switch of its own stands.
struct When {
    has_pair: bool,
    before: bool,
    /// Between `replicate` and `finalize`.
    streams: bool,
}

fn outside(check: &mut Check<'_>, path: &str, switch: &Switch, when: &When) {
    for (n, name) in switch.endpoints.iter().enumerate() {
        let path = format!("{path}/endpoints/{n}");
        let Some(system) = check.runbook.systems.get(name) else { continue };
        if matches!(system, System::Ecs(ecs) if ecs.service.is_none()) {
            let message = format!("nothing says which service of `{name}` is deployed");
            check.error(&path, "no-service", &message, format!("add `service: NAME` to `{name}`"));
        }
        let Some((from, to)) = system.names_ends() else { continue };
        if when.has_pair && when.before && matches!(system, System::RdsProxy(_)) {
            let message = format!("`{name}` would lead to the target, which takes no writes before the window");
            check.error(&path, "too-early", &message, "move it behind the window");
            continue;
        }
        if when.streams && matches!(system, System::RdsNames(_)) {
            let message = format!("the streams dial the servers by name, and `{name}` renames both");
            check.error(&path, "renamed-while-replicating", &message, "move it behind `finalize`");
            continue;
        }
        let named = from && to;
        if !(when.has_pair || named) {
            let message = format!("nothing says where `{name}` leads: the runbook has no pair of databases");
            check.error(&path, "no-value", &message, format!("give `{name}` both `from` and `to`"));
        } else if when.before && !to {
            let message = format!("`{name}` would lead to the target, which takes no writes before the window");
            let remedy = format!(
                "move it behind the window, or give `{name}` a `to` that the window forwards, such as a pooler"
            );
            check.error(&path, "too-early", &message, remedy);
        } else if !when.before && when.has_pair && !from {
            let message = format!(
                "clients that `{name}` leads to the source see errors from the window until they have followed"
            );
            let remedy =
                format!("lead them to a pooler of the window first, and give `{name}` that as `from`; or live with it");
            check.warning(&path, "clients-left-behind", &message, remedy);
        }
    }
}

fn twice<'a>(check: &mut Check<'a>, path: &str, switch: &'a Switch, led: &mut BTreeMap<&'a Name, String>) {
    for (n, name) in switch.endpoints.iter().enumerate() {
        let path = format!("{path}/endpoints/{n}");
        if let Some(before) =
            led.get(name).filter(|before| !before.starts_with(path.trim_end_matches(char::is_numeric)))
        {
            let line = check.places.get(before).line;
            let message = format!("`{name}` is led to the other side twice");
            check.error(&path, "named-twice", &message, format!("the first time is in line {line}; remove one"));
        }
        led.entry(name).or_insert(path);
    }
}

fn run_task(check: &mut Check<'_>, path: &str, task: &RunTask) {
    check.system(&format!("{path}/cluster"), &task.cluster, "ecs");
    if let Some(database) = &task.database {
        check.database(&format!("{path}/database"), database);
    }
    let Some(System::Ecs(cluster)) = check.runbook.systems.get(&task.cluster) else { return };
    if task.task_definition.is_none() && cluster.service.is_none() {
        let message = "nothing says which task definition is run";
        let remedy =
            format!("add `task-definition: FAMILY`, or give `{}` a `service`, whose own is taken then", task.cluster);
        check.error(path, "no-task-definition", message, remedy);
    }
    if matches!(&task.undo, UndoTask::Run(command) if command.is_empty()) {
        check.error(
            &format!("{path}/undo"),
            "empty-command",
            "there is no command to take it back",
            "or say `nothing`",
        );
    }
}

/// Only a cluster has another instance that could write.
fn failover(check: &mut Check<'_>, path: &str, step: &Failover, between: bool) {
    check.system(&format!("{path}/of"), &step.of, "rds");
    if matches!(check.runbook.systems.get(&step.of), Some(System::Rds(spec)) if spec.cluster.is_none()) {
        let message = format!("`{}` is one instance, and only a cluster has another one that could write", step.of);
        check.error(&format!("{path}/of"), "no-cluster", &message, "name the `rds` system of a `cluster`");
    }
    if between {
        let message = "replication would break off, and may lose its place";
        check.error(path, "failover-while-replicating", message, "move it before `replicate`, or behind `finalize`");
    }
}

/// Whether a step puts another version of the application to work.
fn rolls(check: &Check<'_>, step: &Step) -> bool {
    let service = |name: &Name| matches!(check.runbook.systems.get(name), Some(System::Ecs(_)));
    match step {
        Step::Shift(_) => true,
        Step::Switch(switch) => switch.endpoints.iter().any(service),
        _ => false,
    }
}

/// A task that names a database changes its schema.
fn migrates(check: &mut Check<'_>, path: &str, task: &RunTask, between: bool, rolled: bool) {
    if task.database.is_none() {
        return;
    }
    if between {
        let message = "the schema would change while it is replicated, and replication does not carry that";
        check.error(path, "schema-while-replicating", message, "move it before `replicate`, or behind `finalize`");
    } else if rolled {
        let message = "the application is at work before the schema that it may need";
        check.error(
            path,
            "unsafe-order",
            message,
            "move it before the `shift` or `switch` that brings the application",
        );
    }
}
