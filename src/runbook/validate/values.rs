//! Values: shapes of addresses, and values that must fit each other.

mod metrics;
mod named;

use std::time::Duration;

use super::Check;
use crate::runbook::mask::holds_password;
use crate::runbook::model::{
    Gate, GateRules, Haproxy, HaproxyTcp, HttpGate, Mysql, Pgbouncer, Postgres, Program, Redirect, Replicate,
    ReplicationLag, Shift, Sql, Step, System, TimeWindow, UndoProgram, UndoSql, Window,
};

pub(super) fn check(check: &mut Check<'_>) {
    let runbook = check.runbook;
    if runbook.systems.is_empty() {
        check.error("/systems#", "no-systems", "the runbook touches no systems", "name at least one");
    }
    for (name, system) in &runbook.systems {
        let path = format!("/systems/{name}/{}", system.kind());
        match system {
            System::Postgres(system) => postgres(check, &path, system),
            System::Mysql(system) | System::Mariadb(system) => mysql(check, &path, system),
            System::Pgbouncer(system) => pgbouncer(check, &path, name, system),
            System::Haproxy(system) => haproxy(check, &path, system),
            System::Alb(system) => super::aws::alb(check, &path, system),
            System::HaproxyTcp(system) => haproxy_tcp(check, &path, system),
            _ => {}
        }
    }
    for (name, gate) in &runbook.gates {
        let path = format!("/gates/{name}/{}", gate.kind());
        rules(check, &path, gate.rules());
        of_gate(check, &path, gate);
    }
    for (path, step) in check.steps() {
        of_step(check, &path, step);
    }
}

fn postgres(check: &mut Check<'_>, path: &str, system: &Postgres) {
    match system.naming() {
        Some(naming) => named::check(check, path, &system.url, &naming, true),
        None if named::nothing(check, path, &system.url) => {}
        None => database_url(check, &format!("{path}/url"), &system.url, true),
    }
    named::alone(
        check,
        path,
        system.naming().is_some(),
        [&system.secret, &system.user, &system.password, &system.database],
    );
    if let Some(url) = &system.replication_url {
        database_url(check, &format!("{path}/replication-url"), url, true);
    }
    if let Some(address) = &system.address {
        host_and_port(check, &format!("{path}/address"), address);
    }
}

fn mysql(check: &mut Check<'_>, path: &str, system: &Mysql) {
    match system.naming() {
        Some(naming) => named::check(check, path, &system.url, &naming, false),
        None if named::nothing(check, path, &system.url) => {}
        None => server_url(check, &format!("{path}/url"), &system.url, MYSQL, false),
    }
    named::alone(
        check,
        path,
        system.naming().is_some(),
        [&system.secret, &system.user, &system.password, &system.database],
    );
    if let Some(url) = &system.replication_url {
        server_url(check, &format!("{path}/replication-url"), url, MYSQL, false);
    }
    if let Some(address) = &system.address {
        host_and_port(check, &format!("{path}/address"), address);
    }
}

fn pgbouncer(check: &mut Check<'_>, path: &str, name: &str, system: &Pgbouncer) {
    let whole = format!("{path}#");
    match (&system.admin, system.instances.is_empty()) {
        (Some(url), true) => database_url(check, &format!("{path}/admin"), url, false),
        (None, false) => {}
        _ if check.is_poisoned_below(path) => {}
        (None, true) => {
            let message = format!("nothing says where the pooler `{name}` is");
            check.error(
                &whole,
                "pooler-instances",
                &message,
                "add `admin: URL`, or `instances:` when there are several",
            );
        }
        (Some(_), false) => {
            let message = format!("the pooler `{name}` has both `admin` and `instances`");
            check.error(&whole, "pooler-instances", &message, "move the one of `admin` into `instances`");
        }
    }
    if let Some(redirect) = &system.redirect {
        of_redirect(check, &format!("{path}/redirect"), redirect);
    }
    for (n, instance) in system.instances.iter().enumerate() {
        let path = format!("{path}/instances/{n}");
        database_url(check, &format!("{path}/admin"), &instance.admin, false);
        of_redirect(check, &format!("{path}/redirect"), &instance.redirect);
    }
}

fn of_redirect(check: &mut Check<'_>, path: &str, redirect: &Redirect) {
    match redirect {
        Redirect::Command(command) => program(check, &format!("{path}/command/apply"), &command.apply),
        Redirect::Ini(file) if file.trim().is_empty() => {
            check.error(path, "bad-path", "the name of the ini file is empty", "write the path of pgbouncer.ini");
        }
        Redirect::Ini(_) | Redirect::Dns => {}
    }
}

