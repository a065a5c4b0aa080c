//! The way back from a Blue/Green deployment, which RDS has none of. The slot of it stands on the green instance from
//! exactly the switchover on, and keeps everything that is written since. The old blue instance allows only reads until it
//! is rebooted (user guide, "Switching a blue/green deployment"): that, and the subscription on it, come behind the switch,
//! when no write waits.

use super::super::postgres::arm as between;
use super::physical::Physical;
use super::replicate::subscription;
use crate::engine::Outcome;
use crate::engine::promotion::restart;
use crate::executor::context::Context;
use crate::systems::pair::Heading;
use crate::systems::postgres::{setup, stream};

/// The way back stands and is proved; what was done for it, in words.
pub(super) async fn lay_way_back(cx: &Context) -> Outcome<String> {
    let source = &cx.pair()?.source;
    cx.rig.part_from(&[source]).await;
    let session = cx.rig.postgres(source).await?;
    if stream::subscription(&session, Heading::Back).await?.is_none() {
        restart(&Physical, cx, source).await?;
        follow(cx, source).await?;
    }
    between::prove(cx, Heading::Back).await?;
    Ok(format!("the way back stands: {source} was rebooted, and follows from the switchover on"))
}

pub(in crate::engine) async fn follow(cx: &Context, source: &str) -> Outcome<()> {
    cx.still_mine()?;
    let held = setup::hold_epoch(&cx.run, cx.epoch);
    let sql = format!("BEGIN; {held} {}; COMMIT;", subscription(cx, true)?.expose());
    let session = cx.rig.postgres(source).await?;
    // It was read-only when the session's epoch was raised, perhaps.
    setup::raise_epoch(&session, &cx.run, cx.epoch).await?;
    if let Err(error) = session.batch("make the subscription of the way back", &sql).await {
        drop(session.batch("leave the transaction", "ROLLBACK").await);
        return Err(error.into());
    }
    Ok(())
}
