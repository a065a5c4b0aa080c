//! What DMS finds when it compares the rows of source and target by itself. A table that it has not compared, or can't,
//! is not validated.

use serde_json::json;

use super::{GateContext, Reading, Verdict, unmeasured};
use crate::engine::dms::running;
use crate::runbook::model::DmsValidation;
use crate::systems::aws::dms::{self as driver, Operations, Table};
use crate::systems::aws::{Call, Service};
use crate::systems::pair::{Flow, Heading};

pub const THRESHOLD: &str = "every table validated";
/// Tables that a reading names.
const NAMED: usize = 5;

pub async fn measure(gate: &DmsValidation, context: &GateContext<'_>) -> Reading {
    let Some(flow) = context.flow.filter(|flow| flow.heading == Heading::Forth) else {
        return Reading::no_data("DMS carries nothing now", THRESHOLD);
    };
    let look = async {
        match running(flow, context).await? {
            Some((aws, task)) => Ok(Some(driver::tables(&aws, flow.pair.runner, &task.arn).await?)),
            None => Ok(None),
        }
    };
    match look.await {
        Ok(Some(tables)) => judged(gate, &tables),
        Ok(None) => Reading::no_data("DMS has no task for it", THRESHOLD),
        Err(error) => unmeasured(&error, THRESHOLD),
    }
}

pub fn describe(flow: Option<Flow<'_>>) -> Vec<String> {
    let operations = Operations::of(flow.map(|flow| flow.pair.runner).unwrap_or_default());
    vec![Call::new(Service::Dms, operations.statistics, json!({ operations.arn: "THE TASK" })).to_string()]
}

/// Differences fail at once; what is pending may still become validated, and fails with the number that is left.
fn judged(gate: &DmsValidation, tables: &[Table]) -> Reading {
    let asked = |table: &&Table| table.schema != "pointsman" && !gate.except.contains(&table.full());
    let tables: Vec<&Table> = tables.iter().filter(asked).collect();
    let other: Vec<&&Table> = tables.iter().filter(|table| table.validation != "Validated").collect();
    if tables.is_empty() {
        return Reading::no_data("DMS says nothing of any table", THRESHOLD);
    }
    let value = format!("{} of {} tables validated", tables.len() - other.len(), tables.len());
    if other.is_empty() {
        return Reading::known(true, value, THRESHOLD);
    }
    let words = |table: &&&Table| {
        let counts = [(table.failed, "differ"), (table.pending, "pending"), (table.suspended, "suspended")];
        let counts: Vec<String> =
            counts.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}")).collect();
        let state = if table.validation.is_empty() { "no state" } else { &table.validation };
        let more = if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) };
        format!("{}: {state}{more}", table.full())
    };
    let detail = other.iter().take(NAMED).map(words).collect::<Vec<_>>().join("; ");
    if other.iter().all(|table| table.validation == "Not enabled") {
        return Reading::no_data(format!("the task does not validate: {detail}"), THRESHOLD);
    }
    Reading::new(Verdict::Fail, value, THRESHOLD).detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, validation: &str) -> Table {
        Table { schema: "s".into(), name: name.into(), validation: validation.into(), ..Table::default() }
    }

    #[test]
    fn only_what_was_compared_is_validated() {
        let gate = DmsValidation { except: vec!["s.log".into()], ..DmsValidation::default() };
        let verdict = |tables: &[Table]| judged(&gate, tables).verdict;
        assert_eq!(verdict(&[table("a", "Validated"), table("log", "Mismatched records")]), Verdict::Pass);
        assert_eq!(verdict(&[table("a", "Validated"), table("b", "Pending records")]), Verdict::Fail);
        assert_eq!(verdict(&[table("a", "No primary key")]), Verdict::Fail);
        assert_eq!(verdict(&[table("a", "Not enabled")]), Verdict::NoData, "unknown is never a pass");
        assert_eq!(verdict(&[]), Verdict::NoData);
        let seen = judged(&gate, &[Table { failed: 2, ..table("a", "Mismatched records") }]);
        assert_eq!(seen.detail.as_deref(), Some("s.a: Mismatched records (2 differ)"));
    }
}
