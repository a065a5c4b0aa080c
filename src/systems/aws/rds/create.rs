//! Making an instance, and deleting it again, or a cluster.

use aws_sdk_rds::types::Tag;

use super::Kind;
use crate::runbook::model::CreateInstance;
use crate::secret::Secret;
use crate::systems::Result;
use crate::systems::aws::{Aws, Service};

const GIB: u64 = 1 << 30;

/// Begins to make an instance, with one tag. Without a password RDS makes one and keeps it in Secrets Manager.
pub async fn create_instance(
    aws: &Aws,
    identifier: &str,
    spec: &CreateInstance,
    password: Option<&Secret>,
    tag: (&str, &str),
) -> Result<()> {
    let tag = Tag::builder().key(tag.0).value(tag.1).build();
    let storage = i32::try_from(spec.storage.0 / GIB).unwrap_or(i32::MAX);
    let days = i32::try_from(spec.backup_days).unwrap_or(i32::MAX);
    let ask = || {
        let call = aws.rds().create_db_instance().db_instance_identifier(identifier).tags(tag.clone());
        let call = call.engine(&spec.engine).engine_version(&spec.engine_version).db_instance_class(&spec.class);
        let call = call.allocated_storage(storage).set_storage_type(spec.storage_type.clone()).multi_az(spec.multi_az);
        let call = call.set_db_subnet_group_name(spec.subnet_group.clone()).publicly_accessible(false);
        let groups = (!spec.security_groups.is_empty()).then(|| spec.security_groups.clone());
        let call = call.set_vpc_security_group_ids(groups).set_db_parameter_group_name(spec.parameter_group.clone());
        let call = call.set_db_name(spec.database.clone()).master_username(&spec.user).backup_retention_period(days);
        let call = call.deletion_protection(spec.deletion_protection).storage_encrypted(spec.encrypted);
        match password {
            Some(password) => call.master_user_password(password.expose()).send(),
            None => call.manage_master_user_password(true).send(),
        }
    };
    aws.write(Service::Rds, &format!("make the instance {identifier}"), ask).await.map(drop)
}

/// Lets a server be deleted.
pub async fn unprotect(aws: &Aws, kind: Kind, identifier: &str) -> Result<()> {
    let what = format!("take the deletion protection off {identifier}");
    match kind {
        Kind::Instance => {
            let call = || aws.rds().modify_db_instance().db_instance_identifier(identifier).apply_immediately(true);
            aws.write(Service::Rds, &what, || call().deletion_protection(false).send()).await.map(drop)
        }
        Kind::Cluster => {
            let call = || aws.rds().modify_db_cluster().db_cluster_identifier(identifier).apply_immediately(true);
            aws.write(Service::Rds, &what, || call().deletion_protection(false).send()).await.map(drop)
        }
    }
}

/// Deletes an instance, with a last snapshot.
pub async fn delete_instance(aws: &Aws, identifier: &str, snapshot: &str) -> Result<()> {
    let ask = || {
        let call = aws.rds().delete_db_instance().db_instance_identifier(identifier);
        call.skip_final_snapshot(false).final_db_snapshot_identifier(snapshot).send()
    };
    aws.write(Service::Rds, &format!("delete the instance {identifier}"), ask).await.map(drop)
}

/// Deletes an instance of a cluster, which keeps the data: no snapshot is taken.
pub async fn delete_member(aws: &Aws, identifier: &str) -> Result<()> {
    let ask = || aws.rds().delete_db_instance().db_instance_identifier(identifier).skip_final_snapshot(true).send();
    aws.write(Service::Rds, &format!("delete the instance {identifier}"), ask).await.map(drop)
}

/// Deletes a cluster that has no instances any more, with a last snapshot ("Deleting Aurora DB clusters and DB instances" in
/// the Aurora user guide).
pub async fn delete_cluster(aws: &Aws, identifier: &str, snapshot: &str) -> Result<()> {
    let ask = || {
        let call = aws.rds().delete_db_cluster().db_cluster_identifier(identifier);
        call.skip_final_snapshot(false).final_db_snapshot_identifier(snapshot).send()
    };
    aws.write(Service::Rds, &format!("delete the cluster {identifier}"), ask).await.map(drop)
}
