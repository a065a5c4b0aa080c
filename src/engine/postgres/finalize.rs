//! Both streams and our schemas are dropped.

use crate::engine::{Lines, Outcome};
use crate::executor::context::Context;
use crate::plan::Plan;
use crate::systems::pair::Heading;
use crate::systems::postgres::{setup, stream};

pub(super) fn describe(plan: &Plan) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let (source, target) = (&pair.source, &pair.target);
    let drop_subscription = |heading: Heading| format!("DROP SUBSCRIPTION {}", heading.stream());
    let drop_publications = |heading: Heading| {
        format!("DROP PUBLICATION IF EXISTS {}, {}", heading.stream(), stream::token_publication(heading))
    };
    vec![
        (source.clone(), drop_subscription(Heading::Back)),
        (target.clone(), drop_subscription(Heading::Forth)),
        (source.clone(), drop_publications(Heading::Forth)),
        (target.clone(), drop_publications(Heading::Back)),
        (source.clone(), setup::TEARDOWN.to_owned()),
        (target.clone(), setup::TEARDOWN.to_owned()),
    ]
}

pub(super) async fn finalize(cx: &Context) -> Outcome<()> {
    let pair = cx.pair()?;
    let (source, target) = tokio::try_join!(cx.rig.postgres(&pair.source), cx.rig.postgres(&pair.target))?;
    stream::drop_subscription(&source, Heading::Back).await?;
    stream::drop_subscription(&target, Heading::Forth).await?;
    stream::drop_publisher(&source, Heading::Forth).await?;
    stream::drop_publisher(&target, Heading::Back).await?;
    source.batch("drop our schema", setup::TEARDOWN).await?;
    target.batch("drop our schema", setup::TEARDOWN).await?;
    Ok(())
}
