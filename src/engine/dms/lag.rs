//! How far DMS is behind: the age of the last token that has come through, and what CloudWatch says of its latency,
//! whichever is more. A latency of 0 is no proof: DMS says 0 when it is idle, and when it has stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use super::words::Names;
use crate::clock;
use crate::engine::Lag;
use crate::engine::postgres::lag as native;
use crate::gates::GateContext;
use crate::runbook::model::{DmsRunner, ReplicationLag};
use crate::systems::aws::cloudwatch::{self, Ask, Metric, Query, Range};
use crate::systems::aws::dms::{self as driver, State, Task};
use crate::systems::aws::{Access, Aws};
use crate::systems::mysql;
use crate::systems::pair::{Flow, Heading};
use crate::systems::postgres::{Session, setup};
use crate::systems::{DriverError, Result};

const MINUTE: Duration = Duration::from_secs(60);
/// DMS publishes once a minute, and CloudWatch shows it a little later.
const LATEST: i64 = 5;

pub(in crate::engine) async fn measure(
    gate: &ReplicationLag,
    flow: Flow<'_>,
    context: &GateContext<'_>,
) -> Result<Lag> {
    if flow.heading == Heading::Back {
        return native::measure(gate, flow, context).await;
    }
    if gate.max_age.is_none() {
        return Ok(Lag::Nothing("DMS does not say how many bytes it is behind: use `max-age`".to_owned()));
    }
    match native::age(flow, context).await? {
        Ok(age) => with_latency(age, flow, context).await,
        Err(why) => Ok(Lag::Nothing(why)),
    }
}

/// The age of the last token that came through, or a latency that CloudWatch knows, whichever is more.
pub(in crate::engine) async fn with_latency(age: f64, flow: Flow<'_>, context: &GateContext<'_>) -> Result<Lag> {
    let Some((aws, task)) = running(flow, context).await? else {
        return Ok(Lag::Nothing("DMS has no task for it".to_owned()));
    };
    if task.state != State::Running {
        return Ok(Lag::Nothing(format!("the task of DMS is {}", task.status)));
    }
    let latency = latency(&aws, flow, context, &task).await?;
    Ok(Lag::Known { bytes: None, age: Some(latency.unwrap_or(0.0).max(age)) })
}

/// The run that has the source.
async fn owner(flow: Flow<'_>, context: &GateContext<'_>) -> Result<Option<String>> {
    let source = &flow.pair.source;
    if context.world.mysql(source).is_ok() {
        let owner = async |session: &mysql::Session| mysql::setup::owner(session).await;
        return context.sessions.mysql.ask(context.world, source, owner).await;
    }
    let owner = async |session: &Session| setup::owner(session).await;
    context.sessions.postgres.ask(context.world, source, owner).await
}

/// The task of the run that has the source.
pub(crate) async fn running(flow: Flow<'_>, context: &GateContext<'_>) -> Result<Option<(Aws, Task)>> {
    let Some(carrier) = &flow.pair.dms else { return Ok(None) };
    let Some(run) = owner(flow, context).await? else { return Ok(None) };
    let aws = context.world.aws(carrier, Access::ReadOnly).await?;
    let task = driver::task(&aws, flow.pair.runner, &Names::of(&run).task).await?;
    Ok(task.map(|task| (aws, task)))
}

/// The larger of both latencies that CloudWatch knows of the last minutes.
async fn latency(aws: &Aws, flow: Flow<'_>, context: &GateContext<'_>, task: &Task) -> Result<Option<f64>> {
    let run = owner(flow, context).await?.unwrap_or_default();
    let spec = context.world.dms(flow.pair.dms.as_deref().unwrap_or_default())?;
    let of = match flow.pair.runner {
        DmsRunner::Serverless => Measured::Serverless { replication: Names::of(&run).task },
        DmsRunner::Instance => Measured::Task {
            instance: spec.instance.unwrap_or_else(|| Names::of(&run).instance),
            task: task.resource().to_owned(),
        },
    };
    let now = clock::now();
    let from = now - jiff::SignedDuration::from_mins(LATEST);
    let range = Range { from, to: now, period: MINUTE };
    let series = cloudwatch::metric_data(aws, &of.queries(), range).await;
    let series = match series {
        Ok(series) => series,
        Err(DriverError { code: Some(code), .. }) if code.starts_with("ResourceNotFound") => return Ok(None),
        Err(error) => return Err(error),
    };
    let newest = series.iter().filter_map(|series| series.points.values().next_back().copied());
    Ok(newest.reduce(f64::max))
}

