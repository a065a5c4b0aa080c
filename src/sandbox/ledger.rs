//! What the clients were told, compared with what the database holds.

use std::collections::HashMap;

use super::{
    SandboxError, Shop, WriteOutcome,
    workload::{Attempt, IntervalReport},
};

/// Every write of a workload, with what its client was told.
#[derive(Debug)]
pub struct Ledger {
    run: String,
    attempts: Vec<Attempt>,
}

/// The comparison. Writes are named by their tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Audit {
    /// Acknowledged writes.
    pub acknowledged: u64,
    /// Acknowledged, and not in the database.
    pub lost: Vec<String>,
    /// In the database more than once, whatever the client was told.
    pub duplicated: Vec<String>,
    /// Writes that surely failed, as their clients were told.
    pub failed: u64,
    /// Told to have failed, and in the database nevertheless.
    pub failed_present: Vec<String>,
    /// Outcome unknown to the client; they are in the database.
    pub unknown_present: u64,
    /// Outcome unknown to the client; they are not in the database.
    pub unknown_absent: u64,
    /// In the database under this workload's name, and never written by it.
    pub strangers: Vec<String>,
    /// Sequences that would give a number again, in words.
    pub sequence_anomalies: Vec<String>,
}

impl Audit {
    /// Nothing lost, nothing twice, nothing that should not be there, and every sequence ahead of its numbers.
    /// Failed and unknown writes are no fault of the data: look at them apart.
    pub fn is_clean(&self) -> bool {
        let wrong = [&self.lost, &self.duplicated, &self.failed_present, &self.strangers, &self.sequence_anomalies];
        wrong.iter().all(|list| list.is_empty())
    }
}

impl Ledger {
    pub(crate) fn new(run: String, attempts: Vec<Attempt>) -> Self {
        Self { run, attempts }
    }

    /// Every attempt, in the order of their ends.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// What clients saw between two points in time.
    pub fn report_between(&self, from: jiff::Timestamp, to: jiff::Timestamp) -> IntervalReport {
        IntervalReport::of(&self.attempts, from, to)
    }

    /// Compares with the database that takes writes; `db` may be of any role that reads the tables.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn audit(&self, db: &dyn Shop) -> Result<Audit, SandboxError> {
        let mut audit = self.compare(self.rows(db).await?);
        let numbers = db.number_anomalies().await;
        audit.sequence_anomalies = numbers.map_err(|refusal| refusal.at("read the sequences"))?;
        Ok(audit)
    }

    /// How often each token of this workload is in the database.
    async fn rows(&self, db: &dyn Shop) -> Result<HashMap<String, i64>, SandboxError> {
        let sql = format!("SELECT token, count(*) FROM ledger WHERE token LIKE '{}-%' GROUP BY token", self.run);
        let rows = db.rows(&sql).await.map_err(|refusal| refusal.at("read the ledger"))?;
        let counted = |row: Vec<Option<String>>| {
            let mut columns = row.into_iter().flatten();
            Some((columns.next()?, columns.next()?.parse().ok()?))
        };
        Ok(rows.into_iter().filter_map(counted).collect())
    }

    fn compare(&self, mut rows: HashMap<String, i64>) -> Audit {
        let mut audit = Audit::default();
        for attempt in &self.attempts {
            let token = &attempt.request.token;
            let times = rows.remove(token).unwrap_or(0);
            if times > 1 {
                audit.duplicated.push(token.clone());
            }
            match (&attempt.outcome, times > 0) {
                (WriteOutcome::Acknowledged, present) => {
                    audit.acknowledged += 1;
                    audit.lost.extend((!present).then(|| token.clone()));
                }
                (WriteOutcome::Failed(_), present) => {
                    audit.failed += 1;
                    audit.failed_present.extend(present.then(|| token.clone()));
                }
                (WriteOutcome::Unknown(_), true) => audit.unknown_present += 1,
                (WriteOutcome::Unknown(_), false) => audit.unknown_absent += 1,
            }
        }
        audit.strangers = rows.into_keys().collect();
        audit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::WriteRequest;

    fn attempt(token: &str, outcome: WriteOutcome) -> Attempt {
        Attempt {
            request: WriteRequest { client: 1, n: 1, token: token.into() },
            via: "old".into(),
            started: jiff::Timestamp::UNIX_EPOCH,
            ended: jiff::Timestamp::UNIX_EPOCH,
            waited: std::time::Duration::ZERO,
            outcome,
        }
    }

    #[test]
    fn every_kind_of_difference_is_told_apart() {
        let unknown = || WriteOutcome::Unknown(String::new());
        let failed = || WriteOutcome::Failed(String::new());
        let attempts = vec![
            attempt("kept", WriteOutcome::Acknowledged),
            attempt("lost", WriteOutcome::Acknowledged),
            attempt("twice", WriteOutcome::Acknowledged),
            attempt("ghost", failed()),
            attempt("gone", failed()),
            attempt("maybe", unknown()),
            attempt("never", unknown()),
        ];
        let rows = [("kept", 1), ("twice", 2), ("ghost", 1), ("maybe", 1), ("stranger", 1)];
        let rows = rows.map(|(token, times)| (token.to_owned(), times)).into_iter().collect();
        let audit = Ledger::new("run".into(), attempts).compare(rows);
        let one = |token: &str| vec![token.to_owned()];
        let expected = Audit {
            acknowledged: 3,
            lost: one("lost"),
            duplicated: one("twice"),
            failed: 2,
            failed_present: one("ghost"),
            unknown_present: 1,
            unknown_absent: 1,
            strangers: one("stranger"),
            sequence_anomalies: Vec::new(),
        };
        assert_eq!(audit, expected);
        assert!(!audit.is_clean());
    }
}
