//! A program's exit status: 0 passes, 75 (`EX_TEMPFAIL`) is no data, anything else fails.

use std::collections::BTreeMap;

use super::{Reading, unmeasured};
use crate::runbook::model::{CommandGate, Program};
use crate::systems::program;

const NO_DATA: i32 = 75;

pub async fn measure(gate: &CommandGate) -> Reading {
    let threshold = "exit status 0";
    let run = Program { run: gate.run.clone(), env: BTreeMap::new(), timeout: gate.limit };
    let outcome = match program::run("command", "ask it", &run, &[]).await {
        Ok(outcome) => outcome,
        Err(error) => return unmeasured(&error, threshold),
    };
    let words = outcome.last_words();
    let reading = match outcome.code {
        Some(NO_DATA) => return Reading::no_data(format!("exit status {NO_DATA}: {words}"), threshold),
        Some(code) => Reading::known(code == 0, format!("exit status {code}"), threshold).number(f64::from(code)),
        None => return Reading::error(format!("a signal ended it: {words}"), threshold),
    };
    if words.is_empty() { reading } else { reading.detail(words) }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::runbook::model::GateRules;
    use crate::runbook::units::Span;

    async fn verdict(script: &str, limit: Span) -> Verdict {
        let run = ["sh", "-c", script].map(str::to_owned).to_vec();
        measure(&CommandGate { run, limit, rules: GateRules::default() }).await.verdict
    }

    #[tokio::test]
    async fn the_status_is_the_verdict() {
        let limit = Span::secs(10);
        assert_eq!(verdict("exit 0", limit).await, Verdict::Pass);
        assert_eq!(verdict("exit 1", limit).await, Verdict::Fail);
        assert_eq!(verdict("exit 75", limit).await, Verdict::NoData);
        assert_eq!(verdict("kill -9 $$", limit).await, Verdict::Error);
        assert_eq!(verdict("sleep 600", Span::millis(100)).await, Verdict::Error);
        let absent = CommandGate { run: vec!["/no/such".into()], limit, rules: GateRules::default() };
        assert_eq!(measure(&absent).await.verdict, Verdict::Error);
    }
}
