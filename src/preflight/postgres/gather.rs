//! Reads what is judged. Nothing is changed: see [`Survey::read`].

use tokio::join;

use super::{PoolerFacts, PreflightInput, Wanted};
use crate::systems::Result;
use crate::systems::postgres::Database;
use crate::systems::postgres::schema_copy;
use crate::systems::postgres::survey::{Reach, Survey};

/// Surveys both databases at the same time, and dials each as the other server would. What a replication URL can't
/// reach is a finding; a database that we can't reach ourselves is an error.
pub async fn gather(
    source: &Database,
    target: &Database,
    wanted: Wanted,
    poolers: Vec<PoolerFacts>,
    accept: Vec<String>,
) -> Result<PreflightInput> {
    let nonce = format!("{:032x}", rand::random::<u128>());
    let (from, to) = join!(Box::pin(Survey::read(source, &nonce)), Box::pin(Survey::read(target, &nonce)));
    let mut reach = vec![Box::pin(Reach::read(target, source)).await?];
    if wanted.way_back {
        reach.push(Box::pin(Reach::read(source, target)).await?);
    }
    let survey = from?;
    let pg_dump = if wanted.copy_schema {
        let major = u32::try_from(survey.major()).unwrap_or_default();
        let found = schema_copy::dumper(source, wanted.pg_dump.as_deref(), major).await;
        Some(found.map_err(|error| error.reason))
    } else {
        None
    };
    Ok(PreflightInput { source: survey, target: to?, wanted, poolers, pg_dump, reach, accept })
}
