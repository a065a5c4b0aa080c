//! Which of the two answers, and in which version; and the words that they have for the same things.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavour {
    /// Oracle's MySQL, Percona Server, RDS for MySQL.
    #[default]
    Mysql,
    /// MariaDB, RDS for MariaDB.
    Mariadb,
}

impl Flavour {
    /// As people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mysql => "MySQL",
            Self::Mariadb => "MariaDB",
        }
    }

    /// As the runbook spells it.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }
}

/// A version: `major * 10000 + minor * 100 + patch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(pub i32);

impl Version {
    /// Reads what `VERSION()` says, and tells who says it.
    #[must_use]
    pub fn read(text: &str) -> (Flavour, Self) {
        let flavour = if text.to_ascii_lowercase().contains("mariadb") { Flavour::Mariadb } else { Flavour::Mysql };
        // Old clients of MariaDB were told a version that they understood in front of the real one.
        let text = text.strip_prefix("5.5.5-").unwrap_or(text);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut parts = text[..end].split('.').map(|part| part.parse::<i32>().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        (flavour, Self(next() * 10_000 + next() * 100 + next()))
    }

    /// Whether it is this one or a later one.
    #[must_use]
    pub const fn from(self, major: i32, minor: i32, patch: i32) -> bool {
        self.0 >= major * 10_000 + minor * 100 + patch
    }

    /// Major and minor number: what must fit for replication.
    #[must_use]
    pub const fn series(self) -> (i32, i32) {
        (self.0 / 10_000, self.0 / 100 % 100)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.series();
        write!(f, "{major}.{minor}.{}", self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_say() {
        assert_eq!(Version::read("9.7.4-2"), (Flavour::Mysql, Version(90_704)));
        assert_eq!(Version::read("8.0.36"), (Flavour::Mysql, Version(80_036)));
        assert_eq!(Version::read("10.11.19-MariaDB-0+deb12u1-log"), (Flavour::Mariadb, Version(101_119)));
        assert_eq!(Version::read("5.5.5-10.6.4-MariaDB"), (Flavour::Mariadb, Version(100_604)));
        assert!(Version(80_400).from(8, 4, 0) && !Version(80_036).from(8, 4, 0));
        assert_eq!(Version(101_119).to_string(), "10.11.19");
    }
}
