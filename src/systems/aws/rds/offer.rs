//! What RDS offers to make: versions of an engine, and classes for them.

use crate::systems::Result;
use crate::systems::aws::{Aws, Service};

/// Pages of versions that are read at most; AWS gives a hundred on each.
const PAGES: usize = 20;

/// A version of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Such as `17.4`.
    pub name: String,
    /// Whether AWS has given it up (API reference, `DBEngineVersion`: `Status` is `available` or `deprecated`).
    pub deprecated: bool,
}

/// Every version of an engine, those that AWS has given up too.
pub async fn versions(aws: &Aws, engine: &str) -> Result<Vec<Version>> {
    let what = format!("read the versions of {engine}");
    let (mut all, mut marker) = (Vec::new(), None::<String>);
    for _ in 0..PAGES {
        let call = aws.rds().describe_db_engine_versions().engine(engine).include_all(true);
        let call = call.set_marker(marker.clone());
        let answer = aws.read(Service::Rds, &what, || call.clone().send()).await?;
        let version = |found: aws_sdk_rds::types::DbEngineVersion| Version {
            deprecated: found.status.as_deref() == Some("deprecated"),
            name: found.engine_version.unwrap_or_default(),
        };
        all.extend(answer.db_engine_versions.unwrap_or_default().into_iter().map(version));
        marker = answer.marker.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            break;
        }
    }
    Ok(all)
}

/// Whether an instance of a class can be made with an engine, of this version or of any.
pub async fn is_orderable(aws: &Aws, engine: &str, version: Option<&str>, class: &str) -> Result<bool> {
    let what = format!("look whether {class} is offered for {engine}");
    let call = aws.rds().describe_orderable_db_instance_options().engine(engine).db_instance_class(class);
    let call = call.set_engine_version(version.map(str::to_owned));
    let answer = aws.read(Service::Rds, &what, || call.clone().send()).await?;
    let fits = |option: &aws_sdk_rds::types::OrderableDbInstanceOption| option.db_instance_class() == Some(class);
    Ok(answer.orderable_db_instance_options().iter().any(fits))
}
