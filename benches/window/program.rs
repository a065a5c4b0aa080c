//! The program itself: how fast it starts, and how much memory it holds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use pointsman::journal::Journal;

use crate::{POINTSMAN, Result, stats};

const START_MAX_MS: f64 = 50.0;
const MEMORY_MAX_MIB: f64 = 60.0;
const STARTS: usize = 20;

/// Time of `--version`, and of a look into a store: `status` where it has runs.
pub fn start_up(state: Option<PathBuf>) -> Result<bool> {
    println!("\n== start-up, {STARTS} times ==");
    show_load();
    let folder = tempfile::tempdir()?;
    let look = if state.is_some() { "status" } else { "runs" };
    let state = state.unwrap_or_else(|| folder.path().join("journal.db"));
    drop(Journal::open(&state)?);
    let state = state.display().to_string();
    let mut good = true;
    for args in [&["--version"][..], &[look, "--state", &state]] {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let began = Instant::now();
            Command::new(POINTSMAN).args(args).stdout(Stdio::null()).status()?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        let (median, worst) = (stats::median(times.iter().copied()), stats::worst(times.into_iter()));
        println!(
            "pointsman {:<10} median {median:5.1} ms, worst {worst:5.1} ms   {} (median at most {START_MAX_MS} ms)",
            args[0],
            verdict(median <= START_MAX_MS)
        );
        good &= median <= START_MAX_MS;
    }
    Ok(good)
}

/// What else the machine does decides much of every number.
pub fn show_load() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load: Vec<&str> = load.split(' ').take(1).collect();
    println!("{cores} cores, load average before it: {}", load.join(""));
}

pub const fn verdict(good: bool) -> &'static str {
    if good { "PASS" } else { "FAIL" }
}

/// The most that was ever resident, as Linux counts it (`VmHWM`), in MiB.
#[derive(Default)]
pub struct Memory {
    executor: f64,
    guard: f64,
}

impl Memory {
    /// Looks at a running executor and its guard.
    pub fn look(&mut self, pid: Option<u32>) {
        let Some(pid) = pid else { return };
        let folder = format!("/proc/{pid}");
        self.executor = self.executor.max(high_water(Path::new(&folder)).unwrap_or(0.0));
        for child in children(Path::new(&folder)) {
            let child = format!("/proc/{child}");
            let is_guard =
                std::fs::read_to_string(format!("{child}/cmdline")).is_ok_and(|line| line.contains("\0guard\0"));
            if is_guard {
                self.guard = self.guard.max(high_water(Path::new(&child)).unwrap_or(0.0));
            }
        }
    }

    pub fn show(&self) -> bool {
        if self.executor == 0.0 {
            return true;
        }
        let good = self.executor <= MEMORY_MAX_MIB && self.guard <= MEMORY_MAX_MIB;
        println!(
            "\nresident memory: executor {:.1} MiB, guard {:.1} MiB   {} (at most {MEMORY_MAX_MIB} MiB)",
            self.executor,
            self.guard,
            verdict(good)
        );
        good
    }
}

fn high_water(process: &Path) -> Option<f64> {
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kib| kib / 1024.0)
}

fn children(process: &Path) -> Vec<String> {
    let Ok(tasks) = std::fs::read_dir(process.join("task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}
