//! `make bench`: cutovers under load, ours and a hand-made minimum by turns in the same sandbox, and where the
//! milliseconds go. Then the same over a network of 20 ms, the start-up time, and the memory.
//!
//! ```text
//! cargo bench --bench window -- [--rounds 15] [--rate 1000] [--only 15-18 | 17-18 | mysql | network | program] [--against PROGRAM]
//! ```
//!
//! `--rate` says how many transactions a second all clients write together: a machine that can't carry them measures how
//! it is overloaded.
//! `--against` takes another build of the program through the same rounds, to compare the two.
#![expect(clippy::print_stdout, reason = "a bench prints what it found")]

mod hand;
mod mysql;
mod ours;
mod program;
mod site;
mod stats;
mod table;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use pointsman::sandbox::Age;
use pointsman::sandbox::delay::DelayProxy;
use site::{Routes, Site};
use stats::Cutover;

/// What goes wrong here is only ever shown.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const POINTSMAN: &str = env!("CARGO_BIN_EXE_pointsman");
/// A round trip of the make-believe network.
const ROUND_TRIP: Duration = Duration::from_millis(20);
/// Rounds over the network, with and without its delay.
const NETWORK_ROUNDS: usize = 3;

struct Options {
    rounds: usize,
    rate: f64,
    only: Option<String>,
    against: Option<String>,
}

impl Options {
    fn read() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned();
        Self {
            rounds: value("--rounds").and_then(|text| text.parse().ok()).unwrap_or(15),
            rate: value("--rate").and_then(|text| text.parse().ok()).unwrap_or(site::RATE),
            only: value("--only"),
            against: value("--against"),
        }
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Options::read()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("the bench could not go on: {error}");
            ExitCode::from(2)
        }
    }
}

async fn measure(options: &Options) -> Result<bool> {
    let mut good = true;
    let mut memory = program::Memory::default();
    for (source, target, pooler, ratio_max) in [(15, 18, Age::Old, 2.5), (17, 18, Age::New, 1.5)] {
        if options.wants(&format!("{source}-{target}")) {
            let site = Site::start(source, target, pooler, options.rate).await?;
            title(&site.title(), options);
            program::show_load();
            let rounds = alternate(&site, &Routes::direct(&site), options, options.rounds, &mut memory).await?;
            good &= table::pair(&rounds, ratio_max, 0);
            good &= program::start_up(Some(site.folder.path().join("journal.db")))?;
            site.stop().await;
        }
    }
    if options.wants("mysql") {
        let site = mysql::Site::start(options.rate).await?;
        title(&site.title(), options);
        program::show_load();
        let mut rounds = Rounds::default();
        for round in 1..=options.rounds {
            let (forth, back) = ours::round(&site, POINTSMAN, &mut memory).await?;
            let hand = mysql::by_hand(&site).await?;
            println!("round {round:>2}: ours {} | back {} | hand-made {}", forth.brief(), back.brief(), hand.brief());
            rounds.forth.push(forth);
            rounds.back.push(back);
            rounds.hand.push(hand);
        }
        good &= table::pair(&rounds, 1.5, site::CLIENTS as u64);
        site.stop().await;
    }
    if options.wants("network") {
        network(options, &mut memory).await?;
    }
    if options.only.as_deref() == Some("program") {
        good &= program::start_up(None)?;
    }
    good &= memory.show();
    Ok(good)
}

fn title(of: &str, options: &Options) {
    println!("\n== {of}: {} rounds, ours and hand-made by turns, {} a second ==", options.rounds, options.rate);
}

/// Cutovers of one pair of servers.
#[derive(Default)]
pub struct Rounds {
    forth: Vec<Cutover>,
    back: Vec<Cutover>,
    hand: Vec<Cutover>,
    /// The same by another build.
    other_forth: Vec<Cutover>,
    other_back: Vec<Cutover>,
}

async fn alternate(
    site: &Site,
    routes: &Routes,
    options: &Options,
    rounds: usize,
    memory: &mut program::Memory,
) -> Result<Rounds> {
    let mut all = Rounds::default();
    for round in 1..=rounds {
        let (forth, back) = ours::round(&(site, routes), POINTSMAN, memory).await?;
        let hand = hand::round(site, routes).await?;
        println!("round {round:>2}: ours {} | back {} | hand-made {}", forth.brief(), back.brief(), hand.brief());
        if let Some(other) = &options.against {
            let (forth, back) = ours::round(&(site, routes), other, &mut program::Memory::default()).await?;
            println!("          other {} | back {}", forth.brief(), back.brief());
            all.other_forth.push(forth);
            all.other_back.push(back);
        }
        all.forth.push(forth);
        all.back.push(back);
        all.hand.push(hand);
    }
    Ok(all)
}

/// The same sandbox behind delaying proxies, without and with the delay.
async fn network(options: &Options, memory: &mut program::Memory) -> Result<()> {
    let site = Site::start(17, 18, Age::New, options.rate).await?;
    println!("\n== {} over a network: every connection of ours and between the servers ==", site.title());
    let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let (source, target) = (site.sandbox.source.port(), site.sandbox.target.port());
    let pooler = site.pooler()?.port();
    let mut proxies = Vec::new();
    for port in [source, target, pooler] {
        proxies.push(DelayProxy::start(local(port), Duration::ZERO).await?);
    }
    let routes = Routes {
        source: proxies[0].address().port(),
        target: proxies[1].address().port(),
        pooler: proxies[2].address().port(),
    };
    let near = alternate(&site, &routes, options, NETWORK_ROUNDS, memory).await?;
    for proxy in &proxies {
        proxy.set_delay(ROUND_TRIP / 2);
    }
    println!("now with a round trip of {ROUND_TRIP:?}:");
    let far = alternate(&site, &routes, options, NETWORK_ROUNDS, memory).await?;
    table::network(&near, &far, ROUND_TRIP);
    site.stop().await;
    Ok(())
}
