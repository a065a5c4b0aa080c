//! RDS's own stream from the blue to the green database, as both show it: a subscription on the green one, whose slot is on
//! the blue one. That RDS uses PostgreSQL's own logical replication is in AWS's Database Blog ("Understand the benefits of
//! physical replication in Amazon RDS for PostgreSQL Blue/Green Deployments": "community logical replication"); the names
//! are RDS's, and are read, never known.

use std::time::Duration;

use crate::clock;
use crate::engine::Outcome;
use crate::engine::postgres::arm::PROOF;
use crate::engine::postgres::carried::listed;
use crate::executor::context::Context;
use crate::journal::FailureKind;
use crate::steps::{StepError, new_token};
use crate::systems::Result;
use crate::systems::pair::Heading;
use crate::systems::postgres::hold::{Hold, emit};
use crate::systems::postgres::{Session, catalog};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// The subscriptions of this database that are enabled and are not ours.
const SUBSCRIPTIONS: &str = "SELECT s.subname::text, s.subslotname::text, s.subpublications, \
    EXISTS (SELECT FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.relid IS NULL AND w.pid IS NOT NULL) \
    FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database() \
    WHERE s.subenabled AND s.subslotname IS NOT NULL AND s.subname NOT LIKE 'pointsman\\_%' ORDER BY 1";
/// The logical slots of this database.
const SLOTS: &str = "SELECT slot_name::text FROM pg_replication_slots WHERE slot_type = 'logical' \
    AND database = current_database()";
/// Logical slots of the whole server.
const ALL_SLOTS: &str = "SELECT slot_name::text FROM pg_replication_slots WHERE slot_type = 'logical' ORDER BY 1";
/// Slots that subscriptions of the whole server read from.
const ALL_READ: &str = "SELECT subslotname::text FROM pg_subscription WHERE subslotname IS NOT NULL";
/// Subscriptions of the whole server.
const ALL_SUBSCRIPTIONS: &str = "SELECT subname::text FROM pg_subscription ORDER BY 1";

/// Tables of these schemas that a subscription does not follow, neither they themselves nor what they are a part of.
const NOT_FOLLOWED: &str = "SELECT format('%s.%s', n.nspname, c.relname) FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname::text = ANY ($1) \
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid \
        AND d.deptype = 'e') \
      AND NOT EXISTS (SELECT FROM pg_subscription s JOIN pg_subscription_rel r ON r.srsubid = s.oid \
        JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database() \
        WHERE s.subname = $2::text AND r.srsubstate = 'r' \
          AND (r.srrelid = c.oid OR r.srrelid IN (SELECT relid FROM pg_partition_ancestors(c.oid)))) ORDER BY 1";
/// Publications that leave something out.
const HALF: &str = "SELECT pubname::text FROM pg_publication WHERE pubname::text = ANY ($1) \
    AND NOT (pubinsert AND pubupdate AND pubdelete AND pubtruncate) ORDER BY 1";
/// Whether what is read from a slot was applied and flushed up to a position, as the reader has confirmed it.
const CONFIRMED: &str = "SELECT coalesce(bool_or(confirmed_flush_lsn >= $2::text::pg_lsn), false) \
    FROM pg_replication_slots WHERE slot_name = $1::text";

/// RDS's stream of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Feed {
    /// The subscription on the green side.
    pub subscription: String,
    /// Its slot on the blue side.
    pub slot: String,
    /// What it subscribes to.
    pub publications: Vec<String>,
    /// Whether its apply worker runs.
    pub works: bool,
}

/// The subscriptions of a green database that could be RDS's.
pub(super) async fn on_green(green: &Session) -> Result<Vec<Feed>> {
    let rows = green.rows("look at its subscriptions", SUBSCRIPTIONS, &[]).await?;
    let feed = |row: &tokio_postgres::Row| Feed {
        subscription: row.get(0),
        slot: row.get(1),
        publications: row.get(2),
        works: row.get(3),
    };
    Ok(rows.iter().map(feed).collect())
}

/// RDS's stream between both; `None` when there is none, or it is disabled.
pub(super) async fn between(blue: &Session, green: &Session) -> Result<Option<Feed>> {
    let (found, slots) = tokio::try_join!(on_green(green), list(blue, SLOTS))?;
    Ok(found.into_iter().find(|feed| slots.contains(&feed.slot)))
}

/// Slots of the blue server that nobody on the green one reads, and subscriptions of the blue one: RDS's guardrails refuse a
/// blue instance that is a logical publisher or subscriber by somebody's own making (user guide, "Switching a blue/green
/// deployment").
pub(super) async fn self_managed(blue: &Session, green: &Session) -> Result<Vec<String>> {
    let (slots, subscriptions) = tokio::try_join!(list(blue, ALL_SLOTS), list(blue, ALL_SUBSCRIPTIONS))?;
    let read = list(green, ALL_READ).await?;
    let slots = slots.into_iter().filter(|slot| !read.contains(slot)).map(|slot| format!("slot {slot}"));
    Ok(slots.chain(subscriptions.into_iter().map(|name| format!("subscription {name}"))).collect())
}

