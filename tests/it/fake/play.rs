//! Executors that follow one another on one run, until it has ended; and journals that are cut.

use std::path::PathBuf;
use std::sync::Arc;

use pointsman::executor::state::StepState;
use pointsman::executor::{Conclusion, Drive, DriveError, OnHold, RunState, take};
use pointsman::journal::{Durability, Entry, Event, Journal, TakeReason, Word};
use pointsman::plan::{Choices, Plan, SideChoices, assemble};
use pointsman::runbook::load_str;
use pointsman::runbook::model::{Fence, Step};
use pointsman::runbook::units::Span;
use pointsman::systems::pair::Heading;
use tokio::sync::broadcast;

use super::earth::Earth;
use super::hands::Fakes;

/// The plan of a runbook of this project, with choices as if databases had been looked at.
pub fn plan_of(file: &str) -> Plan {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let mut plan = plan_as_written(file, &std::fs::read_to_string(path).unwrap());
    for step in &mut plan.steps {
        if let Step::Window(window) = &mut step.step {
            // A slow machine must not use up the budget: only what hangs does.
            window.budget = Span::secs(600);
        }
    }
    plan
}

/// The same, from a text, with nothing changed.
pub fn plan_as_written(file: &str, text: &str) -> Plan {
    let loaded = load_str(file, text, None).unwrap_or_else(|found| panic!("{found}"));
    let side = |version, identifier: &str| SideChoices {
        version,
        fence: Fence::Database,
        superuser: true,
        system_identifier: identifier.into(),
        database: "shop".into(),
        role: "pointsman".into(),
        mysql: None,
        rds: None,
    };
    let public = |name: &str| ("public".to_owned(), name.to_owned());
    let choices = Choices {
        routes: indexmap::IndexMap::new(),
        servers: indexmap::IndexMap::new(),
        blue_green: None,
        source: side(150_013, "7000000000000000001"),
        target: side(180_001, "7000000000000000002"),
        tables: vec![public("orders"), public("customers")],
        sequences: vec![public("orders_id_seq")],
        schemas: vec!["public".into()],
        mysql: None,
        dms: None,
    };
    let moves = loaded.runbook.steps.iter().any(|step| step.kind() == "replicate");
    assemble(&loaded, file, if moves { choices } else { Choices::default() })
}

/// How one executor left.
#[derive(Debug)]
pub enum Outing {
    /// By itself.
    Left(Conclusion),
    /// It died.
    Died,
    /// The journal refused, or another executor had the run.
    Failed(DriveError),
}

/// One run, its journal, the world.
pub struct Play {
    pub journal: Arc<Journal>,
    pub run: String,
    pub epoch: u64,
    pub fakes: Arc<Fakes>,
}

/// A journal that ends after some entry, and the world as it may have been then.
pub struct Cut {
    pub name: String,
    pub play: Play,
}

impl Play {
    /// A new run; its questions are answered beforehand.
    pub fn new(plan: &Plan) -> Self {
        let play = Self::unanswered(plan);
        play.answer();
        play
    }

    /// A new run whose questions nobody has answered.
    pub fn unanswered(plan: &Plan) -> Self {
        Self::in_journal(plan, Journal::in_memory().unwrap())
    }

    pub fn in_journal(plan: &Plan, journal: Journal) -> Self {
        let journal = Arc::new(journal);
        let (run, epoch) = take::begin(&journal, plan).unwrap();
        Self { journal, run, epoch, fakes: Fakes::new(Earth::new()) }
    }

    /// Says yes to every question of the plan.
    pub fn answer(&self) {
        for step in self.state().plan.steps.iter().filter(|step| matches!(step.step, Step::Approve(_))) {
            self.say(&Word::Approve { step: step.id.clone() });
        }
    }

    pub fn say(&self, word: &Word) {
        self.journal.say(&self.run, word, "ops@example", Some("test")).unwrap();
    }

    pub fn state(&self) -> RunState {
        take::replay(&self.journal, &self.run).unwrap()
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.journal.entries(&self.run, 0).unwrap()
    }

    /// One executor, until it leaves or dies. What must never happen did not.
    pub async fn outing(&self, window_only: bool) -> Outing {
        let drive = self.drive();
        let drive = if window_only { drive.window_only() } else { drive };
        let outing = tokio::select! {
            biased;
            () = self.fakes.died.notified() => Outing::Died,
            conclusion = drive.run() => conclusion.map_or_else(Outing::Failed, Outing::Left),
        };
        self.check(&outing);
        outing
    }

    /// The next executor.
    pub fn drive(&self) -> Drive {
        let (views, _feed) = broadcast::channel(16);
        let journal = Arc::clone(&self.journal);
        let drive = Drive::new(journal, &self.run, self.epoch, OnHold::Leave, views).unwrap();
        drive.with_hands(Arc::clone(&self.fakes) as Arc<_>)
    }

