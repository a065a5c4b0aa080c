//! What is wrong with a runbook: where, why, and what would be right. All mistakes of a file are told at once.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::mask::mask;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The runbook is not run.
    Error,
    /// The runbook is run; somebody should know.
    Warning,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Which kind of mistake, `kebab-case`; stable, for scripts.
    pub code: &'static str,
    /// What is wrong. Passwords are masked.
    pub message: String,
    /// Where it stands.
    pub at: Location,
    /// What would be right. Passwords are masked.
    pub remedy: Option<String>,
}

/// A place in a file; lines and columns are counted from 1, columns in characters. All 0 when it is the whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Location {
    /// The file as it was named.
    pub file: String,
    /// Its first line.
    pub line: usize,
    /// Its first character in that line.
    pub column: usize,
    /// Its last line.
    pub end_line: usize,
    /// The character after its last one, in the last line.
    pub end_column: usize,
    /// The first line as it may be shown: passwords are masked.
    pub text: String,
    /// The bytes of `text` to point at.
    #[serde(skip)]
    marked: (usize, usize),
}

/// Lines and columns of something in the file, from 1; the end is exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

/// A runbook's text with its name.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub name: String,
    pub text: String,
}

impl Source {
    /// The place with what is needed to show it.
    pub fn locate(&self, place: Place) -> Location {
        let line = self.text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
        let start = byte_of(line, place.column);
        let end = if place.end_line == place.line { byte_of(line, place.end_column) } else { line.trim_end().len() };
        let shown = mask(line);
        let marked = (shown.moved(start), shown.moved(end.max(start)));
        Location {
            file: self.name.clone(),
            line: place.line,
            column: place.column,
            end_line: place.end_line,
            end_column: place.end_column,
            text: shown.text,
            marked,
        }
    }

    /// A mistake at a place.
    pub fn error(&self, place: Place, code: &'static str, message: &str) -> Diagnostic {
        let at = self.locate(place);
        Diagnostic { severity: Severity::Error, code, message: mask(message).text, at, remedy: None }
    }
}

fn byte_of(line: &str, column: usize) -> usize {
    line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(byte, _)| byte)
}

impl Diagnostic {
    /// A mistake of the file as a whole, such as one that can't be opened.
    pub(super) fn whole_file(file: &str, code: &'static str, message: String) -> Self {
        let at = Location {
            file: file.to_owned(),
            line: 0,
            column: 0,
            end_line: 0,
            end_column: 0,
            text: String::new(),
            marked: (0, 0),
        };
        Self { severity: Severity::Error, code, message, at, remedy: None }
    }

    /// Says what would be right.
    #[must_use]
    pub(super) fn remedy(mut self, remedy: impl AsRef<str>) -> Self {
        self.remedy = Some(mask(remedy.as_ref()).text);
        self
    }

    /// Makes it a warning.
    #[must_use]
    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The mistake with its line, a caret and the remedy, for a person.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        self.true_column(renderer.render(&[self.group()]))
    }

    /// What is masked in the line that is shown must not move the column that is named.
    fn true_column(&self, shown: String) -> String {
        let Location { file, line, column, text, marked, .. } = &self.at;
        let moved = text.get(..marked.0).map_or(0, |before| before.chars().count()) + 1;
        if *line == 0 || moved == *column {
            return shown;
        }
        shown.replacen(&format!("{file}:{line}:{moved}"), &format!("{file}:{line}:{column}"), 1)
    }

    fn group(&self) -> Group<'_> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&self.message).id(self.code);
        let mut group = if self.at.line == 0 {
            title.element(Origin::path(&self.at.file))
        } else {
            let (start, end) = self.at.marked;
            let snippet = Snippet::source(&self.at.text).line_start(self.at.line).path(&self.at.file);
            title.element(snippet.annotation(AnnotationKind::Primary.span(start..end)))
        };
        if let Some(remedy) = &self.remedy {
            group = group.element(Level::HELP.message(remedy));
        }
        group
    }
}

/// All that is wrong with a runbook that can't be used, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Every mistake with its line, a caret and the remedy, and how many there are.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut text: String = self.0.iter().map(|mistake| mistake.render(colour) + "\n\n").collect();
        text.push_str(&self.summary());
        text
    }

    /// How many mistakes there are, such as `2 errors, 1 warning`.
    #[must_use]
    pub fn summary(&self) -> String {
        let errors = self.0.iter().filter(|mistake| mistake.severity == Severity::Error).count();
        let count = |number: usize, word| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        match self.0.len() - errors {
            0 => count(errors, "error"),
            warnings => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// The one of `known` that `word` was probably meant to be.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |name: &str| strsim::jaro_winkler(&word.to_lowercase(), &name.to_lowercase());
    let best = known.into_iter().map(|name| (near(name), name)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then_some(best.1)
}

/// `did you mean X?` when one is near, and the list of what there is.
pub(super) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match did_you_mean(word, known.iter().copied()) {
        _ if known.is_empty() => "there are none".to_owned(),
        Some(name) if known.len() == 1 => format!("did you mean `{name}`?"),
        Some(name) => format!("did you mean `{name}`? There are {list}"),
        None if known.len() == 1 => format!("there is only {list}"),
        None => format!("there are {list}"),
    }
}
