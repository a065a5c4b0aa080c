//! Settles keys whose rows differed when they were read, while both sides go on changing.
//!
//! A round for a key: b₀ read on the reader, a₁ on the writer, the barrier, b₁ on the reader, a₂ on the writer.
//! The barrier was passed after a₁, so the reader shows a state of the writer between a₁ and a₂:
//! - b₁ is what the writer had at some moment from a₁ to a₂: equal.
//! - the writer's row is the same version (not only the same value) at a₁ and a₂, no transaction has laid hand on it, and b₁
//!   is something else: different.
//! - the writer had no row at a₁ and at a₂, and the reader's row of b₁ is the version of b₀: it looks different. A row
//!   that the writer made and took away in between would be a new version.
//! - what only looks different is different when several rounds in a row say the same: a change is sent and applied as soon as
//!   its commit is in the log, which is before the server that made it shows it. So the reader may be ahead for a moment.
//! - anything else is open, and tried again, with the writer read all the time while the barrier passes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::{Barrier, Key, Side};
use crate::systems::Result;

/// At most this many keys are read all the time; the others get their chance by trying again.
const SAMPLED: usize = 200;
/// Where no version proves it (rows without a key or that a transaction has laid hand on, and every row of MySQL): so many
/// rounds must say the same.
const ROUNDS_WITHOUT_VERSION: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Where a row is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// On the side that applications write.
    Writer,
    /// There too, at the same time, through a second session.
    Sampler,
    /// On the side that follows.
    Reader,
}

/// The rows of one table, read one by one.
#[async_trait]
pub trait Rows: Send + Sync {
    /// Whether rows are known by a key; if not, equal rows are counted, and the count is their digest.
    fn keyed(&self) -> bool;
    /// The side that applications write.
    fn writer(&self) -> Side;
    /// A key in words.
    fn shown(&self, key: &Key) -> String;
    /// The rows of these keys that are there now.
    async fn read(&self, seat: Seat, keys: &[Key]) -> Result<View>;
    /// Names of the columns in which both sides differ now.
    async fn differing_columns(&self, key: &Key) -> Result<Vec<String>>;
}

/// How it ended.
#[derive(Debug, Default)]
pub struct Settled {
    /// Rows that are proved to differ.
    pub different: Vec<Found>,
    /// Rows that could not be settled.
    pub open: Vec<Key>,
}

/// A key that is proved to differ, and its digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose row.
    pub key: Key,
    /// What the written side has.
    pub writer: Option<String>,
    /// What the other side has.
    pub reader: Option<String>,
}

/// A row as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Digest of its columns; of rows without a key, how many are alike.
    pub digest: String,
    /// Its version, which tells an untouched row from one that was changed and changed back; none where the server shows
    /// none, or where a transaction has begun to change the row.
    pub version: Option<String>,
}

/// Rows by their keys.
pub type View = HashMap<Key, Seen>;

/// Digests by key; `None` is a row that was not there.
type Values = HashMap<Key, HashSet<Option<String>>>;

/// Everything that one round saw of one key.
struct Round<'r> {
    b0: Option<&'r Seen>,
    a1: Option<&'r Seen>,
    b1: Option<&'r Seen>,
    a2: Option<&'r Seen>,
    /// Digests that the writer had in between; `None` is a row that was not there.
    between: Option<&'r HashSet<Option<String>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Equal,
    Different,
    /// Looks different, but there are no versions to prove it.
    LooksDifferent,
    Open,
}

impl Round<'_> {
    fn verdict(&self) -> Verdict {
        let digest = |seen: Option<&Seen>| seen.map(|seen| seen.digest.clone());
        let (a1, b1, a2) = (digest(self.a1), digest(self.b1), digest(self.a2));
        if b1 == a1 || b1 == a2 || self.between.is_some_and(|values| values.contains(&b1)) {
            return Verdict::Equal;
        }
        match (self.a1, self.a2, self.b0, self.b1) {
            (Some(one), Some(two), _, _) => match (&one.version, &two.version) {
                (Some(first), Some(second)) if first == second => Verdict::Different,
                (Some(_), Some(_)) => Verdict::Open,
                _ if a1 == a2 => Verdict::LooksDifferent,
                _ => Verdict::Open,
            },
            (None, None, Some(before), Some(after)) if before == after => Verdict::LooksDifferent,
            _ => Verdict::Open,
        }
    }
}

