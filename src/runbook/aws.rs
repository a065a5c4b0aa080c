//! Shapes of the `aws:` sections: where calls to AWS go, and as whom.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::Name;
use super::units::Span;

/// Where calls to AWS go, and as whom. What is absent comes from the runbook's own `aws:`, then from the SDK's default
/// chain: environment, profiles, SSO, web identity, the instance's or the task's role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AwsPlace {
    /// The account that the credentials must belong to (12 digits, quoted); a run refuses to start in another one.
    pub account: Option<String>,
    /// The region, such as `eu-central-1`.
    pub region: Option<Name>,
    /// A profile of `~/.aws/config`.
    pub profile: Option<String>,
    /// Another address for every service, for emulators; `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>` do the
    /// same from the environment.
    pub endpoint_url: Option<String>,
    /// A call without an answer is given up after this long (then it is in doubt); 10 s when absent.
    pub timeout: Option<Span>,
}

impl AwsPlace {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Fills what is absent from `around`.
    pub fn fill(&mut self, around: &Self) {
        let texts = [
            (&mut self.account, &around.account),
            (&mut self.region, &around.region),
            (&mut self.profile, &around.profile),
            (&mut self.endpoint_url, &around.endpoint_url),
        ];
        for (own, other) in texts {
            if own.is_none() {
                own.clone_from(other);
            }
        }
        self.timeout = self.timeout.or(around.timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_comes_from_around() {
        let around = AwsPlace { account: Some("1".into()), region: Some("a".into()), ..AwsPlace::default() };
        let mut own = AwsPlace { region: Some("b".into()), ..AwsPlace::default() };
        own.fill(&around);
        assert_eq!((own.account.as_deref(), own.region.as_deref(), own.profile), (Some("1"), Some("b"), None));
        assert!(AwsPlace::default().is_empty() && !around.is_empty());
    }
}
