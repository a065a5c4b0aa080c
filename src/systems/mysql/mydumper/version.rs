//! Which `mydumper` is installed here, and whether it can read a server.

use tokio::process::Command;

use super::super::{Flavour, Version};

/// Major and minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series(pub u32, pub u32);

/// The series whose options, files and `metadata` are known here: that of Debian and Ubuntu. Its own version says
/// `0.10.0` in their 0.10.1 too.
const KNOWN: Series = Series(0, 10);

impl Series {
    /// Reads what `mydumper --version` says: `mydumper 0.10.0, built against MySQL 11.8.3`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let version = text.strip_prefix("mydumper ")?.trim_start_matches('v');
        let mut numbers = version.split(['.', ',', '-', ' ']).map(str::parse);
        Some(Self(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }

    /// Why it can't read such a server, or can't be read itself.
    #[must_use]
    pub fn obstacle(self, flavour: Flavour, server: Version) -> Option<String> {
        let Self(major, minor) = self;
        if self != KNOWN {
            return Some(format!("mydumper is {major}.{minor}, and only {}.{} is known here", KNOWN.0, KNOWN.1));
        }
        (flavour == Flavour::Mysql && server.from(8, 4, 0)).then(|| {
            format!("mydumper {major}.{minor} asks SHOW MASTER STATUS for the position, which MySQL {server} has not any more")
        })
    }
}

/// The series of the program that is installed here; `None` where it can't be started.
pub async fn installed() -> Option<Series> {
    let output = Command::new(super::program()).arg("--version").output().await.ok()?;
    Series::read(String::from_utf8_lossy(&output.stdout).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions_old_and_new() {
        assert_eq!(Series::read("mydumper 0.10.0, built against MySQL 11.8.3"), Some(Series(0, 10)));
        assert_eq!(Series::read("mydumper v0.19.3-3, built against MySQL 8.4.5"), Some(Series(0, 19)));
        assert_eq!(Series::read("sh: not found"), None);
    }

    #[test]
    fn reads_only_servers_that_say_their_position_the_old_way() {
        let known = Series(0, 10);
        assert_eq!(known.obstacle(Flavour::Mariadb, Version(101_119)), None);
        assert_eq!(known.obstacle(Flavour::Mysql, Version(80_042)), None);
        assert!(known.obstacle(Flavour::Mysql, Version(80_400)).is_some_and(|why| why.contains("SHOW MASTER STATUS")));
        assert!(Series(0, 19).obstacle(Flavour::Mariadb, Version(101_119)).is_some_and(|why| why.contains("0.19")));
        assert!(Series(0, 9).obstacle(Flavour::Mariadb, Version(101_119)).is_some());
    }
}
