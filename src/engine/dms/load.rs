//! A task from its start to the moment when it follows: everything is loaded, what came meanwhile is applied, the task
//! stops by itself; then the rest of the schema is made, and the task goes on. A start whose answer was lost is seen in
//! the task's state: it is asked for once more only when that did not change for a while, and DMS refuses a second one.

use std::time::{Duration, Instant};

use super::works::{Works, in_doubt};
use crate::clock;
use crate::engine::Outcome;
use crate::journal::FailureKind;
use crate::secret;
use crate::steps::StepError;
use crate::systems::aws::dms::{self as driver, Start, State, Table, Task};

/// So long after a start was asked for, a state of before is not believed.
const GRACE: Duration = Duration::from_secs(30);
/// Tables that an error names.
const NAMED: usize = 5;

impl Works<'_> {
    /// Loads everything; ends when the task has stopped because that is done.
    pub async fn load(&self) -> Outcome<Vec<Table>> {
        let (began, mut asked) = (clock::monotonic(), None);
        loop {
            let task = self.state().await?;
            match task.state {
                State::Stopped if task.is_loaded() => return self.all_loaded(&task).await,
                State::Ready => self.start(&task, Start::New, &mut asked).await?,
                State::Failed | State::Stopped | State::Forgotten if !is_fresh(asked) => {
                    return Err(self.failed(&task).await?);
                }
                // Its start was seen: what comes now is not of before.
                State::Starting | State::Running => asked = None,
                _ => {}
            }
            let tables = self.tables(&task).await?;
            if tables.iter().any(Table::is_broken) {
                return Err(self.broken(&tables));
            }
            self.busy(&progress(&task, &tables));
            self.within(began)?;
            self.rest(began).await?;
        }
    }

    /// Goes on from where the task stopped; ends when it runs.
    pub async fn resume(&self) -> Outcome<()> {
        let (began, mut asked) = (clock::monotonic(), None);
        loop {
            let task = self.state().await?;
            match task.state {
                State::Running => return Ok(()),
                State::Forgotten => return Err(self.forgotten(&task)),
                State::Stopped | State::Failed if asked.is_none() => {
                    self.start(&task, Start::Resume, &mut asked).await?;
                }
                State::Failed if !is_fresh(asked) => return Err(self.failed(&task).await?),
                State::Stopped if !is_fresh(asked) => self.start(&task, Start::Resume, &mut asked).await?,
                _ => {}
            }
            self.busy(&format!("the task is {}", task.status));
            self.within(began)?;
            self.rest(began).await?;
        }
    }

    async fn start(&self, task: &Task, how: Start, asked: &mut Option<Instant>) -> Outcome<()> {
        if is_fresh(*asked) {
            return Ok(());
        }
        self.cx.still_mine()?;
        *asked = Some(clock::monotonic());
        in_doubt(driver::start(&self.aws, self.runner(), &task.arn, how).await)
    }

    /// What a task says of its tables; nothing before it has any.
    pub async fn tables(&self, task: &Task) -> Outcome<Vec<Table>> {
        match driver::tables(&self.aws, self.runner(), &task.arn).await {
            Err(error) if error.is_code(driver::MISSING) || error.is_code(driver::STATE) => Ok(Vec::new()),
            other => Ok(other?),
        }
    }

    /// A task that says it is done has loaded every table of the plan, and left out no row.
    async fn all_loaded(&self, task: &Task) -> Outcome<Vec<Table>> {
        let tables = self.tables(task).await?;
        if tables.iter().any(Table::is_broken) {
            return Err(self.broken(&tables));
        }
        let loaded = |schema: &str, name: &str| {
            tables.iter().any(|table| table.schema == schema && table.name == name && table.is_loaded())
        };
        let planned = self.cx.plan.choices.tables.iter();
        let missing: Vec<String> = planned
            .filter(|(schema, name)| !loaded(schema, name))
            .map(|(schema, name)| format!("{schema}.{name}"))
            .collect();
        if missing.is_empty() {
            return Ok(tables);
        }
        let message = format!("the task says that all is loaded, but not {}", named(&missing));
        Err(self.told(FailureKind::Refused, message, "its log says why; `pointsman retry` loads everything anew"))
    }

    async fn failed(&self, task: &Task) -> Outcome<StepError> {
        let tables = self.tables(task).await?;
        if tables.iter().any(Table::is_broken) {
            return Ok(self.broken(&tables));
        }
        let why = [&task.failure, &task.stop_reason].into_iter().find(|text| !text.is_empty());
        let why = why.map(|text| format!(": {}", secret::mask(text))).unwrap_or_default();
        let message = format!("the task {} is {}{why}", self.names.task, task.status);
        Ok(self.told(
            FailureKind::Refused,
            message,
            "mend it, then `pointsman retry`; a load begins anew, with empty tables",
        ))
    }

    /// Serverless: what stood still for two days does not go on where it stopped.
    fn forgotten(&self, task: &Task) -> StepError {
        let message = format!(
            "DMS has taken away the capacity of {}, which is {}, and does not know any more where it stopped",
            self.names.task, task.status
        );
        self.told(FailureKind::Refused, message, "the target lacks what was written since: roll back, and begin anew")
    }

    fn broken(&self, tables: &[Table]) -> StepError {
        let broken = tables.iter().filter(|table| table.is_broken());
        let words =
            broken.map(|table| format!("{} ({}, {} rows with errors)", table.full(), table.state, table.errors));
        let message = format!("DMS could not load {}", named(&words.collect::<Vec<_>>()));
        let hint = "the task's log names the rows; mend it on the source or the target, then `pointsman retry` loads \
                    everything anew";
        self.told(FailureKind::Refused, message, hint)
    }

    fn within(&self, began: Instant) -> Outcome<()> {
        if began.elapsed() <= self.replicate.timeout.0 {
            return Ok(());
        }
        let message = format!("the load has not ended within {}", self.replicate.timeout);
        Err(self.told(FailureKind::Deadline, message, "give `timeout` more, then `pointsman retry`"))
    }
}

fn is_fresh(asked: Option<Instant>) -> bool {
    asked.is_some_and(|at| at.elapsed() < GRACE)
}

fn named(all: &[String]) -> String {
    let more = if all.len() > NAMED { format!(" and {} more", all.len() - NAMED) } else { String::new() };
    format!("{}{more}", all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "))
}

fn progress(task: &Task, tables: &[Table]) -> String {
    let loaded = tables.iter().filter(|table| table.is_loaded()).count();
    let rows: i64 = tables.iter().map(|table| table.loaded).sum();
    let now: Vec<String> = tables.iter().filter(|table| table.state == "Full load").map(Table::full).collect();
    let now = if now.is_empty() { String::new() } else { format!("; now {}", named(&now)) };
    format!("the task is {}: {loaded} of {} tables loaded, {rows} rows{now}", task.status, tables.len())
}
