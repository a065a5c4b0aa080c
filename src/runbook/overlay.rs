//! What happens to the tree before it is read: the chosen environment is merged in, variables are replaced, and the
//! syntax of references is looked at. It happens here so that every mistake keeps its place in the file.

use std::collections::BTreeMap;

use super::diagnostics::{Diagnostic, Place, Source, suggest};
use super::tree::{Entry, Kind, Node, Scalar};
use crate::secret::remote;

/// Schemes of references that stay text until a connection is opened.
const SECRET_SCHEMES: [&str; 5] = ["env", "file", "aws-secret", "ssm", "rds"];
/// Keys whose values are resolved when a connection is opened, and are never shown.
const OPENS: [&str; 4] = ["url", "replication-url", "admin", "probe"];
/// The same of a database that names an `rds` system.
const NAMED: [&str; 3] = ["secret", "user", "password"];
/// Kinds of systems that are databases.
const DATABASES: [&str; 3] = ["postgres", "mysql", "mariadb"];
/// Maps of such values.
const HOLDS: [&str; 2] = ["env", "headers"];

/// Merges `environments.NAME` into the tree: maps key by key, anything else is replaced.
pub(super) fn apply_environment(tree: &mut Node, name: &str, source: &Source) -> Option<Diagnostic> {
    let all: &[Entry] = match tree.get("environments").map(|entry| &entry.value.kind) {
        Some(Kind::Map(entries)) => entries,
        _ => &[],
    };
    if let Some(chosen) = all.iter().find(|entry| entry.key == name) {
        let overlay = chosen.value.clone();
        merge(tree, overlay);
        return None;
    }
    let message = format!("there is no environment `{name}` in this runbook");
    let remedy = match all {
        [] => "it has no `environments:`; run it without --env".to_owned(),
        _ => suggest(name, all.iter().map(|entry| entry.key.as_str())),
    };
    let place = tree.get("environments").map_or(tree.head(), |entry| entry.key_place);
    Some(source.error(place, "unknown-environment", &message).remedy(remedy))
}

fn merge(base: &mut Node, overlay: Node) {
    match (&mut base.kind, overlay.kind) {
        (Kind::Map(entries), Kind::Map(over)) => over.into_iter().for_each(|entry| merge_entry(entries, entry)),
        // An empty `vars:` in an overlay changes nothing.
        (Kind::Map(_), Kind::Scalar(scalar)) if scalar.is_null() => {}
        (_, kind) => *base = Node { place: overlay.place, kind },
    }
}

fn merge_entry(entries: &mut Vec<Entry>, over: Entry) {
    match entries.iter_mut().find(|entry| entry.key == over.key) {
        Some(entry) => {
            if matches!(entry.value.kind, Kind::Scalar(_)) {
                entry.key_place = over.key_place;
            }
            merge(&mut entry.value, over.value);
        }
        None => entries.push(over),
    }
}

/// What is wrong with references, and the paths of the values that can't be read for it.
#[derive(Default)]
pub(super) struct Replaced {
    pub found: Vec<Diagnostic>,
    pub unreadable: Vec<String>,
}

/// Replaces `${var:NAME}` in all values outside `vars` and `environments`, and looks at the syntax of every reference.
pub(super) fn replace_variables(tree: &mut Node, source: &Source) -> Replaced {
    let mut replacer = Replacer { vars: variables(tree), source, done: Replaced::default(), broken: false };
    if let Kind::Map(entries) = &mut tree.kind {
        for entry in entries {
            let place = match entry.key.as_str() {
                "vars" => Part::Vars,
                "environments" => Part::Overlay,
                _ => Part::Used,
            };
            replacer.walk(&mut entry.value, &format!("/{}", entry.key), place);
        }
    }
    replacer.done
}

/// Which part of the runbook a value stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Variables: they can't be made of others.
    Vars,
    /// An overlay, in use or not: its variables are replaced where it is merged in.
    Overlay,
    /// Anything else.
    Used,
}

fn variables(tree: &Node) -> BTreeMap<String, String> {
    let Some(Kind::Map(entries)) = tree.get("vars").map(|entry| &entry.value.kind) else { return BTreeMap::new() };
    let text = |entry: &Entry| match &entry.value.kind {
        Kind::Scalar(scalar) => Some((entry.key.clone(), scalar.text.clone())),
        _ => None,
    };
    entries.iter().filter_map(text).collect()
}

struct Replacer<'a> {
    vars: BTreeMap<String, String>,
    source: &'a Source,
    done: Replaced,
    /// Whether the value at hand has a mistake.
    broken: bool,
}

