//! Words what settling found: how many rows differ, which, and in which columns. Values are not shown.

use super::settle::{Found, Rows, Settled};
use super::{RowDifferences, Side, TableStatus};
use crate::systems::Result;

const SAMPLE: usize = 20;

/// The finding about a table. `more` differences than could be settled are never a pass.
pub async fn status(rows: &dyn Rows, settled: Settled, more: bool) -> Result<TableStatus> {
    let undecided = settled.open.len() as u64 + u64::from(more);
    if settled.different.is_empty() && undecided == 0 {
        return Ok(TableStatus::Equal);
    }
    if settled.different.is_empty() {
        let mut sample: Vec<String> = settled.open.iter().take(SAMPLE).map(|key| rows.shown(key)).collect();
        if more {
            sample.push("and more rows than were looked at one by one".to_owned());
        }
        return Ok(TableStatus::Undecided { keys: undecided, sample });
    }
    let mut differences = RowDifferences { undecided, ..RowDifferences::default() };
    for found in &settled.different {
        count(&mut differences, rows, found);
    }
    for found in settled.different.iter().take(SAMPLE) {
        differences.sample.push(words(rows, found).await?);
    }
    Ok(TableStatus::Different(differences))
}

/// The digests of source and target.
fn sides<'f>(rows: &dyn Rows, found: &'f Found) -> (Option<&'f str>, Option<&'f str>) {
    let (one, other) = (found.writer.as_deref(), found.reader.as_deref());
    if rows.writer() == Side::Source { (one, other) } else { (other, one) }
}

fn count(differences: &mut RowDifferences, rows: &dyn Rows, found: &Found) {
    let (source, target) = sides(rows, found);
    if !rows.keyed() {
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let (source, target) = (number(source), number(target));
        differences.missing_on_target += source.saturating_sub(target);
        differences.extra_on_target += target.saturating_sub(source);
        return;
    }
    match (source, target) {
        (Some(_), None) => differences.missing_on_target += 1,
        (None, Some(_)) => differences.extra_on_target += 1,
        _ => differences.changed += 1,
    }
}

async fn words(rows: &dyn Rows, found: &Found) -> Result<String> {
    let shown = rows.shown(&found.key);
    let (source, target) = sides(rows, found);
    if !rows.keyed() {
        return Ok(format!(
            "{shown}: {} times on the source, {} on the target",
            source.unwrap_or("0"),
            target.unwrap_or("0")
        ));
    }
    match (source, target) {
        (Some(_), None) => Ok(format!("{shown}: missing on the target")),
        (None, Some(_)) => Ok(format!("{shown}: only on the target")),
        _ => {
            let columns = rows.differing_columns(&found.key).await?;
            Ok(format!("{shown}: differs in {}", columns.join(", ")))
        }
    }
}
