//! One thing that was looked at.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::NEVER_ACCEPTED;

/// How bad it is; the worst sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// A run does not start with it.
    Fail,
    /// A person should know it.
    Warn,
    /// As it should be.
    Pass,
}

/// One thing that was looked at, what was found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// What a runbook accepts it by.
    pub id: String,
    /// How bad it is.
    pub level: Level,
    /// The system it was found on.
    pub system: String,
    /// What was found, in a few words.
    pub title: String,
    /// What was read, and what is needed.
    pub detail: String,
    /// Why it matters, in a sentence.
    pub why: String,
    /// The statements or settings that mend it, in order; lines that begin with `--` are for a person.
    pub mend: Vec<String>,
}

impl Finding {
    /// Lets an accepted failure pass as a warning, if it is one that can be lived with.
    pub(super) fn accept(&mut self) {
        if self.level != Level::Fail {
            return;
        }
        if NEVER_ACCEPTED.contains(&self.id.as_str()) {
            self.detail.push_str(" (The runbook accepts this, but it can't be accepted.)");
        } else {
            self.level = Level::Warn;
            self.detail.push_str(" (A failure, accepted by the runbook.)");
        }
    }
}

/// A question about one system, to be answered once.
#[derive(Clone, Copy)]
pub(crate) struct Check<'a> {
    /// Id of the finding.
    pub id: &'static str,
    /// The system.
    pub system: &'a str,
    /// Why it matters, in a sentence.
    pub why: &'static str,
}

impl Check<'_> {
    pub(crate) fn pass(self, title: impl Into<String>, detail: impl Into<String>) -> Finding {
        self.finding(Level::Pass, title.into(), detail.into(), Vec::new())
    }

    pub(crate) fn warn(self, title: impl Into<String>, detail: impl Into<String>, mend: Vec<String>) -> Finding {
        self.finding(Level::Warn, title.into(), detail.into(), mend)
    }

    pub(crate) fn fail(self, title: impl Into<String>, detail: impl Into<String>, mend: Vec<String>) -> Finding {
        self.finding(Level::Fail, title.into(), detail.into(), mend)
    }

    fn finding(self, level: Level, title: String, detail: String, mend: Vec<String>) -> Finding {
        let (id, system, why) = (self.id.to_owned(), self.system.to_owned(), self.why.to_owned());
        Finding { id, level, system, title, detail, why, mend }
    }
}

/// How many names a detail shows.
const SHOWN: usize = 10;

/// Names for a sentence: the first ten, and how many more there are.
pub(super) fn names<T: AsRef<str>>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<T> = all.into_iter().collect();
    let mut shown = all.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN {
        let _ = write!(shown, " and {} more", all.len() - SHOWN);
    }
    shown
}

/// `1 table`, `2 tables`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Bytes for people.
pub(super) fn bytes(number: i64) -> String {
    crate::runbook::units::Size(number.try_into().unwrap_or(0)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_with_their_number() {
        assert_eq!(names(["a", "b"]), "a, b");
        let many: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        assert_eq!(names(&many), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
        assert_eq!((count(1, "table", "tables"), count(2, "table", "tables")), ("1 table".into(), "2 tables".into()));
    }
}
