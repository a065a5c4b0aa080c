//! Replication that is there already: channels of others and of ours, filters, readers of the log, how a server applies.

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use super::mend::change;
use crate::systems::mysql::accounts::REPLICATION_USERS;
use crate::systems::mysql::literal;
use crate::systems::mysql::survey::{Channel, Survey};

/// Channels of this name are ours.
const OURS: &str = "pointsman_";

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = vec![schemas(input)];
    for side in input.sides() {
        findings.extend([others(side), filters(side), leftovers(side), readers(side), parallel(side)]);
    }
    findings
}

fn shown(channel: &Channel) -> String {
    let name = if channel.name.is_empty() { "the default channel" } else { &channel.name };
    let state = if channel.running { "runs" } else { "stopped" };
    format!("{name} from {} ({state})", channel.source)
}

fn others(side: &Survey) -> Finding {
    let check = Check {
        id: "other-channels",
        system: &side.system,
        why: "A server that follows another one is written without a client: past the fence on the source, and into a \
              target that only we should write to; and `read_only` may be somebody else's to set.",
    };
    // On RDS ours is the default channel too, and its address tells it apart; the leftovers say so.
    let found: Vec<&Channel> =
        side.activity.channels.iter().filter(|channel| !channel.name.starts_with(OURS)).collect();
    if found.is_empty() {
        return check.pass("the server follows nobody else", "There is no channel but ours.");
    }
    let mend = found.iter().flat_map(|channel| forget(side, channel)).collect();
    let title = count(found.len(), "channel of somebody else", "channels of others");
    let detail = format!("{}.", names(found.iter().map(|channel| shown(channel))));
    if found.iter().any(|channel| channel.running) {
        return check.fail(title, detail, mend);
    }
    check.warn(title, detail, mend)
}

/// Stops a channel and forgets it.
fn forget(side: &Survey, channel: &Channel) -> Vec<String> {
    let name = literal(&channel.name);
    if side.server.rds {
        let old = side.is_mariadb() || !side.server.version.from(8, 4, 0);
        let reset = if old { "rds_reset_external_master" } else { "rds_reset_external_source" };
        return vec!["CALL mysql.rds_stop_replication;".to_owned(), format!("CALL mysql.{reset};")];
    }
    if side.is_mariadb() {
        return vec![format!("STOP SLAVE {name};"), format!("RESET SLAVE {name} ALL;")];
    }
    vec![format!("STOP REPLICA FOR CHANNEL {name};"), format!("RESET REPLICA ALL FOR CHANNEL {name};")]
}

fn filters(side: &Survey) -> Finding {
    let check = Check {
        id: "replication-filters",
        system: &side.system,
        why: "What a filter keeps out is not applied, and no lag and no error says so.",
    };
    let ours = |words: &&String| !side.server.rds || words.split_once(" = ").is_none_or(|(_, rule)| !is_of_rds(rule));
    let of_channels = side.activity.channels.iter().flat_map(|channel| &channel.filters);
    let mut found: Vec<String> = of_channels.filter(ours).cloned().collect();
    let global = side.variables.iter().filter(|(name, value)| {
        (name.starts_with("replicate_do") || name.starts_with("replicate_ignore") || name.starts_with("replicate_wild"))
            && !(value.is_empty() || side.server.rds && is_of_rds(value))
    });
    found.extend(global.map(|(name, value)| format!("{name} = {value}")));
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return check.pass("nothing is filtered out", "There is no replication filter.");
    }
    let mend = if side.is_mariadb() {
        found
            .iter()
            .filter_map(|filter| filter.split_once(" = "))
            .map(|(name, _)| format!("SET GLOBAL {name} = ''; -- and out of the configuration"))
            .collect()
    } else {
        vec![
            "CHANGE REPLICATION FILTER REPLICATE_DO_DB = (), REPLICATE_IGNORE_DB = (), REPLICATE_DO_TABLE = (), \
             REPLICATE_IGNORE_TABLE = (), REPLICATE_WILD_DO_TABLE = (), REPLICATE_WILD_IGNORE_TABLE = ();"
                .to_owned(),
            "-- and the replicate-* options out of the configuration".to_owned(),
        ]
    };
    check.fail("replication is filtered", format!("{}.", names(&found)), mend)
}

/// Tables that RDS keeps for itself on each instance, and lets no stream carry (`Replicate_Ignore_Table` in its replicas'
/// states).
fn is_of_rds(rule: &str) -> bool {
    let own = |table: &str| ["mysql.rds_", "mysql.plugin", "innodb_memcache."].iter().any(|own| table.starts_with(own));
    rule.split(',').all(|table| own(table.trim()))
}

