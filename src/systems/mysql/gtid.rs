//! Global transaction ids of both kinds. MySQL's sets name every transaction that was executed; MariaDB's positions
//! name the last one of each domain.

use std::collections::BTreeMap;
use std::fmt;

/// MySQL's: intervals of numbers by the server (and tag) that gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GtidSet(BTreeMap<String, Vec<(u64, u64)>>);

impl GtidSet {
    /// Reads a set as the server writes it: `uuid:1-5:7, uuid:tag:3`.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut set = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut fields = part.split(':').map(str::trim);
            let server = fields.next().unwrap_or_default().to_ascii_lowercase();
            let mut key = server.clone();
            for field in fields {
                if field.starts_with(|c: char| c.is_ascii_digit()) {
                    let interval =
                        interval(field).ok_or_else(|| format!("`{field}` is not an interval of a GTID set"))?;
                    set.entry(key.clone()).or_insert_with(Vec::new).push(interval);
                } else {
                    key = format!("{server}:{}", field.to_ascii_lowercase());
                }
            }
        }
        let mut set = Self(set);
        set.tidy();
        Ok(set)
    }

    fn tidy(&mut self) {
        for intervals in self.0.values_mut() {
            intervals.sort_unstable();
            let mut merged: Vec<(u64, u64)> = Vec::with_capacity(intervals.len());
            for &(from, to) in intervals.iter() {
                match merged.last_mut() {
                    Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
                    _ => merged.push((from, to)),
                }
            }
            *intervals = merged;
        }
        self.0.retain(|_, intervals| !intervals.is_empty());
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = BTreeMap::new();
        for (server, intervals) in &self.0 {
            let taken = other.0.get(server).map_or(&[][..], Vec::as_slice);
            let rest: Vec<(u64, u64)> = intervals.iter().flat_map(|whole| cut(*whole, taken)).collect();
            if !rest.is_empty() {
                left.insert(server.clone(), rest);
            }
        }
        Self(left)
    }

    /// Only what one server has numbered, whatever its tags.
    #[must_use]
    pub fn of_server(&self, uuid: &str) -> Self {
        let of = |server: &&String| server.split(':').next().is_some_and(|own| own.eq_ignore_ascii_case(uuid));
        Self(
            self.0.iter().filter(|(server, _)| of(server)).map(|(server, all)| (server.clone(), all.clone())).collect(),
        )
    }

    /// Number of transactions in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().flatten().map(|(from, to)| to - from + 1).sum()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every transaction, one by one, as `GTID_NEXT` takes it.
    pub fn each(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().flat_map(|(server, intervals)| {
            intervals.iter().flat_map(move |&(from, to)| (from..=to).map(move |number| format!("{server}:{number}")))
        })
    }

    /// Its intervals, by the server (and tag) that gave the numbers.
    pub fn intervals(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.0.iter().flat_map(|(server, all)| all.iter().map(move |&(from, to)| (server.as_str(), from, to)))
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |(server, intervals): (&String, &Vec<(u64, u64)>)| {
            intervals.iter().fold(server.clone(), |text, &(from, to)| {
                if from == to { format!("{text}:{from}") } else { format!("{text}:{from}-{to}") }
            })
        };
        f.write_str(&self.0.iter().map(part).collect::<Vec<String>>().join(","))
    }
}

fn interval(text: &str) -> Option<(u64, u64)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (from >= 1 && from <= to).then_some((from, to))
}

/// What is left of an interval when others (in order, apart from each other) are taken out of it.
fn cut(whole: (u64, u64), taken: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let (mut from, to) = whole;
    let mut left = Vec::new();
    for &(first, last) in taken.iter().filter(|(first, last)| *last >= whole.0 && *first <= to) {
        if first > from {
            left.push((from, first - 1));
        }
        from = from.max(last + 1);
    }
    if from <= to {
        left.push((from, to));
    }
    left
}

/// MariaDB's: the last transaction of each domain, `domain-server-number`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GtidPosition(BTreeMap<u32, (u32, u64)>);

impl GtidPosition {
    /// Reads a position as the server writes it: `0-1-270,5-2-9`.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut domains = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut numbers = part.splitn(3, '-');
            let mut next = || numbers.next().and_then(|number| number.parse::<u64>().ok());
            let (domain, server, number) = (next(), next(), next());
            let small = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok());
            match (small(domain), small(server), number) {
                (Some(domain), Some(server), Some(number)) => domains.insert(domain, (server, number)),
                _ => return Err(format!("`{part}` is not a GTID of MariaDB")),
            };
        }
        Ok(Self(domains))
    }

    /// Transactions of this position that another one has not reached, counted by their numbers.
    #[must_use]
    pub fn ahead_of(&self, other: &Self) -> u64 {
        let behind =
            |domain: &u32, number: u64| number.saturating_sub(other.0.get(domain).map_or(0, |(_, number)| *number));
        self.0.iter().map(|(domain, (_, number))| behind(domain, *number)).sum()
    }

    /// Only the part of one domain.
    #[must_use]
    pub fn of_domain(&self, domain: u32) -> Self {
        Self(self.0.iter().filter(|(found, _)| **found == domain).map(|(found, last)| (*found, *last)).collect())
    }

    /// This position, with what another one says of the domains that it has.
    #[must_use]
    pub fn overlaid(&self, other: &Self) -> Self {
        let mut all = self.0.clone();
        all.extend(other.0.iter().map(|(domain, last)| (*domain, *last)));
        Self(all)
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for GtidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.iter().map(|(domain, (server, number))| format!("{domain}-{server}-{number}"));
        f.write_str(&parts.collect::<Vec<String>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn set(text: &str) -> GtidSet {
        GtidSet::read(text).unwrap()
    }

    #[test]
    fn reads_and_writes_sets() {
        let found = set(&format!("{}:1-5:7:8,\n{B}:3", A.to_uppercase()));
        assert_eq!(found.to_string(), format!("{A}:1-5:7-8,{B}:3"));
        assert_eq!(found.count(), 8);
        assert!(set(" ").is_empty());
        let tagged = set(&format!("{A}:1-2:blue:1-3"));
        assert_eq!(tagged.to_string(), format!("{A}:1-2,{A}:blue:1-3"));
        assert_eq!(tagged.each().last(), Some(format!("{A}:blue:3")));
        assert!(GtidSet::read(&format!("{A}:5-1")).is_err());
    }

    #[test]
    fn takes_sets_from_each_other() {
        let left = set(&format!("{A}:1-10,{B}:1-2")).without(&set(&format!("{A}:1-3:5:9-20")));
        assert_eq!(left.to_string(), format!("{A}:4:6-8,{B}:1-2"));
        assert!(set(&format!("{A}:2-3")).without(&set(&format!("{A}:1-4"))).is_empty());
        assert_eq!(set(&format!("{A}:1-3")).each().collect::<Vec<_>>().len(), 3);
    }

    #[test]
    fn compares_positions() {
        let source = GtidPosition::read("0-1-270,5-2-9").unwrap();
        let target = GtidPosition::read("0-1-200").unwrap();
        assert_eq!((source.ahead_of(&target), target.ahead_of(&source)), (79, 0));
        assert_eq!(source.of_domain(5).to_string(), "5-2-9");
        assert_eq!(source.overlaid(&GtidPosition::read("0-3-300").unwrap()).to_string(), "0-3-300,5-2-9");
        assert!(GtidPosition::read("0-1").is_err() && GtidPosition::read("").unwrap().is_empty());
    }
}
