//! Free ports on loopback.
//!
//! They are chosen below the kernel's range for outgoing connections: a server that is restarted must get its port
//! back, and a port of that range can be taken by any client in the meantime.
//!
//! Some programs need a while between learning their port and listening on it, and some of them (Python's servers) let a
//! second one listen on the same. So processes that choose ports side by side must not choose the same: each claims blocks of
//! ports, by listening on the first port of the block for as long as it lives.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::SandboxError;

const LOWEST: u16 = 15_000;
/// Ports of a block, the one that claims it among them.
const BLOCK: u16 = 64;
/// How often a block is looked for before those that are there are used again.
const ATTEMPTS: usize = 200;

static CHOICE: Mutex<Choice> = Mutex::new(Choice { blocks: Vec::new(), given: 0 });

/// The blocks of this process.
struct Choice {
    /// What claims a block: a listener on its first port.
    blocks: Vec<(TcpListener, u16)>,
    /// How many ports of these blocks were given out, or passed by.
    given: usize,
}

/// A port that nobody listens on now, and that no other process gets here. A program that chooses its ports otherwise can
/// still take it: whoever starts a server checks that it is really that server which listens (see `process.rs`).
///
/// # Errors
/// When all ports are taken.
pub fn free_port() -> Result<u16, SandboxError> {
    let range = LOWEST..lowest_outgoing().max(LOWEST + 1000);
    let mut choice = CHOICE.lock().unwrap_or_else(PoisonError::into_inner);
    choice.next(&range).ok_or_else(|| {
        SandboxError::Options(format!("no free port on 127.0.0.1 between {} and {}", range.start, range.end))
    })
}

impl Choice {
    fn next(&mut self, range: &Range<u16>) -> Option<u16> {
        let claimed = self.unclaimed().or_else(|| {
            self.claim(range);
            self.unclaimed()
        });
        // Where a machine has no block left, the ports of this process come round again; and if it has none, any free one will do.
        claimed.or_else(|| {
            self.given = 0;
            self.unclaimed().or_else(|| any(range))
        })
    }

    /// The next port of our blocks that nobody listens on.
    fn unclaimed(&mut self) -> Option<u16> {
        let each = usize::from(BLOCK - 1);
        while self.given < self.blocks.len() * each {
            let (_, first) = self.blocks[self.given / each];
            let port = first + 1 + u16::try_from(self.given % each).unwrap_or(0);
            self.given += 1;
            if listen(port).is_some() {
                return Some(port);
            }
        }
        None
    }

    /// Claims a block that is nobody's.
    fn claim(&mut self, range: &Range<u16>) {
        let blocks = ((range.end - range.start) / BLOCK).max(1);
        let firsts = std::iter::repeat_with(|| range.start + BLOCK * rand::random_range(0..blocks));
        self.blocks.extend(firsts.take(ATTEMPTS).find_map(|first| Some((listen(first)?, first))));
    }
}

/// A port of nobody's block, or of somebody's: that it is free now is all that is known.
fn any(range: &Range<u16>) -> Option<u16> {
    std::iter::repeat_with(|| rand::random_range(range.clone())).take(1000).find(|port| listen(*port).is_some())
}

fn listen(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

fn lowest_outgoing() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Blocks of one process; where others' ports lie does not matter.
    fn choice() -> Choice {
        Choice { blocks: Vec::new(), given: 0 }
    }

    #[test]
    fn two_processes_never_get_the_same_port() {
        let range = 13_000..13_000 + 20 * BLOCK;
        let (mut one, mut other) = (choice(), choice());
        let mut all = BTreeSet::new();
        for _ in 0..150 {
            assert!(all.insert(one.next(&range).unwrap()));
            assert!(all.insert(other.next(&range).unwrap()));
        }
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_passed_by() {
        let range = 13_000..13_000 + 20 * BLOCK;
        let mut ours = choice();
        let first = ours.next(&range).unwrap();
        let _taken = listen(first + 1);
        assert_ne!(ours.next(&range).unwrap(), first + 1);
    }

    #[test]
    fn where_no_block_is_left_the_ports_come_round_again() {
        let range = 12_800..12_800 + BLOCK;
        let (mut ours, mut late) = (choice(), choice());
        let ports: Vec<_> = (0..2 * BLOCK).map(|_| ours.next(&range).unwrap()).collect();
        let different: BTreeSet<_> = ports.iter().collect();
        assert!(different.len() < usize::from(BLOCK), "only the ports of one block");
        assert_eq!(ours.blocks.len(), 1);
        assert!(late.next(&range).is_some(), "a process without a block gets a port too");
    }
}