fn haproxy(check: &mut Check<'_>, path: &str, system: &Haproxy) {
    balancer(check, path, &system.sockets, [("from", &system.from), ("to", &system.to)]);
}

fn haproxy_tcp(check: &mut Check<'_>, path: &str, system: &HaproxyTcp) {
    balancer(check, path, &system.sockets, [("source", &system.source), ("target", &system.target)]);
    if system.maxconn == Some(0) {
        let message = "with a `maxconn` of 0 no connection would ever be let in again";
        check.error(&format!("{path}/maxconn"), "zero", message, "write the frontend's limit, or leave it out");
    }
}

/// Sockets of a load balancer, and the servers of its two sides.
fn balancer(check: &mut Check<'_>, path: &str, sockets: &[String], sides: [(&str, &Vec<String>); 2]) {
    let empty =
        [("sockets", sockets.is_empty()), (sides[0].0, sides[0].1.is_empty()), (sides[1].0, sides[1].1.is_empty())];
    for (key, _) in empty.into_iter().filter(|(_, empty)| *empty) {
        let path = format!("{path}/{key}");
        check.error(&path, "empty-list", &format!("`{key}` names nothing"), "name at least one");
    }
    for (n, socket) in sockets.iter().enumerate().filter(|(_, socket)| !socket.starts_with('/')) {
        host_and_port(check, &format!("{path}/sockets/{n}"), socket);
    }
    let [(first, from), (second, to)] = sides;
    for (n, server) in to.iter().enumerate().filter(|(_, server)| from.contains(server)) {
        let message = format!("traffic would move from `{server}` to `{server}`");
        let remedy = format!("name it in `{first}` or in `{second}`");
        check.error(&format!("{path}/{second}/{n}"), "same-server", &message, &remedy);
    }
}

fn has_reference(text: &str) -> bool {
    text.contains("${")
}

/// The text with something harmless in place of each reference, so that its shape can be looked at.
fn filled(text: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        filled.push_str(before);
        filled.push('1');
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    filled + rest
}

