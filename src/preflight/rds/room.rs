//! Whether the server is large enough for what comes.

use super::finding::{Finding, bytes};
use super::{Check, Facts};
use crate::plan::Plan;
use crate::runbook::model::System;
use crate::systems::Result;
use crate::systems::pair::Side;
use crate::systems::world::World;
use crate::systems::{mysql, postgres};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    vec![storage(facts), class(facts)]
}

/// Bytes of the source's data; `None` when nothing is moved, or nobody knows.
pub(super) async fn of_source(plan: &Plan, world: &World) -> Option<i64> {
    let source = &plan.pair.as_ref()?.source;
    let read = match plan.systems.get(source)? {
        System::Postgres(_) => of_postgres(world, source).await,
        _ => of_mysql(world, source).await,
    };
    read.ok()
}

async fn of_postgres(world: &World, source: &str) -> Result<i64> {
    let session = world.postgres(source)?.connect(postgres::Access::ReadOnly).await?;
    session.value("read the database's size", "SELECT pg_database_size(current_database())", &[]).await
}

async fn of_mysql(world: &World, source: &str) -> Result<i64> {
    let session = world.mysql(source)?.connect(mysql::Access::ReadOnly).await?;
    let sql = "SELECT CAST(COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) AS CHAR) FROM information_schema.TABLES";
    let found = session.value("read the size of its tables", sql).await?;
    Ok(found.and_then(|text| text.parse().ok()).unwrap_or(0))
}

fn storage(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-storage",
        system: &facts.system,
        why: "A server that runs full stops, and indexes, the log of changes and dead rows need room beside the data.",
    };
    let size = facts.server().and_then(|server| server.storage_gib).filter(|_| facts.cluster.is_none());
    let (Some(gib), Some(data), Some(Side::Target)) = (size, facts.part.source_bytes, facts.part.side) else {
        return check.pass("its storage is not compared", "it grows by itself, or nothing is moved to it.");
    };
    let has = i64::from(gib) << 30;
    let detail = format!("{gib} GiB for {} on the source.", bytes(data));
    let wanted = (data.saturating_mul(2) >> 30) + 20;
    let mend = vec![facts.modify(&format!("--allocated-storage {wanted}"))];
    if has < data.saturating_add(data / 5) {
        return check.fail("the source's data does not fit", detail, mend);
    }
    if has < data.saturating_mul(2) {
        return check.warn("there is little room beside the source's data", detail, mend);
    }
    check.pass("there is room for the source's data", detail)
}

fn class(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-class",
        system: &facts.system,
        why: "A burstable class is slow when its credits are used up, as the copy may do just before users come.",
    };
    let class = facts.instance.as_ref().map_or("", |instance| &instance.class);
    if !class.starts_with("db.t") {
        return check.pass("its class is not burstable", format!("{class}."));
    }
    let mend = vec![format!(
        "-- compare CPUCreditBalance with what the copy needs, or: {}",
        facts.modify("--db-instance-class CLASS")
    )];
    check.warn("its class is burstable", format!("{class}."), mend)
}

#[cfg(test)]
mod tests {
    use super::super::testing::judged;
    use crate::preflight::Level;

    #[test]
    fn the_data_must_fit_with_room_beside_it() {
        let of = |gib: i64| judged("rds-storage", move |facts| facts.part.source_bytes = Some(gib << 30));
        // The server has 100 GiB.
        assert_eq!((of(40).level, of(60).level, of(90).level), (Level::Pass, Level::Warn, Level::Fail));
        assert!(of(90).mend[0].contains("--allocated-storage 200"), "{:?}", of(90));
        assert_eq!(judged("rds-class", |facts| facts.instance().class = "db.t4g.large".into()).level, Level::Warn);
    }
}
