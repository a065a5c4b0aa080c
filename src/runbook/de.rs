//! A serde `Deserializer` over the located tree, so that the shapes stay the only description of the format and every
//! mistake still has its place.
//!
//! serde stops at the first mistake. To tell all of them, a value that is wrong is remembered as *poisoned* and the
//! tree is read again (see `read`): a poisoned value yields something of the right type, whatever that is, so that its
//! neighbours are read too. What was read with poison in it is never used, except to look for further mistakes.

mod visit;

pub(super) use visit::LISTS_OF_NAMES;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use saphyr::Scalar as Yaml;
use serde::de::{self, DeserializeSeed, Deserializer, Visitor};

use super::diagnostics::{Diagnostic, Place, Source, suggest};
use super::model::GateRules;
use super::tree::{Entry, Kind, Node};

/// Texts that a poisoned value tries to be, one after the other: a name, a duration, a size.
pub(super) const POISON_TEXTS: [&str; 4] = ["1", "", "1s", "1B"];

/// Why reading stopped.
#[derive(Debug)]
pub(super) enum Error {
    /// A new mistake; the value at this path must be poisoned.
    Wrong { path: String, found: Box<Diagnostic> },
    /// The shape at this path needs this key.
    Missing { path: String, place: Place, field: &'static str },
    /// The poisoned value at this path does not fit; another text may.
    Poisoned { path: String },
    /// What a shape said; the place is added on the way up.
    Said(String),
    /// A missing key; the place is added on the way up.
    Lacks(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Said(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Lacks(field)
    }
}

type Result<T> = std::result::Result<T, Error>;

/// What all values of one reading share.
pub(super) struct Reading<'a> {
    pub source: &'a Source,
    /// Paths whose value is wrong, with the number of the text to try.
    pub poison: BTreeMap<String, usize>,
    /// Mistakes that did not stop the reading: unknown keys.
    pub found: RefCell<Vec<Diagnostic>>,
    /// Keys of [`GateRules`], which stand beside a gate's own.
    pub rules: &'static [&'static str],
}

/// One value of the tree on its way into a shape.
#[derive(Clone)]
pub(super) struct Value<'a> {
    reading: &'a Reading<'a>,
    view: View<'a>,
    path: String,
    place: Place,
}

