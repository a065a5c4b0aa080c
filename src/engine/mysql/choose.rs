//! Every choice of a plan: the tables that are carried, the kind of fence, how a stream knows where it is.

use super::means;
use crate::plan::{Choices, Follow, MysqlChoices, MysqlSide, Plan, SideChoices};
use crate::runbook::model::{Fence, Name, Replicate};
use crate::systems::mysql::catalog::{self, Identity};
use crate::systems::mysql::{Access, Flavour, Session};
use crate::systems::world::World;
use crate::systems::{Certainty, DriverError, Result};

pub(super) async fn choose(plan: &Plan, replicate: &Replicate) -> Result<Choices> {
    let world = World::new(plan.systems.clone());
    let wanted = plan.freeze().map_or(Fence::Auto, |(_, freeze)| freeze.fence);
    let (source, target) = tokio::join!(side(&world, &replicate.from), side(&world, &replicate.to));
    // The source's error is told first, whichever came first.
    let (source, target) = (source?, target?);
    let (here, there) = tokio::try_join!(catalog::identity(&source), catalog::identity(&target))?;
    different_servers(&source, &target, &here, &there)?;
    let schemas = match replicate.schemas.as_slice() {
        [] => catalog::application_schemas(&source).await?,
        named => named.to_vec(),
    };
    let rds = |name: &str| world.mysql(name).ok().and_then(|database| database.spec.is_rds());
    let (of_source, mut of_target) =
        (look(&here, wanted, rds(&replicate.from)), look(&there, wanted, rds(&replicate.to)));
    own_domain(&target, &of_source, &mut of_target)?;
    let (follow, why) = follow(&source, &target, &here, &there)?;
    let (copy_by, copy_why) = means::choose(
        replicate,
        &schemas,
        &means::Side { database: world.mysql(&replicate.from)?, session: &source, identity: &here, chosen: &of_source },
        &means::Side { database: world.mysql(&replicate.to)?, session: &target, identity: &there, chosen: &of_target },
    )
    .await?;
    let mysql = MysqlChoices {
        copy_by,
        copy_why,
        follow,
        why,
        filtered: !replicate.schemas.is_empty(),
        events: events(&source, &schemas).await?,
        objects: objects(&source, &schemas).await?,
        replica_user: None,
    };
    Ok(Choices {
        source: of_source,
        target: of_target,
        tables: catalog::tables(&source, &schemas).await?,
        sequences: catalog::sequences(&source, &schemas).await?,
        schemas,
        routes: indexmap::IndexMap::new(),
        servers: indexmap::IndexMap::new(),
        blue_green: None,
        mysql: Some(mysql),
        dms: None,
    })
}

async fn side(world: &World, name: &Name) -> Result<Session> {
    world.mysql(name)?.connect(Access::ReadOnly).await
}

pub(super) fn refused(session: &Session, reason: String, hint: &str) -> DriverError {
    DriverError::new(session.system(), "choose how it is followed", reason, Certainty::Refused).with_hint(hint)
}

fn different_servers(source: &Session, target: &Session, here: &Identity, there: &Identity) -> Result<()> {
    if here.server() == there.server() {
        let reason = format!("it is the same server as {}", source.system());
        return Err(refused(target, reason, "look at both URLs"));
    }
    if here.server_id == there.server_id || here.server_id == 0 || there.server_id == 0 {
        let reason = format!("server_id is {} here and {} on {}", there.server_id, here.server_id, source.system());
        return Err(refused(target, reason, "give each server a `server_id` of its own, not 0, and start it again"));
    }
    Ok(())
}

fn look(identity: &Identity, wanted: Fence, rds: Option<bool>) -> SideChoices {
    let administrator = identity.is_administrator();
    let rds = rds.unwrap_or(identity.rds_procedures && !administrator);
    let fence = match wanted {
        Fence::Accounts => Fence::Accounts,
        _ if rds || !administrator => Fence::Accounts,
        _ => Fence::ReadOnly,
    };
    SideChoices {
        version: identity.version.0,
        fence,
        superuser: administrator,
        system_identifier: identity.server(),
        database: identity.schema.clone().unwrap_or_default(),
        role: identity.account.clone(),
        mysql: Some(MysqlSide {
            server_id: identity.server_id,
            rds,
            flush: identity.variable("innodb_flush_log_at_trx_commit") != "1",
            domain: identity.variable("gtid_domain_id").parse().unwrap_or(0),
            new_words: identity.flavour == Flavour::Mysql && identity.version.from(8, 4, 0),
        }),
        rds: None,
    }
}