/// Schemes of a URL, and what it must look like.
type Shape = ([&'static str; 2], &'static str);
const POSTGRES: Shape = (
    ["postgresql", "postgres"],
    "write `postgresql://user@host:5432/database`, or a reference such as `${env:SOURCE_URL}`",
);
const MYSQL: Shape =
    (["mysql", "mariadb"], "write `mysql://user@host:3306/schema`, or a reference such as `${env:SOURCE_URL}`");

pub(super) fn database_url(check: &mut Check<'_>, path: &str, text: &str, needs_database: bool) {
    server_url(check, path, text, POSTGRES, needs_database);
}

/// The URL of a server of MySQL or MariaDB.
pub(super) fn mysql_url(check: &mut Check<'_>, path: &str, text: &str) {
    server_url(check, path, text, MYSQL, false);
}

fn server_url(check: &mut Check<'_>, path: &str, text: &str, (schemes, shape): Shape, needs_database: bool) {
    if holds_password(text) {
        literal_password(check, path);
    }
    if text.starts_with("${") {
        return;
    }
    let url = match url::Url::parse(&filled(text)) {
        Ok(url) => url,
        Err(error) => return check.error(path, "bad-url", &format!("this is not a URL: {error}"), shape),
    };
    if !schemes.contains(&url.scheme()) {
        let message = format!("`{}:` is not how a database's URL begins", url.scheme());
        check.error(path, "bad-url", &message, shape);
    } else if url.host_str().is_none_or(str::is_empty) {
        check.error(path, "bad-url", "this URL names no host", shape);
    } else if needs_database && url.path().trim_matches('/').is_empty() {
        check.error(path, "bad-url", "this URL names no database", shape);
    }
}

pub(super) fn host_and_port(check: &mut Check<'_>, path: &str, text: &str) {
    if has_reference(text) {
        return;
    }
    let fits = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !fits {
        let message = format!("`{text}` is not a host with a port");
        check.error(path, "bad-address", &message, "write `host:port`, such as `10.0.0.5:5432`");
    }
}

fn rules(check: &mut Check<'_>, path: &str, rules: &GateRules) {
    if rules.interval.0 < Duration::from_millis(100) {
        let message = format!("asking every {} would be a load of its own", rules.interval);
        check.error(&format!("{path}/interval"), "bad-interval", &message, "write at least `100ms`");
    }
    if rules.consecutive_successes == 0 {
        let message = "a gate that need not pass once is no gate";
        check.error(&format!("{path}/consecutive-successes"), "bad-value", message, "write at least 1");
    }
    if let Some(timeout) = rules.timeout.filter(|timeout| *timeout <= rules.held_for) {
        let message = format!("it must pass for {}, but has to be open within {timeout}", rules.held_for);
        check.error(&format!("{path}/timeout"), "timeout-too-short", &message, "make `timeout` longer than `for`");
    }
}

fn of_gate(check: &mut Check<'_>, path: &str, gate: &Gate) {
    match gate {
        Gate::ReplicationLag(gate) => replication_lag(check, path, gate),
        Gate::Http(gate) => http(check, path, gate),
        Gate::Prometheus(gate) => metrics::prometheus(check, path, gate),
        Gate::Cloudwatch(gate) => metrics::cloudwatch(check, path, gate),
        Gate::Alarm(gate) => metrics::alarm(check, path, gate),
        Gate::TimeWindow(gate) => time_window(check, path, gate),
        Gate::Command(gate) => command_line(check, &format!("{path}/run"), &gate.run),
        Gate::Sql(_)
        | Gate::DmsValidation(_)
        | Gate::TargetHealth(_)
        | Gate::TrafficShare(_)
        | Gate::LongTransactions(_)
        | Gate::Approval(_) => {}
    }
}

fn replication_lag(check: &mut Check<'_>, path: &str, gate: &ReplicationLag) {
    if gate.max.is_none() && gate.max_age.is_none() && !check.is_poisoned_below(path) {
        let remedy = "add `max: 1MiB`, `max-age: 5s`, or both";
        check.error(path, "no-limit", "this gate says nothing of how far behind is too far", remedy);
    }
}

fn http(check: &mut Check<'_>, path: &str, gate: &HttpGate) {
    web_url(check, &format!("{path}/url"), &gate.url);
    if !(100..=599).contains(&gate.status) {
        let message = format!("{} is not an HTTP status", gate.status);
        check.error(&format!("{path}/status"), "bad-value", &message, "write one such as 200");
    }
    if let Some(Err(error)) = gate.json_path.as_deref().map(serde_json_path::JsonPath::parse) {
        let message = format!("this is not a JSON path: {error}");
        check.error(&format!("{path}/json-path"), "bad-json-path", &message, "write one such as `$.queue.depth`");
    }
}

fn web_url(check: &mut Check<'_>, path: &str, url: &str) {
    if holds_password(url) {
        literal_password(check, path);
    }
    let shape = url::Url::parse(&filled(url)).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !url.starts_with("${") && !shape {
        check.error(path, "bad-url", "this is not the URL of a web page", "write `http://host:port/path`");
    }
}

fn literal_password(check: &mut Check<'_>, path: &str) {
    let message = "a password stands in the runbook, where everybody who reads it can see it";
    check.warning(path, "literal-password", message, "write `${env:NAME}` or `${file:PATH}` in its place");
}

fn time_window(check: &mut Check<'_>, path: &str, gate: &TimeWindow) {
    for (key, text) in [("from", &gate.from), ("to", &gate.to)] {
        if jiff::civil::Time::strptime("%H:%M", text).is_err() {
            let message = format!("`{text}` is not a time of day");
            check.error(&format!("{path}/{key}"), "bad-time", &message, "write it as `HH:MM`, such as \"22:30\"");
        }
    }
    if gate.from == gate.to {
        let message = "it begins when it ends, so it would never be open";
        check.error(&format!("{path}/to"), "bad-time", message, "remove the gate to be open all day");
    }
    // A machine without time zones can't say which ones there are; the gate itself will hold there.
    let known = jiff::tz::db().is_definitively_empty() || jiff::tz::TimeZone::get(&gate.timezone).is_ok();
    if !known {
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let near = crate::runbook::diagnostics::did_you_mean(&gate.timezone, names.iter().map(String::as_str));
        let near = near.map_or(String::new(), |name| format!("did you mean `{name}`? "));
        let message = format!("there is no time zone `{}`", gate.timezone);
        let remedy = near + "Write a name of the IANA list, such as `Europe/Berlin`";
        check.error(&format!("{path}/timezone"), "bad-timezone", &message, remedy);
    }
}

fn of_step(check: &mut Check<'_>, path: &str, step: &Step) {
    match step {
        Step::Replicate(step) => replicate(check, path, step),
        Step::Shift(step) => shift(check, path, step),
        Step::Window(step) => window(check, path, step),
        Step::Switch(step) => {
            for (n, name) in step.endpoints.iter().enumerate() {
                redirectable(check, &format!("{path}/endpoints/{n}"), name);
            }
        }
        Step::Wait(step) if step.gates.is_empty() => {
            check.error(&format!("{path}/gates"), "empty-list", "this step waits for nothing", "name a gate");
        }
        Step::Bake(step) => metrics::soon_enough(check, &format!("{path}/for"), step.span, &step.gates),
        Step::Sql(step) => sql(check, path, step),
        Step::Command(step) => {
            program(check, &format!("{path}/apply"), &step.apply);
            if let Some(observe) = &step.observe {
                program(check, &format!("{path}/observe"), observe);
            }
            if let UndoProgram::Run(undo) = &step.undo {
                program(check, &format!("{path}/undo/run"), undo);
            }
        }
        _ => {}
    }
}

fn replicate(check: &mut Check<'_>, path: &str, step: &Replicate) {
    if step.from == step.to {
        let message = format!("`{}` can't be moved to itself", step.from);
        check.error(&format!("{path}/to"), "same-database", &message, "name the database that is moved to");
    }
    if step.workers == 0 {
        check.error(&format!("{path}/workers"), "bad-value", "nobody would copy", "write at least 1");
    }
}

fn shift(check: &mut Check<'_>, path: &str, step: &Shift) {
    if let Some(bake) = step.bake {
        metrics::soon_enough(check, &format!("{path}/bake"), bake, &step.gates);
    }
    let at = format!("{path}/weights");
    if step.weights.is_empty() {
        check.error(&at, "empty-list", "this step shifts nothing", "write shares such as `[1, 10, 50, 100]`");
    }
    for (n, pair) in step.undo_weights.windows(2).enumerate().filter(|(_, pair)| pair[0] <= pair[1]) {
        let message = format!("{} comes after {}: going back, weights must shrink", pair[1], pair[0]);
        let at = format!("{path}/undo-weights/{}", n + 1);
        check.error(&at, "weights-order", &message, "put them in descending order, each once");
    }
    for (n, pair) in step.weights.windows(2).enumerate().filter(|(_, pair)| pair[0] >= pair[1]) {
        let message = format!("{} comes after {}: weights must grow", pair[1], pair[0]);
        check.error(&format!("{at}/{}", n + 1), "weights-order", &message, "put them in ascending order, each once");
    }
}

fn window(check: &mut Check<'_>, path: &str, step: &Window) {
    if step.budget.0.is_zero() {
        let message = "a window without time can't be kept";
        return check.error(
            &format!("{path}/budget"),
            "bad-budget",
            message,
            "write how long writes may wait, such as `5s`",
        );
    }
    for (n, inner) in step.steps.iter().enumerate() {
        let Step::Freeze(freeze) = inner else { continue };
        let at = format!("{path}/steps/{n}/freeze/pause-timeout");
        if freeze.pause_timeout.0.is_zero() {
            check.error(&at, "bad-value", "no pooler pauses in no time", "write one such as `500ms`");
        } else if freeze.pause_timeout >= step.budget && !check.is_poisoned(&format!("{path}/budget")) {
            let message =
                format!("`pause-timeout` is {}, but the window's budget is {}", freeze.pause_timeout, step.budget);
            check.error(&at, "pause-over-budget", &message, "make `pause-timeout` shorter than `budget`");
        }
    }
}

fn redirectable(check: &mut Check<'_>, path: &str, name: &str) {
    let Some(System::Pgbouncer(pooler)) = check.runbook.systems.get(name) else { return };
    let has_way = pooler.redirect.is_some() || !pooler.instances.is_empty();
    if !has_way && !check.is_poisoned_below(&format!("/systems/{name}")) {
        let message = format!("nothing says how the pooler `{name}` is pointed at the target");
        let remedy =
            "add `redirect: { ini: PATH }`, `redirect: { command: { apply: { run: […] } } }` or `redirect: dns` to it";
        check.error(path, "no-redirect", &message, remedy);
    }
}

fn sql(check: &mut Check<'_>, path: &str, step: &Sql) {
    if step.run.is_empty() {
        check.error(&format!("{path}/run"), "empty-list", "there is no statement to run", "write at least one");
    }
    if let UndoSql::Run(undo) = &step.undo
        && undo.is_empty()
    {
        check.error(&format!("{path}/undo"), "empty-list", "there is no statement to take it back", "or say `nothing`");
    }
}

fn program(check: &mut Check<'_>, path: &str, program: &Program) {
    command_line(check, &format!("{path}/run"), &program.run);
}

fn command_line(check: &mut Check<'_>, path: &str, run: &[String]) {
    if run.first().is_none_or(|program| program.trim().is_empty()) {
        let remedy = "write the program and its arguments as a list, such as `[ssh, pool-1, true]`";
        check.error(path, "empty-command", "there is no program to run", remedy);
    }
}
