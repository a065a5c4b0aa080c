//! The way back, which RDS has none of. Its slot stands on the new side from exactly the switchover on. The old blue
//! instance is rebooted behind the switch, since it allows only reads until then (user guide, "Switching a blue/green
//! deployment"); now that RDS's deployment is over, our schema is made there, which takes over from the setting, and then the
//! subscription.

use super::kind::Logical;
use crate::engine::Outcome;
use crate::engine::postgres::arm as native;
use crate::engine::promotion::restart;
use crate::engine::replica::old_blue::follow;
use crate::executor::context::Context;
use crate::systems::pair::Heading;
use crate::systems::postgres::{Session, hold, setup, stream};

/// The way back stands and is proved; what was done for it, in words.
pub(super) async fn lay(cx: &Context) -> Outcome<String> {
    let source = &cx.pair()?.source;
    cx.rig.part_from(&[source]).await;
    let session = cx.rig.postgres(source).await?;
    if stream::subscription(&session, Heading::Back).await?.is_none() {
        restart(&Logical, cx, source).await?;
        settle_in(cx, source).await?;
        follow(cx, source).await?;
    }
    native::prove(cx, Heading::Back).await?;
    Ok(format!("the way back stands: {source} was rebooted, and follows from the switchover on"))
}

/// The ones of the way there are empty: a window sets their points, in which direction ever it goes.
async fn publications(cx: &Context, source: &Session) -> Outcome<()> {
    let held = setup::hold_epoch(&cx.run, cx.epoch);
    let names = [stream::token_publication(Heading::Forth), Heading::Forth.stream()];
    for (name, sql) in names.into_iter().zip(stream::create_publications(Heading::Forth, &[], false)) {
        let there = "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)";
        if !source.value::<bool>("look for its publication", there, &[&name]).await? {
            source.batch(&format!("create publication {name}"), &format!("{held} {sql}")).await?;
        }
    }
    Ok(())
}

/// Our schema takes over from the setting. In between both hold the run.
async fn settle_in(cx: &Context, source: &str) -> Outcome<()> {
    cx.still_mine()?;
    let session = cx.rig.postgres(source).await?;
    session.batch("make our schema", setup::SETUP).await?;
    setup::claim(&session, &cx.run, cx.epoch).await?;
    publications(cx, &session).await?;
    Ok(hold::release(&session, &cx.run).await?)
}
