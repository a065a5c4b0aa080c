//! How far DMS is behind: the age of the last token that has come through, and what CloudWatch says of its latency,
//! whichever is more. A latency of 0 is no proof: DMS says 0 when it is idle, and when it has stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use super::words::Names;
use crate::clock;
use crate::engine::Lag;
use crate::engine::postgres::lag as native;
use crate::gates::GateContext;
use crate::runbook::model::ReplicationLag;
use crate::systems::aws::cloudwatch::{self, Ask, Metric, Query, Range};
use crate::systems::aws::dms::{self as driver, Task};
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
    if task.status != "running" {
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
    let task = driver::task(&aws, &Names::of(&run).task).await?;
    Ok(task.map(|task| (aws, task)))
}

/// The larger of both latencies that CloudWatch knows of the last minutes.
async fn latency(aws: &Aws, flow: Flow<'_>, context: &GateContext<'_>, task: &Task) -> Result<Option<f64>> {
    let run = owner(flow, context).await?.unwrap_or_default();
    let spec = context.world.dms(flow.pair.dms.as_deref().unwrap_or_default())?;
    let instance = spec.instance.unwrap_or_else(|| Names::of(&run).instance);
    let now = clock::now();
    let from = now - jiff::SignedDuration::from_mins(LATEST);
    let range = Range { from, to: now, period: MINUTE };
    let series = cloudwatch::metric_data(aws, &queries(&instance, task.resource()), range).await;
    let series = match series {
        Ok(series) => series,
        Err(DriverError { code: Some(code), .. }) if code.starts_with("ResourceNotFound") => return Ok(None),
        Err(error) => return Err(error),
    };
    let newest = series.iter().filter_map(|series| series.points.values().next_back().copied());
    Ok(newest.reduce(f64::max))
}

/// Both latencies of a task. The dimension holds the last part of its ARN.
fn queries(instance: &str, task: &str) -> Vec<Query> {
    let dimensions = BTreeMap::from([
        ("ReplicationInstanceIdentifier".to_owned(), instance.to_owned()),
        ("ReplicationTaskIdentifier".to_owned(), task.to_owned()),
    ]);
    let query = |(id, name): (&str, &str)| Query {
        id: id.to_owned(),
        ask: Ask::Metric(Metric {
            namespace: "AWS/DMS".to_owned(),
            name: name.to_owned(),
            dimensions: dimensions.clone(),
            statistic: "Maximum".to_owned(),
        }),
        wanted: true,
    };
    [("source", "CDCLatencySource"), ("target", "CDCLatencyTarget")].map(query).to_vec()
}

pub(in crate::engine) fn describe(gate: &ReplicationLag, flow: Flow<'_>) -> Vec<String> {
    if flow.heading == Heading::Back {
        return native::describe(gate, flow);
    }
    let mut lines = native::describe_age(gate, flow);
    lines.push(describe_latency());
    lines
}

pub(in crate::engine) fn describe_latency() -> String {
    cloudwatch::describe(&queries("THE INSTANCE", "THE TASK"), MINUTE).to_string()
}
