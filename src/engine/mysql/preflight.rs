//! What the preflight looks at: both servers and the ways between them.

use crate::plan::Plan;
use crate::preflight::Finding;
use crate::systems;

/// Looks at everything that the plan names; reads only.
#[expect(clippy::unused_async, reason = "the looks are not written yet")]
pub(super) async fn findings(_plan: &Plan, _accept: &[String]) -> systems::Result<Vec<Finding>> {
    Ok(Vec::new())
}
