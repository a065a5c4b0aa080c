//! Compares MariaDB's sequences: the side that follows must give nothing that the written side has given.

use std::collections::{BTreeMap, BTreeSet};

use super::Pair;
use crate::systems::Result;
use crate::systems::comparison::{CompareOptions, SequenceResult, Side};
use crate::systems::mysql::{Flavour, Session, catalog, ident};

struct Seen {
    /// What comes behind everything that was given, cached or not.
    next: Option<i64>,
    increment: i64,
}

pub(super) async fn compare(pair: &Pair, options: &CompareOptions) -> Result<Vec<SequenceResult>> {
    // The written side first: what it gives meanwhile is not yet due on the other.
    let writer = seen(pair.side(options.writer), options).await?;
    let reader = seen(pair.side(options.writer.other()), options).await?;
    let names: BTreeSet<&(String, String)> = writer.keys().chain(reader.keys()).collect();
    Ok(names.into_iter().map(|name| result(name, writer.get(name), reader.get(name), options.writer)).collect())
}

fn result(name: &(String, String), one: Option<&Seen>, other: Option<&Seen>, writer: Side) -> SequenceResult {
    let carried = match (one, other) {
        (None, _) => true,
        (Some(Seen { next: Some(one), increment }), Some(Seen { next: Some(other), .. })) => {
            if *increment < 0 {
                other <= one
            } else {
                other >= one
            }
        }
        _ => false,
    };
    let (one, other) = (one.and_then(|seen| seen.next), other.and_then(|seen| seen.next));
    let (next_source, next_target) = if writer == Side::Source { (one, other) } else { (other, one) };
    SequenceResult { schema: name.0.clone(), sequence: name.1.clone(), next_source, next_target, carried }
}

async fn seen(session: &Session, options: &CompareOptions) -> Result<BTreeMap<(String, String), Seen>> {
    if session.flavour() == Flavour::Mysql {
        return Ok(BTreeMap::new());
    }
    let schemas = match options.schemas.as_slice() {
        [] => catalog::application_schemas(session).await?,
        named => named.to_vec(),
    };
    let names = catalog::sequences(session, &schemas).await?;
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let each = |(schema, name): &(String, String)| {
        format!("SELECT next_not_cached_value, increment FROM {}.{}", ident(schema), ident(name))
    };
    let sql = names.iter().map(each).collect::<Vec<String>>().join("\nUNION ALL ");
    let rows = session.rows("read its sequences", &sql).await?;
    let number =
        |row: &[Option<String>], column: usize| row.get(column).cloned().flatten().and_then(|text| text.parse().ok());
    let seen = |row: &Vec<Option<String>>| Seen { next: number(row, 0), increment: number(row, 1).unwrap_or(1) };
    Ok(names.into_iter().zip(rows.iter().map(seen)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_that_follows_must_be_as_far() {
        let seen = |next, increment| Some(Seen { next: Some(next), increment });
        let name = ("shop".to_owned(), "bill".to_owned());
        let carried = |one: &Option<Seen>, other: &Option<Seen>| {
            result(&name, one.as_ref(), other.as_ref(), Side::Source).carried
        };
        assert!(
            carried(&seen(10, 1), &seen(1_010, 1))
                && carried(&seen(-10, -1), &seen(-10, -1))
                && carried(&None, &seen(1, 1))
        );
        assert!(
            !carried(&seen(10, 1), &seen(9, 1))
                && !carried(&seen(-10, -1), &seen(-9, -1))
                && !carried(&seen(1, 1), &None)
        );
        let back = result(&name, seen(7, 1).as_ref(), seen(8, 1).as_ref(), Side::Target);
        assert_eq!((back.next_source, back.next_target), (Some(8), Some(7)));
    }
}
