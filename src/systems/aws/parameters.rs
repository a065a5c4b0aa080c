//! Parameters of Systems Manager. There is no compare-and-swap: the version is looked at before, and again in the answer.

use aws_sdk_ssm::types::{ParameterMetadata, ParameterStringFilter, ParameterTier, ParameterType};

use super::{Aws, Service};
use crate::secret::Secret;
use crate::systems::{Certainty, DriverError, Result};

/// A parameter as it stands.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its value.
    pub value: Secret,
    /// Its version.
    pub version: i64,
    /// What is kept when it is written again.
    pub kind: Option<ParameterType>,
    data_type: Option<String>,
}

/// What is told apart from the value, and would be lost by a write that does not repeat it.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    key: Option<String>,
    tier: Option<ParameterTier>,
    pattern: Option<String>,
    description: Option<String>,
    /// Policies, such as an expiry: a write would drop them.
    pub policies: bool,
}

/// Reads a parameter, decrypted.
pub async fn read(aws: &Aws, name: &str) -> Result<Stored> {
    let what = "read the parameter";
    let ask = || aws.ssm().get_parameter().name(name).with_decryption(true).send();
    let answer = aws.read(Service::Ssm, what, ask).await?;
    let odd = || DriverError::new(aws.system(), what, "the answer has no value", Certainty::Refused);
    let parameter = answer.parameter.ok_or_else(odd)?;
    let value = Secret::new(parameter.value.ok_or_else(odd)?);
    Ok(Stored { value, version: parameter.version, kind: parameter.r#type, data_type: parameter.data_type })
}

/// Reads what stands beside the value.
pub async fn manner(aws: &Aws, name: &str) -> Result<Manner> {
    let what = "read how the parameter is kept";
    let filter = ParameterStringFilter::builder().key("Name").option("Equals").values(name).build();
    let filter = filter.map_err(|error| DriverError::new(aws.system(), what, error, Certainty::NotSent))?;
    let ask = || aws.ssm().describe_parameters().parameter_filters(filter.clone()).send();
    let answer = aws.read(Service::Ssm, what, ask).await?;
    let of = |found: ParameterMetadata| Manner {
        key: found.key_id,
        tier: found.tier,
        pattern: found.allowed_pattern,
        description: found.description,
        policies: found.policies.is_some_and(|policies| !policies.is_empty()),
    };
    Ok(answer.parameters.unwrap_or_default().into_iter().next().map(of).unwrap_or_default())
}

/// Writes a new value and keeps everything else. Gives the new version.
pub async fn write(aws: &Aws, name: &str, was: &Stored, manner: &Manner, value: &Secret) -> Result<i64> {
    let ask = || {
        let put = aws.ssm().put_parameter().name(name).value(value.expose()).overwrite(true);
        let put = put.set_type(was.kind.clone()).set_data_type(was.data_type.clone()).set_tier(manner.tier.clone());
        let put = put.set_key_id(manner.key.clone()).set_allowed_pattern(manner.pattern.clone());
        put.set_description(manner.description.clone()).send()
    };
    Ok(aws.write(Service::Ssm, "write the parameter", ask).await?.version)
}
