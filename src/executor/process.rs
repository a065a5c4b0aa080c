//! Processes: who we are, and whether somebody still lives.

use crate::journal::Actor;

/// This process and the person behind it.
#[must_use]
pub fn this() -> Actor {
    let pid = std::process::id();
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    Actor {
        user: user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw())),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        pid,
        started: start_ticks(pid).unwrap_or(0),
    }
}

/// Who speaks, for the journal: `user@host`.
#[must_use]
pub fn person() -> String {
    let actor = this();
    format!("{}@{}", actor.user, actor.host)
}

/// Whether a process of this machine still lives; `None` when it is another machine's.
#[must_use]
pub fn lives(actor: &Actor) -> Option<bool> {
    if actor.host != this().host {
        return None;
    }
    Some(start_ticks(actor.pid).is_some_and(|started| actor.started == 0 || started == actor.started))
}

/// When a process started, in clock ticks since boot (proc(5), field 22 of `stat`); `None` when it is gone or a zombie.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold blanks and parentheses.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
