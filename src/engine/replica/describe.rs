//! What the plan shows of a physical replica.

use super::super::postgres::freeze::{planned_fencing, planned_open, points};
use super::finalize::drop_publications;
use super::physical::Physical;
use crate::engine::postgres::{Postgres, arm};
use crate::engine::promotion::{PATIENCE, Promotion};
use crate::engine::{Engine, Lines};
use crate::plan::Plan;
use crate::runbook::model::{Promote, Replicate, Step};
use crate::steps::Description;
use crate::systems::pair::Heading;
use crate::systems::postgres::barrier::BarrierPlan;
use crate::systems::postgres::{setup, standby, stream};

const CONNECTION: &str = "CONNECTION STRING, password not shown";

pub(super) fn replicate(plan: &Plan, step: &Replicate) -> Description {
    let (source, target) = (&step.from, &step.to);
    let mut apply = vec![(source.clone(), setup::SETUP.to_owned())];
    for (heading, tables) in [(Heading::Forth, &[][..]), (Heading::Back, plan.choices.tables.as_slice())] {
        apply.extend(stream::create_publications(heading, tables, false).into_iter().map(|sql| (source.clone(), sql)));
    }
    apply.extend(token(source, target));
    if plan.keeps_way_back() {
        apply.push((source.clone(), trial()));
    }
    let undo = vec![
        (source.clone(), drop_publications()),
        (source.clone(), setup::TEARDOWN.to_owned()),
        (target.clone(), "-- a replica that was promoted is not made a replica again, and stays fenced".to_owned()),
    ];
    let summary = format!(
        "Look that {target} is a physical replica of {source} and keeps up; prepare the way back; copy nothing"
    );
    Description { summary, apply, undo, clients: Some("nothing".to_owned()) }
}

/// A token from the source to the replica.
fn token(source: &str, target: &str) -> Lines {
    let write = stream::write_token(Heading::Forth, "RUN", "TOKEN");
    vec![
        (source.to_owned(), write.trim_end().to_owned()),
        (target.to_owned(), standby::has_arrived(Heading::Forth, "TOKEN", None)),
    ]
}

/// The way back, tried and taken back.
fn trial() -> String {
    format!("BEGIN; {}; ROLLBACK;", stream::subscribe_to_slot(Heading::Back, CONNECTION, false))
}

pub(super) fn arm(plan: &Plan, way: Heading) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    if way == Heading::Back {
        return arm::describe_with(plan, way, &[way]);
    }
    let mut apply = token(&pair.source, &pair.target);
    if plan.keeps_way_back() {
        apply.push((pair.source.clone(), trial()));
    }
    let open = planned_open(plan, &pair.source);
    let fencing = planned_fencing(plan, &pair.source, &open);
    let sequences = plan.choices.sequences.as_slice();
    let points = &points(plan, way, false);
    let barrier = BarrierPlan { run: "RUN", epoch: 1, way, fencing, sequences, token: "TOKEN", points, limit_ms: 0 };
    apply.push((pair.source.clone(), barrier.trial()));
    apply
}

pub(super) fn drain(plan: &Plan) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let target = &pair.target;
    let open = planned_open(plan, target);
    let expel = planned_fencing(plan, target, &open).expel(1000);
    vec![
        (target.clone(), standby::has_arrived(Heading::Forth, "TOKEN", Some("POSITION"))),
        (target.clone(), expel.trim_end().to_owned()),
    ]
}

pub(super) fn promote(plan: &Plan, step: &Promote) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let promotion = Promotion::of(plan);
    let mut lines = vec![promotion.describe(&Physical, plan, &pair.target)];
    let follow = (pair.source.clone(), stream::subscribe_to_slot(Heading::Back, CONNECTION, true));
    let open = Postgres.describe_promote(plan, Heading::Forth, step);
    match promotion {
        _ if !step.keep_way_back => lines.extend(open),
        Promotion::BlueGreen(_) => {
            lines.push((pair.target.clone(), stream::create_slot(Heading::Back)));
            lines.extend(open);
            let later = "-- behind the switch, when no write waits: RebootDBInstance of the old one, then";
            lines.push((pair.source.clone(), format!("{later} {}", follow.1)));
        }
        _ => {
            lines.push((pair.target.clone(), stream::create_slot(Heading::Back)));
            lines.push(follow);
            lines.extend(open);
        }
    }
    lines
}

pub(super) fn waits(plan: &Plan) -> String {
    let timeout = plan.steps.iter().find_map(|step| match &step.step {
        Step::Promote(promote) => promote.timeout,
        _ => None,
    });
    let usual = Promotion::of(plan).usual();
    format!(
        "writes wait until the replica is promoted: {usual}, behind the commit point and beyond the budget; after {} a \
         person is asked",
        timeout.unwrap_or(PATIENCE)
    )
}