/// Settles keys, in as many rounds as it takes and is allowed.
pub async fn settle(rows: &dyn Rows, barrier: &dyn Barrier, rounds: u32, keys: Vec<Key>) -> Result<Settled> {
    let settling = Settling { rows, barrier };
    let mut settled = Settled { different: Vec::new(), open: keys };
    let mut looks: HashMap<Key, (Found, u32)> = HashMap::new();
    let mut wait = FIRST_WAIT;
    for round in 0..rounds {
        if settled.open.is_empty() {
            break;
        }
        if round > 0 {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        let keys = std::mem::take(&mut settled.open);
        for (key, verdict, found) in settling.round(keys, round > 0).await? {
            match verdict {
                Verdict::Equal => {}
                Verdict::Different => settled.different.push(found),
                Verdict::LooksDifferent if proved(&mut looks, &key, &found) => settled.different.push(found),
                Verdict::LooksDifferent | Verdict::Open => settled.open.push(key),
            }
        }
    }
    Ok(settled)
}

/// Whether enough rounds in a row said the same.
fn proved(looks: &mut HashMap<Key, (Found, u32)>, key: &Key, found: &Found) -> bool {
    let entry = looks.entry(key.clone()).or_insert_with(|| (found.clone(), 0));
    if entry.0 == *found {
        entry.1 += 1;
    } else {
        *entry = (found.clone(), 1);
    }
    entry.1 >= ROUNDS_WITHOUT_VERSION
}

struct Settling<'a> {
    rows: &'a dyn Rows,
    barrier: &'a dyn Barrier,
}

