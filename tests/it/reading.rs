//! Everything that a person or a program reads of a plan or a run, word for word.

use std::collections::BTreeSet;
use std::time::Duration;

use pointsman::clock;
use pointsman::executor::context::Published;
use pointsman::gates::{Reading, Verdict};
use pointsman::journal::{Act, Durability, Event, FailureKind, Journal, Outcome, TakeReason, Word};
use pointsman::plan::show;
use pointsman::report;
use pointsman::systems::pair::Heading;
use pointsman::view::estimates::Estimates;
use pointsman::view::json::{Json, TYPES};
use pointsman::view::plain::Plain;
use pointsman::view::status;
use serde_json::{Value, json};

use crate::standings::{Told, actor, failure, mv, plan, standings};

fn reading(verdict: Verdict, value: &str, threshold: &str) -> Reading {
    let at = "2026-03-01T10:00:00Z".parse().unwrap();
    Reading {
        verdict,
        value: value.into(),
        number: Some(12.0),
        threshold: threshold.into(),
        detail: None,
        at,
        early: false,
    }
}

fn readings() -> show::Readings {
    let lag = reading(Verdict::Pass, "12 B", "at most 1.0 MiB");
    let long = reading(Verdict::NoData, "no data", "at most 2s");
    [("lag".to_owned(), lag), ("long-transactions".to_owned(), long)].into()
}

/// Hashes and versions change with the program; the rest must not change unseen.
const FILTERS: [(&str, &str); 3] = [
    (r"\b[0-9a-f]{64}\b", "HASH"),
    (r"(hash|plan) [0-9a-f]{12}\b", "$1 HASH"),
    (r"pointsman \d+\.\d+\.\d+", "pointsman VERSION"),
];

#[test]
fn the_plan_as_text() {
    insta::with_settings!({ filters => FILTERS }, { insta::assert_snapshot!(show::text(&plan(), &readings())) });
}

#[test]
fn the_plan_as_json() {
    let object = serde_json::to_string_pretty(&show::object(&plan(), &readings())).unwrap();
    insta::with_settings!({ filters => FILTERS }, { insta::assert_snapshot!(object) });
}

/// One of each, and each with what makes its text different.
fn every_event() -> Told {
    let (forth, back) = (Heading::Forth, Heading::Back);
    let apply = |step: &str| mv(step, Act::Apply, forth);
    let who = || "ops@example".to_owned();
    let word = |word: Word| Event::Said { word, who: who(), why: Some("seen enough".into()) };
    let mut told = Told::begun();
    for reason in [TakeReason::Resume, TakeReason::Rollback, TakeReason::Guard] {
        told = told.and(Event::Took { reason });
    }
    let moves = [apply("shift"), mv("freeze", Act::Apply, back), mv("shift", Act::Undo, forth)];
    for of in moves {
        told = told
            .and(Event::Intent { of: of.clone(), attempt: 1 })
            .and(Event::Intent { of: of.clone(), attempt: 3 })
            .and(Event::Noted { of: of.clone(), note: json!({ "weights": [1] }) })
            .and(Event::Failed { of: of.clone(), failure: failure(FailureKind::Refused) })
            .and(Event::Done { of: of.clone(), note: json!({}), millis: 12.34 })
            .and(Event::Done { of: of.clone(), note: json!({ "summary": "3 tables" }), millis: 3_723_000.0 })
            .and(Event::Interrupted { of });
    }
    for verdict in [Verdict::Pass, Verdict::Fail, Verdict::NoData, Verdict::Error] {
        let reading = reading(verdict, "12 B", "at most 1.0 MiB");
        told = told.and(Event::Judged { step: "wait".into(), gate: "lag".into(), reading });
    }
    for way in [forth, back] {
        told = told
            .and(Event::Committed { way })
            .and(Event::Thawed { way, millis: 801.0 })
            .and(Event::Passed { way, millis: 38.2 })
            .and(Event::Proved { way, summary: "a write through pool arrived".into() });
    }
    let step = || "shift".to_owned();
    let words = [
        Word::Approve { step: step() },
        Word::Hold,
        Word::Continue,
        Word::Retry,
        Word::Skip { step: step() },
        Word::Rollback { to: None },
        Word::Rollback { to: Some(step()) },
    ];
    for said in words {
        told = told.and(word(said));
    }
    let refused = Event::Refused { word: Word::Hold, who: who(), reason: "the run is inside the window".into() };
    told = told.and(refused).held("shift: a gate fails").turned(None).turned(Some("wait"));
    [Outcome::Done, Outcome::Refused, Outcome::RolledBack].into_iter().fold(told, Told::ended)
}

#[test]
fn every_event_in_words() {
    let mut out = Vec::new();
    let mut view = Plain::new(&mut out, false);
    every_event().0.iter().for_each(|entry| view.entry(entry).unwrap());
    insta::with_settings!({ filters => FILTERS }, { insta::assert_snapshot!(String::from_utf8(out).unwrap()) });
}