/// Why RDS's stream does not carry everything of these schemas; nothing when it does.
pub(super) async fn lacks(blue: &Session, green: &Session, schemas: &[String]) -> Result<Option<String>> {
    let Some(feed) = between(blue, green).await? else {
        return Ok(Some(format!(
            "{} has no enabled subscription that reads from a slot of {}",
            green.system(),
            blue.system()
        )));
    };
    if let Some(other) = on_green(green).await?.into_iter().find(|other| *other != feed) {
        return Ok(Some(format!("{} has a subscription of its own, too: {}", green.system(), other.subscription)));
    }
    let Feed { subscription, publications, works, .. } = &feed;
    if !works {
        return Ok(Some(format!("the apply worker of {subscription} does not run on {}", green.system())));
    }
    let half = blue.rows("look at its publications", HALF, &[publications]).await?;
    if let Some(row) = half.first() {
        return Ok(Some(format!("the publication {} leaves changes out", row.get::<_, String>(0))));
    }
    let rows = green.rows("list what is not followed", NOT_FOLLOWED, &[&schemas, subscription]).await?;
    let missing: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let missing = (!missing.is_empty()).then(|| format!("{subscription} does not follow {}", listed(&missing)));
    Ok(missing)
}

/// Refuses when RDS's stream does not carry everything, now; gives its slot.
pub(super) async fn carries(cx: &Context) -> Outcome<String> {
    let pair = cx.pair()?;
    let (blue, green) = tokio::try_join!(cx.rig.postgres(&pair.source), cx.rig.postgres(&pair.target))?;
    if let Some(why) = lacks(&blue, &green, &cx.plan.choices.schemas).await? {
        let hint = "RDS carries no change of the schema, and stops at what it can't apply: the events of the deployment say \
                    more (`aws rds describe-events`). Delete it, and make another";
        return Err(StepError::told(FailureKind::Refused, format!("RDS does not replicate: {why}"), Some(hint)));
    }
    let found = between(&blue, &green).await?.ok_or_else(|| StepError::broken("RDS's subscription is gone"))?;
    Ok(found.slot)
}

/// What is written on the blue side is applied and flushed on the green one, now.
pub(super) async fn prove(cx: &Context, slot: &str) -> Outcome<()> {
    let pair = cx.pair()?;
    let blue = cx.rig.postgres(&pair.source).await?;
    let position = beat(cx, &blue).await?;
    if confirmed(&blue, slot, &position, PROOF).await? {
        return Ok(());
    }
    let message =
        format!("{} does not keep up: what was written was not applied within {} s", pair.target, PROOF.as_secs());
    let hint = format!("on {}: SELECT * FROM pg_replication_slots WHERE slot_name = '{slot}'", pair.source);
    Err(StepError::told(FailureKind::Refused, message, Some(&hint)))
}

/// Writes a message into the log of the blue side; the position behind it.
pub(super) async fn beat(cx: &Context, blue: &Session) -> Outcome<String> {
    let held = Hold::Setting.held(&cx.run, cx.epoch);
    blue.batch("write a message into its log", &format!("{held}{}", emit(&new_token()))).await?;
    Ok(blue.value("read its position", "SELECT pg_current_wal_insert_lsn()::text", &[]).await?)
}

/// Waits until the reader of a slot has applied and flushed everything up to a position.
pub(super) async fn confirmed(blue: &Session, slot: &str, position: &str, limit: Duration) -> Result<bool> {
    let began = clock::monotonic();
    while !blue.value::<bool>("read what is confirmed", CONFIRMED, &[&slot, &position]).await? {
        if began.elapsed() > limit {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(true)
}

/// The tables of the plan are those that are there: the publication of the way back lists them.
pub(super) async fn tables_of_plan(cx: &Context) -> Outcome<()> {
    let target = cx.rig.postgres(&cx.pair()?.target).await?;
    let there = catalog::tables(&target, &cx.plan.choices.schemas).await?;
    let known = &cx.plan.choices.tables;
    let missing: Vec<String> = there
        .iter()
        .filter(|table| !known.contains(table))
        .map(|(schema, table)| format!("{schema}.{table}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message =
        format!("the way {} would not carry {}: made after the plan", Heading::Back.stream(), listed(&missing));
    Err(StepError::told(FailureKind::Refused, message, Some("roll back, and make a new plan")))
}

async fn list(session: &Session, sql: &str) -> Result<Vec<String>> {
    Ok(session.rows("look for logical replication", sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}
