//! What the plan shows of a replica.

use super::super::{arm as between, back, common, promote as native, retention};
use super::promotion::Follower;
use super::window;
use crate::engine::Engine as _;
use crate::engine::Lines;
use crate::engine::mysql::Mysql;
use crate::engine::promotion::{PATIENCE, Promotion};
use crate::plan::Plan;
use crate::runbook::model::{Promote, Replicate, Step};
use crate::steps::Description;
use crate::systems::mysql::accounts::{drop_replication_users, replication_user};
use crate::systems::mysql::stream::{self, Position};
use crate::systems::mysql::{literal, setup};
use crate::systems::pair::Heading;

const TRIAL: &str =
    "-- a channel pointsman_trial receives from where the replica is, applies nothing, and is forgotten";

pub(super) fn replicate(plan: &Plan, step: &Replicate) -> Description {
    let (source, target) = (&step.from, &step.to);
    let servers = [common::side(plan, source).server_id, common::side(plan, target).server_id];
    let script = setup::script(common::flavour(plan), servers, common::side(plan, source).rds);
    let said = |sql: &str| (source.clone(), sql.to_owned());
    let mut apply = vec![(source.clone(), script), said(back::TABLE)];
    apply.push(said("-- GRANT INSERT ON pointsman.canary TO each account that the replica has too"));
    let (lengthened, restored) = retention::describe(plan, step);
    apply.extend(lengthened);
    apply.extend(token(plan, Heading::Forth));
    apply.extend(trial(plan));
    let mut undo = vec![
        said(&drop_replication_users()),
        said(setup::TEARDOWN),
        (target.clone(), "-- a replica that was promoted is not made a replica again, and stays shut".to_owned()),
    ];
    undo.extend(restored);
    let chosen = plan.choices.mysql.clone().unwrap_or_default();
    let summary = format!(
        "Look that {target} is a replica of {source} and keeps up ({}); prepare the way back; copy nothing, write nothing \
         on {target}",
        chosen.why
    );
    Description { summary, apply, undo, clients: Some("nothing".to_owned()) }
}

/// A token through a stream.
fn token(plan: &Plan, heading: Heading) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let written = setup::held("RUN", 1, &setup::write_token(heading, "RUN", "TOKEN"));
    vec![
        (pair.leaving(heading).to_owned(), written),
        (pair.arriving(heading).to_owned(), stream::seen_token(heading, "TOKEN")),
    ]
}

/// The way back, tried with the account that it will have.
fn trial(plan: &Plan) -> Lines {
    let Some(pair) = plan.pair.as_ref().filter(|_| back::is_tried(plan)) else { return Vec::new() };
    let mut lines = Vec::new();
    if common::spec(plan, &pair.target).is_some_and(|spec| spec.replication_url.is_none()) {
        let made = format!(
            "-- CREATE USER {}@'%', with REPLICATION SLAVE: it comes to the replica",
            literal(replication_user(Heading::Back))
        );
        lines.push((pair.source.clone(), made));
    }
    lines.push((pair.source.clone(), TRIAL.to_owned()));
    lines
}

pub(super) fn arm(plan: &Plan, way: Heading) -> Lines {
    // A token is written and looked for in both directions; only one of them carries anything.
    let mut lines = between::describe(plan, way);
    let from = if way == Heading::Forth { 2 } else { 0 };
    if lines.len() >= from + 2 {
        lines.drain(from..from + 2);
    }
    if way == Heading::Forth {
        lines.extend(trial(plan));
    }
    lines
}

pub(super) fn promote(plan: &Plan, step: &Promote) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let target = &pair.target;
    let (open, exempt) = (common::planned_open(), common::exempt(plan, target));
    let held = |sql: &str| (target.clone(), setup::held("RUN", 1, sql));
    let mut lines = vec![Promotion::of(plan).describe(&Follower, plan, target)];
    lines.push((target.clone(), "CALL pointsman.take('RUN', 1, 1)".to_owned()));
    lines.push(held(&window::shut(plan, target, &open, &exempt)));
    lines.push((target.clone(), back::here(plan).trim_end().to_owned()));
    lines.push(held(&back::keep(&Position::default())));
    lines.extend(native::describe(plan, Heading::Forth, step));
    if window::is_told(plan) {
        lines.push((target.clone(), format!("-- when writes go on:\n{}", window::STAY_OPEN)));
    }
    if step.keep_way_back {
        let first = match Promotion::of(plan) {
            Promotion::BlueGreen(_) => "RebootDBInstance of the old one, then ",
            _ => "",
        };
        let laid =
            format!("-- when writes go on: {first}follow {target} from exactly there, as {}", Heading::Back.stream());
        lines.push((pair.source.clone(), laid));
    }
    lines
}

pub(super) fn finalize(plan: &Plan) -> Lines {
    let lines = Mysql(common::flavour(plan)).describe_finalize(plan);
    let forward = common::stream(plan, Heading::Forth);
    let mut lines: Lines = lines.into_iter().filter(|(_, sql)| !sql.contains(&forward.forget())).collect();
    if let Promotion::BlueGreen(deployment) = Promotion::of(plan) {
        lines.extend(deployment.deletion());
    }
    lines
}

/// What writes wait for behind the commit point.
pub(super) fn waits(plan: &Plan) -> String {
    let timeout = plan.steps.iter().find_map(|step| match &step.step {
        Step::Promote(promote) => promote.timeout,
        _ => None,
    });
    let usual = match Promotion::of(plan) {
        Promotion::Server => "milliseconds as a rule",
        other => other.usual(),
    };
    format!(
        "writes wait until the replica is promoted: {usual}, behind the commit point and beyond the budget; after {} a \
         person is asked",
        timeout.unwrap_or(PATIENCE)
    )
}
