//! The reboot of the old blue one: it allows only reads until then, a cluster until its writer instance is rebooted ("Switching
//! a blue/green deployment" in the user guides of RDS and of Aurora).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::Promotable;
use crate::clock;
use crate::engine::Outcome;
use crate::executor::context::{Context, remembered};
use crate::executor::take;
use crate::journal::{Act, Durability, FailureKind, Move};
use crate::runbook::model::{Name, Step, System};
use crate::runbook::units::Span;
use crate::steps::StepError;
use crate::systems::Certainty;
use crate::systems::aws::rds::{self as driver, Source};
use crate::systems::pair::Heading;

/// How long a reboot may take.
const PATIENCE: Span = Span::secs(15 * 60);
/// A reboot that was asked for and not seen is asked for again after this long; twice does no harm.
const SETTLES: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// When the old one had started before it was rebooted, in the notes of `promote`.
const STARTED: &str = "old_blue_started";
/// When the reboot was asked for.
const ASKED: &str = "old_blue_reboot_asked";

/// Reboots it, once, and waits until it takes writes.
pub async fn restart(kind: &dyn Promotable, cx: &Context, source: &str) -> Outcome<()> {
    let (began, of, told) = (clock::monotonic(), step(cx)?, told_of(cx, source).await);
    loop {
        let state = take::replay(&cx.journal, &cx.run)?;
        let (before, asked) = (remembered::<String>(&state, "promote", STARTED), remembered(&state, "promote", ASKED));
        let words = match (before, kind.started(cx, source).await) {
            (None, Err(error)) => return Err(error.into()),
            (None, Ok((now, _))) => {
                ask(cx, &of, source, &now).await?;
                "it is asked to reboot".to_owned()
            }
            (Some(before), Ok((now, true))) if kind.is_restarted(&before, &now) => return Ok(()),
            (Some(before), Ok((now, _))) if !kind.is_restarted(&before, &now) && long_ago(asked) => {
                ask(cx, &of, source, &now).await?;
                "it is asked to reboot again".to_owned()
            }
            (Some(_), Ok(_)) => "it has not rebooted yet, or allows only reads".to_owned(),
            (Some(_), Err(error)) => format!("{}: {}", error.what, error.reason),
        };
        if began.elapsed() > PATIENCE.0 {
            let message = format!("{source} did not come back from its reboot within {PATIENCE}: {words}");
            let hint = "its events say more (`aws rds describe-events`); `pointsman retry` looks again. Until then the new \
                        side keeps what is written";
            return Err(StepError::told(FailureKind::Deadline, message, Some(hint)));
        }
        cx.progress(&of.step, &format!("the way back: {source}: {words}"));
        if let Some((rds, told)) = &told {
            cx.listen(&of, rds, std::slice::from_ref(told));
        }
        cx.rest(PAUSE.min(began.elapsed() / 4).max(PAUSE / 20)).await?;
    }
}

/// What RDS's events are about, with the name that the switchover gave it; nothing when it can't be read now.
async fn told_of(cx: &Context, source: &str) -> Option<(Name, Source)> {
    let (rds, resource) = server(cx, source).ok()?;
    let aws = cx.rig.aws(&rds).await.ok()?;
    let found = driver::writer(&aws, &resource).await.ok()??;
    Some((rds, Source::from(&found)))
}

fn long_ago(asked: Option<Timestamp>) -> bool {
    let since = |asked| Duration::try_from(clock::now().duration_since(asked)).unwrap_or_default();
    asked.is_none_or(|asked| since(asked) > SETTLES)
}

/// Asks RDS, with the intent journaled first; not while it is busy with something else.
async fn ask(cx: &Context, of: &Move, source: &str, started: &str) -> Outcome<()> {
    let (rds, resource) = server(cx, source)?;
    let aws = cx.rig.aws(&rds).await?;
    let Some(found) = driver::writer(&aws, &resource).await? else {
        let message = format!("{source}: the old blue one ({resource}) is gone, or has no instance that takes writes");
        let hint = "without it there is no way back: `pointsman continue` goes on without one";
        return Err(StepError::told(FailureKind::Refused, message, Some(hint)));
    };
    if !found.is_available() {
        return Ok(());
    }
    cx.note(of, json!({ (STARTED): started, (ASKED): clock::now() }), Durability::Synced)?;
    cx.still_mine()?;
    match driver::reboot(&aws, &found.identifier).await {
        Err(error) if error.certainty != Certainty::Unknown => {
            // Nothing came of it: it may be asked for at once.
            cx.note(of, json!({ (ASKED): null }), Durability::Ordered)?;
            Err(error.into())
        }
        _ => Ok(()),
    }
}

/// The `rds` system of the source, and the resource id of its server.
fn server(cx: &Context, source: &str) -> Outcome<(Name, String)> {
    let naming = cx.plan.systems.get(source).and_then(System::naming);
    let known = cx.plan.choices.source.rds.as_ref();
    let found = naming.zip(known).map(|(naming, known)| (naming.rds.to_owned(), known.resource_id.clone()));
    found.ok_or_else(|| StepError::broken("the plan does not know the old blue one"))
}

/// The step that the notes belong to.
fn step(cx: &Context) -> Outcome<Move> {
    let promote = cx.plan.steps.iter().find(|step| matches!(step.step, Step::Promote(_)));
    let step = promote.ok_or_else(|| StepError::broken("the plan promotes nothing"))?.id.clone();
    Ok(Move { step, act: Act::Apply, way: Heading::Forth })
}