/// Where a value comes from.
#[derive(Clone)]
enum View<'a> {
    Node(&'a Node),
    /// What follows a kind that stands alone, as in `- drain`.
    Nothing,
    /// Keys of a gate that belong to its rules.
    Rules(&'a Node),
    /// A wrong value; the path is that of the outermost one.
    Poison(String),
}

impl<'a> Value<'a> {
    pub fn root(reading: &'a Reading<'a>, tree: &'a Node) -> Self {
        let root = Value { reading, view: View::Nothing, path: String::new(), place: tree.head() };
        Value { view: root.checked(String::new(), View::Node(tree)), ..root }
    }

    fn child(&self, key: impl fmt::Display, view: View<'a>, place: Place) -> Self {
        let path = format!("{}/{key}", self.path);
        let view = match &self.view {
            View::Poison(root) => View::Poison(root.clone()),
            _ => self.checked(path.clone(), view),
        };
        Value { reading: self.reading, view, path, place }
    }

    fn checked(&self, path: String, view: View<'a>) -> View<'a> {
        if self.reading.poison.contains_key(&path) { View::Poison(path) } else { view }
    }

    fn wrong(&self, code: &'static str, message: &str, remedy: impl AsRef<str>) -> Error {
        let found = self.reading.source.error(self.place, code, message).remedy(remedy);
        Error::Wrong { path: self.path.clone(), found: Box::new(found) }
    }

    fn expected(&self, what: &str, remedy: impl AsRef<str>) -> Error {
        let is = match (&self.view, self.scalar()) {
            // The line that is quoted shows it too.
            (_, Some((text, _))) if text.len() < 40 => format!("`{text}`"),
            (View::Node(node), _) => node.describe().to_owned(),
            _ => "nothing".to_owned(),
        };
        let message = match self.name() {
            Some(name) => format!("`{name}` must be {what}, and here is {is}"),
            None => format!("here must be {what}, and here is {is}"),
        };
        self.wrong("wrong-type", &message, remedy)
    }

    /// The key it stands at; none for an element of a list.
    fn name(&self) -> Option<&str> {
        let name = self.path.rsplit('/').next()?;
        (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some(name)
    }

    /// Gives an error that a shape raised the place of the value it was raised for.
    fn locate(&self, error: Error) -> Error {
        match (error, &self.view) {
            (Error::Said(_) | Error::Lacks(_), View::Poison(root)) => Error::Poisoned { path: root.clone() },
            (Error::Lacks(field), _) => Error::Missing { path: self.path.clone(), place: self.place, field },
            (Error::Said(message), _) => {
                let (message, remedy) = message.split_once("; ").unwrap_or((&message, ""));
                let found = self.reading.source.error(self.place, "bad-value", message);
                let found = if remedy.is_empty() { found } else { found.remedy(remedy) };
                Error::Wrong { path: self.path.clone(), found: Box::new(found) }
            }
            (error, _) => error,
        }
    }

    fn feed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value> {
        let place = self.clone();
        seed.deserialize(self).map_err(|error| place.locate(error))
    }

    fn poison_text(&self, root: &str) -> &'static str {
        POISON_TEXTS[self.reading.poison.get(root).copied().unwrap_or(0) % POISON_TEXTS.len()]
    }

    /// The text and whether it may be a number, a truth value or nothing.
    fn scalar(&self) -> Option<(&'a str, bool)> {
        match &self.view {
            View::Node(Node { kind: Kind::Scalar(scalar), .. }) if !scalar.is_null() => {
                Some((&scalar.text, scalar.plain))
            }
            _ => None,
        }
    }

    fn is_nothing(&self) -> bool {
        match &self.view {
            View::Node(Node { kind: Kind::Scalar(scalar), .. }) => scalar.is_null(),
            View::Nothing => true,
            _ => false,
        }
    }

    fn plain(&self) -> Option<Yaml<'a>> {
        self.scalar().filter(|(_, plain)| *plain).map(|(text, _)| Yaml::parse_from_cow(text.into()))
    }

    fn integer<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match (&self.view, self.plain()) {
            (View::Poison(_), _) => visitor.visit_u64(1),
            (_, Some(Yaml::Integer(number))) if number >= 0 => {
                visitor.visit_i64(number).map_err(|_: Error| self.wrong("bad-value", "this number is too large", ""))
            }
            _ => Err(self.expected("a whole number of at least 0", "write it without a unit and without quotes")),
        }
    }

    fn entries(&self, what: &str) -> Result<&'a [Entry]> {
        match &self.view {
            View::Node(Node { kind: Kind::Map(entries), .. }) | View::Rules(Node { kind: Kind::Map(entries), .. }) => {
                Ok(entries)
            }
            View::Poison(_) | View::Rules(_) => Ok(&[]),
            _ if self.is_nothing() => Ok(&[]),
            _ => Err(self.expected(what, "write `key: value`, one a line and indented, or all in `{ }`")),
        }
    }

    fn entry(&self, entry: &'a Entry) -> (&'a str, Self) {
        let node = &entry.value;
        let place = if matches!(node.kind, Kind::Scalar(_)) && !is_null(node) { node.place } else { entry.key_place };
        (&entry.key, self.child(&entry.key, View::Node(node), place))
    }

    /// The keys of a shape: its own, those that poison stands for, and those it takes from beside it.
    fn fields(&self, fields: &'static [&'static str]) -> Result<Vec<(&'a str, Self)>> {
        if let View::Poison(_) = self.view {
            return Ok(fields.iter().map(|field| (*field, self.child(field, View::Nothing, self.place))).collect());
        }
        let mut found = vec![];
        let inline = fields.contains(&"rules") && self.path.starts_with("/gates/");
        let known: Vec<&str> = fields.iter().copied().filter(|field| !inline || *field != "rules").collect();
        for entry in self.entries("keys with values")? {
            if known.contains(&entry.key.as_str()) {
                found.push(self.entry(entry));
            } else if !self.belongs_elsewhere(&entry.key, inline) {
                self.unknown_key(entry, &known, inline);
            }
        }
        for field in known {
            let lacks = found.iter().all(|(name, _)| *name != field);
            if lacks && self.reading.poison.contains_key(&format!("{}/{field}", self.path)) {
                found.push((field, self.child(field, View::Nothing, self.place)));
            }
        }
        if let (true, View::Node(node)) = (inline, &self.view) {
            // The same path on purpose: in the file these keys stand right here.
            found.push(("rules", Value { view: View::Rules(node), ..self.clone() }));
        }
        Ok(found)
    }

    fn belongs_elsewhere(&self, key: &str, inline: bool) -> bool {
        matches!(self.view, View::Rules(_)) || (inline && self.reading.rules.contains(&key))
    }

    fn unknown_key(&self, entry: &Entry, known: &[&str], inline: bool) {
        let message = match self.name() {
            Some(name) => format!("`{name}` has no key `{}`", entry.key),
            None => format!("a runbook has no key `{}`", entry.key),
        };
        let rules = if inline { self.reading.rules } else { &[] };
        let remedy = suggest(&entry.key, known.iter().chain(rules).copied());
        let found = self.reading.source.error(entry.key_place, "unknown-key", &message).remedy(remedy);
        let mut all = self.reading.found.borrow_mut();
        if !all.contains(&found) {
            all.push(found);
        }
    }

    /// The kind and what is said about it, of a single-key map or a kind that stands alone.
    fn variant(&self, noun: &str, variants: &'static [&'static str]) -> Result<(&'static str, Self)> {
        if let View::Poison(_) = self.view {
            return Ok((variants[0], self.child(variants[0], View::Nothing, self.place)));
        }
        if let Some((text, _)) = self.scalar() {
            let kind = self.known(noun, text, self.place, variants)?;
            return Ok((kind, self.child(kind, View::Nothing, self.place)));
        }
        let entries = match &self.view {
            View::Node(Node { kind: Kind::Map(entries), .. }) => entries.as_slice(),
            _ => return Err(self.expected(&format!("a {noun}"), one_of(variants))),
        };
        match entries {
            [] => Err(self.expected(&format!("a {noun}"), one_of(variants))),
            [entry] => {
                let kind = self.known(noun, &entry.key, entry.key_place, variants)?;
                Ok((kind, self.entry(entry).1))
            }
            [first, second, ..] => Err(self.two_kinds(noun, first, second, variants)),
        }
    }

    fn known(&self, noun: &str, text: &str, place: Place, variants: &'static [&'static str]) -> Result<&'static str> {
        variants.iter().copied().find(|variant| *variant == text).ok_or_else(|| {
            let here = Value { place, ..self.clone() };
            here.wrong(
                unknown_code(noun),
                &format!("`{text}` is not a {noun}"),
                suggest(text, variants.iter().copied()),
            )
        })
    }

    fn two_kinds(&self, noun: &str, first: &Entry, second: &Entry, variants: &[&str]) -> Error {
        let here = Value { place: second.key_place, ..self.clone() };
        if variants.contains(&first.key.as_str()) && !variants.contains(&second.key.as_str()) {
            let message = format!("`{}` stands beside `{}`, not inside of it", second.key, first.key);
            return here.wrong("one-kind", &message, format!("indent it further than `{}`", first.key));
        }
        let message = format!("a {noun} has one key, its kind, and here are `{}` and `{}`", first.key, second.key);
        here.wrong("one-kind", &message, "give each its own")
    }
}

