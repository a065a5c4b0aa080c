//! What shapes can't say: names that must exist, an order that must be safe, values that must fit each other.
//!
//! A runbook that is poisoned somewhere is looked at too, so that its author sees everything at once; mistakes at a
//! poisoned place, or that may follow from one, are not told.

mod aws;
mod dms;
mod endpoints;
mod names;
mod order;
mod rds;
mod values;

use super::diagnostics::{Diagnostic, Source, suggest};
use super::ids::inside;
use super::model::{Runbook, Step, System};
use super::read::Places;

/// All that is wrong, or worth knowing.
pub(super) fn validate(runbook: &Runbook, source: &Source, places: &Places, poisoned: &[String]) -> Vec<Diagnostic> {
    let mut check = Check { runbook, source, places, poisoned, found: vec![] };
    check.version();
    aws::check(&mut check);
    names::check(&mut check);
    values::check(&mut check);
    dms::check(&mut check);
    endpoints::values(&mut check);
    rds::values(&mut check);
    if !check.is_poisoned_below("/steps") {
        order::check(&mut check);
        endpoints::order(&mut check);
        rds::order(&mut check);
    }
    check.found
}

struct Check<'a> {
    runbook: &'a Runbook,
    source: &'a Source,
    places: &'a Places,
    poisoned: &'a [String],
    found: Vec<Diagnostic>,
}

impl<'a> Check<'a> {
    fn version(&mut self) {
        let version = self.runbook.version;
        if version != 1 {
            let message = format!("this program does not know version {version} of the runbook format");
            self.error("/version", "unsupported-version", &message, "write `version: 1`");
        }
    }

    /// A mistake at a value; `path#` means its key.
    fn error(&mut self, path: &str, code: &'static str, message: &str, remedy: impl AsRef<str>) {
        let found = self.at(path, code, message).remedy(remedy);
        self.tell(path, found);
    }

    fn warning(&mut self, path: &str, code: &'static str, message: &str, remedy: impl AsRef<str>) {
        let found = self.at(path, code, message).remedy(remedy).warning();
        self.tell(path, found);
    }

    fn at(&self, path: &str, code: &'static str, message: &str) -> Diagnostic {
        let place = if let Some(path) = path.strip_suffix('#') { self.places.key(path) } else { self.places.get(path) };
        self.source.error(place, code, message)
    }

    fn tell(&mut self, path: &str, found: Diagnostic) {
        if !self.is_poisoned(path.trim_end_matches('#')) {
            self.found.push(found);
        }
    }

    /// Whether the value at this path, or one around it, is a stand-in.
    fn is_poisoned(&self, path: &str) -> bool {
        self.poisoned.iter().any(|poison| path == poison || path.starts_with(&format!("{poison}/")))
    }

    /// Whether the value at this path has a stand-in in it, or is one.
    fn is_poisoned_below(&self, path: &str) -> bool {
        self.is_poisoned(path) || self.poisoned.iter().any(|poison| poison.starts_with(&format!("{path}/")))
    }

    /// Every step with the path of its shape, in the order of the plan.
    fn steps(&self) -> Vec<(String, &'a Step)> {
        let mut all = vec![];
        for (n, step) in self.runbook.steps.iter().enumerate() {
            let path = format!("/steps/{n}/{}", step.kind());
            all.push((path.clone(), step));
            for (m, inner) in inside(step).iter().enumerate() {
                all.push((format!("{path}/steps/{m}/{}", inner.kind()), inner));
            }
        }
        all
    }

    /// Looks a system up that must divide traffic.
    fn traffic(&mut self, path: &str, name: &str) {
        let kind = match self.runbook.systems.get(name) {
            Some(system) if system.divides_traffic() => return,
            _ if self.runbook.systems.values().any(|system| system.kind() == "alb") => "alb",
            _ => "haproxy",
        };
        self.system(path, name, kind);
    }

    /// Looks a database up, of whatever kind.
    fn database(&mut self, path: &str, name: &str) {
        let kind = self.runbook.systems.get(name).map(System::kind);
        let kind = kind.filter(|kind| matches!(*kind, "mysql" | "mariadb")).unwrap_or("postgres");
        self.system(path, name, kind);
    }

    /// Looks a system up that must be of a kind.
    fn system(&mut self, path: &str, name: &str, kind: &'static str) {
        let runbook = self.runbook;
        match runbook.systems.get(name) {
            Some(system) if system.kind() == kind || self.is_poisoned(&format!("/systems/{name}")) => {}
            Some(system) => {
                let message = format!("`{name}` is a {}, and here must be a {kind}", system.kind());
                self.error(path, "wrong-system", &message, fitting(name, runbook, kind));
            }
            None => {
                let message = format!("there is no system `{name}`");
                let remedy = suggest(name, runbook.systems.keys().map(String::as_str));
                self.error(path, "unknown-system", &message, remedy);
            }
        }
    }
}

fn fitting(name: &str, runbook: &Runbook, kind: &str) -> String {
    let fits = |(name, system): (&'_ String, &System)| (system.kind() == kind).then(|| name.clone());
    let names: Vec<String> = runbook.systems.iter().filter_map(fits).collect();
    if names.is_empty() {
        format!("there is no {kind} in `systems:`; add one")
    } else {
        suggest(name, names.iter().map(String::as_str))
    }
}
