//! `verify`: compare source and target of a runbook now; read-only, whether or not a run is under way.

use std::io::Write;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde_json::json;

use super::load;
use crate::cli::{Output, RunbookArgs};
use crate::error::{CliError, Exit};
use crate::plan::{self, Plan};
use crate::steps::status_words;
use crate::systems;
use crate::systems::postgres::Access;
use crate::systems::postgres::compare::{
    self, Barrier, CompareOptions, Comparison, NothingWrites, PositionBarrier, Side,
};
use crate::systems::postgres::pair::Heading;
use crate::systems::world::World;

pub async fn run(args: &RunbookArgs, output: Output) -> Result<Exit, CliError> {
    let loaded = load(args)?;
    let plan = plan::compile(&loaded, &args.runbook.display().to_string()).await?;
    let Some(comparison) = compare_sides(&plan).await? else {
        return Err(CliError::new(
            Exit::Usage,
            "the runbook has no `replicate` step: there are no two sides to compare",
        ));
    };
    let mut out = std::io::stdout();
    match output {
        Output::Plain => write!(out, "{}", text(&comparison))?,
        Output::Json => writeln!(out, "{}", json!({ "type": "verify", "comparison": comparison }))?,
    }
    Ok(if comparison.equal() { Exit::Done } else { Exit::Differs })
}

async fn compare_sides(plan: &Plan) -> systems::Result<Option<Comparison>> {
    let Some(pair) = &plan.pair else { return Ok(None) };
    let world = World::new(plan.systems.clone());
    let (source, target) = (world.database(&pair.source)?, world.database(&pair.target)?);
    let (heading, barrier) = flowing(plan, &world).await?;
    let writer = if heading == Heading::Forth { Side::Source } else { Side::Target };
    let options = CompareOptions { schemas: plan.choices.schemas.clone(), ..CompareOptions::new(writer) };
    compare::compare(&source, &target, &options, barrier.as_ref(), &|_| ()).await.map(Some)
}

/// Which stream carries rows now, told by its publication's points.
async fn flowing(plan: &Plan, world: &World) -> systems::Result<(Heading, Box<dyn Barrier>)> {
    let Some(pair) = &plan.pair else { return Ok((Heading::Forth, Box::new(NothingWrites))) };
    for heading in [Heading::Forth, Heading::Back] {
        let writer = world.database(pair.leaving(heading))?.connect(Access::ReadOnly).await?;
        let sql = "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1 AND pubinsert)";
        if writer.value("read its points", sql, &[&heading.stream()]).await? {
            let (slot, timeout) = (heading.stream().to_owned(), Duration::from_secs(60));
            return Ok((heading, Box::new(PositionBarrier { writer, slot, timeout })));
        }
    }
    Ok((Heading::Forth, Box::new(NothingWrites)))
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
