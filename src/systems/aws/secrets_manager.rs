//! Versions of a secret. Always read by stage or version: what a read without one gives differs between services that
//! claim to be this one.

use super::{Aws, Service};
use crate::secret::Secret;
use crate::systems::{Certainty, DriverError, Result};

/// The stage that applications read.
pub const CURRENT: &str = "AWSCURRENT";
/// Our stage: a version without any may be deleted by AWS.
pub const OURS: &str = "POINTSMAN";

/// One version of a secret.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its id.
    pub id: String,
    /// Its text.
    pub text: Secret,
}

/// The version that applications read now.
pub async fn current(aws: &Aws, secret: &str) -> Result<Version> {
    let what = "read the current version of the secret";
    let ask = || aws.secrets_manager().get_secret_value().secret_id(secret).version_stage(CURRENT).send();
    let answer = aws.read(Service::SecretsManager, what, ask).await?;
    let odd = |reason: &str| DriverError::new(aws.system(), what, reason, Certainty::Refused);
    let id = answer.version_id.ok_or_else(|| odd("the answer names no version"))?;
    let text = answer.secret_string.ok_or_else(|| odd("it is binary, and can't be changed in place"))?;
    Ok(Version { id, text: Secret::new(text) })
}

/// A version by its id; none when AWS has it no more.
pub async fn version(aws: &Aws, secret: &str, id: &str) -> Result<Option<Version>> {
    let ask = || aws.secrets_manager().get_secret_value().secret_id(secret).version_id(id).send();
    match aws.read(Service::SecretsManager, &format!("read version {id} of the secret"), ask).await {
        Ok(answer) => Ok(answer.secret_string.map(|text| Version { id: id.to_owned(), text: Secret::new(text) })),
        Err(error) if error.is_code("ResourceNotFoundException") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Stores a version that nobody reads yet. Storing the same text with the same token again changes nothing.
pub async fn store(aws: &Aws, secret: &str, token: &str, text: &Secret) -> Result<String> {
    let ask = || {
        let put = aws.secrets_manager().put_secret_value().secret_id(secret).client_request_token(token);
        put.secret_string(text.expose()).version_stages(OURS).send()
    };
    let answer = aws.write(Service::SecretsManager, "store a new version of the secret", ask).await?;
    Ok(answer.version_id.unwrap_or_else(|| token.to_owned()))
}

/// Makes a version the current one, if `from` still is. The version that was current becomes the previous one.
pub async fn make_current(aws: &Aws, secret: &str, to: &str, from: &str) -> Result<()> {
    let ask = || {
        let moved = aws.secrets_manager().update_secret_version_stage().secret_id(secret).version_stage(CURRENT);
        moved.move_to_version_id(to).remove_from_version_id(from).send()
    };
    aws.write(Service::SecretsManager, &format!("move {CURRENT} to version {to}"), ask).await.map(drop)
}

/// Whether AWS rotates the secret by itself.
pub async fn rotates(aws: &Aws, secret: &str) -> Result<bool> {
    let ask = || aws.secrets_manager().describe_secret().secret_id(secret).send();
    let answer = aws.read(Service::SecretsManager, "look whether the secret is rotated", ask).await?;
    Ok(answer.rotation_enabled.unwrap_or(false))
}
