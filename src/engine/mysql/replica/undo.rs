//! `replicate` is taken back. A replica that was not promoted is left as it is: it follows. One that was is never made a
//! replica again, and stays shut.

use serde_json::json;

use super::super::{back, common, complete, finalize, retention};
use super::replicate::catch_up;
use crate::engine::Outcome;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::runbook::model::Replicate;
use crate::systems::mysql::fence::Open;
use crate::systems::mysql::{Flavour, Session, setup};
use crate::systems::pair::Heading;

/// The replica has applied what we took back by then.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

pub(super) async fn undo(cx: &Context, state: &RunState, step: &Replicate) -> Outcome {
    let (source, target) = tokio::try_join!(cx.rig.mysql(&step.from), cx.rig.mysql(&step.to))?;
    if let Some(other) = setup::owner(&source).await?.filter(|owner| *owner != cx.run) {
        // It got no further than asking for the server: what is there is the other run's.
        return Ok(json!({ "summary": format!("nothing to take back: run {other} has the servers") }));
    }
    back::clear(cx).await?;
    common::stream(&cx.plan, Heading::Back).drop(&source).await?;
    if remembered::<Open>(state, "window", &format!("open_{}", step.from)).is_some() {
        complete::opened(cx, &step.from).await?;
    }
    let follows = common::stream(&cx.plan, Heading::Forth).state(&target).await?.is_some();
    if !follows {
        clear_promoted(&target).await?;
    }
    // What goes there goes on its replica, too.
    finalize::clear(&source, false).await?;
    retention::restore(state, &target).await?;
    let left = if follows { applied(cx, step).await } else { promoted(step) };
    Ok(json!({ "summary": left }))
}

/// It goes through its stream, as everything does.
async fn applied(cx: &Context, step: &Replicate) -> String {
    let (from, to) = (&step.from, &step.to);
    match catch_up(cx, PATIENCE).await {
        Ok(()) => format!("{to} is still a replica of {from}"),
        Err(_) => format!("{to} is still a replica of {from}; what we had there goes when it catches up"),
    }
}

fn promoted(step: &Replicate) -> String {
    format!(
        "{to} was promoted: it is a server of its own, stays shut, and does not follow {from} any more. Make a new replica of \
         {from} before the next run",
        from = step.from,
        to = step.to
    )
}

/// Drops what is ours there, and leaves it as shut as it was.
async fn clear_promoted(target: &Session) -> Outcome<()> {
    let shut = match target.flavour() {
        Flavour::Mysql => target.value("see whether it is shut", "SELECT @@GLOBAL.super_read_only").await?,
        Flavour::Mariadb => None,
    };
    let shut = shut.as_deref() == Some("1");
    if shut {
        target.batch("let our own writes in", "SET GLOBAL super_read_only = OFF").await?;
    }
    let cleared = finalize::clear(target, false).await;
    if shut {
        target.batch("shut it again", "SET GLOBAL super_read_only = ON").await?;
    }
    cleared
}
