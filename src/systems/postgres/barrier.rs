//! What happens on the side that is left, inside the window, in one round trip: fence, end sessions, wait until none is
//! left, look for what could still commit, write the token, read the position and the sequences, set the points.

use serde::{Deserialize, Serialize};

use super::fence::Fencing;
use super::hold::Hold;
use super::{Session, ident, literal};
use crate::systems::pair::Heading;
use crate::systems::{Certainty, DriverError, Result};

/// A sequence's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceValue {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `last_value`.
    pub value: i64,
    /// `is_called`.
    pub called: bool,
}

/// What the side that is left looked like when nothing could write there any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barrier {
    /// `pg_current_wal_insert_lsn()` after the fence and before the token. The flush and write positions lag behind
    /// acknowledged commits.
    pub position: String,
    /// What must come through the stream.
    pub token: String,
    /// All sequences.
    pub sequences: Vec<SequenceValue>,
}

/// What the barrier needs to know.
#[derive(Clone, Debug)]
pub struct BarrierPlan<'a> {
    /// The run and the epoch of its executor.
    pub run: &'a str,
    /// Checked by each transaction.
    pub epoch: u64,
    /// The direction.
    pub way: Heading,
    /// The fence of the side that is left.
    pub fencing: Fencing<'a>,
    /// Sequences to read.
    pub sequences: &'a [(String, String)],
    /// What must come through the stream.
    pub token: &'a str,
    /// The statement that sets the stream's points to nothing; empty where it has none.
    pub points: &'a str,
    /// Longest wait for sessions to end, in milliseconds.
    pub limit_ms: u64,
}

impl BarrierPlan<'_> {
    /// The statements, in order; one round trip.
    #[must_use]
    pub fn sql(&self) -> String {
        self.sql_by(Hold::Schema)
    }

    /// The same where something else holds the epoch.
    #[must_use]
    pub fn sql_by(&self, hold: Hold) -> String {
        let mine = hold.held(self.run, self.epoch);
        let (close, expel) = (self.fencing.close(), self.fencing.expel(self.limit_ms));
        let (checked, token) = (Fencing::nothing_in_flight(), hold.mark(self.way, self.run, self.token));
        let (points, sequences) = (self.points, read_sequences(self.sequences));
        // The second commit flushes the first one too.
        format!(
            "BEGIN;\n{mine}\nSET LOCAL synchronous_commit = off;\n{close}COMMIT;\n{expel}\
             BEGIN;\n{mine}\nSET LOCAL synchronous_commit = local;\n{checked}\
             SELECT pg_current_wal_insert_lsn();\n{sequences}{token}{points}COMMIT;\n"
        )
    }

    /// The same statements, taken back, without ending sessions: tried before the window, they show that they are
    /// allowed, and what a server has to read and to prepare for them at their first time is in its memory.
    #[must_use]
    pub fn trial(&self) -> String {
        self.trial_by(Hold::Schema)
    }

    /// The same where something else holds the epoch.
    #[must_use]
    pub fn trial_by(&self, hold: Hold) -> String {
        let (mine, close) = (hold.held(self.run, self.epoch), self.fencing.close());
        let (clients, sequences) = (self.fencing.clients(), read_sequences(self.sequences));
        let (token, points) = (hold.mark(self.way, self.run, self.token), self.points);
        format!(
            "BEGIN;\n{mine}\n{close}SELECT count(*) FROM pg_stat_activity WHERE {clients};\n\
             SELECT count(*) FROM pg_prepared_xacts;\n{sequences}{token}{points}ROLLBACK;\n"
        )
    }

    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<Barrier> {
        self.run_by(session, Hold::Schema).await
    }

    /// The same where something else holds the epoch.
    pub async fn run_by(&self, session: &Session, hold: Hold) -> Result<Barrier> {
        let results = match session.batch("fence it and write the barrier", &self.sql_by(hold)).await {
            Ok(results) => results,
            Err(error) => {
                // An error inside BEGIN leaves the session in a failed transaction.
                drop(session.batch("leave the transaction", "ROLLBACK").await);
                return Err(error);
            }
        };
        let incomplete =
            || DriverError::new(session.system(), "read the barrier", "the answer is incomplete", Certainty::Unknown);
        // Results with rows: hold_epoch, hold_epoch, position, sequences (absent when there are none).
        let position = results.get(2).and_then(|rows| rows.first()?.first()?.clone()).ok_or_else(incomplete)?;
        let sequences = results.get(3).map_or(&[][..], Vec::as_slice);
        let sequences: Option<Vec<SequenceValue>> = sequences.iter().map(|row| sequence(row)).collect();
        Ok(Barrier { position, token: self.token.to_owned(), sequences: sequences.ok_or_else(incomplete)? })
    }
}

fn sequence(row: &[Option<String>]) -> Option<SequenceValue> {
    let [Some(schema), Some(name), Some(value), Some(called)] = row else { return None };
    Some(SequenceValue {
        schema: schema.clone(),
        name: name.clone(),
        value: value.parse().ok()?,
        called: called == "t",
    })
}

/// Reads sequences from their own rows: `pg_sequences` hides the value of one that was not used since it was set.
#[must_use]
pub fn read_sequences(sequences: &[(String, String)]) -> String {
    let selects: Vec<String> = sequences
        .iter()
        .map(|(schema, name)| {
            let (schema_text, name_text) = (literal(schema), literal(name));
            format!("SELECT {schema_text}, {name_text}, last_value, is_called FROM {}.{}", ident(schema), ident(name))
        })
        .collect();
    if selects.is_empty() { String::new() } else { selects.join("\nUNION ALL ") + ";\n" }
}

/// Sets sequences, only ever forward (in the direction in which they count): a value that is ahead does no harm, one
/// that is behind gives numbers out twice.
#[must_use]
pub fn carry_sequences(values: &[SequenceValue]) -> String {
    values
        .iter()
        .fold(String::new(), |sql, sequence| {
            let name = format!("{}.{}", ident(&sequence.schema), ident(&sequence.name));
            let (regclass, value, called) = (literal(&name), sequence.value, sequence.called);
            sql + &format!(
                "SELECT setval({regclass}, {value}, {called}) FROM {name} s, pg_sequence p WHERE p.seqrelid = {regclass}::regclass \
                 AND (p.seqcycle OR CASE WHEN p.seqincrement > 0 THEN (s.last_value, s.is_called) < ({value}, {called}) \
                 ELSE s.last_value > {value} OR (s.last_value = {value} AND NOT s.is_called) END);\n"
            )
        })
}