fn schemas(input: &PreflightInput) -> Finding {
    let (side, wanted) = (&input.target, &input.wanted.schemas);
    let check = Check {
        id: "schemas-filter",
        system: &side.system,
        why: "Only a filter keeps a stream to some schemas, and RDS's procedures set none: the stream would carry every \
              other schema's changes too, and stop at the first table that is not there.",
    };
    if wanted.is_empty() {
        return check.pass("every schema is carried", "`replicate` names none, so that no filter is needed.");
    }
    if !side.server.rds {
        return check.pass("the stream can be kept to some schemas", format!("{}.", names(wanted)));
    }
    let mend = vec![
        "-- leave `schemas` of `replicate` out, so that every schema of the application is carried; drop on the target \
         afterwards what nobody needs there"
            .to_owned(),
    ];
    check.fail("an RDS target can't be kept to some schemas", format!("`schemas` names {}.", names(wanted)), mend)
}

fn leftovers(side: &Survey) -> Finding {
    let check = Check {
        id: "own-leftovers",
        system: &side.system,
        why: "An earlier run is still going on or was left unfinished: its channel carries rows, and its names are taken.",
    };
    let mut found = Vec::new();
    let mut mend = vec![
        "-- an unfinished run: `pointsman runs`, then `pointsman rollback` or `pointsman resume`; if there is none:"
            .to_owned(),
    ];
    for channel in side.activity.channels.iter().filter(|channel| channel.name.starts_with(OURS)) {
        found.push(format!("channel {}", shown(channel)));
        mend.extend(forget(side, channel));
    }
    for account in side.accounts.iter().flatten().filter(|account| REPLICATION_USERS.contains(&account.user.as_str())) {
        found.push(format!("account {}", account.name()));
        mend.push(format!("DROP USER {};", account.sql_name()));
    }
    for (what, statement) in &side.activity.leftovers {
        found.push(what.clone());
        mend.push(statement.clone());
    }
    if found.is_empty() {
        return check.pass("no earlier run left anything", "There is no channel, schema or account of ours.");
    }
    check.fail("an earlier run left something", format!("{}.", names(&found)), mend)
}

fn readers(side: &Survey) -> Finding {
    let check = Check {
        id: "other-readers",
        system: &side.system,
        why: "Whoever reads the binary log (a replica, change data capture, a backup) does not follow to the target by \
              itself.",
    };
    let found = &side.activity.readers;
    if found.is_empty() {
        return check.pass("nobody else reads the binary log", "No session dumps it.");
    }
    let mend = vec!["-- set up each reader on the target before the switch (by GTID), or tell its owner".to_owned()];
    check.warn(
        count(found.len(), "reader of the binary log", "readers of the binary log"),
        format!("{}.", names(found)),
        mend,
    )
}

