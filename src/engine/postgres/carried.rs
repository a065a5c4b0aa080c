//! Whether replication carries everything, now: looked at when the window is armed. Publications list the tables of the
//! plan and carry no change of the schema, so that a column, a table or a label of an enumeration that somebody added
//! meanwhile would stop the stream, or be missing silently after the switch.

use std::collections::BTreeSet;

use crate::executor::context::Context;
use crate::journal::FailureKind;
use crate::runbook::model::{Replicate, Step};
use crate::steps::StepError;
use crate::systems::pair::Heading;
use crate::systems::postgres::schema_copy::{Difference, DriftOptions, drift};
use crate::systems::postgres::{Session, catalog};

/// Kinds of objects whose difference does not stop a stream: at worst it is slow after the switch, and the author may
/// want it so.
const NOT_CARRIED: [&str; 6] = ["constraint", "index", "function", "trigger", "policy", "view"];
/// Names in a message; more are counted.
const SHOWN: usize = 5;

/// The tables of a publication.
const PUBLISHED: &str = "SELECT n.nspname::text, c.relname::text FROM pg_publication p \
    JOIN pg_publication_rel r ON r.prpubid = p.oid JOIN pg_class c ON c.oid = r.prrelid \
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = $1";
/// The tables that a subscription follows.
const FOLLOWED: &str = "SELECT n.nspname::text, c.relname::text FROM pg_subscription s \
    JOIN pg_subscription_rel r ON r.srsubid = s.oid JOIN pg_class c ON c.oid = r.srrelid \
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE s.subname = $1 AND r.srsubstate = 'r' \
    AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Refuses when something that is on the publisher would not arrive at the subscriber of the stream in this direction.
pub(in crate::engine) async fn tables(cx: &Context, heading: Heading) -> Result<(), StepError> {
    let Some(replicate) = replicate(cx) else { return Ok(()) };
    let pair = cx.pair()?;
    let (publisher, subscriber) =
        (cx.rig.postgres(pair.leaving(heading)).await?, cx.rig.postgres(pair.arriving(heading)).await?);
    let schemas = match replicate.schemas.as_slice() {
        [] => catalog::application_schemas(&publisher).await?,
        named => named.to_vec(),
    };
    let there: BTreeSet<_> = catalog::tables(&publisher, &schemas).await?.into_iter().collect();
    let published = published(&publisher, heading).await?;
    let followed = names(&subscriber, FOLLOWED, heading).await?;
    let stream = heading.stream();
    let missing: Vec<String> = there.difference(&published).map(full).collect();
    if !missing.is_empty() {
        let message = format!("{} is not carried by {stream} of {}", listed(&missing), publisher.system());
        let hint = "a table of after the plan: add it to both publications, REFRESH PUBLICATION of both subscriptions, and \
                    continue; or roll back and make a new plan";
        return Err(StepError::told(FailureKind::Refused, message, Some(hint)));
    }
    let missing: Vec<String> =
        published.intersection(&there).filter(|name| !followed.contains(*name)).map(full).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message =
        format!("{} is not followed by the subscription {stream} of {}", listed(&missing), subscriber.system());
    let hint =
        format!("ALTER SUBSCRIPTION {stream} REFRESH PUBLICATION, or wait until its copy is done; then continue");
    Err(StepError::told(FailureKind::Refused, message, Some(&hint)))
}

/// Refuses when the schemas differ in what a stream stumbles over, in either direction.
pub(in crate::engine) async fn schema(cx: &Context) -> Result<(), StepError> {
    let Some(replicate) = replicate(cx) else { return Ok(()) };
    let (source, target) = (cx.world.postgres(&replicate.from)?, cx.world.postgres(&replicate.to)?);
    let options = DriftOptions {
        schemas: replicate.schemas.clone(),
        ignore_kinds: NOT_CARRIED.map(str::to_owned).to_vec(),
        ignore_objects: Vec::new(),
    };
    let found = drift(&source, &target, &options).await?;
    let found: Vec<String> =
        found.iter().filter(|one| matters(one, replicate.copy_schema)).map(ToString::to_string).collect();
    if found.is_empty() {
        return Ok(());
    }
    let message = format!("the schemas of {} and {} differ: {}", replicate.from, replicate.to, listed(&found));
    let hint = "replication carries no change of the schema: make the same one on the other side, and continue";
    Err(StepError::told(FailureKind::Refused, message, Some(hint)))
}

/// What a stream stumbles over. A schema that the author made may differ in its details, but not in what there is.
fn matters(one: &Difference, copied: bool) -> bool {
    match (one.kind.as_str(), &one.source, &one.target) {
        ("column", Some(source), Some(target)) => copied && stored(source) != stored(target),
        // Only on the side that was added to by itself: the other stream would not find it.
        ("column", ..) => true,
        // Defaults, limits and identities may be written differently by another version.
        ("sequence", Some(_), Some(_)) => false,
        (_, Some(_), Some(_)) => copied,
        // A table that only the target has is told of where it is not carried.
        (_, source, _) => source.is_some(),
    }
}

/// Type of a column and whether it takes nulls, of its description: not its default, which no stream uses, nor its
/// identity, which partitions have from 17 on and had not before.
fn stored(column: &str) -> (&str, bool) {
    let ends = [" not null", " collate ", " identity ", " generated ", " default "].map(|word| column.find(word));
    let end = ends.into_iter().flatten().min().unwrap_or(column.len());
    (&column[..end], column.contains(" not null"))
}

fn replicate(cx: &Context) -> Option<&Replicate> {
    cx.plan.steps.iter().find_map(|step| match &step.step {
        Step::Replicate(replicate) => Some(replicate),
        _ => None,
    })
}

/// The tables that a stream carries, on its publisher.
pub(in crate::engine) async fn published(
    session: &Session,
    heading: Heading,
) -> Result<BTreeSet<(String, String)>, StepError> {
    names(session, PUBLISHED, heading).await
}

async fn names(session: &Session, sql: &str, heading: Heading) -> Result<BTreeSet<(String, String)>, StepError> {
    let rows = session.rows("list the tables of a stream", sql, &[&heading.stream()]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn full((schema, table): &(String, String)) -> String {
    format!("{schema}.{table}")
}

fn listed(all: &[String]) -> String {
    let more = if all.len() > SHOWN { format!("; and {} more", all.len() - SHOWN) } else { String::new() };
    format!("{}{more}", all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(source: Option<&str>, target: Option<&str>) -> Difference {
        let text = |side: Option<&str>| side.map(str::to_owned);
        Difference { kind: "column".into(), object: "s.t.c".into(), source: text(source), target: text(target) }
    }

    #[test]
    fn what_only_reads_differently_does_not_matter() {
        let same = column(Some("bigint not null"), Some("bigint not null identity d"));
        assert!(!matters(&same, true));
        let wider = column(Some("integer default 1"), Some("bigint default 1"));
        assert!(matters(&wider, true) && !matters(&wider, false));
        assert!(matters(&column(Some("text"), Some("text not null")), true));
        assert!(matters(&column(None, Some("text")), false) && matters(&column(Some("text"), None), false));
    }
}