/// A reference in a text.
enum Reference<'t> {
    Text(&'t str),
    Is { scheme: &'t str, name: &'t str, whole: &'t str },
    Broken(&'t str),
}

impl Replacer<'_> {
    fn walk(&mut self, node: &mut Node, path: &str, part: Part) {
        match &mut node.kind {
            Kind::Seq(items) => {
                for (n, item) in items.iter_mut().enumerate() {
                    self.walk(item, &format!("{path}/{n}"), part);
                }
            }
            Kind::Map(entries) => {
                for entry in entries {
                    self.walk(&mut entry.value, &format!("{path}/{}", entry.key), part);
                }
            }
            Kind::Scalar(scalar) if scalar.text.contains("${") => self.scalar(scalar, node.place, path, part),
            Kind::Scalar(_) => {}
        }
    }

    fn scalar(&mut self, scalar: &mut Scalar, place: Place, path: &str, part: Part) {
        self.broken = false;
        let text = self.replaced(place, &scalar.text, part);
        for reference in remote::references(&text) {
            self.of_aws(place, reference, path, part);
        }
        if self.broken {
            self.done.unreadable.push(path.to_owned());
        } else if text != scalar.text {
            // A number may come from a variable: `"${var:n}"` needs quotes inside `{ }`.
            *scalar = Scalar { text, plain: true };
        }
    }

    fn replaced(&mut self, place: Place, text: &str, part: Part) -> String {
        let mut out = String::with_capacity(text.len());
        for piece in references(text) {
            match piece {
                Reference::Text(text) => out.push_str(text),
                Reference::Is { scheme: "var", name, .. } if part == Part::Used => match self.vars.get(name) {
                    Some(value) => out.push_str(value),
                    None => self.unknown_variable(place, name),
                },
                Reference::Is { scheme: "var", whole, .. } if part == Part::Overlay => out.push_str(whole),
                Reference::Is { scheme, whole, .. } if SECRET_SCHEMES.contains(&scheme) => out.push_str(whole),
                Reference::Is { scheme: "var", .. } => self.nested(place),
                Reference::Is { scheme, .. } => self.unknown_scheme(place, scheme),
                Reference::Broken(what) => self.malformed(place, what),
            }
        }
        out
    }

    /// The same mistake of an overlay and of where it was merged in is told once.
    fn tell(&mut self, found: Diagnostic) {
        self.broken = true;
        if !self.done.found.contains(&found) {
            self.done.found.push(found);
        }
    }

    fn unknown_variable(&mut self, place: Place, name: &str) {
        let remedy = if self.vars.is_empty() {
            "the runbook has no `vars:`; define it there".to_owned()
        } else {
            suggest(name, self.vars.keys().map(String::as_str))
        };
        let message = format!("there is no variable `{name}`");
        self.tell(self.source.error(place, "unknown-variable", &message).remedy(remedy));
    }

    fn nested(&mut self, place: Place) {
        let message = "a variable can't be made of other variables";
        self.tell(self.source.error(place, "nested-variable", message).remedy("write its value out"));
    }

    fn unknown_scheme(&mut self, place: Place, scheme: &str) {
        let message = format!("`${{{scheme}:…}}` is not a kind of reference");
        let known = ["var"].into_iter().chain(SECRET_SCHEMES);
        self.tell(self.source.error(place, "unknown-reference", &message).remedy(suggest(scheme, known)));
    }

    /// What AWS resolves must be named as AWS names it, and stand where it is read.
    fn of_aws(&mut self, place: Place, reference: &str, path: &str, part: Part) {
        if let Some((message, remedy)) = ill_named(reference) {
            self.tell(self.source.error(place, "bad-reference", message).remedy(remedy));
        } else if part != Part::Vars && !opens_connection(path) {
            let message =
                format!("`${{{reference}}}` is read when a connection is opened, and none is opened with this");
            let remedy = "write the value out, or ${env:NAME}; AWS is asked for URLs of databases, poolers and gates, for \
                          `headers`, and for a program's `env`";
            self.tell(self.source.error(place, "reference-not-here", &message).remedy(remedy));
        }
    }

    fn malformed(&mut self, place: Place, why: &str) {
        let remedy = "write ${var:NAME}, ${env:NAME}, ${file:PATH}, ${aws-secret:NAME} or ${ssm:/PATH}; for a variable of a shell write $NAME";
        self.tell(self.source.error(place, "bad-reference", why).remedy(remedy));
    }
}

fn ill_named(reference: &str) -> Option<(&'static str, &'static str)> {
    let (scheme, id) = reference.split_once(':')?;
    let odd = |id: &str| id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-:!".contains(&b));
    if scheme == "ssm" {
        let why = "this is not the name of a parameter";
        return odd(id).then_some((why, "write `${ssm:/path/of/the/parameter}`, or its ARN"));
    }
    if scheme == "rds" {
        let known =
            id.split_once('#').is_some_and(|(name, key)| !odd(name) && ["host", "port", "reader"].contains(&key));
        let why = "this does not say what is wanted of a server of RDS";
        return (!known)
            .then_some((why, "write `${rds:SYSTEM#host}`, `#port` or `#reader`, with the name of an `rds` system"));
    }
    let (name, key) = id.split_once('#').map_or((id, None), |(name, key)| (name, Some(key)));
    let remedy = "write `${aws-secret:NAME}`, or `${aws-secret:NAME#KEY}` for a key of its JSON";
    if key.is_some_and(str::is_empty) {
        return Some(("a reference to a key without a name", remedy));
    }
    odd(name).then_some(("this is not the name of a secret", remedy))
}

fn opens_connection(path: &str) -> bool {
    let mut keys = path.rsplit('/');
    let (last, above) = (keys.next().unwrap_or_default(), keys.next().unwrap_or_default());
    let named = NAMED.contains(&last) && DATABASES.contains(&above);
    (OPENS.contains(&last) && !path.contains("/observe/")) || HOLDS.contains(&above) || named
}

fn references(text: &str) -> Vec<Reference<'_>> {
    let mut pieces = vec![];
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        pieces.push(Reference::Text(&rest[..start]));
        let Some(length) = rest[start..].find('}') else {
            pieces.push(Reference::Broken("a reference begins here with `${` and does not end"));
            return pieces;
        };
        let whole = &rest[start..=start + length];
        pieces.push(reference(whole));
        rest = &rest[start + length + 1..];
    }
    pieces.push(Reference::Text(rest));
    pieces
}

fn reference(whole: &str) -> Reference<'_> {
    match whole[2..whole.len() - 1].split_once(':') {
        None => Reference::Broken("a reference without a kind"),
        Some((_, name)) if name.trim().is_empty() => Reference::Broken("a reference without a name"),
        Some((scheme, name)) => Reference::Is { scheme, name, whole },
    }
}
