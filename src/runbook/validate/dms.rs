//! Replication through DMS: everything that it needs is said once, and nothing that it can't do is asked for.

use super::Check;
use super::values::{database_url, mysql_url};
use crate::runbook::model::{
    Dms, DmsLogin, DmsServerless, DmsTask, DmsTls, Fence, Gate, Means, Replicate, Step, System,
};

pub(super) fn check(check: &mut Check<'_>) {
    for (name, system) in &check.runbook.systems {
        if let System::Dms(system) = system {
            runner(check, &format!("/systems/{name}/dms"), system);
        }
    }
    let mut through = None;
    for (path, step) in check.steps() {
        match step {
            Step::Replicate(step) => {
                replicate(check, &path, step);
                through = through.or(step.dms.as_deref().filter(|_| step.through == Means::Dms));
            }
            Step::Freeze(step) if through.is_some() && step.fence == Fence::Database => {
                let message = "DMS logs in while the fence stands, and a connection limit of 0 leaves nobody in";
                check.error(&format!("{path}/fence"), "wrong-fence", message, "write `fence: roles`, or leave it out");
            }
            _ => {}
        }
    }
    gates(check, through);
}

fn runner(check: &mut Check<'_>, path: &str, system: &Dms) {
    let said = [system.instance.is_some(), system.create.is_some(), system.serverless.is_some()];
    if said.iter().filter(|said| **said).count() != 1 && !check.is_poisoned_below(path) {
        let message = "one of `instance`, `create` and `serverless` says what runs the task";
        let remedy =
            "write `instance: IDENTIFIER`, `create: { class: dms.c6i.large }` or `serverless: { max-capacity: 16 }`";
        check.error(&format!("{path}#"), "no-instance", message, remedy);
    }
    if system.create.as_ref().is_some_and(|create| create.storage.0 < 5 << 30) {
        let path = format!("{path}/create/storage");
        check.error(&path, "bad-value", "DMS makes no instance with so little storage", "write 5GiB at least");
    }
    if let Some(serverless) = &system.serverless {
        capacity(check, &format!("{path}/serverless"), serverless);
    }
}

fn capacity(check: &mut Check<'_>, path: &str, spec: &DmsServerless) {
    let all = DmsServerless::UNITS;
    let remedy = format!("write one of {}", all.map(|units| units.to_string()).join(", "));
    for (key, units) in [("min-capacity", spec.min_capacity), ("max-capacity", Some(spec.max_capacity))] {
        if units.is_some_and(|units| !all.contains(&units)) {
            check.error(&format!("{path}/{key}"), "bad-value", "DMS has no such capacity", &remedy);
        }
    }
    if spec.min_capacity.is_some_and(|least| least > spec.max_capacity) {
        let message = "the least capacity is more than the most";
        check.error(&format!("{path}/min-capacity"), "bad-value", message, "write as much as `max-capacity`, or less");
    }
}

fn replicate(check: &mut Check<'_>, path: &str, step: &Replicate) {
    let task = match (step.through, &step.dms) {
        (Means::Dms, Some(task)) => task,
        (Means::Dms, None) => {
            let remedy = "add `dms: { instance: …, source: { role: …, url: … }, target: { role: …, url: … } }`";
            return check.error(
                &format!("{path}/through"),
                "no-task",
                "nothing says what the task of DMS is told",
                remedy,
            );
        }
        (_, Some(_)) => {
            let remedy = "add `through: dms`, or remove it";
            return check.error(
                &format!("{path}/dms"),
                "unused-task",
                "a task of DMS is described, but not used",
                remedy,
            );
        }
        _ => return,
    };
    let kind = check.runbook.systems.get(&step.from).map(System::kind);
    if matches!(kind, Some("mysql" | "mariadb")) {
        of_mysql(check, path, step, task);
    }
    of_task(check, &format!("{path}/dms"), task, kind);
}

