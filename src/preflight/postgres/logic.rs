//! Code inside the databases: triggers, event triggers, rules, scheduled jobs.

use super::PreflightInput;
use super::finding::{Check, Finding, count, names};
use crate::systems::postgres::ident;
use crate::systems::postgres::survey::Survey;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = Vec::new();
    for side in input.sides() {
        findings.extend([triggers(side, input), event_triggers(side), jobs(side)]);
    }
    findings.push(rules(input));
    findings
}

/// Both sides apply: the target now, the source on the way back; and a schema dump carries the source's to the target.
fn triggers(side: &Survey, input: &PreflightInput) -> Finding {
    let check = Check {
        id: "triggers-always",
        system: &side.system,
        why: "A trigger enabled ALWAYS or REPLICA fires for replicated rows too, so its effect comes twice: \
              replicated, and again.",
    };
    let found: Vec<_> = side.objects.triggers.iter().filter(|trigger| input.carries(&trigger.schema)).collect();
    if found.is_empty() {
        return check.pass("no trigger fires for replicated rows", "None is enabled ALWAYS or REPLICA.");
    }
    let named = found.iter().map(|trigger| {
        format!(
            "{} on {}.{} ({})",
            trigger.name,
            trigger.schema,
            trigger.table,
            if trigger.enabled == "A" { "always" } else { "replica" }
        )
    });
    let detail = format!("{}.", names(named));
    let mend = found
        .iter()
        .map(|trigger| {
            format!(
                "ALTER TABLE {}.{} ENABLE TRIGGER {};",
                ident(&trigger.schema),
                ident(&trigger.table),
                ident(&trigger.name)
            )
        })
        .collect();
    check.fail(
        count(found.len(), "trigger fires for replicated rows", "triggers fire for replicated rows"),
        detail,
        mend,
    )
}

fn event_triggers(side: &Survey) -> Finding {
    let check = Check {
        id: "event-triggers",
        system: &side.system,
        why: "An event trigger runs at our own CREATE, ALTER and DROP, and can refuse them; it is not replicated, \
              and neither is DDL.",
    };
    let found: Vec<_> = side.objects.event_triggers.iter().filter(|trigger| trigger.enabled != "D").collect();
    if found.is_empty() {
        return check.pass(
            "there is no event trigger",
            "DDL is not replicated all the same: stop migrations while the run lasts.",
        );
    }
    let named = found.iter().map(|trigger| format!("{} ({})", trigger.name, trigger.event));
    let mend = found
        .iter()
        .map(|trigger| {
            format!(
                "ALTER EVENT TRIGGER {} DISABLE; -- while the run lasts, if it would refuse ours",
                ident(&trigger.name)
            )
        })
        .collect();
    check.warn(count(found.len(), "event trigger", "event triggers"), format!("{}.", names(named)), mend)
}

fn jobs(side: &Survey) -> Finding {
    let check = Check {
        id: "scheduled-jobs",
        system: &side.system,
        why: "Jobs inside the database write without a client: on the source after the fence if their role is a \
              superuser, on both sides afterwards.",
    };
    if !side.objects.extensions.contains_key("pg_cron") {
        return check.pass("no scheduler is in the database", "pg_cron is not installed.");
    }
    let mend = vec![
        "UPDATE cron.job SET active = false; -- before the window; afterwards true on the side that takes writes"
            .to_owned(),
    ];
    check.warn("pg_cron runs jobs in the database", "See SELECT * FROM cron.job; its tables are not carried.", mend)
}

fn rules(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "rules",
        system: &input.source.system,
        why: "Rules are not run for replicated rows; a rule that redirects writes works only for clients.",
    };
    let found = &input.source.objects.rules;
    if found.is_empty() {
        return check.pass("no table has a rule", "None was found.");
    }
    let mend = vec!["-- see that each does on the target what it should; they come with the schema".to_owned()];
    check.warn(count(found.len(), "rule on a table", "rules on tables"), format!("{}.", names(found)), mend)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::judged;
    use crate::systems::postgres::survey::{EventTrigger, Trigger};

    fn trigger(enabled: &str) -> Trigger {
        Trigger { schema: "public".into(), table: "orders".into(), name: "audit".into(), enabled: enabled.into() }
    }

    #[test]
    fn triggers_that_fire_for_replicated_rows_are_refused_on_both_sides() {
        let found = judged("triggers-always", "source", |input| input.source.objects.triggers = vec![trigger("A")]);
        assert_eq!(found.level, Level::Fail);
        assert!(found.detail.contains("audit on public.orders (always)"));
        assert_eq!(found.mend, [r#"ALTER TABLE "public"."orders" ENABLE TRIGGER "audit";"#]);
        let replica = judged("triggers-always", "target", |input| input.target.objects.triggers = vec![trigger("R")]);
        assert!(replica.level == Level::Fail && replica.detail.contains("(replica)"));
        assert_eq!(judged("triggers-always", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn event_triggers_warn_unless_disabled() {
        let with = |enabled: &'static str| {
            judged("event-triggers", "source", move |input| {
                input.source.objects.event_triggers = vec![EventTrigger {
                    name: "no_ddl".into(),
                    event: "ddl_command_end".into(),
                    enabled: enabled.into(),
                }];
            })
            .level
        };
        assert_eq!([with("O"), with("D")], [Level::Warn, Level::Pass]);
    }

    #[test]
    fn jobs_and_rules_are_named() {
        let cron = judged("scheduled-jobs", "source", |input| {
            input.source.objects.extensions.insert("pg_cron".into(), "1.6".into());
        });
        assert_eq!(cron.level, Level::Warn);
        assert_eq!(judged("scheduled-jobs", "target", |_| ()).level, Level::Pass);
        let rule = judged("rules", "source", |input| input.source.objects.rules = vec!["r on public.t".into()]);
        assert_eq!(rule.level, Level::Warn);
        assert_eq!(judged("rules", "source", |_| ()).level, Level::Pass);
    }
}
