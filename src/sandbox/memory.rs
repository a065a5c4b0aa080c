//! What a PostgreSQL server that was killed leaves behind outside of its folder: a small segment of System V shared
//! memory, which the kernel keeps until somebody removes it. (Everything else lies in the folder: the sandbox's servers
//! have `dynamic_shared_memory_type = mmap`.)

use std::{fs, path::Path, process::Command};

/// A segment, as the `postmaster.pid` of a data folder names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    key: i64,
    id: i64,
    creator: i64,
}

/// Removes the segments of the servers below this folder: those that they made themselves, and to which nobody is
/// attached any more.
pub(crate) fn remove_left(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let named = fs::read_to_string(entry.path().join("postmaster.pid")).ok();
        let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        if let Some(segment) = named.as_deref().and_then(named_in).filter(|segment| is_left(&table, *segment)) {
            // Without the program it stays: 56 bytes.
            Command::new("ipcrm").args(["-m", &segment.id.to_string()]).status().ok();
        }
    }
}

/// The first line is the server's pid, the seventh key and number of its segment.
fn named_in(pid_file: &str) -> Option<Segment> {
    let mut lines = pid_file.lines();
    let creator = lines.next()?.trim().parse().ok()?;
    let mut numbers = lines.nth(5)?.split_whitespace();
    Some(Segment { key: numbers.next()?.parse().ok()?, id: numbers.next()?.parse().ok()?, creator })
}

/// Whether the kernel's table has this very segment, with nobody attached.
fn is_left(table: &str, segment: Segment) -> bool {
    let mut lines = table.lines();
    let Some(names) = lines.next().map(|line| line.split_whitespace().collect::<Vec<_>>()) else { return false };
    lines.any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let field =
            |name: &str| names.iter().position(|found| *found == name).and_then(|at| fields.get(at)?.parse().ok());
        let found = [field("key"), field("shmid"), field("cpid"), field("nattch")];
        found == [Some(segment.key), Some(segment.id), Some(segment.creator), Some(0)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid\n\
        \u{20}   132103     229388   600                    56 12020 12147     11 65534\n\
        \u{20}   132100     229389   600                    56 12027 12103      0 65534\n";

    #[test]
    fn only_what_the_server_made_and_nobody_uses_is_left() {
        let file = "12027\n/tmp/x/source\n1795581181\n21000\n\n127.0.0.1\n   132100    229389\nready   \n";
        let segment = named_in(file).unwrap();
        assert_eq!(segment, Segment { key: 132_100, id: 229_389, creator: 12027 });
        assert!(is_left(TABLE, segment));
        assert!(!is_left(TABLE, Segment { creator: 12020, ..segment }), "another process made it");
        assert!(!is_left(TABLE, Segment { key: 132_103, id: 229_388, creator: 12020 }), "it is in use");
        assert!(named_in("12027\n").is_none());
    }
}
