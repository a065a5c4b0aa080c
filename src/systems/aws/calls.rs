//! Calls as the plan shows them, and which of them only read.

use std::fmt;

use serde_json::Value;

/// A service, as the command line of AWS calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// CloudWatch.
    Cloudwatch,
    /// Database Migration Service.
    Dms,
    /// The network's security groups.
    Ec2,
    /// Elastic Container Service.
    Ecs,
    /// Application Load Balancers.
    Elbv2,
    /// Permissions.
    Iam,
    /// Databases.
    Rds,
    /// DNS.
    Route53,
    /// Secrets Manager.
    SecretsManager,
    /// Cloud Map.
    ServiceDiscovery,
    /// Parameters.
    Ssm,
    /// Who we are.
    Sts,
}

impl Service {
    /// Its name in the plan and in errors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cloudwatch => "cloudwatch",
            Self::Dms => "dms",
            Self::Ec2 => "ec2",
            Self::Ecs => "ecs",
            Self::Elbv2 => "elbv2",
            Self::Iam => "iam",
            Self::Rds => "rds",
            Self::Route53 => "route53",
            Self::SecretsManager => "secretsmanager",
            Self::ServiceDiscovery => "servicediscovery",
            Self::Ssm => "ssm",
            Self::Sts => "sts",
        }
    }

    /// The prefix of its actions in a policy.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Elbv2 => "elasticloadbalancing",
            other => other.name(),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One call, word for word: what the plan shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The service.
    pub service: Service,
    /// The operation, such as `ModifyRule`.
    pub operation: &'static str,
    /// Its parameters as AWS spells them, without secrets.
    pub parameters: Value,
}

impl Call {
    /// A call.
    #[must_use]
    pub const fn new(service: Service, operation: &'static str, parameters: Value) -> Self {
        Self { service, operation, parameters }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_read(&self) -> bool {
        is_read(self.operation)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.service, self.operation, self.parameters)
    }
}

/// Whether an operation changes nothing: Describe, Get and List do not, nor does the simulation of a policy.
#[must_use]
pub fn is_read(operation: &str) -> bool {
    // A few that begin like a read and are none.
    const CHANGE: [&str; 1] = ["GetSessionToken"];
    let reads = ["Describe", "Get", "List"].iter().any(|word| operation.starts_with(word));
    (reads && !CHANGE.contains(&operation)) || operation == "SimulatePrincipalPolicy"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_are_shown_word_for_word() {
        let call = Call::new(Service::Elbv2, "ModifyRule", json!({ "RuleArn": "arn:r" }));
        assert_eq!(call.to_string(), r#"elbv2 ModifyRule {"RuleArn":"arn:r"}"#);
        assert_eq!(Service::Elbv2.prefix(), "elasticloadbalancing");
    }

    #[test]
    fn only_reads_are_reads() {
        for read in ["DescribeRules", "GetCallerIdentity", "ListTagsForResource", "SimulatePrincipalPolicy"] {
            assert!(is_read(read), "{read}");
        }
        for write in ["ModifyRule", "PutSecretValue", "ChangeResourceRecordSets", "RunTask", "TagResource"] {
            assert!(!is_read(write), "{write}");
        }
    }
}
