//! The two databases of a cutover and the streams between them.
//!
//! Both directions are set up before the window and stay connected: `pointsman_forward` (source to target) and
//! `pointsman_backward` (target to source). Each carries tokens, which prove that it works, also when it carries no
//! rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::runbook::model::{DmsRunner, Means, Name};

/// In which direction the cutover goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heading {
    /// From source to target.
    Forth,
    /// From target back to source.
    Back,
}

impl Heading {
    /// The other direction.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Forth => Self::Back,
            Self::Back => Self::Forth,
        }
    }

    /// Base name of the stream in this direction: subscription, slot, publication; or channel.
    #[must_use]
    pub const fn stream(self) -> &'static str {
        match self {
            Self::Forth => "pointsman_forward",
            Self::Back => "pointsman_backward",
        }
    }

    /// Table whose only row carries tokens through the stream.
    #[must_use]
    pub const fn token_table(self) -> &'static str {
        match self {
            Self::Forth => "pointsman.token_forward",
            Self::Back => "pointsman.token_backward",
        }
    }
}

/// One of the two databases of a cutover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The database that is left.
    Source,
    /// The database that is moved to.
    Target,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Source => Self::Target,
            Self::Target => Self::Source,
        }
    }

    /// Where its writes are carried to, while it takes them.
    #[must_use]
    pub const fn heading(self) -> Heading {
        match self {
            Self::Source => Heading::Forth,
            Self::Target => Heading::Back,
        }
    }

    /// The word for it, as in runbooks.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// How RDS replicates a Blue/Green deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replicated {
    /// The green one is a copy, block by block; or a replica of MySQL.
    #[default]
    Physically,
    /// PostgreSQL of another major version, by publications and subscriptions of RDS.
    Logically,
}

impl Replicated {
    /// Whether nothing else was found.
    #[must_use]
    pub const fn is_physically(&self) -> bool {
        matches!(self, Self::Physically)
    }
}

/// The two databases of a cutover, by their names in the runbook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The database that is left.
    pub source: Name,
    /// The database that is moved to.
    pub target: Name,
    /// What runs the task, where it is DMS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dms: Option<Name>,
    /// In which way of DMS it runs there.
    #[serde(default, skip_serializing_if = "DmsRunner::is_instance")]
    pub runner: DmsRunner,
    /// By what means it follows.
    #[serde(default, skip_serializing_if = "Means::is_native")]
    pub through: Means,
    /// How RDS replicates it, where that is a Blue/Green deployment; found by looking at both.
    #[serde(default, skip_serializing_if = "Replicated::is_physically")]
    pub replicated: Replicated,
}

impl Pair {
    /// A pair of two systems.
    #[must_use]
    pub fn new(source: impl Into<Name>, target: impl Into<Name>) -> Self {
        let (source, target) = (source.into(), target.into());
        let (through, runner, replicated) = (Means::Native, DmsRunner::Instance, Replicated::Physically);
        Self { source, target, through, dms: None, runner, replicated }
    }

    /// The side that a passage in this direction leaves: it publishes the stream of that direction.
    #[must_use]
    pub fn leaving(&self, heading: Heading) -> &str {
        match heading {
            Heading::Forth => &self.source,
            Heading::Back => &self.target,
        }
    }

    /// Whether the servers' own replication carries the rows in this direction: our publications have points there.
    #[must_use]
    pub fn is_native(&self, heading: Heading) -> bool {
        heading == Heading::Back || self.through != Means::Dms
    }

    /// Whether what carries the rows in this direction is a replica's own replication.
    #[must_use]
    pub fn is_of_replica(&self, heading: Heading) -> bool {
        heading == Heading::Forth && self.through.is_physical()
    }

    /// The side that a passage in this direction arrives at.
    #[must_use]
    pub fn arriving(&self, heading: Heading) -> &str {
        self.leaving(heading.opposite())
    }
}

/// The stream that carries rows now: a pair with a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<'a> {
    /// The databases.
    pub pair: &'a Pair,
    /// The direction.
    pub heading: Heading,
}

impl<'a> Flow<'a> {
    /// The side that is written.
    #[must_use]
    pub fn publisher(&self) -> &'a str {
        self.pair.leaving(self.heading)
    }

    /// The side that follows.
    #[must_use]
    pub fn subscriber(&self) -> &'a str {
        self.pair.arriving(self.heading)
    }

    /// Its name.
    #[must_use]
    pub const fn stream(&self) -> &'static str {
        self.heading.stream()
    }

    /// The table of its token.
    #[must_use]
    pub const fn token_table(&self) -> &'static str {
        self.heading.token_table()
    }
}
