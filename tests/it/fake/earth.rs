//! The world itself: plain data, and what a part of a step changes in it.

use std::collections::{BTreeMap, BTreeSet};

use pointsman::systems::pair::Heading;

/// Whether a database takes the application's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The application does not know it.
    Unused,
    Closed,
    Open,
}

/// A write in the log of the database that took it; `carried` is where the points stood at that moment.
#[derive(Clone, Debug, PartialEq)]
struct Write {
    id: u64,
    carried: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    pub door: Door,
    pub rows: BTreeSet<u64>,
    log: Vec<Write>,
    sequence: u64,
}

/// A stream: laid or not, its points, and how far the subscriber has read the publisher's log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    pub laid: bool,
    pub on: bool,
    read: usize,
}

/// One indivisible effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Nothing,
    CloseTarget,
    Copy,
    Lay(Heading),
    DropStreams,
    ForgetTarget,
    Weight(u32),
    Arm(Heading),
    Pause,
    Resume,
    Fence(Heading),
    Lift(Heading),
    Drain(Heading),
    Sequences(Heading),
    Open(Heading),
    Lead(Heading),
    Compare,
    Author(String, bool),
}

/// Everything outside of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Earth {
    pub source: Database,
    pub target: Database,
    pub forward: Stream,
    pub backward: Stream,
    /// Where the pooler leads, and whether its clients wait.
    pub leads: Heading,
    pub paused: bool,
    pub weight: u32,
    /// Effects of the author's own steps.
    pub authored: BTreeMap<String, bool>,
    /// Newest executor that the databases know.
    pub epoch: u64,
    /// Writes that a client was told are safe.
    acked: BTreeSet<u64>,
    /// What must never happen, and did.
    pub broken: Vec<String>,
}

impl Earth {
    pub fn new() -> Self {
        let database = |door| Database { door, rows: BTreeSet::new(), log: Vec::new(), sequence: 1 };
        let mut earth = Self {
            source: database(Door::Open),
            target: database(Door::Unused),
            forward: Stream::default(),
            backward: Stream::default(),
            leads: Heading::Forth,
            paused: false,
            weight: 0,
            authored: BTreeMap::new(),
            epoch: 0,
            acked: BTreeSet::new(),
            broken: Vec::new(),
        };
        earth.live();
        earth
    }

    /// The side that a passage in this direction leaves.
    fn leaving(&mut self, way: Heading) -> &mut Database {
        if way == Heading::Forth { &mut self.source } else { &mut self.target }
    }

    fn arriving(&mut self, way: Heading) -> &mut Database {
        self.leaving(way.opposite())
    }

    fn stream(&mut self, way: Heading) -> &mut Stream {
        if way == Heading::Forth { &mut self.forward } else { &mut self.backward }
    }

    /// A moment passes: clients write, streams carry most of it, and everything is looked at.
    pub fn live(&mut self) {
        if !self.paused {
            // `leads: Forth` means: to the source.
            self.write(self.leads);
        }
        self.write(Heading::Forth);
        self.write(Heading::Back);
        self.carry(Heading::Forth, 2);
        self.carry(Heading::Back, 2);
        self.look();
    }

    /// A client's write to the side that `way` leaves.
    fn write(&mut self, way: Heading) {
        let stream = self.stream(way);
        let carried = stream.laid && stream.on;
        let database = self.leaving(way);
        if database.door != Door::Open {
            return;
        }
        let id = database.sequence;
        database.sequence += 1;
        let fresh = database.rows.insert(id);
        database.log.push(Write { id, carried });
        if !fresh || !self.acked.insert(id) {
            self.broken.push(format!("number {id} was handed out twice"));
        }
    }

    /// The stream brings everything but the last `behind` writes.
    fn carry(&mut self, way: Heading, behind: usize) {
        let stream = self.stream(way).clone();
        if !stream.laid {
            return;
        }
        let log = &self.leaving(way).log;
        let until = log.len().saturating_sub(behind).max(stream.read);
        let brought: Vec<u64> = log[stream.read..until].iter().filter(|write| write.carried).map(|w| w.id).collect();
        self.stream(way).read = until;
        for id in brought {
            if !self.arriving(way).rows.insert(id) {
                self.broken.push(format!("row {id} came through the stream {way:?} twice"));
            }
        }
    }

