//! Changing what DMS has: one function a call. None is sent twice when its answer was lost; the caller looks.

use aws_sdk_databasemigration::types as sdk;

use crate::runbook::model::{DmsInstance, DmsTls};
use crate::secret::Secret;
use crate::systems::Result;
use crate::systems::aws::{Aws, Service};

/// Key of the tag that everything of ours has; its value is the run.
pub const TAG: &str = "pointsman:run";

pub(super) fn tag(run: &str) -> sdk::Tag {
    sdk::Tag::builder().key(TAG).value(run).build()
}

/// A replication instance to be made.
#[derive(Clone, Debug)]
pub struct NewInstance<'a> {
    /// Its identifier.
    pub identifier: &'a str,
    /// What the runbook says of it.
    pub spec: &'a DmsInstance,
    /// The run that makes it.
    pub run: &'a str,
}

/// Makes a replication instance.
pub async fn create_instance(aws: &Aws, new: &NewInstance<'_>) -> Result<()> {
    let spec = new.spec;
    let ask = || {
        let call = aws.dms().create_replication_instance().replication_instance_identifier(new.identifier);
        let call = call.replication_instance_class(&spec.class).allocated_storage(gibibytes(spec));
        let call = call.set_replication_subnet_group_identifier(spec.subnet_group.clone());
        let groups = (!spec.security_groups.is_empty()).then(|| spec.security_groups.clone());
        let call = call.set_vpc_security_group_ids(groups).set_engine_version(spec.engine_version.clone());
        call.multi_az(spec.multi_az)
            .publicly_accessible(false)
            .auto_minor_version_upgrade(false)
            .tags(tag(new.run))
            .send()
    };
    let what = format!("make the replication instance {}", new.identifier);
    aws.write(Service::Dms, &what, ask).await.map(drop)
}

/// Its storage as DMS wants it.
#[must_use]
pub fn gibibytes(spec: &DmsInstance) -> i32 {
    i32::try_from(spec.storage.0 >> 30).unwrap_or(i32::MAX)
}

/// Deletes a replication instance.
pub async fn delete_instance(aws: &Aws, arn: &str) -> Result<()> {
    let ask = || aws.dms().delete_replication_instance().replication_instance_arn(arn).send();
    aws.write(Service::Dms, "delete the replication instance", ask).await.map(drop)
}

/// How DMS comes to a login.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// It is told.
    Told {
        /// The role.
        user: String,
        /// Its password.
        password: Secret,
        /// Host as DMS dials it.
        host: String,
        /// Port.
        port: u16,
    },
    /// It reads a secret.
    Secret {
        /// The secret's ARN.
        secret: String,
        /// The role with which it reads it.
        role: String,
    },
}

/// An endpoint to be made.
#[derive(Clone, Debug)]
pub struct NewEndpoint<'a> {
    /// Its identifier.
    pub identifier: &'a str,
    /// Whether it is the source's.
    pub source: bool,
    /// What DMS calls the kind of server.
    pub engine: &'a str,
    /// The database, where it needs one.
    pub database: Option<&'a str>,
    /// Whether DMS insists on TLS.
    pub tls: DmsTls,
    /// ARN of the certificate that the server's must be by.
    pub certificate: Option<&'a str>,
    /// What only a kind of server has.
    pub settings: Settings<'a>,
    /// How DMS logs in.
    pub credentials: Credentials,
    /// The run that makes it.
    pub run: &'a str,
}

/// What only a kind of server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settings<'a> {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB; with what DMS says first, if anything.
    Mysql(Option<&'a str>),
}

/// Words about a source: numbers without a precision keep all of their digits, and DMS leaves no trigger behind.
pub const SOURCE_ATTRIBUTES: &str = "MapUnboundedNumericAsString=true";
/// What DMS says first on the target: its rows fire no triggers, nor foreign keys.
pub const TARGET_SCRIPT: &str = "SET session_replication_role='replica'";

fn postgres(new: &NewEndpoint<'_>) -> sdk::PostgreSqlSettings {
    let mut settings = sdk::PostgreSqlSettings::builder();
    if new.source {
        settings = settings.capture_ddls(false).heartbeat_enable(false).fail_tasks_on_lob_truncation(true);
    } else {
        settings = settings.after_connect_script(TARGET_SCRIPT);
    }
    if let Credentials::Secret { secret, role } = &new.credentials {
        settings = settings.secrets_manager_secret_id(secret).secrets_manager_access_role_arn(role);
    }
    settings.build()
}

fn mysql(new: &NewEndpoint<'_>, script: Option<&str>) -> sdk::MySqlSettings {
    let mut settings = sdk::MySqlSettings::builder().set_after_connect_script(script.map(str::to_owned));
    if let Credentials::Secret { secret, role } = &new.credentials {
        settings = settings.secrets_manager_secret_id(secret).secrets_manager_access_role_arn(role);
    }
    settings.build()
}

/// What DMS calls the protection of a connection.
#[must_use]
pub const fn tls_word(tls: DmsTls, certificate: bool) -> &'static str {
    match (tls, certificate) {
        (DmsTls::None, _) => "none",
        (DmsTls::Require, false) => "require",
        (DmsTls::Require, true) => "verify-ca",
    }
}

/// Makes an endpoint.
pub async fn create_endpoint(aws: &Aws, new: &NewEndpoint<'_>) -> Result<()> {
    let kind =
        if new.source { sdk::ReplicationEndpointTypeValue::Source } else { sdk::ReplicationEndpointTypeValue::Target };
    let tls = sdk::DmsSslModeValue::from(tls_word(new.tls, new.certificate.is_some()));
    let of_postgres = new.settings == Settings::Postgres;
    let ask = || {
        let call = aws.dms().create_endpoint().endpoint_identifier(new.identifier).endpoint_type(kind.clone());
        let call = call.engine_name(new.engine).set_database_name(new.database.map(str::to_owned));
        let call =
            call.ssl_mode(tls.clone()).set_certificate_arn(new.certificate.map(str::to_owned)).tags(tag(new.run));
        let call = match new.settings {
            Settings::Postgres => call.postgre_sql_settings(postgres(new)),
            Settings::Mysql(script) => call.my_sql_settings(mysql(new, script)),
        };
        let attributes = (new.source && of_postgres).then(|| SOURCE_ATTRIBUTES.to_owned());
        let call = call.set_extra_connection_attributes(attributes);
        match &new.credentials {
            Credentials::Told { user, password, host, port } => {
                let call = call.username(user).password(password.expose()).server_name(host);
                call.port(i32::from(*port)).send()
            }
            Credentials::Secret { .. } => call.send(),
        }
    };
    aws.write(Service::Dms, &format!("make the endpoint {}", new.identifier), ask).await.map(drop)
}

/// Deletes an endpoint.
pub async fn delete_endpoint(aws: &Aws, arn: &str) -> Result<()> {
    let ask = || aws.dms().delete_endpoint().endpoint_arn(arn).send();
    aws.write(Service::Dms, "delete the endpoint", ask).await.map(drop)
}

/// Asks for a test of a connection.
pub async fn test(aws: &Aws, instance: &str, endpoint: &str) -> Result<()> {
    let ask = || aws.dms().test_connection().replication_instance_arn(instance).endpoint_arn(endpoint).send();
    aws.write(Service::Dms, "test the connection", ask).await.map(drop)
}
