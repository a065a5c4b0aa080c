//! What a task of DMS is told: names that a run can find again, the tables, the settings. Pure, so that the plan shows
//! word for word what is sent.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::plan::{Choices, Plan};
use crate::runbook::model::{Dms, DmsEngine, DmsLogin, DmsRunner, DmsServerless, DmsTask, Lob, Replicate, System};

/// Identifiers of what a run has in DMS: they begin with a letter and hold no two hyphens in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Names {
    pub instance: String,
    pub source: String,
    pub target: String,
    pub task: String,
}

impl Names {
    /// Those of a run.
    pub fn of(run: &str) -> Self {
        let hex = hex::encode(Sha256::digest(run));
        Self::with(&hex[..12])
    }

    /// For the plan, which belongs to no run.
    pub fn planned() -> Self {
        Self::with("RUN")
    }

    fn with(mark: &str) -> Self {
        let name = |what: &str| format!("pointsman-{mark}-{what}");
        Self { instance: name("instance"), source: name("source"), target: name("target"), task: name("task") }
    }
}

fn kind(plan: &Plan) -> &'static str {
    let source = plan.pair.as_ref().and_then(|pair| plan.systems.get(&pair.source));
    source.map_or("postgres", System::kind)
}

/// What runs a task.
pub(in crate::engine) fn spec<'a>(plan: &'a Plan, task: &DmsTask) -> Option<&'a Dms> {
    match plan.systems.get(&task.instance) {
        Some(System::Dms(spec)) => Some(spec),
        _ => None,
    }
}

/// In which way of DMS the task runs.
pub(in crate::engine) fn runner(plan: &Plan) -> DmsRunner {
    plan.pair.as_ref().map(|pair| pair.runner).unwrap_or_default()
}

/// The capacity of a serverless one.
pub(in crate::engine) fn serverless<'a>(plan: &'a Plan, task: &DmsTask) -> Option<&'a DmsServerless> {
    spec(plan, task)?.serverless.as_ref()
}

/// Whether the pair is of MySQL or MariaDB.
pub(in crate::engine) fn is_mysql(plan: &Plan) -> bool {
    matches!(kind(plan), "mysql" | "mariadb")
}

/// What DMS calls the kind of server of a login.
pub(in crate::engine) fn engine(plan: &Plan, login: &DmsLogin) -> DmsEngine {
    login.engine.unwrap_or_else(|| DmsEngine::of(kind(plan)))
}

/// Where a server listens, if its URL does not say.
pub(in crate::engine) fn port(plan: &Plan) -> u16 {
    if is_mysql(plan) { 3306 } else { 5432 }
}

/// The database that an endpoint is for; one of MySQL is for a whole server.
pub(in crate::engine) fn database(plan: &Plan, source: bool) -> Option<&str> {
    let side = if source { &plan.choices.source } else { &plan.choices.target };
    (!is_mysql(plan)).then_some(side.database.as_str())
}

/// What DMS says first on a target of MySQL. A column that counts up by itself takes a 0 as it is. A server from 9.6 on logs
/// what a foreign key does to other rows, so that DMS carries it: there it must not be done once more. Before that, and
/// by MariaDB, it is not logged, and the target's foreign keys do it again
/// (<https://dev.mysql.com/doc/refman/9.6/en/create-table-foreign-keys.html>).
pub(in crate::engine) fn script(plan: &Plan, source: bool) -> Option<String> {
    if source || !is_mysql(plan) {
        return None;
    }
    let zero = "SET SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ',NO_AUTO_VALUE_ON_ZERO')";
    let logged = plan.choices.dms.as_ref().is_some_and(|dms| dms.cascades_logged);
    let unchecked = if logged { ", foreign_key_checks = 0" } else { "" };
    Some(format!("{zero}{unchecked}"))
}

/// The tables of the plan and the table of the token, each by exactly its name.
///
/// "Selection rules and actions": `explicit` takes one table, whose names hold no wildcards. "Transformation rules and
/// actions": `remove-column` leaves out what the target computes itself.
pub(in crate::engine) fn mappings(choices: &Choices) -> Value {
    let token = ("pointsman".to_owned(), "token_forward".to_owned());
    let rule = |(n, (schema, table)): (usize, &(String, String))| {
        json!({ "rule-type": "selection", "rule-id": (n + 1).to_string(), "rule-name": (n + 1).to_string(),
                "object-locator": { "schema-name": schema, "table-name": table }, "rule-action": "explicit" })
    };
    let mut rules: Vec<Value> = choices.tables.iter().chain([&token]).enumerate().map(rule).collect();
    for (schema, table, column) in choices.dms.iter().flat_map(|dms| &dms.generated) {
        let id = (rules.len() + 1).to_string();
        rules.push(json!({ "rule-type": "transformation", "rule-id": id, "rule-name": id, "rule-target": "column",
                           "object-locator": { "schema-name": schema, "table-name": table, "column-name": column },
                           "rule-action": "remove-column" }));
    }
    json!({ "rules": rules })
}

