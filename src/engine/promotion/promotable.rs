//! What only a kind of database knows of a server that is promoted.

use async_trait::async_trait;

use super::super::Outcome;
use crate::executor::context::Context;
use crate::plan::Plan;
use crate::preflight::Finding;
use crate::preflight::blue_green::Facts;
use crate::systems::Result;
use crate::systems::world::World;

/// What follows, and is promoted. Every look only reads.
#[async_trait]
pub trait Promotable: Send + Sync {
    /// The statement that promotes a server of one's own.
    fn statement(&self, plan: &Plan) -> String;
    /// Refuses when we could not promote a server of one's own: it is no replica any more, or our account may not.
    async fn may(&self, cx: &Context) -> Outcome<()>;
    /// Promotes a server of one's own; it may be asked again.
    async fn promote(&self, cx: &Context, target: &str) -> Result<()>;

    /// Whether a server follows still, and takes no writes of its own.
    async fn follows(&self, cx: &Context, side: &str) -> Result<bool>;
    /// How it is said that it does: `is in recovery still`.
    fn still(&self) -> &'static str;

    /// What tells the server that is left from the one that is promoted, whatever name leads where; read on the one before
    /// the switchover, on the other behind it.
    async fn mark(&self, cx: &Context, side: &str) -> Result<String>;
    /// Whether the second mark is that of the promoted one; the first is that of the one that was left.
    fn is_other(&self, left: &str, now: &str) -> bool {
        left != now
    }
    /// When a server was started, and whether it takes writes; by a connection of its own.
    async fn started(&self, cx: &Context, side: &str) -> Result<(String, bool)>;
    /// Whether it was started anew between two such looks.
    fn is_restarted(&self, before: &str, now: &str) -> bool {
        before != now
    }

    /// What a person can do when RDS will never switch over.
    fn way_out(&self) -> &'static str {
        ""
    }
    /// Refuses when RDS's guardrails would stop the switchover of the source as it is now.
    async fn guardrails(&self, cx: &Context) -> Outcome<()>;
    /// What the preflight finds of a Blue/Green deployment beyond what is asked of every kind.
    async fn findings(&self, world: &World, facts: &Facts) -> Result<Vec<Finding>>;
}