/// MariaDB: two servers that may both write need domains of their own; the target is given one where it has none.
fn own_domain(target: &Session, source: &SideChoices, chosen: &mut SideChoices) -> Result<()> {
    let (Some(here), Some(there)) = (&source.mysql, &mut chosen.mysql) else { return Ok(()) };
    if target.flavour() == Flavour::Mysql || here.domain != there.domain {
        return Ok(());
    }
    if there.rds {
        let reason = format!("gtid_domain_id is {} on both servers", here.domain);
        let hint = "give it another one in its parameter group, and start it again";
        return Err(refused(target, reason, hint));
    }
    there.domain = if there.server_id == here.domain { there.server_id.wrapping_add(1) } else { there.server_id };
    Ok(())
}

/// GTIDs where both sides have them; else positions. A mixture can be followed one way only, or not at all.
fn follow(source: &Session, target: &Session, here: &Identity, there: &Identity) -> Result<(Follow, String)> {
    if here.flavour == Flavour::Mariadb {
        let domains = (here.variable("gtid_domain_id"), there.variable("gtid_domain_id"));
        let why = format!("MariaDB always has GTIDs (gtid_domain_id {} and {})", domains.0, domains.1);
        return Ok((Follow::Gtid, why));
    }
    match (here.is_on("gtid_mode"), there.is_on("gtid_mode")) {
        (true, true) => Ok((Follow::Gtid, "gtid_mode is ON on both servers".to_owned())),
        (false, false) => {
            let modes = (here.variable("gtid_mode"), there.variable("gtid_mode"));
            Ok((Follow::Position, format!("gtid_mode is {} on the source and {} on the target", modes.0, modes.1)))
        }
        (true, false) => {
            let reason = format!("gtid_mode is ON on {} and {} here", source.system(), there.variable("gtid_mode"));
            let hint = "a server without GTIDs can't follow one that has them: SET PERSIST enforce_gtid_consistency = ON, \
                        then gtid_mode = OFF_PERMISSIVE, ON_PERMISSIVE, ON, one after the other; on RDS, in its parameter group";
            Err(refused(target, reason, hint))
        }
        (false, true) => {
            let reason = format!("gtid_mode is {} here and ON on {}", here.variable("gtid_mode"), target.system());
            let hint = "then there is no way back: switch GTIDs on here (OFF_PERMISSIVE, ON_PERMISSIVE, ON, one after the \
                        other, no restart), or off on the target";
            Err(refused(source, reason, hint))
        }
    }
}

async fn events(source: &Session, schemas: &[String]) -> Result<Vec<(String, String, String)>> {
    let sql = format!(
        "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA IN ({}) \
         AND STATUS = 'ENABLED' ORDER BY 1, 2",
        catalog::listed(schemas)
    );
    let rows = source.rows("list the events", &sql).await?;
    let event = |row: Vec<Option<String>>| {
        let mut values = row.into_iter().flatten();
        Some((values.next()?, values.next()?, values.next()?))
    };
    Ok(rows.into_iter().filter_map(event).collect())
}

async fn objects(source: &Session, schemas: &[String]) -> Result<String> {
    let listed = catalog::listed(schemas);
    let sql = format!(
        "SELECT (SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA IN ({listed})), \
         (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA IN ({listed})), \
         (SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA IN ({listed})), \
         (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA IN ({listed}))"
    );
    let rows = source.rows("count views, routines, triggers and events", &sql).await?;
    let numbers: Vec<String> = rows.into_iter().flatten().map(Option::unwrap_or_default).collect();
    let words = ["views", "routines", "triggers", "events"];
    Ok(numbers.iter().zip(words).map(|(number, word)| format!("{number} {word}")).collect::<Vec<_>>().join(", "))
}
