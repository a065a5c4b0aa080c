//! The way in: a file, all of its mistakes or the runbook.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::diagnostics::{Diagnostic, Diagnostics, Severity, Source};
use super::model::Runbook;
use super::overlay::{apply_environment, replace_variables};
use super::read::{Places, read};
use super::tree::{Node, parse};
use super::validate::validate;

/// A runbook that may be planned.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The runbook with its environment merged in and its variables replaced.
    pub runbook: Runbook,
    /// What somebody should know.
    pub warnings: Vec<Diagnostic>,
    /// SHA-256 of the file's text, in hex: tells an edited runbook from the one that a run was started with.
    pub sha256: String,
    /// The environment that was chosen.
    pub environment: Option<String>,
}

/// Reads a runbook from a file.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file; also when it can't be read.
pub fn load(path: &Path, env: Option<&str>) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => load_str(&name, &text, env),
        Err(error) => Err(Diagnostics(vec![unreadable(&name, &error)])),
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> Diagnostic {
    let remedy = match error.kind() {
        std::io::ErrorKind::NotFound => "look at the path; `pointsman init` writes a first runbook",
        std::io::ErrorKind::InvalidData => "save it as UTF-8",
        _ => "look at the path and its permissions",
    };
    Diagnostic::whole_file(name, "unreadable", format!("the runbook can't be read: {error}")).remedy(remedy)
}

/// Reads a runbook from its text; `name` is what mistakes call the file.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn load_str(name: &str, text: &str, env: Option<&str>) -> Result<Loaded, Diagnostics> {
    let source = Source { name: name.to_owned(), text: text.to_owned() };
    let (tree, mut found) = parse(&source);
    let runbook = tree.and_then(|tree| from_tree(tree, &source, env, &mut found));
    found.sort_by_key(|mistake| (mistake.at.line, mistake.at.column));
    match runbook {
        Some(mut runbook) if found.iter().all(|mistake| mistake.severity == Severity::Warning) => {
            runbook.environments.clear();
            let sha256 = hex::encode(Sha256::digest(text));
            Ok(Loaded { runbook, warnings: found, sha256, environment: env.map(str::to_owned) })
        }
        _ => Err(Diagnostics(found)),
    }
}

fn from_tree(mut tree: Node, source: &Source, env: Option<&str>, found: &mut Vec<Diagnostic>) -> Option<Runbook> {
    if let Some(name) = env {
        found.extend(apply_environment(&mut tree, name, source));
    }
    let replaced = replace_variables(&mut tree, source);
    found.extend(replaced.found);
    let read = read(&tree, source, replaced.unreadable);
    found.extend(read.found);
    let runbook = read.runbook?;
    found.extend(validate(&runbook, source, &Places::of(&tree), &read.poisoned));
    Some(runbook)
}
