//! Reads what is judged. Nothing is changed: see [`Survey::read`].

use tokio::join;

use super::{EndpointFacts, PreflightInput, Wanted};
use crate::systems::Result;
use crate::systems::mysql::Database;
use crate::systems::mysql::survey::{Reach, Survey, errant};

/// Surveys both servers at the same time, and dials each as the other would. What a replication URL can't reach is a
/// finding; a server that we can't reach ourselves is an error.
pub async fn gather(
    source: &Database,
    target: &Database,
    wanted: Wanted,
    endpoints: Vec<EndpointFacts>,
    accept: Vec<String>,
) -> Result<PreflightInput> {
    let nonce = format!("{:032x}", rand::random::<u128>());
    let (from, to) = join!(Box::pin(Survey::read(source, &nonce)), Box::pin(Survey::read(target, &nonce)));
    let mut reach = vec![Box::pin(Reach::read(target, source)).await?];
    if wanted.way_back {
        reach.push(Box::pin(Reach::read(source, target)).await?);
    }
    let (source, mut target) = (from?, to?);
    target.activity.errant = errant(&source, &target);
    Ok(PreflightInput { source, target, wanted, endpoints, reach, accept })
}
