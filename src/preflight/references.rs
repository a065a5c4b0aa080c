//! The preflight of secret references that AWS resolves: each is read once.

use super::finding::{Check, Finding};
use crate::plan::{Plan, references};
use crate::secret::{SecretError, remote};

/// Reads each reference; none of the findings has a value in it.
pub async fn findings(plan: &Plan) -> Vec<Finding> {
    references::open(plan);
    let mut findings = Vec::new();
    // Where a server of RDS is comes in one answer.
    let all = references::all(plan).into_iter();
    for reference in all.filter(|reference| !remote::is_rds(reference) || reference.ends_with("#host")) {
        let read = remote::fresh(&format!("${{{reference}}}")).await;
        findings.push(judge(&reference, read.map(drop)));
    }
    findings
}

fn judge(reference: &str, read: Result<(), SecretError>) -> Finding {
    let check = Check {
        id: if remote::is_rds(reference) { "rds-endpoint" } else { "secret-reference" },
        system: reference,
        why: "A reference that can't be read leaves a connection closed, perhaps in the middle of the run.",
    };
    match read {
        Ok(()) => check.pass("it can be read", "the value was not kept beyond this process.".to_owned()),
        Err(SecretError::Source { reason, hint, .. }) => {
            let mend = hint.unwrap_or_else(|| "look at it in AWS, then try again".to_owned());
            check.fail("it can't be read", format!("{reason}."), vec![format!("-- {mend}")])
        }
        Err(error) => {
            let mend = vec!["-- correct the reference, or the secret".to_owned()];
            check.fail("it is not what the reference says", format!("{error}."), mend)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn what_can_not_be_read_fails_and_says_what_to_do() {
        let denied = SecretError::Source {
            reference: "ssm:/a".into(),
            reason: "AccessDeniedException: no".into(),
            hint: Some("`pointsman iam-policy RUNBOOK` prints the policy".into()),
            code: Some("AccessDeniedException".into()),
        };
        let found = judge("ssm:/a", Err(denied));
        assert_eq!(found.level, Level::Fail);
        assert!(found.mend.join("").contains("iam-policy"), "{found:?}");
        assert_eq!(judge("ssm:/a", Err(SecretError::Unread("ssm:/a".into()))).level, Level::Fail);
        assert_eq!(judge("ssm:/a", Ok(())).level, Level::Pass);
    }
}