fn is_null(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar(scalar) if scalar.is_null())
}

fn one_of(variants: &[&str]) -> String {
    format!("write one of {}", variants.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
}

/// What an enum's values are called.
fn noun(shape: &str) -> &'static str {
    match shape {
        "Step" => "kind of step",
        "System" => "kind of system",
        "Gate" => "kind of gate",
        _ => "value for this",
    }
}

fn unknown_code(noun: &str) -> &'static str {
    match noun {
        "kind of step" => "unknown-step",
        "kind of system" => "unknown-system-kind",
        "kind of gate" => "unknown-gate-kind",
        _ => "bad-value",
    }
}

/// The keys of [`GateRules`] as the file spells them, asked of its shape so that they are listed once.
pub(super) fn rule_keys() -> &'static [&'static str] {
    let mut keys: &'static [&'static str] = &[];
    let asked = <GateRules as serde::Deserialize>::deserialize(KeysOf(&mut keys));
    debug_assert!(asked.is_err(), "only the names of the keys are asked for");
    keys
}

struct KeysOf<'k>(&'k mut &'static [&'static str]);

impl<'de> Deserializer<'de> for KeysOf<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> std::result::Result<V::Value, Self::Error> {
        Err(de::Error::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> std::result::Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(de::Error::custom("only the keys are asked for"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
