//! Compares sequences: the side that follows must give nothing that the written side has given.

use std::collections::{BTreeMap, BTreeSet};

use super::{CompareOptions, Pair, SequenceResult, Side};
use crate::systems::Result;
use crate::systems::postgres::Session;

struct Seen {
    next: Option<i64>,
    increment: i64,
}

/// `last_value` is null as long as a sequence gave nothing.
const SQL: &str = "
    SELECT schemaname::text, sequencename::text, increment_by,
      CASE WHEN last_value IS NULL THEN start_value
           WHEN cycle AND last_value >= max_value AND increment_by > 0 THEN min_value
           WHEN last_value > 9223372036854775807 - greatest(increment_by, 0)
             OR last_value < -9223372036854775808 - least(increment_by, 0) THEN last_value
           ELSE last_value + increment_by END
    FROM pg_sequences WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'pointsman')
      AND schemaname !~ '^pg_' AND (schemaname::text = ANY($1) OR cardinality($1) = 0)";

pub(super) async fn compare(pair: &Pair, options: &CompareOptions) -> Result<Vec<SequenceResult>> {
    // The written side first: what it gives meanwhile is not yet due on the other.
    let writer = seen(pair.side(options.writer), options).await?;
    let reader = seen(pair.side(options.writer.other()), options).await?;
    let names: BTreeSet<&(String, String)> = writer.keys().chain(reader.keys()).collect();
    let result =
        |name: &(String, String)| {
            let (one, other) = (writer.get(name), reader.get(name));
            let carried =
                match (one, other) {
                    (None, _) => true,
                    (Some(Seen { next: Some(one), increment }), Some(Seen { next: Some(other), .. })) => {
                        if *increment > 0 { other >= one } else { other <= one }
                    }
                    _ => false,
                };
            let (one, other) = (one.and_then(|seen| seen.next), other.and_then(|seen| seen.next));
            let (next_source, next_target) = if options.writer == Side::Source { (one, other) } else { (other, one) };
            SequenceResult { schema: name.0.clone(), sequence: name.1.clone(), next_source, next_target, carried }
        };
    Ok(names.into_iter().map(result).collect())
}

async fn seen(session: &Session, options: &CompareOptions) -> Result<BTreeMap<(String, String), Seen>> {
    let rows = session.rows("read its sequences", SQL, &[&options.schemas]).await?;
    Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), Seen { increment: row.get(2), next: row.get(3) })).collect())
}
