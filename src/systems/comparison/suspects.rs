//! Finds the rows that differ among those of both sides, sorted alike: what is equal is forgotten at once.

use futures_util::{Stream, StreamExt};

use super::Key;
use crate::systems::Result;

/// A row as a scan reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct One {
    /// What the rows are sorted by: hexadecimal digits, in the same order on every server.
    pub order: String,
    /// Its key.
    pub key: Key,
    /// Its digest.
    pub digest: String,
}

/// Keys whose rows differed when they were read.
#[derive(Debug, Default)]
pub struct Suspects {
    /// The keys.
    pub keys: Vec<Key>,
    /// There are more than `keys` holds.
    pub more: bool,
}

/// Walks through both sides at once and keeps at most `most` keys.
pub async fn suspects<L, R>(mut left: L, mut right: R, most: usize) -> Result<Suspects>
where
    L: Stream<Item = Result<One>> + Unpin,
    R: Stream<Item = Result<One>> + Unpin,
{
    let mut found = Suspects::default();
    let (mut mine, mut theirs) = (left.next().await.transpose()?, right.next().await.transpose()?);
    loop {
        let order = match (&mine, &theirs) {
            (None, None) => return Ok(found),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(one), Some(other)) => one.order.cmp(&other.order),
        };
        let one = if order.is_le() { std::mem::replace(&mut mine, left.next().await.transpose()?) } else { None };
        let other = if order.is_ge() { std::mem::replace(&mut theirs, right.next().await.transpose()?) } else { None };
        if one == other {
            continue;
        }
        if found.keys.len() == most {
            found.more = true;
            return Ok(found);
        }
        found.keys.extend(one.or(other).map(|one| one.key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(all: &[(&str, &str)]) -> impl Stream<Item = Result<One>> + Unpin {
        let one = |&(key, digest): &(&str, &str)| {
            Ok(One { order: key.to_owned(), key: vec![key.to_owned()], digest: digest.to_owned() })
        };
        futures_util::stream::iter(all.iter().map(one).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn rows_of_one_side_and_changed_rows_are_suspects_up_to_a_number() {
        let left = [("1", "a"), ("2", "b"), ("4", "d"), ("5", "e")];
        let right = [("1", "a"), ("2", "x"), ("3", "c"), ("5", "e"), ("6", "f")];
        let all = suspects(rows(&left), rows(&right), 9).await.unwrap();
        assert_eq!(all.keys.concat(), ["2", "3", "4", "6"]);
        assert!(!all.more);
        let some = suspects(rows(&left), rows(&right), 2).await.unwrap();
        assert!(some.keys.len() == 2 && some.more);
        assert!(suspects(rows(&left), rows(&left), 1).await.unwrap().keys.is_empty());
    }
}
