//! What the bench prints.

use std::time::Duration;

use comfy_table::{Table, presets};

use crate::Rounds;
use crate::program::verdict;
use crate::stats::{self, Cutover, median, worst};

const WAIT_MEDIAN_MAX_MS: f64 = 50.0;
const WAIT_WORST_MAX_MS: f64 = 150.0;

/// The tables of one pair of servers, with the verdicts.
pub fn pair(rounds: &Rounds, ratio_max: f64, failed_max: u64) -> bool {
    let mut table = new_table(&[
        "",
        "clients wait: median",
        "worst",
        "pause to resume: median",
        "worst",
        "wait before it: worst",
        "failed",
        "lost",
    ]);
    for (name, cutovers) in columns(rounds) {
        let waits = || cutovers.iter().map(|cutover| cutover.waited_ms);
        let pauses = || cutovers.iter().map(|cutover| cutover.paused_ms);
        table.add_row(vec![
            name.to_owned(),
            ms(median(waits())),
            ms(worst(waits())),
            ms(median(pauses())),
            ms(worst(pauses())),
            ms(worst(cutovers.iter().map(|cutover| cutover.quiet_ms))),
            cutovers.iter().map(|cutover| cutover.failed).sum::<u64>().to_string(),
            cutovers.iter().map(|cutover| cutover.lost).sum::<usize>().to_string(),
        ]);
    }
    println!("\n{table}");
    for (name, cutovers) in columns(rounds) {
        show_parts(name, cutovers);
    }
    verdicts(rounds, ratio_max, failed_max)
}

fn columns(rounds: &Rounds) -> Vec<(&'static str, &[Cutover])> {
    let mut columns: Vec<(&'static str, &[Cutover])> =
        vec![("ours, forward", &rounds.forth), ("ours, back", &rounds.back), ("hand-made, forward", &rounds.hand)];
    if !rounds.other_forth.is_empty() {
        columns.extend([("other build, forward", &rounds.other_forth[..]), ("other build, back", &rounds.other_back)]);
    }
    columns
}

fn show_parts(name: &str, cutovers: &[Cutover]) {
    let mut table = new_table(&[name, "median", "worst"]);
    for (part, median, worst) in stats::parts(cutovers) {
        table.add_row(vec![part, ms(median), ms(worst)]);
    }
    println!("\n{table}");
}

/// `failed_max`: in one cutover; none where a pooler holds the clients.
fn verdicts(rounds: &Rounds, ratio_max: f64, failed_max: u64) -> bool {
    let mut good = true;
    let mut judge = |what: String, holds: bool| {
        println!("{} {what}", verdict(holds));
        good &= holds;
    };
    println!();
    for (name, cutovers) in &columns(rounds)[..2] {
        let lost: usize = cutovers.iter().map(|cutover| cutover.lost).sum();
        judge(format!("{name}: {lost} writes lost or doubled (0 allowed)"), lost == 0);
        let failed = cutovers.iter().map(|cutover| cutover.failed).max().unwrap_or(0);
        judge(
            format!("{name}: {failed} transactions failed in a cutover (at most {failed_max})"),
            failed <= failed_max,
        );
        // Where nothing holds the clients, their waits are those of their own connecting.
        if failed_max == 0 {
            let wait = stats::waited(cutovers);
            judge(
                format!("{name}: clients wait {} (median, at most {WAIT_MEDIAN_MAX_MS} ms)", ms(wait)),
                wait <= WAIT_MEDIAN_MAX_MS,
            );
            let wait = worst(cutovers.iter().map(|cutover| cutover.waited_ms));
            judge(
                format!("{name}: clients wait {} (worst, at most {WAIT_WORST_MAX_MS} ms)", ms(wait)),
                wait <= WAIT_WORST_MAX_MS,
            );
        }
        let ratio = stats::paused(cutovers) / stats::paused(&rounds.hand);
        judge(
            format!("{name}: pause to resume {ratio:.2} times the hand-made (at most {ratio_max})"),
            ratio <= ratio_max,
        );
    }
    good
}

/// What a network adds, and how many round trips follow one another.
pub fn network(near: &Rounds, far: &Rounds, round_trip: Duration) {
    let trip = round_trip.as_secs_f64() * 1000.0;
    let mut table = new_table(&["pause to resume", "loopback", "network", "serial round trips"]);
    for ((name, near), (_, far)) in columns(near).into_iter().zip(columns(far)) {
        let (near, far) = (stats::paused(near), stats::paused(far));
        table.add_row(vec![name.to_owned(), ms(near), ms(far), format!("{:.1}", (far - near) / trip)]);
    }
    println!("\n{table}");
    for ((name, near), (_, far)) in columns(near).into_iter().zip(columns(far)) {
        let mut table = new_table(&[name, "loopback", "network", "round trips"]);
        for ((part, near, _), (_, far, _)) in stats::parts(near).into_iter().zip(stats::parts(far)) {
            table.add_row(vec![part, ms(near), ms(far), format!("{:.1}", (far - near) / trip)]);
        }
        println!("\n{table}");
    }
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header.to_vec());
    table
}

fn ms(millis: f64) -> String {
    format!("{millis:.1} ms")
}
