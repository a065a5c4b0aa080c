//! A target that RDS made of the source, and that follows it logically: what is copied is no question then, nor is what RDS
//! itself has made for it.

use std::collections::BTreeSet;

use super::finding::{Check, count, names};
use super::{Finding, PreflightInput, TOPICS, accept, replica};
use crate::systems::postgres::survey::Table;

/// What is only asked of two servers of which one is copied to the other by us. That they are two RDS says by their ARNs: the
/// system identifier of a clone may be that of its origin.
const NO_QUESTION: &[&str] =
    &["copy-privilege", "disk-room", "large-objects", "pg-dump", "same-database", "sync-workers", "target-content"];
/// RDS's own slots and subscriptions; somebody else's are looked for as RDS's guardrails do.
const OF_RDS: &[&str] = &["other-slots", "other-subscriptions"];

/// What was found.
#[must_use]
pub fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings: Vec<Finding> = TOPICS.iter().flat_map(|topic| topic(input)).collect();
    let asked = |finding: &Finding| {
        // RDS has the green instance allow only reads, until it is switched over.
        let green = finding.id == "read-only-default" && finding.system == input.target.system;
        !green && ![NO_QUESTION, OF_RDS].concat().contains(&finding.id.as_str())
    };
    findings.retain(asked);
    findings.extend([content(input), replica::objects(input)]);
    findings.extend(input.poolers.iter().map(replica::patience));
    accept(findings, &input.accept)
}

/// A table of after the deployment was made.
fn content(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "target-content",
        system: &input.target.system,
        why: "RDS carries no change of the schema, and switches over no more when it has found one.",
    };
    let there: BTreeSet<String> = input.target.tables.iter().map(Table::full_name).collect();
    let missing: Vec<String> = input.tables().map(Table::full_name).filter(|name| !there.contains(name)).collect();
    if missing.is_empty() {
        return check.pass("the target has every table", "RDS made it of the source.");
    }
    let mend = vec!["-- delete the deployment with its green instance, and make another".to_owned()];
    let title = count(missing.len(), "table is missing on the target", "tables are missing on the target");
    check.fail(title, format!("{}.", names(missing)), mend)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{find, input, set};
    use super::*;

    #[test]
    fn what_rds_made_is_no_question_and_what_stops_its_stream_is() {
        let mut input = input();
        input.wanted.copy_schema = false;
        set(&mut input.target, "default_transaction_read_only", "on");
        input.target.tables = input.source.tables.clone();
        let failures = |input: &PreflightInput| {
            let found = judge(input).into_iter().filter(|finding| finding.level == Level::Fail);
            found.map(|finding| finding.id).collect::<Vec<_>>()
        };
        assert_eq!(failures(&input), Vec::<String>::new());
        input.source.objects.large_objects = 1;
        assert_eq!(find(&judge(&input), "large-objects", "source").level, Level::Warn, "the green one has it, too");
        set(&mut input.source, "default_transaction_read_only", "on");
        assert_eq!(failures(&input), ["read-only-default"], "of the source");
        input.target.tables.clear();
        assert_eq!(failures(&input).len(), 2, "and no table is there");
    }
}