impl Settling<'_> {
    async fn round(&self, keys: Vec<Key>, sampling: bool) -> Result<Vec<(Key, Verdict, Found)>> {
        let b0 = self.rows.read(Seat::Reader, &keys).await?;
        let a1 = self.rows.read(Seat::Writer, &keys).await?;
        let sampled = if sampling { &keys[..keys.len().min(SAMPLED)] } else { &[] };
        let passed = AtomicBool::new(false);
        let passing = async {
            let views = self.behind_barrier(&keys).await;
            passed.store(true, Ordering::SeqCst);
            views
        };
        // A read is never given up in the middle: its session would be lost with it.
        let (views, between) = futures_util::future::join(passing, self.sample(sampled, &passed)).await;
        let ((b1, a2), between) = (views?, between?);
        let judge = |key: Key| {
            let round = Round {
                b0: b0.get(&key),
                a1: a1.get(&key),
                b1: b1.get(&key),
                a2: a2.get(&key),
                between: between.get(&key),
            };
            let digest = |seen: Option<&Seen>| seen.map(|seen| seen.digest.clone());
            let found = Found { key: key.clone(), writer: digest(round.a2), reader: digest(round.b1) };
            (key.clone(), round.verdict(), found)
        };
        Ok(keys.into_iter().map(judge).collect())
    }

    /// What the reader has behind the barrier, and the writer right after that.
    async fn behind_barrier(&self, keys: &[Key]) -> Result<(View, View)> {
        self.barrier.pass().await?;
        Ok((self.rows.read(Seat::Reader, keys).await?, self.rows.read(Seat::Writer, keys).await?))
    }

    /// Reads the writer as fast as it answers, until the round is over. What was seen later says nothing about it.
    async fn sample(&self, keys: &[Key], passed: &AtomicBool) -> Result<Values> {
        let mut between = Values::new();
        while !keys.is_empty() && !passed.load(Ordering::SeqCst) {
            let view = self.rows.read(Seat::Sampler, keys).await?;
            if passed.load(Ordering::SeqCst) {
                break;
            }
            for key in keys {
                let value = view.get(key).map(|seen| seen.digest.clone());
                between.entry(key.clone()).or_default().insert(value);
            }
        }
        Ok(between)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row: its digest and its version.
    type Row = Option<(&'static str, &'static str)>;

    #[expect(clippy::unnecessary_wraps, reason = "it stands beside `None`")]
    const fn row(digest: &'static str, version: &'static str) -> Row {
        Some((digest, version))
    }

    fn verdict(b0: Row, a1: Row, b1: Row, a2: Row, between: &[&str]) -> Verdict {
        let seen = |(digest, version): (&str, &str)| Seen { digest: digest.into(), version: Some(version.into()) };
        let [b0, a1, b1, a2] = [b0, a1, b1, a2].map(|row| row.map(seen));
        let between: HashSet<Option<String>> = between.iter().map(|&value| Some(value.to_owned())).collect();
        let round =
            Round { b0: b0.as_ref(), a1: a1.as_ref(), b1: b1.as_ref(), a2: a2.as_ref(), between: Some(&between) };
        round.verdict()
    }

    #[test]
    fn what_the_writer_had_in_between_is_equal() {
        assert_eq!(verdict(None, row("x", "1"), row("x", "9"), row("y", "2"), &[]), Verdict::Equal);
        assert_eq!(verdict(None, row("x", "1"), row("y", "9"), row("y", "2"), &[]), Verdict::Equal);
        assert_eq!(verdict(None, row("x", "1"), row("y", "9"), row("z", "3"), &["y"]), Verdict::Equal);
        assert_eq!(verdict(None, row("x", "1"), row("y", "9"), row("z", "3"), &[]), Verdict::Open);
    }

    #[test]
    fn only_an_untouched_row_proves_a_difference() {
        assert_eq!(verdict(None, row("x", "1"), row("y", "9"), row("x", "1"), &[]), Verdict::Different);
        assert_eq!(verdict(None, row("x", "1"), None, row("x", "1"), &[]), Verdict::Different);
        // Changed and changed back: the value is the same, the version is not.
        assert_eq!(verdict(None, row("x", "1"), row("y", "9"), row("x", "3"), &[]), Verdict::Open);
    }

    #[test]
    fn a_row_that_comes_and_goes_is_not_an_extra_one() {
        assert_eq!(verdict(row("x", "1"), None, row("x", "1"), None, &[]), Verdict::LooksDifferent);
        assert_eq!(verdict(row("x", "1"), None, row("x", "2"), None, &[]), Verdict::Open);
        assert_eq!(verdict(None, None, row("x", "2"), None, &[]), Verdict::Open);
        assert_eq!(verdict(row("x", "1"), None, None, None, &[]), Verdict::Equal);
    }

    #[test]
    fn a_row_that_a_transaction_has_begun_to_change_may_be_newer_on_the_reader() {
        let begun = Seen { digest: "x".into(), version: None };
        let (newer, other) = (Seen { digest: "y".into(), version: None }, Seen { digest: "z".into(), version: None });
        let judge =
            |a2: &Seen| Round { b0: None, a1: Some(&begun), b1: Some(&newer), a2: Some(a2), between: None }.verdict();
        assert_eq!(judge(&begun), Verdict::LooksDifferent);
        assert_eq!(judge(&other), Verdict::Open);
    }

    #[test]
    fn counts_without_versions_must_say_the_same_three_times() {
        let count = |text: &str| Seen { digest: text.into(), version: None };
        let judge = |b1: &str, a2: &str| {
            let (two, b1, a2) = (count("2"), count(b1), count(a2));
            Round { b0: Some(&two), a1: Some(&two), b1: Some(&b1), a2: Some(&a2), between: None }.verdict()
        };
        assert_eq!(judge("1", "2"), Verdict::LooksDifferent);
        assert_eq!(judge("1", "3"), Verdict::Open);
        let found = Found { key: vec!["k".into()], writer: Some("2".into()), reader: Some("1".into()) };
        let other = Found { reader: Some("3".into()), ..found.clone() };
        let mut looks = HashMap::new();
        let said: Vec<bool> = [&found, &found, &other, &other, &other]
            .iter()
            .map(|found| proved(&mut looks, &found.key, found))
            .collect();
        assert_eq!(said, [false, false, false, false, true]);
    }
}