/// The settings. Nothing is made, truncated or skipped by DMS: the tables are ours, and an error stops the task. It stops
/// by itself when all is loaded and what came meanwhile is applied: only then are indexes and constraints made.
pub(in crate::engine) fn settings(task: &DmsTask, step: &Replicate) -> Value {
    let (full, most) = match task.lob {
        Lob::Full => (true, 0),
        Lob::Limited(size) => (false, size.0.div_ceil(1024)),
    };
    json!({
        "TargetMetadata": { "SupportLobs": true, "FullLobMode": full, "LimitedSizeLobMode": !full, "LobChunkSize": 64,
                            "LobMaxSize": most, "BatchApplyEnabled": task.batch_apply },
        "FullLoadSettings": { "TargetTablePrepMode": "DO_NOTHING", "CreatePkAfterFullLoad": false,
                              "StopTaskCachedChangesApplied": true, "StopTaskCachedChangesNotApplied": false,
                              "MaxFullLoadSubTasks": step.workers.clamp(1, 49) },
        "ControlTablesSettings": { "ControlSchema": "pointsman" },
        "ChangeProcessingDdlHandlingPolicy": { "HandleSourceTableDropped": false, "HandleSourceTableTruncated": true,
                                               "HandleSourceTableAltered": false },
        "ErrorBehavior": { "DataErrorPolicy": "STOP_TASK", "DataTruncationErrorPolicy": "STOP_TASK",
                           "TableErrorPolicy": "STOP_TASK", "ApplyErrorDeletePolicy": "STOP_TASK",
                           "ApplyErrorInsertPolicy": "STOP_TASK", "ApplyErrorUpdatePolicy": "STOP_TASK",
                           "FullLoadIgnoreConflicts": true, "FailOnTransactionConsistencyBreached": true,
                           "FailOnNoTablesCaptured": true },
        "ValidationSettings": { "EnableValidation": task.validation },
        "Logging": { "EnableLogging": task.logs },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::DmsChoices;
    use crate::runbook::units::Size;

    #[test]
    fn a_run_finds_its_names_again() {
        let names = Names::of("orders-20261125-101500-ab12");
        assert_eq!(names, Names::of("orders-20261125-101500-ab12"));
        assert_ne!(names, Names::of("orders-20261125-101500-ab13"));
        assert!(names.instance.len() <= 63 && !names.instance.contains("--"), "{}", names.instance);
    }

    #[test]
    fn every_table_is_named_exactly_and_the_token_goes_along() {
        let text = str::to_owned;
        let generated = vec![(text("public"), text("order_lines"), text("total"))];
        let dms = Some(DmsChoices { generated, identities: Vec::new(), cascades_logged: false });
        let tables = vec![(text("public"), text("order_lines"))];
        let mut rules = mappings(&Choices { tables, dms, ..Choices::default() });
        let left_out = rules["rules"].as_array_mut().unwrap().pop().unwrap();
        assert_eq!(
            (&left_out["rule-action"], &left_out["object-locator"]["column-name"]),
            (&json!("remove-column"), &json!("total"))
        );
        let named = |n: usize| rules["rules"][n]["object-locator"]["table-name"].clone();
        assert_eq!((named(0), named(1)), ("order_lines".into(), "token_forward".into()));
        assert!(rules["rules"].as_array().unwrap().iter().all(|rule| rule["rule-action"] == "explicit"));
    }

    #[test]
    fn a_large_value_is_carried_whole_unless_the_author_says_how_long_it_may_be() {
        let login = json!({ "role": "dms", "url": "postgres://dms:x@h/d" });
        let task = json!({ "instance": "carrier", "source": login, "target": login });
        let mut task: DmsTask = serde_json::from_value(task).unwrap();
        let step: Replicate = serde_json::from_value(json!({ "from": "a", "to": "b" })).unwrap();
        assert_eq!(settings(&task, &step)["TargetMetadata"]["FullLobMode"], true);
        task.lob = Lob::Limited(Size(100 * 1024 + 1));
        let metadata = &settings(&task, &step)["TargetMetadata"];
        assert_eq!((&metadata["FullLobMode"], &metadata["LobMaxSize"]), (&json!(false), &json!(101)));
    }
}
