//! What a run must be allowed to do, and the smallest policy that allows it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::calls::Service;

/// One action on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// As a policy spells it: `elasticloadbalancing:ModifyRule`.
    pub action: String,
    /// Its ARN, or `*` where AWS knows no smaller one.
    pub resource: String,
}

impl Permission {
    /// An operation on one resource.
    #[must_use]
    pub fn on(service: Service, operation: &str, resource: impl Into<String>) -> Self {
        Self { action: format!("{}:{operation}", service.prefix()), resource: resource.into() }
    }

    /// An operation that AWS does not let a policy bind to a resource (most of Describe and List).
    #[must_use]
    pub fn anywhere(service: Service, operation: &str) -> Self {
        Self::on(service, operation, "*")
    }
}

/// The policy document: statements by resources, actions sorted, nothing twice.
#[must_use]
pub fn policy(permissions: &[Permission]) -> Value {
    let mut resources: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for permission in permissions {
        resources.entry(&permission.action).or_default().insert(&permission.resource);
    }
    // Actions with the same resources stand in one statement.
    let mut statements: BTreeMap<BTreeSet<&str>, Vec<&str>> = BTreeMap::new();
    for (action, resources) in resources {
        let all = resources.contains("*");
        statements.entry(if all { BTreeSet::from(["*"]) } else { resources }).or_default().push(action);
    }
    let statement = |(resources, actions): (BTreeSet<&str>, Vec<&str>)| json!({ "Effect": "Allow", "Action": actions, "Resource": resources });
    json!({ "Version": "2012-10-17", "Statement": statements.into_iter().map(statement).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_small_and_sorted() {
        let permissions = [
            Permission::on(Service::Elbv2, "ModifyRule", "arn:r2"),
            Permission::on(Service::Elbv2, "ModifyRule", "arn:r1"),
            Permission::anywhere(Service::Elbv2, "DescribeRules"),
            Permission::on(Service::Elbv2, "ModifyRule", "arn:r1"),
            Permission::anywhere(Service::Elbv2, "DescribeListeners"),
        ];
        let expected = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": ["elasticloadbalancing:DescribeListeners", "elasticloadbalancing:DescribeRules"],
              "Resource": ["*"] },
            { "Effect": "Allow", "Action": ["elasticloadbalancing:ModifyRule"], "Resource": ["arn:r1", "arn:r2"] },
        ] });
        assert_eq!(policy(&permissions), expected);
    }
}