/// What CloudWatch knows latencies of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Measured {
    /// A task on an instance; it is called by the last part of its ARN.
    Task { instance: String, task: String },
    /// A serverless replication; its identifier is the last part of its ARN too.
    Serverless { replication: String },
}

impl Measured {
    /// What it may be found under. "AWS DMS serverless replication metrics" names the metrics, which are those of a task, and
    /// says that they are "grouped by each serverless replication", but not what the dimension is called: both names that
    /// are in use are asked for.
    fn dimensions(&self) -> Vec<Vec<(&'static str, &str)>> {
        match self {
            Self::Task { instance, task } => {
                vec![vec![("ReplicationInstanceIdentifier", instance), ("ReplicationTaskIdentifier", task)]]
            }
            Self::Serverless { replication } => {
                vec![vec![("ReplicationConfigIdentifier", replication)], vec![("ReplicationConfigId", replication)]]
            }
        }
    }

    /// Both latencies.
    fn queries(&self) -> Vec<Query> {
        let both = |(n, dimensions): (usize, Vec<(&'static str, &str)>)| {
            let owned = |(name, value): &(&'static str, &str)| ((*name).to_owned(), (*value).to_owned());
            let dimensions: BTreeMap<String, String> = dimensions.iter().map(owned).collect();
            [("source", "CDCLatencySource"), ("target", "CDCLatencyTarget")]
                .map(|(id, name)| query(format!("{id}{n}"), name, dimensions.clone()))
        };
        self.dimensions().into_iter().enumerate().flat_map(both).collect()
    }
}

fn query(id: String, name: &str, dimensions: BTreeMap<String, String>) -> Query {
    let (namespace, statistic) = ("AWS/DMS".to_owned(), "Maximum".to_owned());
    Query { id, ask: Ask::Metric(Metric { namespace, name: name.to_owned(), dimensions, statistic }), wanted: true }
}

pub(in crate::engine) fn describe(gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
    if flow.heading == Heading::Back {
        return native::describe(gate, flow);
    }
    let mut lines = native::describe_age(gate, flow);
    lines.push(describe_latency(flow.pair.runner));
    lines
}

pub(in crate::engine) fn describe_latency(runner: DmsRunner) -> String {
    let of = match runner {
        DmsRunner::Instance => Measured::Task { instance: "THE INSTANCE".into(), task: "THE TASK".into() },
        DmsRunner::Serverless => Measured::Serverless { replication: "THE REPLICATION".into() },
    };
    cloudwatch::describe(&of.queries(), MINUTE).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_dms_is_measured_under_its_own_names() {
        let asked = |of: Measured| -> Vec<String> {
            let dimensions = of.dimensions();
            dimensions.iter().map(|all| all.iter().map(|(name, value)| format!("{name}={value} ")).collect()).collect()
        };
        let on = Measured::Task { instance: "i".into(), task: "t".into() };
        assert_eq!(asked(on.clone()), ["ReplicationInstanceIdentifier=i ReplicationTaskIdentifier=t "]);
        let own = Measured::Serverless { replication: "r".into() };
        assert_eq!(asked(own.clone()), ["ReplicationConfigIdentifier=r ", "ReplicationConfigId=r "]);
        let ids = |of: Measured| of.queries().into_iter().map(|query| query.id).collect::<Vec<_>>();
        assert_eq!(
            (ids(on).len(), ids(own)),
            (2, ["source0", "target0", "source1", "target1"].map(str::to_owned).to_vec())
        );
    }
}
