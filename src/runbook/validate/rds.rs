//! Steps that change servers of RDS, and the one that takes the side that was left out of service: their values, and where
//! they may stand.

use super::Check;
use crate::runbook::model::{
    CreateBlueGreen, CreateInstance, Decommission, Name, Parameters, Rds, Reboot, Step, System,
};
use crate::runbook::units::Size;

pub(super) fn values(check: &mut Check<'_>) {
    for (path, step) in check.steps() {
        match step {
            Step::Parameters(step) if step.set.is_empty() => {
                let remedy = "write such as `set: { rds.logical_replication: 1 }`";
                check.error(&format!("{path}/set"), "empty-list", "no parameter is set", remedy);
            }
            Step::CreateInstance(step) => create(check, &path, step),
            Step::CreateBlueGreen(step) => deployment(check, &path, step),
            Step::Decommission(step) => decommission(check, &path, step),
            _ => {}
        }
    }
}

fn create(check: &mut Check<'_>, path: &str, step: &CreateInstance) {
    if matches!(check.runbook.systems.get(&step.of), Some(System::Rds(spec)) if spec.instance.is_none()) {
        let message = format!("`{}` is no instance, and the step makes one", step.of);
        check.error(&format!("{path}/of"), "no-instance", &message, "name the `rds` system of an `instance`");
    }
    let password = step.password.as_deref().unwrap_or("${");
    if !password.starts_with("${") {
        let message = "a password in the runbook would stand in the plan and in the journal";
        let remedy = "write a reference such as `${aws-secret:NAME#password}`, or leave it out: RDS makes one";
        check.error(&format!("{path}/password"), "literal-password", message, remedy);
    }
    whole_gib(check, path, step.storage);
}

fn whole_gib(check: &mut Check<'_>, path: &str, storage: Size) {
    if storage.0 == 0 || !storage.0.is_multiple_of(1 << 30) {
        check.error(&format!("{path}/storage"), "bad-storage", "RDS takes whole GiB", "write such as `200GiB`");
    }
}

/// A deployment has a name, and is made of one instance, or of one cluster, whose instances keep their classes.
fn deployment(check: &mut Check<'_>, path: &str, step: &CreateBlueGreen) {
    let of = rds(check, &step.of).map(|spec| spec.blue_green.clone());
    match of {
        Some(None) => {
            let message = format!("`{}` is no Blue/Green deployment, and the step makes one", step.of);
            check.error(&format!("{path}/of"), "no-deployment", &message, "name the `rds` system with a `blue-green`");
        }
        Some(Some(name)) if !name.contains("${") && !is_name(&name) => {
            let message = format!("RDS takes no Blue/Green deployment that is called `{name}`");
            let remedy = "write letters, digits and single hyphens, a letter first, 60 at most";
            check.error(&format!("{path}/of"), "bad-name", &message, remedy);
        }
        _ => {}
    }
    let from = rds(check, &step.from).map(|spec| (spec.instance.is_some(), spec.cluster.is_some()));
    match from {
        Some((false, false)) => {
            let message = format!("`{}` is neither an instance nor a cluster, and the step copies one", step.from);
            let remedy = "name the `rds` system of an `instance`, or of a `cluster`";
            check.error(&format!("{path}/from"), "no-server", &message, remedy);
        }
        Some((true, _)) if step.instance_parameter_group.is_some() => {
            let remedy = "write `parameter-group`, which is that of the instance";
            let message = "only the instances of a cluster have a group beside its own";
            check.error(&format!("{path}/instance-parameter-group"), "not-of-an-instance", message, remedy);
        }
        Some((_, true)) => of_cluster(check, path, step),
        _ => {}
    }
    if let Some(storage) = step.storage {
        whole_gib(check, path, storage);
    }
}

/// API reference, CreateBlueGreenDeployment: class and storage do not apply to clusters.
fn of_cluster(check: &mut Check<'_>, path: &str, step: &CreateBlueGreen) {
    let said = [
        ("class", step.class.is_some()),
        ("storage", step.storage.is_some()),
        ("storage-type", step.storage_type.is_some()),
        ("iops", step.iops.is_some()),
        ("throughput", step.throughput.is_some()),
    ];
    for (key, _) in said.iter().filter(|(_, said)| *said) {
        let message = format!("RDS takes no `{key}` for a cluster: the green one is as the blue one");
        let remedy = "remove it; the instances of the green cluster can be changed when it stands";
        check.error(&format!("{path}/{key}"), "not-of-a-cluster", &message, remedy);
    }
}

