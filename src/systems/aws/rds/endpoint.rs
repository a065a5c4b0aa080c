//! Where a server of RDS is dialled: what `${rds:SYSTEM#host}` and its like stand for.

use serde_json::{Value, json};

use super::{Kind, NO_CLUSTER, NO_INSTANCE, Server, by_resource, cluster, instance, named};
use crate::runbook::model::Rds;
use crate::systems::address::Address;
use crate::systems::aws::Aws;
use crate::systems::{Certainty, DriverError, Result};

const WHAT: &str = "read where it is dialled";
/// Statuses in which a server has an endpoint and takes no connections.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html#Overview.DBInstance.Status>
const CLOSED: [&str; 12] = [
    "creating",
    "deleting",
    "failed",
    "stopped",
    "stopping",
    "starting",
    "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable",
    "incompatible-network",
    "incompatible-restore",
    "insufficient-capacity",
    "restore-error",
];

/// `host`, `port`, of a cluster `reader`, and `resource`, the id that stays. `planned` is the id of the server that the
/// plan was made for: it is followed when it is called otherwise now, and another one under its name is refused.
pub async fn endpoint(aws: &Aws, spec: &Rds, planned: Option<&str>) -> Result<Value> {
    if let (Some(planned), Some(_)) = (planned, &spec.blue_green) {
        // It gets the name of the blue one, and the deployment may be gone: the planned one is followed by its id alone.
        return told(aws, renamed(aws, Kind::of_resource(planned), planned, None).await?);
    }
    let (kind, identifier) = named(aws, spec).await?;
    let found = match (look(aws, kind, &identifier).await, planned) {
        (Ok(found), None) => found,
        (Ok(found), Some(planned)) if found.0.resource_id == planned => found,
        (Ok(found), Some(planned)) => renamed(aws, kind, planned, Some(&found.0)).await?,
        (Err(error), Some(planned)) if is_missing(&error) => renamed(aws, kind, planned, None).await?,
        (Err(error), None) if is_missing(&error) => {
            return Err(error.with_hint("make it, or correct the identifier; is this the right account and region?"));
        }
        (Err(error), _) => return Err(error),
    };
    told(aws, found)
}

fn told(aws: &Aws, (server, reader): (Server, Option<Address>)) -> Result<Value> {
    let at = dialled(aws, &server)?;
    let mut told = json!({ "host": at.host, "port": at.port, "resource": server.resource_id,
        "identifier": server.identifier });
    if let Some(reader) = reader {
        told["reader"] = json!(reader.host);
    }
    Ok(told)
}

async fn look(aws: &Aws, kind: Kind, identifier: &str) -> Result<(Server, Option<Address>)> {
    match kind {
        Kind::Instance => Ok((instance(aws, identifier).await?.server, None)),
        Kind::Cluster => cluster(aws, identifier).await.map(|found| (found.server, found.reader)),
    }
}

fn is_missing(error: &DriverError) -> bool {
    error.is_code(NO_INSTANCE) || error.is_code(NO_CLUSTER)
}

/// The planned server, which is not called so any more.
async fn renamed(aws: &Aws, kind: Kind, planned: &str, instead: Option<&Server>) -> Result<(Server, Option<Address>)> {
    if let Some(found) = by_resource(aws, kind, planned).await? {
        return look(aws, kind, &found.identifier).await;
    }
    let reason = match instead {
        Some(other) => format!(
            "{} is another {} than that of the plan ({}, planned {planned}), and the planned one is gone",
            other.identifier,
            kind.word(),
            other.resource_id
        ),
        None => format!("the {} of the plan ({planned}) is gone", kind.word()),
    };
    Err(refused(aws, &reason, "if it was deleted on purpose: roll back, and make a new plan"))
}

/// Its endpoint, when it takes connections.
fn dialled(aws: &Aws, server: &Server) -> Result<Address> {
    judge(server).map_err(|(reason, hint)| refused(aws, &reason, &hint))
}

fn judge(server: &Server) -> std::result::Result<Address, (String, String)> {
    let (word, name, status) = (server.kind.word(), &server.identifier, &server.status);
    let wait = format!("aws rds wait db-{word}-available --db-{word}-identifier {name}");
    let hint = match status.as_str() {
        "stopped" => format!("aws rds start-db-{word} --db-{word}-identifier {name}"),
        _ => wait,
    };
    match &server.address {
        None => Err((format!("the {word} {name} has no endpoint yet: it is {status}"), hint)),
        Some(_) if CLOSED.contains(&status.as_str()) => {
            Err((format!("the {word} {name} takes no connections: it is {status}"), hint))
        }
        Some(at) => Ok(at.clone()),
    }
}

fn refused(aws: &Aws, reason: &str, hint: &str) -> DriverError {
    DriverError::new(aws.system(), WHAT, reason, Certainty::Refused).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use aws_sdk_rds::types::{DbInstance, Endpoint};

    use super::super::Instance;
    use super::*;

    fn server(status: &str, endpoint: bool) -> Server {
        let found = DbInstance::builder().db_instance_identifier("orders").db_instance_status(status);
        let at = endpoint.then(|| Endpoint::builder().address("db.example").port(5432).build());
        Instance::from(found.set_endpoint(at).build()).server
    }

    #[test]
    fn what_takes_no_connections_is_told_with_what_to_do() {
        assert_eq!(judge(&server("backing-up", true)).unwrap().host, "db.example");
        assert_eq!(judge(&server("modifying", true)).unwrap().port, 5432);
        let (reason, hint) = judge(&server("creating", false)).unwrap_err();
        assert!(reason.contains("no endpoint yet: it is creating"), "{reason}");
        assert!(hint.starts_with("aws rds wait db-instance-available"), "{hint}");
        let (reason, hint) = judge(&server("stopped", true)).unwrap_err();
        assert!(reason.contains("takes no connections"), "{reason}");
        assert_eq!(hint, "aws rds start-db-instance --db-instance-identifier orders");
    }
}
