//! YAML text to a tree in which everything knows where it stands.
//!
//! The reader works on this tree and not on the parser's own, because an overlay is merged into it and every mistake
//! still has to be told with its line and column. Depth and aliases are bounded, so that no text exhausts memory.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::diagnostics::{Diagnostic, Place, Source};

/// Deeper nesting than this is refused; a runbook needs about ten levels.
const MAX_DEPTH: usize = 64;
/// Aliases may bring in this many nodes altogether.
const MAX_ALIASED: usize = 10_000;

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub place: Place,
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Scalar(Scalar),
    Seq(Vec<Node>),
    Map(Vec<Entry>),
}

/// A text, number, truth value or nothing: what it is depends on where it stands.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub text: String,
    /// Not quoted, so that it may be a number, a truth value or nothing.
    pub plain: bool,
}

impl Scalar {
    /// Whether it is YAML's nothing.
    pub fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: String,
    pub key_place: Place,
    pub value: Node,
}

impl Node {
    /// The value of a key, in a map.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// What it is, for an error.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(scalar) if scalar.is_null() => "nothing",
            Kind::Scalar(_) => "a single value",
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "keys",
        }
    }

    /// What to point at: a scalar itself, else its first line.
    pub fn head(&self) -> Place {
        match &self.kind {
            Kind::Map(entries) => entries.first().map_or(self.place, |entry| entry.key_place),
            _ => self.place,
        }
    }
}

/// The tree of a text with one document, and what is wrong with it. Without a tree nothing else can be read.
pub(super) fn parse(source: &Source) -> (Option<Node>, Vec<Diagnostic>) {
    let mut builder =
        Builder { source, frames: vec![], anchors: BTreeMap::new(), aliased: 0, root: None, found: vec![] };
    let mut parser = Parser::new(StrInput::new(&source.text));
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let done = match event {
            Ok((Event::DocumentStart(_), span)) => {
                documents += 1;
                if documents > 1 { Err(builder.second_document(span)) } else { Ok(()) }
            }
            Ok((event, span)) => builder.take(event, span),
            Err(error) => Err(Box::new(not_yaml(source, &error))),
        };
        if let Err(fatal) = done {
            builder.found.push(*fatal);
            return (None, builder.found);
        }
    }
    builder.finish()
}

fn not_yaml(source: &Source, error: &ScanError) -> Diagnostic {
    let mark = error.marker();
    let place = Place { line: mark.line(), column: mark.col() + 1, end_line: mark.line(), end_column: mark.col() + 2 };
    source
        .error(place, "not-yaml", &format!("this is not YAML: {}", error.info()))
        .remedy("look at the indentation (blanks, no tabs), at quotes and at brackets in this line and the one before")
}

/// Nothing can be read after it.
type Fatal<T> = Result<T, Box<Diagnostic>>;

/// A container that is not complete yet.
struct Frame {
    node: Node,
    anchor: usize,
    key: Option<(String, Place)>,
}

struct Builder<'a> {
    source: &'a Source,
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    aliased: usize,
    root: Option<Node>,
    found: Vec<Diagnostic>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Fatal<()> {
        let place = place_of(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let kind = Kind::Scalar(Scalar { text: text.into_owned(), plain });
                self.place(Node { place, kind }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.open(Kind::Seq(vec![]), place, anchor),
            Event::MappingStart(anchor, _) => self.open(Kind::Map(vec![]), place, anchor),
            Event::SequenceEnd | Event::MappingEnd => self.close(place),
            Event::Alias(anchor) => self.alias(anchor, place),
            _ => Ok(()),
        }
    }

    fn open(&mut self, kind: Kind, place: Place, anchor: usize) -> Fatal<()> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(self
                .source
                .error(place, "too-deep", &format!("this is nested deeper than {MAX_DEPTH} levels"))
                .into());
        }
        self.frames.push(Frame { node: Node { place, kind }, anchor, key: None });
        Ok(())
    }

    fn close(&mut self, end: Place) -> Fatal<()> {
        let Some(mut frame) = self.frames.pop() else { return Ok(()) };
        frame.node.place.end_line = end.end_line;
        frame.node.place.end_column = end.end_column;
        self.place(frame.node, frame.anchor)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Fatal<()> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(self.source.error(place, "alias-loop", "this alias stands inside of what it names").into());
        };
        self.aliased += size_of(&node);
        if self.aliased > MAX_ALIASED {
            return Err(self.source.error(place, "too-many-aliases", "aliases make this runbook too large").into());
        }
        self.place(node, 0)
    }

    fn place(&mut self, node: Node, anchor: usize) -> Fatal<()> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.frames.last_mut() {
            None => self.root = Some(node),
            Some(Frame { node: Node { kind: Kind::Seq(items), .. }, .. }) => items.push(node),
            Some(frame) => match frame.key.take() {
                Some((key, key_place)) => self.entry(Entry { key, key_place, value: node }),
                None => frame.key = Some(key_of(self.source, node)?),
            },
        }
        Ok(())
    }

    fn entry(&mut self, entry: Entry) {
        let Some(Frame { node, .. }) = self.frames.last_mut() else { return };
        if let Some(first) = node.get(&entry.key) {
            let message = format!("the key `{}` stands here twice", entry.key);
            let remedy = format!("keep this one or the one in line {}", first.key_place.line);
            self.found.push(self.source.error(entry.key_place, "duplicate-key", &message).remedy(remedy));
        } else if let Kind::Map(entries) = &mut node.kind {
            entries.push(entry);
        }
    }

    fn second_document(&self, span: Span) -> Box<Diagnostic> {
        self.source
            .error(place_of(span), "second-document", "a second document begins here")
            .remedy("one file holds one runbook: remove this line, or put what follows into a file of its own")
            .into()
    }

    fn finish(mut self) -> (Option<Node>, Vec<Diagnostic>) {
        let empty = match &self.root {
            None => true,
            Some(Node { kind: Kind::Scalar(scalar), .. }) => scalar.is_null(),
            Some(_) => false,
        };
        if empty {
            let empty = Diagnostic::whole_file(&self.source.name, "empty", "the runbook is empty".into());
            self.found.push(empty.remedy("write one with `pointsman init`, or look into `runbooks/`"));
            self.root = None;
        }
        (self.root, self.found)
    }
}

fn key_of(source: &Source, node: Node) -> Fatal<(String, Place)> {
    match node.kind {
        Kind::Scalar(scalar) => Ok((scalar.text, node.place)),
        _ => Err(source
            .error(node.place, "bad-key", "a key must be a single word, and this is a list or a map")
            .remedy("put quotes round a value that begins with `[` or `{`")
            .into()),
    }
}

fn size_of(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::Scalar(_) => 0,
        Kind::Seq(items) => items.iter().map(size_of).sum(),
        Kind::Map(entries) => entries.iter().map(|entry| size_of(&entry.value)).sum(),
    }
}

fn place_of(span: Span) -> Place {
    Place {
        line: span.start.line(),
        column: span.start.col() + 1,
        end_line: span.end.line(),
        end_column: span.end.col() + 1,
    }
}