#[test]
fn colour_says_nothing_that_the_words_do_not() {
    let shown = |colour: bool| {
        let mut out = Vec::new();
        let mut view = Plain::new(&mut out, colour);
        every_event().0.iter().for_each(|entry| view.entry(entry).unwrap());
        out
    };
    let (plain, coloured) = (shown(false), shown(true));
    assert_ne!(plain, coloured);
    let mut stripped = anstream::StripStream::new(Vec::new());
    std::io::Write::write_all(&mut stripped, &coloured).unwrap();
    assert_eq!(stripped.into_inner(), plain);
}

/// Silence is broken after ten seconds, by what the run waits for; not before, and not when nothing is under way.
#[test]
fn the_heartbeat_says_what_is_waited_for() {
    let mut out = Vec::new();
    let mut view = Plain::new(&mut out, false);
    let later = |seconds| clock::monotonic() + Duration::from_secs(seconds);
    view.tick_at(later(60)).unwrap();
    let told = Told::begun().up_to("replicate").intends(mv("replicate", Act::Apply, Heading::Forth));
    view.entry(told.0.last().unwrap()).unwrap();
    let sample = |key: &str, body: Value| Published::Sample { key: key.into(), body };
    view.show(&sample("progress:replicate", json!({ "text": "copying: 1 of 2 tables ready" }))).unwrap();
    view.show(&sample("gate:lag", json!({ "text": "lag 12 B (at most 1.0 MiB)" }))).unwrap();
    view.tick_at(later(5)).unwrap();
    view.tick_at(later(11)).unwrap();
    view.tick_at(later(15)).unwrap();
    view.tick_at(later(3700)).unwrap();
    let filters = [(r"\d\d:\d\d:\d\d\.\d{3}", "TIME")];
    insta::with_settings!({ filters => filters }, { insta::assert_snapshot!(String::from_utf8(out).unwrap()) });
}

#[test]
fn json_lines_have_the_documented_types_and_no_other() {
    let mut out = Vec::new();
    let mut view = Json::new(&mut out, "the-run");
    for entry in &every_event().0 {
        view.entry(entry).unwrap();
    }
    let told = Told::begun().intends(mv("preflight", Act::Apply, Heading::Forth));
    view.entry(told.0.last().unwrap()).unwrap();
    view.show(&Published::Sample { key: "gate:lag".into(), body: json!({ "text": "12 B" }) }).unwrap();
    view.tick_at(clock::monotonic() + Duration::from_secs(11)).unwrap();
    view.conclude(4, "held").unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: BTreeSet<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(types, BTreeSet::from(TYPES));
    assert!(lines.iter().all(|line| line["run"] == "the-run" && line["at"].is_string()));
    let shown: Vec<&str> = text.lines().skip(1).collect();
    let filters = [FILTERS[0], (r#""at":"20[^"]*""#, r#""at":"TIME""#)];
    insta::with_settings!({ filters => filters }, { insta::assert_snapshot!(shown.join("\n")) });
}

#[test]
fn the_status_of_every_standing() {
    let mut text = String::new();
    for (name, told) in standings() {
        let alive = ["copying", "inside the window", "asking", "rolling back"].contains(&name);
        text.push_str(&format!(
            "======== {name}\n{}\n",
            status::text("the-run", &told.state(), alive, &Estimates::default())
        ));
    }
    let filters = [(r" +\n", "\n")];
    insta::with_settings!({ filters => filters }, { insta::assert_snapshot!(text) });
}

#[test]
fn the_status_as_json() {
    let told = standings().into_iter().find(|(name, _)| *name == "window left").unwrap().1;
    let object = status::object("the-run", &told.state(), false, &Estimates::default());
    insta::assert_snapshot!(serde_json::to_string_pretty(&object).unwrap());
}

fn journal(told: &Told) -> Journal {
    let journal = Journal::in_memory().unwrap();
    journal.create("the-run", "rehearsal-postgres", None).unwrap();
    let mut epoch = 0;
    for entry in &told.0 {
        while epoch < entry.epoch {
            epoch = journal.take("the-run", epoch, &entry.by).unwrap();
        }
        journal.append("the-run", epoch, &actor(), entry.event.clone(), Durability::Ordered).unwrap();
    }
    journal.release("the-run", epoch).unwrap();
    journal
}

#[test]
fn the_report() {
    let filters = [FILTERS[0], FILTERS[1], FILTERS[2], (r"20\d\d-\d\d-\d\dT[0-9:.]+Z", "TIME")];
    for (name, told) in standings().iter().filter(|(name, _)| ["done and finalized", "window left"].contains(name)) {
        let text = report::markdown(&journal(told), "the-run").unwrap();
        insta::with_settings!({ filters => filters }, { insta::assert_snapshot!(name.replace(' ', "_"), text) });
    }
}

#[test]
fn what_was_written_by_others_is_escaped_in_the_page() {
    let told = Told::begun().held("<script>alert(1)</script>");
    let page = report::html(&journal(&told), "the-run").unwrap();
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>alert"));
}
