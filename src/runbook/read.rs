//! From a tree to a [`Runbook`], with every mistake of the shapes at once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::de::{Error, POISON_TEXTS, Reading, Value, rule_keys};
use super::diagnostics::{Diagnostic, Place, Source};
use super::model::Runbook;
use super::tree::{Kind, Node};

/// What could be read.
pub(super) struct Read {
    /// The runbook; where it is poisoned, something stands in for what was wrong.
    pub runbook: Option<Runbook>,
    /// What is wrong.
    pub found: Vec<Diagnostic>,
    /// Paths at which something stands in for a wrong or missing value.
    pub poisoned: Vec<String>,
}

/// Reads the shapes from the tree, again and again, until nothing new is wrong.
///
/// `unreadable`: paths that are known to be wrong already. It ends: every round poisons a further path, tries a further text at one, or is the last.
pub(super) fn read(tree: &Node, source: &Source, unreadable: Vec<String>) -> Read {
    let mut found = vec![];
    let mut reading = Reading {
        source,
        poison: unreadable.into_iter().map(|path| (path, 0)).collect(),
        found: RefCell::new(vec![]),
        rules: rule_keys(),
    };
    let runbook = loop {
        match Runbook::deserialize(Value::root(&reading, tree)) {
            Ok(runbook) => break Some(runbook),
            Err(error) => match next_round(&mut reading, error) {
                Next::Again(new) => found.extend(new),
                Next::GiveUp => break None,
            },
        }
    };
    let poisoned = reading.poison.into_keys().collect();
    found.append(&mut reading.found.into_inner());
    Read { runbook, found, poisoned }
}

enum Next {
    Again(Option<Diagnostic>),
    GiveUp,
}

fn next_round(reading: &mut Reading<'_>, error: Error) -> Next {
    match error {
        Error::Wrong { path, found } => {
            reading.poison.insert(path, 0);
            Next::Again(Some(*found))
        }
        Error::Missing { path, place, field } => {
            reading.poison.insert(format!("{path}/{field}"), 0);
            Next::Again(Some(missing(reading.source, &path, place, field)))
        }
        Error::Poisoned { path } => try_further(reading, &path),
        // The outermost value has no place of its own: that of the file's first key.
        Error::Lacks(field) => next_round(reading, Error::Missing { path: String::new(), place: first(), field }),
        Error::Said(_) => Next::GiveUp,
    }
}

fn try_further(reading: &mut Reading<'_>, path: &str) -> Next {
    let Some(tried) = reading.poison.get_mut(path) else { return Next::GiveUp };
    *tried += 1;
    if *tried < POISON_TEXTS.len() {
        return Next::Again(None);
    }
    match path.rsplit_once('/') {
        Some((parent, _)) => {
            reading.poison.insert(parent.to_owned(), 0);
            Next::Again(None)
        }
        None => Next::GiveUp,
    }
}

fn missing(source: &Source, path: &str, place: Place, field: &str) -> Diagnostic {
    let message = match path.rsplit('/').next() {
        None | Some("") => format!("the runbook lacks `{field}`"),
        Some(name) if name.starts_with(|c: char| c.is_ascii_digit()) => format!("`{field}` is missing here"),
        Some(name) => format!("`{name}` lacks `{field}`"),
    };
    source.error(place, "missing-key", &message).remedy(format!("add `{field}: …`"))
}

const fn first() -> Place {
    Place { line: 1, column: 1, end_line: 1, end_column: 1 }
}

/// Where the values of a tree stand, by path.
#[derive(Default)]
pub(super) struct Places(BTreeMap<String, Place>);

impl Places {
    /// Notes where everything stands.
    pub fn of(tree: &Node) -> Self {
        let mut places = Self::default();
        places.note(String::new(), tree.head(), tree);
        places
    }

    fn note(&mut self, path: String, place: Place, node: &Node) {
        match &node.kind {
            Kind::Scalar(_) => {}
            Kind::Seq(items) => {
                for (n, item) in items.iter().enumerate() {
                    self.note(format!("{path}/{n}"), item.head(), item);
                }
            }
            Kind::Map(entries) => {
                for entry in entries {
                    let scalar = matches!(&entry.value.kind, Kind::Scalar(scalar) if !scalar.is_null());
                    let place = if scalar { entry.value.place } else { entry.key_place };
                    let path = format!("{path}/{}", entry.key);
                    self.0.insert(format!("{path}#"), entry.key_place);
                    self.note(path, place, &entry.value);
                }
            }
        }
        self.0.insert(path, place);
    }

    /// The place of a value, or of the nearest one around it.
    pub fn get(&self, path: &str) -> Place {
        let mut path = path.trim_end_matches('#');
        loop {
            match (self.0.get(path), path.rsplit_once('/')) {
                (Some(place), _) => return *place,
                (None, Some((parent, _))) => path = parent,
                (None, None) => return first(),
            }
        }
    }

    /// The place of a key.
    pub fn key(&self, path: &str) -> Place {
        self.0.get(&format!("{path}#")).copied().unwrap_or_else(|| self.get(path))
    }
}