    fn check(&self, outing: &Outing) {
        let earth = self.fakes.earth();
        assert_eq!(earth.broken, Vec::<String>::new(), "{}", self.told());
        let state = self.state();
        let frozen = earth.is_frozen();
        let excused = !matches!(outing, Outing::Left(Conclusion::Ended(..) | Conclusion::Held(_)));
        assert!(!frozen || excused, "writes wait after {outing:?}\n{}", self.told());
        assert!(state.passage.is_none() || excused, "inside the window after {outing:?}\n{}", self.told());
    }

    /// The journal in words, for a failed assertion.
    pub fn told(&self) -> String {
        let entries = self.entries();
        let lines = entries[entries.len().saturating_sub(60)..].iter().filter_map(pointsman::view::words::line);
        lines.map(|(step, text)| format!("{step:<14} {text}")).collect::<Vec<_>>().join("\n")
    }

    /// Another executor takes the run.
    pub fn take(&mut self, reason: TakeReason) {
        self.epoch = take::take(&self.journal, &self.run, self.epoch, reason).unwrap();
    }

    /// A dead executor's run is taken: by the guard inside the window, then by a person.
    pub async fn rescue(&mut self) -> Option<Outing> {
        if self.state().passage.is_some() {
            self.take(TakeReason::Guard);
            let outing = self.outing(true).await;
            if !matches!(outing, Outing::Left(_)) {
                return Some(outing);
            }
            assert!(!self.fakes.earth().is_frozen() || self.is_stuck(), "frozen after the guard\n{}", self.told());
        }
        self.take(TakeReason::Resume);
        None
    }

    /// Each window that was passed was proved.
    pub fn is_proved(&self) -> bool {
        let entries = self.entries();
        let count = |is: fn(&Event) -> bool| entries.iter().filter(|entry| is(&entry.event)).count();
        count(|event| matches!(event, Event::Passed { .. })) == count(|event| matches!(event, Event::Proved { .. }))
    }

    pub fn is_stuck(&self) -> bool {
        let failed = |state: &StepState| matches!(state, StepState::UndoFailed(_));
        let state = self.state();
        state.hold.is_some() && (state.passage.is_some() || state.steps.iter().any(|step| failed(&step.forth)))
    }

    /// Executors follow one another until the run has ended; whenever it is held, a person says `word`.
    pub async fn until_the_end(&mut self, word: &Word) -> Conclusion {
        for _ in 0..60 {
            match self.outing(false).await {
                Outing::Left(ended @ Conclusion::Ended(..)) => return ended,
                Outing::Left(Conclusion::Stuck(_)) => {
                    self.say(&Word::Retry);
                    self.take(TakeReason::Resume);
                }
                Outing::Left(Conclusion::Held(_)) => {
                    let stopped = matches!(word, Word::Rollback { .. }) && self.state().heading == Heading::Back;
                    self.answer();
                    // What can't be seen is done again when a person says so.
                    let doubtful = self.state().hold.is_some_and(|why| why.starts_with("in doubt"));
                    self.say(if stopped || (doubtful && *word == Word::Continue) { &Word::Retry } else { word });
                    self.take(TakeReason::Resume);
                }
                Outing::Died => while self.rescue().await.is_some() {},
                Outing::Failed(error) => panic!("{error}\n{}", self.told()),
            }
        }
        panic!("no end after 60 executors\n{}", self.told());
    }

    /// This run, cut after its first `count` entries: once for each way in which the world may have been then.
    pub fn cut(&self, count: usize) -> Vec<Cut> {
        let snapshots = self.fakes.snapshots();
        let at = count as u64;
        let now = snapshots.iter().find(|snapshot| snapshot.entries == at);
        let past = snapshots.iter().rev().find(|snapshot| snapshot.entries < at);
        let worlds: Vec<(&str, Earth)> = match (now, past) {
            (Some(now), _) => {
                vec![("before", now.before.clone()), ("half", now.half.clone()), ("after", now.after.clone())]
            }
            (None, Some(past)) => vec![("", past.after.clone())],
            (None, None) => vec![("", Earth::new())],
        };
        worlds.into_iter().map(|(how, earth)| self.copy(count, how, earth)).collect()
    }

    fn copy(&self, count: usize, how: &str, earth: Earth) -> Cut {
        let entries = self.entries();
        let name = format!("cut after {count} of {} entries, {how}", entries.len());
        let journal = Arc::new(Journal::in_memory().unwrap());
        journal.create(&self.run, "copy", None).unwrap();
        let mut epoch = 0;
        for entry in &entries[..count] {
            while epoch < entry.epoch {
                epoch = journal.take(&self.run, epoch, &entry.by).unwrap();
            }
            journal.append(&self.run, epoch, &entry.by, entry.event.clone(), Durability::Ordered).unwrap();
        }
        Cut { name, play: Self { journal, run: self.run.clone(), epoch, fakes: Fakes::new(earth) } }
    }
}