    /// What must always hold.
    fn look(&mut self) {
        let open = [&self.source, &self.target].map(|database| database.door == Door::Open);
        if open == [true, true] {
            self.broken.push("two databases are open for writes".into());
        }
        for (name, database) in [("source", &self.source), ("target", &self.target)] {
            let missing = self.acked.difference(&database.rows).count();
            if database.door == Door::Open && missing > 0 {
                self.broken
                    .push(format!("{missing} acknowledged writes are missing on the {name}, which takes writes"));
            }
        }
    }

    /// Whether writes wait.
    pub fn is_frozen(&self) -> bool {
        self.paused || (self.source.door != Door::Open && self.target.door != Door::Open)
    }

    /// One part of a step. `Err` says what a real system would refuse.
    pub fn part(&mut self, part: &Part) -> Result<(), String> {
        match part {
            Part::Nothing => {}
            Part::CloseTarget => {
                if self.target.door == Door::Open {
                    self.broken.push("the target was closed while it took writes".into());
                }
                self.target.door = Door::Closed;
            }
            Part::Lay(way) => self.lay(*way),
            Part::Copy => self.copy(),
            Part::DropStreams => (self.forward, self.backward) = (Stream::default(), Stream::default()),
            Part::ForgetTarget => {
                let forgotten = Database { door: Door::Unused, rows: BTreeSet::new(), log: Vec::new(), sequence: 1 };
                self.target = forgotten;
            }
            Part::Weight(weight) => self.weight = *weight,
            Part::Arm(way) => return self.arm(*way),
            Part::Pause => self.paused = true,
            Part::Resume => self.paused = false,
            Part::Fence(way) => {
                self.leaving(*way).door = Door::Closed;
                self.stream(*way).on = false;
            }
            Part::Lift(way) => {
                self.leaving(*way).door = Door::Open;
                self.stream(*way).on = true;
            }
            Part::Drain(way) => self.carry(*way, 0),
            Part::Sequences(way) => {
                let value = self.leaving(*way).sequence;
                self.arriving(*way).sequence = value;
            }
            Part::Open(way) => {
                self.stream(way.opposite()).on = true;
                self.arriving(*way).door = Door::Open;
            }
            Part::Lead(way) => {
                self.leads = way.opposite();
                self.paused = false;
            }
            Part::Compare => return self.compare(),
            Part::Author(step, true) => drop(self.authored.insert(step.clone(), true)),
            Part::Author(step, false) => drop(self.authored.remove(step)),
        }
        Ok(())
    }

    fn lay(&mut self, way: Heading) {
        if !self.stream(way).laid {
            let read = self.leaving(way).log.len();
            *self.stream(way) = Stream { laid: true, on: way == Heading::Forth, read };
        }
    }

    /// The initial copy: what is there when the stream begins.
    fn copy(&mut self) {
        if !self.forward.laid {
            self.lay(Heading::Forth);
            self.target.rows.clone_from(&self.source.rows);
        }
    }

    fn arm(&mut self, way: Heading) -> Result<(), String> {
        let leaving = self.leaving(way).door;
        if !self.forward.laid || !self.backward.laid {
            return Err("a stream is missing".into());
        }
        if self.paused || self.leads != way || leaving != Door::Open {
            return Err(format!("the side that is left is {leaving:?}, or the pooler does not lead to it"));
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), String> {
        let way = if self.source.door == Door::Open { Heading::Forth } else { Heading::Back };
        self.carry(way, 0);
        if self.source.rows == self.target.rows { Ok(()) } else { Err("both sides differ".into()) }
    }

    /// What two ends of the same road have in common: everything but the rows and who did it.
    pub fn shape(&self) -> String {
        let streams = [&self.forward, &self.backward].map(|stream| (stream.laid, stream.on));
        format!(
            "source {:?}, target {:?}, streams {streams:?}, pooler leads {:?} paused {}, weight {}, authored {:?}",
            self.source.door,
            self.target.door,
            self.leads,
            self.paused,
            self.weight,
            self.authored.keys().collect::<Vec<_>>()
        )
    }
}
