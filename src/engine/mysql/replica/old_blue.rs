//! The way back from a Blue/Green deployment, which RDS has none of. The old blue instance allows only reads until it is
//! rebooted (user guide, "Switching a blue/green deployment"): that comes behind the switch, when no write waits. Then it
//! follows from exactly the place where the green one opened, as after every other promotion.

use super::super::{back, common};
use super::promotion::Follower;
use crate::engine::Outcome;
use crate::engine::promotion::{Promotion, restart};
use crate::executor::context::Context;
use crate::systems::pair::Heading;

/// The way back stands and is proved.
pub(super) async fn lay(cx: &Context) -> Outcome<()> {
    if matches!(Promotion::of(&cx.plan), Promotion::BlueGreen(_)) {
        let source = &cx.pair()?.source;
        // Its name leads to another server since the switchover.
        cx.rig.part_from(&[source]).await;
        let session = cx.rig.mysql(source).await?;
        if common::stream(&cx.plan, Heading::Back).state(&session).await?.is_none() {
            restart(&Follower, cx, source).await?;
        }
    }
    back::lay(cx).await
}
