//! The stream back and everything of ours is dropped, and the record of the deployment is deleted.

use crate::engine::promotion::Promotion;
use crate::engine::replica::finalize::{drop_publications, sweep};
use crate::engine::{Lines, Outcome};
use crate::executor::context::Context;
use crate::plan::Plan;
use crate::systems::pair::Heading;
use crate::systems::postgres::{hold, setup, stream};

pub(super) fn describe(plan: &Plan) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let mut lines = vec![(pair.source.clone(), format!("DROP SUBSCRIPTION {}", Heading::Back.stream()))];
    for side in [&pair.source, &pair.target] {
        lines.push((side.clone(), drop_publications()));
        lines.push((side.clone(), setup::TEARDOWN.to_owned()));
    }
    lines.push((pair.source.clone(), hold::releasing("RUN")));
    if let Promotion::BlueGreen(deployment) = Promotion::of(plan) {
        lines.extend(deployment.deletion());
    }
    lines
}

pub(super) async fn finalize(cx: &Context) -> Outcome<()> {
    let pair = cx.pair()?;
    let (source, target) = tokio::try_join!(cx.rig.postgres(&pair.source), cx.rig.postgres(&pair.target))?;
    stream::drop_subscription(&source, Heading::Back).await?;
    sweep(&source).await?;
    sweep(&target).await?;
    hold::release(&source, &cx.run).await?;
    if let Promotion::BlueGreen(deployment) = Promotion::of(&cx.plan) {
        deployment.delete_record(cx).await?;
    }
    Ok(())
}
