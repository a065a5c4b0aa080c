//! Records of Route 53: read whole, and replaced in one batch that AWS refuses when somebody else has changed them.

use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecordSet, RrType};

use super::{Aws, Service};
use crate::runbook::model::RecordKind;
use crate::systems::{Certainty, DriverError, Result};

/// The kind as AWS spells it.
#[must_use]
pub fn kind(kind: RecordKind) -> RrType {
    match kind {
        RecordKind::A => RrType::A,
        RecordKind::Cname => RrType::Cname,
    }
}

/// The record sets of a name and a kind: one, or several that are weighted.
pub async fn records(aws: &Aws, zone: &str, name: &str, kind: &RrType) -> Result<Vec<ResourceRecordSet>> {
    let what = format!("read the record {name}");
    let ask = || {
        let list = aws.route53().list_resource_record_sets().hosted_zone_id(zone);
        list.start_record_name(name).start_record_type(kind.clone()).max_items(100).send()
    };
    let answer = aws.read(Service::Route53, &what, ask).await?;
    let ours = |set: &ResourceRecordSet| same_name(&set.name, name) && set.r#type == *kind;
    Ok(answer.resource_record_sets.into_iter().filter(ours).collect())
}

/// Replaces record sets in one batch: all of it happens, or nothing. It is refused when one of `old` is not exactly
/// what stands there now. Gives the id of the change.
pub async fn replace(
    aws: &Aws,
    zone: &str,
    comment: &str,
    old: &[ResourceRecordSet],
    new: &[ResourceRecordSet],
) -> Result<String> {
    let what = "change the record";
    let failed = |error| DriverError::new(aws.system(), what, error, Certainty::NotSent);
    let change = |action: ChangeAction, set: &ResourceRecordSet| {
        Change::builder().action(action).resource_record_set(set.clone()).build().map_err(failed)
    };
    let mut changes = Vec::new();
    for set in old {
        changes.push(change(ChangeAction::Delete, set)?);
    }
    for set in new {
        changes.push(change(ChangeAction::Create, set)?);
    }
    let batch = ChangeBatch::builder().comment(comment).set_changes(Some(changes)).build().map_err(failed)?;
    let ask = || aws.route53().change_resource_record_sets().hosted_zone_id(zone).change_batch(batch.clone()).send();
    let answer = aws.write(Service::Route53, what, ask).await?;
    Ok(answer.change_info.map(|info| info.id).unwrap_or_default())
}

/// Whether all servers of Route 53 have a change. Says nothing of the caches between them and the clients.
pub async fn is_in_sync(aws: &Aws, change: &str) -> Result<bool> {
    let id = change.trim_start_matches("/change/");
    let answer =
        aws.read(Service::Route53, "look whether the change has spread", || aws.route53().get_change().id(id).send());
    Ok(answer.await?.change_info.is_some_and(|info| info.status == ChangeStatus::Insync))
}

/// Whether two names are the same for DNS. Route 53 ends names with a dot and spells `*` as `\052`.
#[must_use]
pub fn same_name(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.trim_end_matches('.').replace("\\052", "*").to_ascii_lowercase();
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_dns_does() {
        assert!(same_name("DB.example.com.", "db.example.com"));
        assert!(same_name("\\052.example.com.", "*.example.com"));
        assert!(!same_name("db.example.com", "db2.example.com"));
    }
}
