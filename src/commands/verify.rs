//! `verify`: compare source and target of a runbook now; read-only, whether or not a run is under way.

use std::io::Write;

use comfy_table::{Table, presets};
use serde_json::json;

use super::load;
use crate::cli::{Output, RunbookArgs};
use crate::engine;
use crate::error::{CliError, Exit};
use crate::plan;
use crate::steps::status_words;
use crate::systems::comparison::Comparison;

pub async fn run(args: &RunbookArgs, output: Output) -> Result<Exit, CliError> {
    let loaded = load(args)?;
    let plan = plan::compile(&loaded, &args.runbook.display().to_string()).await?;
    if plan.pair.is_none() {
        return Err(CliError::new(
            Exit::Usage,
            "the runbook has no `replicate` step: there are no two sides to compare",
        ));
    }
    let comparison = engine::of_plan(&plan).compare_now(&plan).await?;
    let mut out = std::io::stdout();
    match output {
        Output::Json => writeln!(out, "{}", json!({ "type": "verify", "comparison": comparison }))?,
        _ => write!(out, "{}", text(&comparison))?,
    }
    Ok(if comparison.equal() { Exit::Done } else { Exit::Differs })
}

fn text(comparison: &Comparison) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["table", "rows source", "rows target", "settled", ""]);
    for row in &comparison.tables {
        let name = format!("{}.{}", row.schema, row.table);
        let counts = [row.rows_source, row.rows_target, row.settled].map(|count| count.to_string());
        let [source, target, settled] = counts;
        table.add_row([name, source, target, settled, status_words(&row.status)]);
    }
    let verdict = if comparison.equal() { "equal" } else { "NOT EQUAL" };
    format!("{table}\n{verdict}, {:.1} s\n", comparison.seconds)
}
