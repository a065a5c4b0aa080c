//! Instances that are registered in Cloud Map.

use std::collections::BTreeMap;

use aws_sdk_servicediscovery::types::OperationStatus;

use super::{Aws, Service};
use crate::systems::{Certainty, DriverError, Result};

/// How an operation of Cloud Map stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It runs.
    Pending,
    /// It is done.
    Done,
    /// It failed, and why.
    Failed(String),
}

/// The attributes of an instance.
pub async fn attributes(aws: &Aws, service: &str, instance: &str) -> Result<BTreeMap<String, String>> {
    let what = format!("read the instance {instance}");
    let ask = || aws.service_discovery().get_instance().service_id(service).instance_id(instance).send();
    let answer = aws.read(Service::ServiceDiscovery, &what, ask).await?;
    let odd = || DriverError::new(aws.system(), &what, "the answer has no instance", Certainty::Refused);
    Ok(answer.instance.ok_or_else(odd)?.attributes.unwrap_or_default().into_iter().collect())
}

/// Replaces the attributes of an instance; gives the id of the operation. The same token again changes nothing.
pub async fn register(
    aws: &Aws,
    service: &str,
    instance: &str,
    attributes: &BTreeMap<String, String>,
    token: &str,
) -> Result<Option<String>> {
    let ask = || {
        let register = aws.service_discovery().register_instance().service_id(service).instance_id(instance);
        let attributes = attributes.clone().into_iter().collect();
        register.creator_request_id(token).set_attributes(Some(attributes)).send()
    };
    Ok(aws.write(Service::ServiceDiscovery, "register the instance", ask).await?.operation_id)
}

/// How an operation stands.
pub async fn operation(aws: &Aws, id: &str) -> Result<Operation> {
    let ask = || aws.service_discovery().get_operation().operation_id(id).send();
    let answer = aws.read(Service::ServiceDiscovery, "look at the registration", ask).await?;
    let operation = answer.operation;
    let words = || {
        let error = operation.as_ref().and_then(|operation| operation.error_message.clone());
        error.unwrap_or_else(|| "it says no reason".to_owned())
    };
    Ok(match operation.as_ref().and_then(|operation| operation.status.clone()) {
        Some(OperationStatus::Success) => Operation::Done,
        Some(OperationStatus::Fail) => Operation::Failed(words()),
        _ => Operation::Pending,
    })
}
