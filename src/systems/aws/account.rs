//! Whose credentials these are, and whether they are those that the runbook means.

use serde::{Deserialize, Serialize};

use super::client::Aws;
use super::error::WRONG_ACCOUNT;
use super::{Service, error};
use crate::systems::{Certainty, DriverError, Result};

/// Who AWS takes us for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// The account.
    pub account: String,
    /// The user or role.
    pub arn: String,
}

/// Asks who we are.
pub async fn identity(aws: &Aws) -> Result<Identity> {
    let what = "ask whose credentials these are";
    let answer = aws.read(Service::Sts, what, || aws.sts().get_caller_identity().send()).await?;
    match (answer.account, answer.arn) {
        (Some(account), Some(arn)) => Ok(Identity { account, arn }),
        _ => Err(DriverError::new(aws.system(), what, "the answer names no account", Certainty::Unknown)),
    }
}

/// Refuses credentials of another account than the one that the runbook names.
pub async fn guard(aws: &Aws) -> Result<Option<Identity>> {
    let Some(wanted) = aws.place().account.clone() else { return Ok(None) };
    let found = identity(aws).await?;
    if found.account == wanted {
        return Ok(Some(found));
    }
    let reason =
        format!("the credentials belong to account {} ({}), the runbook is for {wanted}", found.account, found.arn);
    let refused = DriverError::new(aws.system(), "look whether this is the right account", reason, Certainty::Refused);
    let told = DriverError { code: Some(WRONG_ACCOUNT.to_owned()), ..refused };
    Err(told.with_hint("choose the right profile or role (`AWS_PROFILE`, or `profile:` below `aws:`), then try again"))
}

/// Whether an error says that these are the wrong credentials, or none.
#[must_use]
pub fn is_about_credentials(told: &DriverError) -> bool {
    told.is_code(WRONG_ACCOUNT) || error::trouble(told) == Some(error::Trouble::Expired)
}