fn parallel(side: &Survey) -> Finding {
    let check = Check {
        id: "parallel-apply",
        system: &side.system,
        why: "One applier alone may be slower than the writers; several must commit in the source's order, or readers \
              see what never was, and a position says nothing.",
    };
    let first = |names: &[&'static str]| names.iter().find_map(|name| side.number(name).map(|number| (*name, number)));
    let workers = first(&["replica_parallel_workers", "slave_parallel_workers", "slave_parallel_threads"]);
    let Some((name, number)) = workers else {
        return check.warn("it is not known how many appliers there are", "The variable can't be read.", Vec::new());
    };
    let read = format!("{name} is {number}.");
    if number < 2 {
        return check.warn("one applier alone", read, change(side, name, "4"));
    }
    if side.is_mariadb() {
        let mode = side.variable("slave_parallel_mode").unwrap_or("optimistic");
        return check.pass("several appliers, in the source's order", format!("{read} slave_parallel_mode is {mode}."));
    }
    let order = ["replica_preserve_commit_order", "slave_preserve_commit_order"]
        .into_iter()
        .find(|name| side.variable(name).is_some());
    match order {
        Some(order) if !side.is_on(order) => {
            check.fail("appliers commit in any order", format!("{read} {order} is OFF."), change(side, order, "ON"))
        }
        _ => check.pass("several appliers, in the source's order", read),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{account, judged, judged_mariadb, set};
    use super::*;

    fn channel(name: &str, running: bool) -> Channel {
        Channel { name: name.into(), source: "old.example:3306".into(), running, filters: Vec::new() }
    }

    #[test]
    fn channels_of_others_are_refused_while_they_run() {
        let with = |running| {
            judged("other-channels", "source", move |input| input.source.activity.channels = vec![channel("", running)])
        };
        assert_eq!([with(true).level, with(false).level], [Level::Fail, Level::Warn]);
        assert_eq!(with(true).mend, ["STOP REPLICA FOR CHANNEL '';", "RESET REPLICA ALL FOR CHANNEL '';"]);
        let mariadb = judged_mariadb("other-channels", "target", |input| {
            input.target.activity.channels = vec![channel("feed", true)];
        });
        assert_eq!(mariadb.mend, ["STOP SLAVE 'feed';", "RESET SLAVE 'feed' ALL;"]);
        let rds = judged("other-channels", "target", |input| {
            input.target.server.rds = true;
            input.target.activity.channels = vec![channel("", true)];
        });
        assert_eq!(rds.mend[1], "CALL mysql.rds_reset_external_source;");
        assert_eq!(judged("other-channels", "source", |_| ()).level, Level::Pass);
    }

    #[test]
    fn what_an_earlier_run_left_is_told_from_others() {
        let found = judged("own-leftovers", "target", |input| {
            input.target.activity.channels = vec![channel("pointsman_forward", true)];
            input.target.activity.leftovers = vec![("schema pointsman".into(), "DROP SCHEMA pointsman;".into())];
        });
        assert_eq!(found.level, Level::Fail);
        assert!(found.mend.contains(&"DROP SCHEMA pointsman;".to_owned()));
        let found = judged("own-leftovers", "source", |input| {
            input.source.accounts = Some(vec![account("app"), account("pointsman_repl_back")]);
        });
        assert_eq!((found.level, found.mend[1].as_str()), (Level::Fail, "DROP USER 'pointsman_repl_back'@'%';"));
        for id in ["own-leftovers", "other-channels", "other-readers", "replication-filters"] {
            assert_eq!(judged(id, "target", |_| ()).level, Level::Pass, "{id}");
        }
    }

    #[test]
    fn a_filter_of_any_kind_is_refused() {
        let of_channel = judged("replication-filters", "target", |input| {
            input.target.activity.channels =
                vec![Channel { filters: vec!["REPLICATE_IGNORE_DB = audit".into()], ..channel("", false) }];
        });
        assert!(of_channel.level == Level::Fail && of_channel.detail.contains("audit"));
        let global =
            judged_mariadb("replication-filters", "target", |input| set(&mut input.target, "replicate_ignore_db", "x"));
        assert_eq!((global.level, global.mend.len()), (Level::Fail, 1));
        assert!(global.mend[0].starts_with("SET GLOBAL replicate_ignore_db = '';"));
        let on_rds = |rule: &'static str| {
            judged("replication-filters", "target", move |input| {
                input.target.server.rds = true;
                set(&mut input.target, "replicate_ignore_table", rule);
            })
            .level
        };
        assert_eq!(on_rds("mysql.rds_history,mysql.plugin,innodb_memcache.cache_policies"), Level::Pass);
        assert_eq!(on_rds("mysql.rds_history,mysql.user"), Level::Fail);
    }

    #[test]
    fn schemas_need_a_filter_that_rds_has_not() {
        let with = |schemas: &[&str], rds| {
            let schemas = schemas.iter().map(|&name| name.to_owned()).collect();
            judged("schemas-filter", "target", move |input| {
                (input.wanted.schemas, input.target.server.rds) = (schemas, rds);
            })
        };
        assert_eq!([with(&[], true).level, with(&["shop"], false).level], [Level::Pass, Level::Pass]);
        let refused = with(&["shop"], true);
        assert!(refused.level == Level::Fail && refused.mend[0].contains("leave `schemas`"), "{refused:?}");
    }

    #[test]
    fn readers_of_the_log_are_named() {
        let found =
            judged("other-readers", "source", |input| input.source.activity.readers = vec!["cdc@10.0.0.9".into()]);
        assert!(found.level == Level::Warn && found.detail == "cdc@10.0.0.9.");
    }

    #[test]
    fn several_appliers_in_order() {
        let one = judged("parallel-apply", "target", |input| set(&mut input.target, "replica_parallel_workers", "1"));
        assert_eq!((one.level, one.mend[0].as_str()), (Level::Warn, "SET PERSIST replica_parallel_workers = 4;"));
        let any =
            judged("parallel-apply", "target", |input| set(&mut input.target, "replica_preserve_commit_order", "OFF"));
        assert_eq!(any.level, Level::Fail);
        assert_eq!(judged("parallel-apply", "target", |_| ()).level, Level::Pass);
        assert_eq!(judged_mariadb("parallel-apply", "target", |_| ()).level, Level::Pass);
    }
}