/// The run makes the tables itself: keys and foreign keys behind the load, triggers at the switch. DMS applies one
/// transaction after the other: batches would come in another order than foreign keys want.
fn of_mysql(check: &mut Check<'_>, path: &str, step: &Replicate, task: &DmsTask) {
    if !step.copy_schema {
        let message = "through DMS the tables of MySQL are made by the run, with their triggers at the switch";
        check.error(&format!("{path}/copy-schema"), "no-schema", message, "leave it out");
    }
    if !step.copy.is_auto() {
        let message = "through DMS it is DMS that copies";
        check.error(&format!("{path}/copy"), "unused-copy", message, "leave it out");
    }
    if task.batch_apply {
        let message = "batches come in another order than foreign keys of MySQL want";
        check.error(&format!("{path}/dms/batch-apply"), "no-batches", message, "leave it out");
    }
}

fn of_task(check: &mut Check<'_>, path: &str, task: &DmsTask, kind: Option<&str>) {
    check.system(&format!("{path}/instance"), &task.instance, "dms");
    for (key, login) in [("source", &task.source), ("target", &task.target)] {
        of_login(check, &format!("{path}/{key}"), login, kind);
    }
}

fn of_login(check: &mut Check<'_>, path: &str, login: &DmsLogin, kind: Option<&str>) {
    if let (Some(engine), Some(kind)) = (login.engine, kind)
        && engine.kind() != kind
    {
        let message = format!("`{}` is what DMS calls another kind of server than {kind}", engine.name());
        check.error(&format!("{path}/engine"), "wrong-engine", &message, "leave it out");
    }
    if login.role.trim().is_empty() {
        check.error(&format!("{path}/role"), "bad-value", "the role has no name", "write the login role of DMS");
    }
    if let Some(url) = &login.url {
        match kind {
            Some("mysql" | "mariadb") => mysql_url(check, &format!("{path}/url"), url),
            _ => database_url(check, &format!("{path}/url"), url, false),
        }
    }
    // "Using SSL with AWS DMS": of MySQL and MariaDB it knows `none`, `verify-ca` and `verify-full`.
    if matches!(kind, Some("mysql" | "mariadb")) && login.tls == DmsTls::Require && login.certificate.is_none() {
        let message = "DMS encrypts a connection to MySQL or MariaDB only with a certificate that it was given";
        let remedy = "write `certificate: ARN` of one that you imported into DMS, or `tls: none`";
        check.error(&format!("{path}#"), "no-certificate", message, remedy);
    }
    let by_secret = login.secret.is_some() && login.access_role.is_some();
    let half = login.secret.is_some() != login.access_role.is_some();
    if (half || by_secret == login.url.is_some()) && !check.is_poisoned_below(path) {
        let message = "nothing says how DMS logs in, or two things do";
        check.error(&format!("{path}#"), "no-login", message, "write `url:`, or `secret:` with `access-role:`");
    }
}

fn gates(check: &mut Check<'_>, task: Option<&DmsTask>) {
    let runbook = check.runbook;
    for (name, gate) in &runbook.gates {
        let path = format!("/gates/{name}/{}", gate.kind());
        match (gate, task) {
            (Gate::ReplicationLag(gate), Some(_)) if gate.max.is_some() => {
                let message = "DMS does not say how many bytes it is behind";
                check.error(&format!("{path}/max"), "no-bytes", message, "write `max-age: 10s` instead");
            }
            (Gate::DmsValidation(_), Some(task)) if !task.validation => {
                let message = "the task does not validate";
                check.error(&path, "no-validation", message, "remove `validation: false` of the step `replicate`");
            }
            (Gate::DmsValidation(_), None) if !check.is_poisoned_below("/steps") => {
                let message = "nothing is replicated through DMS";
                check.error(&path, "no-task", message, "remove the gate, or add `through: dms` to `replicate`");
            }
            _ => {}
        }
    }
}
