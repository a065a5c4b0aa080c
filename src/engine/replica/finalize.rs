//! The stream back and everything of ours is dropped. Both servers have both publications, since one was a copy of the
//! other.

use crate::engine::promotion::Promotion;
use crate::engine::{Lines, Outcome};
use crate::executor::context::Context;
use crate::plan::Plan;
use crate::systems::pair::Heading;
use crate::systems::postgres::{Session, setup, stream};

pub(super) fn describe(plan: &Plan) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let mut lines = vec![(pair.source.clone(), format!("DROP SUBSCRIPTION {}", Heading::Back.stream()))];
    for side in [&pair.source, &pair.target] {
        lines.push((side.clone(), drop_publications()));
        lines.push((side.clone(), setup::TEARDOWN.to_owned()));
    }
    if let Promotion::BlueGreen(deployment) = Promotion::of(plan) {
        lines.extend(deployment.deletion());
    }
    lines
}

pub(in crate::engine) fn drop_publications() -> String {
    let names = [Heading::Forth, Heading::Back].map(|heading| [heading.stream(), stream::token_publication(heading)]);
    format!("DROP PUBLICATION IF EXISTS {}", names.concat().join(", "))
}

pub(super) async fn finalize(cx: &Context) -> Outcome<()> {
    let pair = cx.pair()?;
    let (source, target) = tokio::try_join!(cx.rig.postgres(&pair.source), cx.rig.postgres(&pair.target))?;
    stream::drop_subscription(&source, Heading::Back).await?;
    sweep(&source).await?;
    sweep(&target).await?;
    if let Promotion::BlueGreen(deployment) = Promotion::of(&cx.plan) {
        deployment.delete_record(cx).await?;
    }
    Ok(())
}

/// Drops our publications, slots and schema; repeatable.
pub(in crate::engine) async fn sweep(session: &Session) -> Outcome<()> {
    for heading in [Heading::Forth, Heading::Back] {
        stream::drop_publisher(session, heading).await?;
    }
    session.batch("drop our schema", setup::TEARDOWN).await?;
    Ok(())
}