fn rds<'a>(check: &'a Check<'_>, name: &str) -> Option<&'a Rds> {
    match check.runbook.systems.get(name) {
        Some(System::Rds(spec)) => Some(spec),
        _ => None,
    }
}

/// `BlueGreenDeploymentName` in the API reference: 60 characters, `[a-zA-Z](?:-?[a-zA-Z0-9]+)*`.
fn is_name(name: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric());
    name.len() <= 60 && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.split('-').all(plain)
}

fn decommission(check: &mut Check<'_>, path: &str, step: &Decommission) {
    if step.stop.is_empty() && step.rules.is_empty() && !check.is_poisoned_below(path) {
        let remedy = "name `rds` and `ecs` systems in `stop`, `alb` systems in `rules`";
        check.error(&format!("{path}#"), "empty-list", "nothing is taken out of service", remedy);
    }
    for (n, name) in step.rules.iter().enumerate() {
        check.system(&format!("{path}/rules/{n}"), name, "alb");
    }
    for (n, name) in step.stop.iter().enumerate() {
        stopped(check, &format!("{path}/stop/{n}"), name);
    }
}

fn stopped(check: &mut Check<'_>, path: &str, name: &Name) {
    match check.runbook.systems.get(name) {
        Some(System::Ecs(spec)) if spec.service.is_none() => {
            let message = format!("`{name}` names no service that could be stopped");
            check.error(path, "no-service", &message, "add `service` to the system");
        }
        Some(System::Ecs(_)) => {}
        _ => check.system(path, name, "rds"),
    }
}

/// The steps that are not inside a window, with their paths.
pub(super) fn order(check: &mut Check<'_>) {
    let steps: Vec<(String, &Step)> =
        check.runbook.steps.iter().enumerate().map(|(n, step)| (format!("/steps/{n}/{}", step.kind()), step)).collect();
    let window = steps.iter().position(|(_, step)| step.kind() == "window");
    let replicates = steps.iter().any(|(_, step)| step.kind() == "replicate");
    for (n, (path, step)) in steps.iter().enumerate() {
        match step {
            Step::Parameters(step) if window.is_some_and(|window| window < n) => rebooted(check, path, step),
            Step::CreateInstance(_) | Step::CreateBlueGreen(_) if replicates => {
                let message = "a plan is made from what stands in both databases, and this one is not there yet";
                let remedy = "put it into a runbook of its own, and run that first";
                check.error(path, "not-there-yet", message, remedy);
            }
            Step::Decommission(_) => behind(check, path, &steps[..n]),
            _ => {}
        }
    }
}

/// Behind a window the database serves: it is not rebooted then.
fn rebooted(check: &mut Check<'_>, path: &str, step: &Parameters) {
    if step.reboot == Reboot::WhenNeeded {
        let message = "behind the window a reboot would break the connections of the application once more";
        let remedy = "move it before the window, or write `reboot: never`";
        check.error(&format!("{path}#"), "reboot-behind-window", message, remedy);
    }
}

/// A side is taken out of service when nobody wants it back: the way back is dropped, the new side has been watched
/// since, and a person says so.
fn behind(check: &mut Check<'_>, path: &str, before: &[(String, &Step)]) {
    let last = |kind: &str| before.iter().rposition(|(_, step)| step.kind() == kind);
    let pair = before.iter().any(|(_, step)| step.kind() == "replicate");
    let from = match (last("finalize"), pair) {
        (Some(at), _) => at,
        (None, true) => {
            let message = "the side that was left is still the way back";
            return check.error(path, "decommission-before-finalize", message, "move it behind `finalize`");
        }
        // Without a pair of databases, traffic is all that moves.
        (None, false) => last("shift").unwrap_or(0),
    };
    if last("bake").is_none_or(|at| at < from) {
        let message = "nobody has watched the new side alone before the old one goes";
        check.error(path, "no-bake", message, "put `- bake: { for: 24h, gates: [ … ] }` behind `finalize`");
    }
    if last("approve").is_none_or(|at| at < from) {
        let message = "no person is asked before the side that was left goes out of service";
        check.error(path, "missing-approval", message, "put `- approve: { message: \"…\" }` before it");
    }
}
