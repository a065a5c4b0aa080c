//! Both ends of a route, for endpoints that may name them themselves.

use super::Route;
#[cfg(test)]
use super::Side;
use crate::secret;
use crate::systems::address::Address;
use crate::systems::pair::Heading;
use crate::systems::{Certainty, DriverError, Result};

/// Both ends of a route for an endpoint that may name them itself, as `host:port`: the one that is left and the one
/// that is moved to.
pub(super) fn ends(route: &Route, from: Option<&str>, to: Option<&str>) -> Result<(Address, Address)> {
    let own = |text: &str| {
        let text = secret::resolve(text).map_err(|error| odd("resolve an address", error.to_string()))?;
        let read = Address::parse(text.expose(), None);
        read.ok_or_else(|| odd("read an address", format!("{} is not host:port", text.expose())))
    };
    let forth = route.way == Heading::Forth;
    let (left, right) = if forth { (route.from(), route.to()) } else { (route.to(), route.from()) };
    let first = from.map_or_else(|| left.map(|side| side.address.clone()), own)?;
    let second = to.map_or_else(|| right.map(|side| side.address.clone()), own)?;
    Ok(if forth { (first, second) } else { (second, first) })
}

/// The same of texts that are no addresses; the hosts where they are absent.
pub(super) fn texts(route: &Route, from: Option<&str>, to: Option<&str>) -> Result<(String, String)> {
    let own = |text: &str| {
        let text = secret::resolve(text).map_err(|error| odd("resolve a value", error.to_string()))?;
        Ok(text.expose().to_owned())
    };
    let forth = route.way == Heading::Forth;
    let (left, right) = if forth { (route.from(), route.to()) } else { (route.to(), route.from()) };
    let first = from.map_or_else(|| left.map(|side| side.address.host.clone()), own)?;
    let second = to.map_or_else(|| right.map(|side| side.address.host.clone()), own)?;
    Ok(if forth { (first, second) } else { (second, first) })
}

fn odd(what: &str, reason: String) -> DriverError {
    DriverError::new("the runbook", what, reason, Certainty::NotSent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &str) -> Side {
        Side { name: name.into(), address: Address { host: name.into(), port: 1, dbname: None }, version: 0 }
    }

    fn route() -> Route {
        Route { sides: Some((side("source"), side("target"))), way: Heading::Forth }
    }

    #[test]
    fn the_ends_are_those_of_the_pair_or_the_endpoints_own() {
        let words = |(from, to): (Address, Address)| format!("{from} {to}");
        assert_eq!(words(ends(&route(), None, None).unwrap()), "source:1 target:1");
        assert_eq!(words(ends(&route(), None, Some("pool:6432")).unwrap()), "source:1 pool:6432");
        assert_eq!(words(ends(&route().reversed(), None, Some("pool:6432")).unwrap()), "pool:6432 source:1");
        assert_eq!(words(ends(&route().reversed(), Some("pool:6432"), None).unwrap()), "target:1 pool:6432");
        assert!(ends(&route(), Some("pool"), None).unwrap_err().to_string().contains("not host:port"));
    }

    #[test]
    fn without_a_pair_both_ends_must_be_named() {
        let lone = Route { sides: None, way: Heading::Forth };
        assert!(ends(&lone, Some("a:1"), None).is_err());
        assert_eq!(texts(&lone, Some("a"), Some("b")).unwrap(), ("a".into(), "b".into()));
        assert_eq!(texts(&lone.reversed(), Some("a"), Some("b")).unwrap(), ("b".into(), "a".into()));
    }
}
