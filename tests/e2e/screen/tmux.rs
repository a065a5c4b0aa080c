//! A terminal that a test can type into, read, resize and take away.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Far away: it only keeps a broken test from hanging.
const PATIENCE: Duration = Duration::from_secs(90);

/// A tmux server of its own, with one window.
pub struct Tmux {
    program: String,
    socket: String,
}

impl Tmux {
    /// Starts a shell in a terminal of this size; `env` is what its programs find in their environment.
    pub fn start(size: (u16, u16), env: &[(String, String)]) -> Self {
        let program = std::env::var("TMUX_PROGRAM").unwrap_or_else(|_| "tmux".into());
        let found = Command::new(&program).arg("-V").output();
        assert!(
            found.is_ok_and(|found| found.status.success()),
            "this test needs tmux ({program} does not run): apt-get install tmux, or let `make servers` unpack it, or \
             name it in TMUX_PROGRAM"
        );
        let socket = format!("pointsman-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let tmux = Self { program, socket };
        let (width, height) = (size.0.to_string(), size.1.to_string());
        let mut command =
            tmux.command(&["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, "-s", "t"]);
        command.arg("exec bash --norc --noprofile");
        // Not the colours and the language of whoever runs the tests.
        command.env_remove("TMUX").env_remove("NO_COLOR").env("LC_ALL", "C.UTF-8").env("PS1", "$ ");
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let started = command.output().unwrap();
        assert!(started.status.success(), "{started:?}");
        tmux
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-u", "-L", &self.socket]).args(words);
        command
    }

    fn tell(&self, words: &[&str]) -> Output {
        let told = self.command(words).output().unwrap();
        assert!(told.status.success(), "tmux {words:?}: {told:?}");
        told
    }

    /// Presses keys, by tmux's names.
    pub fn keys(&self, keys: &[&str]) {
        self.tell(&[&["send-keys", "-t", "t"], keys].concat());
    }

    /// Types a text.
    pub fn text(&self, text: &str) {
        self.tell(&["send-keys", "-t", "t", "-l", text]);
    }

    /// Types a command line.
    pub fn run(&self, line: &str) {
        self.text(line);
        self.keys(&["Enter"]);
    }

    pub fn resize(&self, width: u16, height: u16) {
        self.tell(&["resize-window", "-t", "t", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    /// What the terminal shows.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tell(&["capture-pane", "-p", "-t", "t"]).stdout).into_owned()
    }

    /// What it shows, and what was scrolled out of it.
    pub fn scrollback(&self) -> String {
        String::from_utf8_lossy(&self.tell(&["capture-pane", "-p", "-S", "-", "-t", "t"]).stdout).into_owned()
    }

    /// Waits until the terminal shows all of this at once.
    pub async fn until(&self, words: &[&str]) -> String {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if words.iter().all(|words| screen.contains(words)) {
                return screen;
            }
            assert!(began.elapsed() < PATIENCE, "never shown: {words:?}\n{}", self.scrollback());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes the terminal away, as a lost connection does.
    pub fn kill(&self) {
        self.tell(&["kill-server"]);
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        drop(self.command(&["kill-server"]).output());
    }
}
