//! A person's word. The executor hears it; this only words it as a reading.

use serde::{Deserialize, Serialize};

use super::Reading;
use crate::runbook::model::ApprovalGate;

/// What a person said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// Whether it was yes.
    pub approved: bool,
    /// Who said so.
    pub by: String,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The reading of an answer, or of none yet.
#[must_use]
pub fn answered(gate: &ApprovalGate, answer: Option<&Answer>) -> Reading {
    let threshold = "approved";
    let Some(answer) = answer else {
        return Reading::known(false, "not answered yet", threshold).detail(gate.message.clone());
    };
    let word = if answer.approved { "approved" } else { "refused" };
    let reading = Reading::known(answer.approved, format!("{word} by {}", answer.by), threshold);
    match &answer.reason {
        Some(reason) => reading.detail(reason.clone()),
        None => reading,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn silence_is_not_consent() {
        let gate = ApprovalGate { message: "go?".into(), rules: crate::runbook::model::GateRules::default() };
        assert_eq!(answered(&gate, None).verdict, Verdict::Fail);
        let no = Answer { approved: false, by: "kim".into(), reason: Some("not today".into()) };
        assert_eq!(answered(&gate, Some(&no)).verdict, Verdict::Fail);
        assert_eq!(answered(&gate, Some(&Answer { approved: true, ..no })).verdict, Verdict::Pass);
    }
}
