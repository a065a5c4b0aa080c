//! The file `metadata` of a dump: where the source was. As 0.10 writes it:
//!
//! ```text
//! Started dump at: 2026-11-28 19:22:20
//! SHOW MASTER STATUS:
//!     Log: bin.000001
//!     Pos: 4897
//!     GTID:0-1-23
//! ```
//!
//! A section of its own, `SHOW SLAVE STATUS`, may follow: where the source itself follows another server, which is not
//! the position that is meant. (<https://mydumper.github.io/mydumper/docs/html/files.html>)

use crate::systems::mysql::stream::Position;

/// The position of the server that was read.
pub fn position(text: &str) -> Option<Position> {
    let (_, section) = text.split_once("SHOW MASTER STATUS:")?;
    let mut position = Position::default();
    for line in section.lines().skip(1).take_while(|line| line.starts_with(['\t', ' '])) {
        match line.trim().split_once(':') {
            Some(("Log", file)) => position.file = Some(file.trim().to_owned()),
            Some(("Pos", offset)) => position.offset = offset.trim().parse().ok(),
            Some(("GTID", gtid)) => position.gtid = Some(gtid.trim().to_owned()),
            _ => {}
        }
    }
    (position.file.is_some() && position.offset.is_some()).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_A_REPLICA: &str = "Started dump at: 2026-11-28 19:22:20\nSHOW MASTER STATUS:\n\tLog: bin.000001\n\tPos: 4897\n\
         \tGTID:uuid:1-5,other:1-2\n\nSHOW SLAVE STATUS:\n\tHost: up\n\tLog: up.000009\n\tPos: 12\n\tGTID:\n\nFinished dump at: x\n";

    #[test]
    fn the_position_is_the_servers_own() {
        let found = position(OF_A_REPLICA).unwrap();
        assert_eq!((found.file.as_deref(), found.offset), (Some("bin.000001"), Some(4897)));
        assert_eq!(found.gtid.as_deref(), Some("uuid:1-5,other:1-2"));
    }

    #[test]
    fn without_a_binary_log_there_is_none() {
        assert_eq!(position("Started dump at: x\nSHOW SLAVE STATUS:\n\tLog: up.000009\n\tPos: 12\n"), None);
        assert_eq!(position("SHOW MASTER STATUS:\n\tLog: bin.000001\n"), None);
    }
}
