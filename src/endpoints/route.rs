//! From where to where an endpoint is moved.

use crate::plan::Plan;
use crate::systems::address::Address;
use crate::systems::pair::Heading;
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError, Result};

/// A database as an endpoint leads to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// Name of the system in the runbook.
    pub name: String,
    /// How poolers and applications reach it.
    pub address: Address,
    /// Its version, as its engine counts.
    pub version: i32,
}

/// From where to where endpoints are moved: from one database of the pair to the other, where the runbook has a pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub(super) sides: Option<(Side, Side)>,
    /// In which direction.
    pub way: Heading,
}

impl Route {
    /// The route of a plan in one direction.
    pub fn of(plan: &Plan, world: &World, way: Heading) -> Result<Self> {
        let Some(pair) = &plan.pair else { return Ok(Self { sides: None, way }) };
        let side = |name: &str| -> Result<Side> {
            let choices = if name == pair.source { &plan.choices.source } else { &plan.choices.target };
            Ok(Side { name: name.to_owned(), address: world.address(name)?, version: choices.version })
        };
        Ok(Self { sides: Some((side(pair.leaving(way))?, side(pair.arriving(way))?)), way })
    }

    /// The database that is left.
    pub fn from(&self) -> Result<&Side> {
        self.sides.as_ref().map(|(from, _)| from).ok_or_else(no_pair)
    }

    /// The database that is moved to.
    pub fn to(&self) -> Result<&Side> {
        self.sides.as_ref().map(|(_, to)| to).ok_or_else(no_pair)
    }

    /// The same way back.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let sides = self.sides.clone().map(|(from, to)| (to, from));
        Self { sides, way: self.way.opposite() }
    }
}

fn no_pair() -> DriverError {
    let reason = "the runbook has no pair of databases, so that nothing says where it leads";
    DriverError::new("the runbook", "find the databases", reason, Certainty::NotSent)
        .with_hint("give the endpoint `from` and `to`, or the runbook a `replicate`")
}
