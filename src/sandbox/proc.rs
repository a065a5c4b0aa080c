//! What the kernel says about processes: a pid alone is no proof, since pids are used again.

use std::{fs, io, net::Ipv4Addr, path::Path};

use rustix::process::{Pid, Signal, kill_process};

/// A process by pid and start time: together they never come back before a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessId {
    pub(crate) pid: u32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub(crate) started: u64,
}

impl ProcessId {
    /// The process that has this pid now, unless it is gone or a zombie.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in brackets and may hold anything, so count from the last bracket.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z").then_some(Self { pid, started })
    }

    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends the signal, if this very process still lives.
    pub(crate) fn signal(self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let (true, Some(pid)) = (self.is_alive(), pid) {
            // It may end between the look and the signal; then there is nobody left to signal.
            kill_process(pid, signal).ok();
        }
    }

    /// Its children now, but not theirs; none when it is gone: its number may be another process's by now. The kernel
    /// keeps them by the thread that made them.
    pub(crate) fn children(self) -> Vec<Self> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        let lists: String = lists.collect();
        let children: Vec<Self> = lists.split_whitespace().filter_map(|pid| Self::of(pid.parse().ok()?)).collect();
        // Looked at afterwards: a process that still lives had this number all the time.
        if self.is_alive() { children } else { Vec::new() }
    }

    /// Whether this process listens on the port of 127.0.0.1. `uid` is who it runs as: where the kernel hides
    /// another user's open files from us (root without ptrace rights, in a container), the socket's owner is the proof.
    pub(crate) fn listens_on(self, port: u16, uid: u32) -> bool {
        let Some((inode, owner)) = listener(port) else { return false };
        match holds_socket(self.pid, &inode) {
            Ok(holds) => holds,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => owner == uid,
            Err(_) => false,
        }
    }
}

/// Inode and owner of the socket that listens on the port of 127.0.0.1.
fn listener(port: u16) -> Option<(String, u32)> {
    let address = format!("{:08X}:{port:04X}", u32::from_ne_bytes(Ipv4Addr::LOCALHOST.octets()));
    let table = fs::read_to_string("/proc/self/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listening = fields.get(1) == Some(&address.as_str()) && fields.get(3) == Some(&"0A");
        listening.then_some(())?;
        Some((format!("socket:[{}]", fields.get(9)?), fields.get(7)?.parse().ok()?))
    })
}

fn holds_socket(pid: u32, inode: &str) -> io::Result<bool> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A file descriptor can be closed while we look.
        if fs::read_link(entry?.path()).is_ok_and(|link| link.as_path() == Path::new(inode)) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn own_listener_is_recognised_and_a_strangers_is_not() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let uid = rustix::process::geteuid().as_raw();
        let this = ProcessId::of(std::process::id()).unwrap();
        assert!(this.listens_on(port, uid));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let other = ProcessId::of(child.id()).unwrap();
        // An inherited listener would be a false alarm here; std opens sockets close-on-exec once sleep has started.
        while fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap().trim() != "sleep" {}
        assert!(!other.listens_on(port, uid));
        assert!(this.children().contains(&other));
        other.signal(Signal::KILL);
        child.wait().unwrap();
        assert!(!other.is_alive());
        drop(listener);
        assert!(!this.listens_on(port, uid));
    }
}
