//! What references stand for: in Secrets Manager and Parameter Store, at the place that the runbook's `aws:` names, and
//! in RDS, at the place of the `rds` system. Only reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Access, Call, Permission, Service, parameters, rds, secrets_manager};
use crate::runbook::model::{AwsPlace, Name};
use crate::secret::remote::{self, Reading, Source};
use crate::secret::{Secret, SecretError};
use crate::systems::world::World;
use crate::systems::{DriverError, Result};

/// What errors call it.
pub const LABEL: &str = "secret references";

/// Resource ids of servers of RDS, by the names of their systems.
pub type Planned = BTreeMap<Name, String>;

/// Reads references at one place.
struct Vault {
    world: World,
    place: AwsPlace,
    planned: Planned,
}

impl Vault {
    async fn value(&self, name: &str) -> Result<Secret> {
        if let Some(system) = name.strip_prefix("rds:") {
            let (spec, aws) = (self.world.rds(system)?, self.world.aws(system, Access::ReadOnly).await?);
            let planned = self.planned.get(system).map(String::as_str);
            return Ok(Secret::new(rds::endpoint(&aws, &spec, planned).await?.to_string()));
        }
        let mut place = self.place.clone();
        place.region = region_of(name).or(place.region);
        let aws = self.world.aws_at(LABEL, &place, Access::ReadOnly).await?;
        match name.split_once(':') {
            Some(("aws-secret", id)) => Ok(secrets_manager::current(&aws, id).await?.text),
            Some((_, parameter)) => Ok(parameters::read(&aws, parameter).await?.value),
            None => Ok(Secret::new("")),
        }
    }
}

impl Source for Vault {
    fn read<'a>(&'a self, name: &'a str) -> Reading<'a> {
        Box::pin(async move { self.value(name).await.map_err(|error| told(name, error)) })
    }
}

/// An ARN says where its resource is.
fn region_of(name: &str) -> Option<String> {
    let arn = name.split_once(':')?.1;
    arn.starts_with("arn:").then(|| arn.split(':').nth(3).map(str::to_owned)).flatten()
}

fn told(name: &str, error: DriverError) -> SecretError {
    let absent = ["ResourceNotFoundException", "ParameterNotFound"].iter().any(|code| error.is_code(code));
    let mend = "make it, or correct its name; is this the right account and region?".to_owned();
    let hint = error.hint.or_else(|| absent.then_some(mend));
    SecretError::Source { reference: name.to_owned(), reason: error.reason, hint, code: error.code }
}

/// From now on, references are read at this place. A server of RDS must be the one that was planned, whatever it is
/// called now.
pub fn open(place: &AwsPlace, world: World, planned: Planned) {
    remote::install(Arc::new(Vault { world, place: place.clone(), planned }));
}

/// The call that reads a reference without its key: `aws-secret:NAME`, `ssm:NAME`.
#[must_use]
pub fn call(name: &str) -> Option<Call> {
    let (scheme, id) = name.split_once(':')?;
    Some(if scheme == "aws-secret" {
        let parameters = json!({ "SecretId": id, "VersionStage": secrets_manager::CURRENT });
        Call::new(Service::SecretsManager, "GetSecretValue", parameters)
    } else {
        Call::new(Service::Ssm, "GetParameter", json!({ "Name": id, "WithDecryption": true }))
    })
}

/// What that call must be allowed.
#[must_use]
pub fn permission(call: &Call, place: &AwsPlace) -> Permission {
    let id = [&call.parameters["SecretId"], &call.parameters["Name"]].into_iter().find_map(Value::as_str);
    Permission::on(call.service, call.operation, resource(call.service, place, id.unwrap_or("*")))
}

/// The ARN; AWS adds six characters to that of a secret.
fn resource(service: Service, place: &AwsPlace, id: &str) -> String {
    if id.starts_with("arn:") {
        return id.to_owned();
    }
    let known = |text: &Option<String>| text.clone().filter(|text| !text.contains("${")).unwrap_or_else(|| "*".into());
    let rest = match service {
        Service::SecretsManager => format!("secret:{id}-??????"),
        _ => format!("parameter/{}", id.trim_start_matches('/')),
    };
    format!("arn:aws:{service}:{}:{}:{rest}", known(&place.region), known(&place.account))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_resources_are_those_of_aws() {
        let place = AwsPlace { account: Some("123456789012".into()), ..AwsPlace::default() };
        assert_eq!(
            call("aws-secret:prod/db").unwrap().to_string(),
            r#"secretsmanager GetSecretValue {"SecretId":"prod/db","VersionStage":"AWSCURRENT"}"#
        );
        assert_eq!(call("ssm:/a/b").unwrap().to_string(), r#"ssm GetParameter {"Name":"/a/b","WithDecryption":true}"#);
        assert!(call("ssm:/a/b").unwrap().is_read() && call("aws-secret:a").unwrap().is_read());
        let of = |service, id| resource(service, &place, id);
        assert_eq!(of(Service::Ssm, "/a/b"), "arn:aws:ssm:*:123456789012:parameter/a/b");
        assert_eq!(of(Service::SecretsManager, "db"), "arn:aws:secretsmanager:*:123456789012:secret:db-??????");
        let arn = "arn:aws:ssm:eu-west-1:1:parameter/a";
        assert_eq!(of(Service::Ssm, arn), arn);
        assert_eq!(region_of(&format!("ssm:{arn}")).as_deref(), Some("eu-west-1"));
        assert_eq!(region_of("ssm:/a/b"), None);
    }
}
