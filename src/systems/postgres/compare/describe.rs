//! Words what settling found: how many rows differ, which, and in which columns. Values are not shown.

use super::settle::{Found, Settled};
use super::text::Sql;
use super::{Pair, RowDifferences, Side, TableStatus};
use crate::systems::Result;

const SAMPLE: usize = 20;

/// The finding about a table. `more` differences than could be settled are never a pass.
pub(super) async fn status(
    pair: &Pair,
    sql: &Sql<'_>,
    writer: Side,
    settled: Settled,
    more: bool,
) -> Result<TableStatus> {
    let undecided = settled.open.len() as u64 + u64::from(more);
    if settled.different.is_empty() && undecided == 0 {
        return Ok(TableStatus::Equal);
    }
    if settled.different.is_empty() {
        let mut sample: Vec<String> = settled.open.iter().take(SAMPLE).map(|key| sql.shown(key)).collect();
        if more {
            sample.push("and more rows than were looked at one by one".to_owned());
        }
        return Ok(TableStatus::Undecided { keys: undecided, sample });
    }
    let mut differences = RowDifferences { undecided, ..RowDifferences::default() };
    for found in &settled.different {
        count(&mut differences, sql, writer, found);
    }
    for found in settled.different.iter().take(SAMPLE) {
        differences.sample.push(words(pair, sql, writer, found).await?);
    }
    Ok(TableStatus::Different(differences))
}

/// The digests of source and target.
fn sides(writer: Side, found: &Found) -> (Option<&str>, Option<&str>) {
    let (one, other) = (found.writer.as_deref(), found.reader.as_deref());
    if writer == Side::Source { (one, other) } else { (other, one) }
}

fn count(differences: &mut RowDifferences, sql: &Sql<'_>, writer: Side, found: &Found) {
    let (source, target) = sides(writer, found);
    if !sql.keyed() {
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

async fn words(pair: &Pair, sql: &Sql<'_>, writer: Side, found: &Found) -> Result<String> {
    let shown = sql.shown(&found.key);
    let (source, target) = sides(writer, found);
    if !sql.keyed() {
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
            let columns = columns(pair, sql, found).await?;
            Ok(format!("{shown}: differs in {}", columns.join(", ")))
        }
    }
}

/// Names of the columns that differ now.
async fn columns(pair: &Pair, sql: &Sql<'_>, found: &Found) -> Result<Vec<String>> {
    let mut hashes = Vec::new();
    for side in [Side::Source, Side::Target] {
        let what = format!("read a row of {}", sql.table.shown);
        let rows = pair.side(side).rows(&what, &sql.columns_of(side, &found.key), &[]).await?;
        hashes.push(rows.first().map(|row| row.get::<_, Vec<String>>(0)).unwrap_or_default());
    }
    let [source, target] = hashes.as_slice() else { return Ok(Vec::new()) };
    let pairs = source.iter().zip(target);
    let differing = sql.table.columns.iter().zip(pairs).filter(|(_, (one, other))| one != other);
    Ok(differing.map(|(column, _)| column.clone()).collect())
}
