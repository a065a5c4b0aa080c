//! What the endpoints of AWS have in common, which only say where the database is: how they are reached, what they
//! remember, and how long they are waited for.

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Errand, Leads, Outcome};
use crate::clock;
use crate::journal::{Act, Durability, Entry, Event, FailureKind};
use crate::preflight::{Check, Finding};
use crate::runbook::model::{AwsPlace, System};
use crate::steps::StepError;
use crate::systems::aws::{Access, Aws};
use crate::systems::pair::Heading;
use crate::systems::world::World;
use crate::systems::{DriverError, Result};

/// Between two looks.
const SHORTEST: Duration = Duration::from_millis(250);

/// How a system of AWS is reached.
pub(super) struct Reach {
    /// Name of the system in the runbook.
    pub name: String,
    world: World,
}

impl Reach {
    pub fn new(world: &World, name: &str) -> Self {
        Self { name: name.to_owned(), world: world.clone() }
    }

    /// Clients for an errand; those of the way back may use what is kept of the pace for it.
    pub async fn aws(&self, errand: &Errand<'_>) -> Result<Aws> {
        let aws = self.world.aws(&self.name, Access::ReadWrite).await?;
        Ok(if errand.of.act == Act::Undo { aws.urgent() } else { aws })
    }

    /// Clients that can't change anything.
    pub async fn look(&self) -> Result<Aws> {
        self.world.aws(&self.name, Access::ReadOnly).await
    }

    /// Where calls go, as far as the runbook says.
    pub fn place(&self) -> AwsPlace {
        self.world.get(&self.name).and_then(System::aws).cloned().unwrap_or_default()
    }

    /// What the look at where it leads says.
    pub fn route(&self, leads: &Leads) -> Finding {
        let check = Check { system: &self.name, ..ROUTE };
        let mend = || vec![format!("-- correct `from` and `to` of {}, or what it says", self.name)];
        match leads {
            Leads::From => check.pass("it leads to the side that is left", "as the runbook has it."),
            Leads::To => {
                check.warn("it leads to the side that is moved to already", "the switch will leave it.", mend())
            }
            Leads::Neither(words) => check.fail("it leads to neither side", format!("{words}."), mend()),
            Leads::Unknown(words) => check.fail("it can't be seen where it leads", format!("{words}."), mend()),
        }
    }

    /// It was looked at, and must be left alone.
    pub fn refused(&self, message: impl std::fmt::Display, hint: &str) -> StepError {
        StepError::told(FailureKind::Refused, format!("{}: {message}", self.name), Some(hint))
    }

    /// It was written, and reads otherwise.
    pub fn in_doubt(&self, message: impl std::fmt::Display) -> StepError {
        let hint = "`pointsman retry` looks again";
        StepError::told(FailureKind::Unknown, format!("{}: {message}", self.name), Some(hint))
    }
}

impl Errand<'_> {
    /// Journals what an endpoint must remember before it goes on.
    pub(super) fn note(&self, name: &str, key: &str, value: impl Into<Value>) -> Outcome<()> {
        self.cx.note(self.of, json!({ format!("{name}.{key}"): value.into() }), Durability::Synced)
    }

    /// What an endpoint last remembered under `key`, in this act or before it.
    pub(super) fn latest<T: DeserializeOwned>(&self, name: &str, key: &str) -> Outcome<Option<T>> {
        let key = format!("{name}.{key}");
        let since = self.cx.journal.entries(&self.cx.run, self.state.seq)?;
        let noted = |entry: &Entry| match &entry.event {
            Event::Noted { of, note } if of.step == self.of.step => note.get(&key).cloned(),
            _ => None,
        };
        let position = self.state.plan.position(&self.of.step);
        let before = || self.state.steps[position?].notes.get(&key).cloned();
        let value = since.iter().rev().find_map(noted).or_else(before);
        Ok(value.and_then(|value| serde_json::from_value(value).ok()))
    }

    /// A token that is the same whenever this act is done again from `base`, and never for anything else.
    pub(super) fn token(&self, name: &str, base: &str) -> String {
        let way = if self.of.way == Heading::Forth { "forth" } else { "back" };
        let act = if self.of.act == Act::Apply { "apply" } else { "undo" };
        token(&[&self.cx.run, &self.of.step, way, act, name, base])
    }

    /// A key of this act: notes of the way there are not those of the way back.
    pub(super) fn own(&self, key: &str) -> String {
        let act = if self.of.act == Act::Apply { "apply" } else { "undo" };
        format!("{act}-{key}")
    }
}

/// A wait that ends.
pub(super) struct Waiting {
    began: Instant,
    limit: Duration,
}

impl Waiting {
    /// A wait that begins now.
    pub fn new(limit: Duration) -> Self {
        Self { began: clock::monotonic(), limit }
    }

    /// Says what is waited for, and waits: the longer it has taken, the longer, up to `longest`. An error when the time is
    /// over.
    pub async fn rest(&self, errand: &Errand<'_>, longest: Duration, words: &str) -> Outcome<()> {
        let waited = self.began.elapsed();
        if waited >= self.limit {
            let message = format!("not within {}: {words}", humantime::format_duration(self.limit));
            return Err(StepError::told(FailureKind::Deadline, message, Some("`pointsman retry` waits again")));
        }
        errand.cx.progress(&errand.of.step, words);
        errand.cx.rest((waited / 4).clamp(SHORTEST, longest)).await
    }
}

const ROUTE: Check<'static> = Check {
    id: "endpoint-route",
    system: "",
    why: "An endpoint that leads elsewhere is left alone by the switch, which then holds the run.",
};

/// The finding about an endpoint that can't be read.
#[must_use]
pub fn unread(name: &str, error: &DriverError) -> Finding {
    let mend = error.hint.iter().map(|hint| format!("-- {hint}")).chain(["-- correct what it names".to_owned()]);
    let detail = format!("{}: {}.", error.what, error.reason);
    Check { system: name, ..ROUTE }.fail("it can't be read", detail, mend.take(1).collect())
}

/// The ARN of a resource, with what the runbook says of region and account.
pub fn arn(service: &str, place: &AwsPlace, resource: &str) -> String {
    let known = |text: &Option<String>| text.clone().filter(|text| !text.contains("${")).unwrap_or_else(|| "*".into());
    format!("arn:aws:{service}:{}:{}:{resource}", known(&place.region), known(&place.account))
}

/// A token in the form of a UUID, from what it stands for.
pub fn token(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_be_bytes());
        digest.update(part.as_bytes());
    }
    let hex = hex::encode(digest.finalize());
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_for_one_thing() {
        let one = token(&["run", "switch", "forth"]);
        assert_eq!(one.len(), 36);
        assert_eq!(one, token(&["run", "switch", "forth"]));
        assert_ne!(one, token(&["run", "switchforth", ""]));
    }
}
