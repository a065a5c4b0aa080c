//! Parameters that replication needs, and whether they are in force or wait for a reboot. What the server itself says of
//! them is looked at in the preflight of its kind.

use super::finding::Finding;
use super::{Check, Facts};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    vec![needed(facts), status(facts)]
}

/// `(name, value)` that the group must have; static ones come into force by a reboot.
fn wanted(facts: &Facts) -> &'static [(&'static str, &'static str)] {
    match (facts.sends(), facts.is_postgres()) {
        (false, _) => &[],
        (true, true) => &[("rds.logical_replication", "1")],
        (true, false) => &[("binlog_format", "ROW")],
    }
}

fn needed(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-parameters",
        system: &facts.system,
        why: "Without its log of changes the other side can't follow it, and there is no way back.",
    };
    let wanted = wanted(facts);
    let Some((group, status)) = facts.group().filter(|_| !wanted.is_empty() && facts.parameters.is_some()) else {
        return check.pass("nothing is asked of its parameters", "it sends no changes, or they could not be read.");
    };
    let lacks: Vec<_> = wanted.iter().filter(|(name, value)| !is(facts, name, value)).collect();
    let Some((name, value)) = lacks.first() else {
        if status == "pending-reboot" {
            let detail =
                format!("{group} has {} and is {status}: nobody knows which value is in force.", listed(wanted));
            return check.fail("what replication needs waits for a reboot", detail, vec![facts.reboot()]);
        }
        return check.pass("its parameters let it be followed", format!("{group}: {}, {status}.", listed(wanted)));
    };
    let has = facts.parameter(name).unwrap_or("not set");
    let detail = format!("{name} is {has} in {group}, and must be {value}.");
    check.fail("a parameter that replication needs is not set", detail, mend(facts, &group, name, value))
}

fn is(facts: &Facts, name: &str, value: &str) -> bool {
    match facts.parameter(name) {
        Some(found) => found.eq_ignore_ascii_case(value),
        // From 8.4 on ROW is what the engine has by itself.
        None => name == "binlog_format" && facts.server().is_some_and(|server| server.version.as_str() >= "8.4"),
    }
}

fn listed(wanted: &[(&str, &str)]) -> String {
    wanted.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
}

/// Groups that AWS made can't be changed: another one takes their place first.
fn mend(facts: &Facts, group: &str, name: &str, value: &str) -> Vec<String> {
    let cluster = if facts.cluster.is_some() { "cluster-" } else { "" };
    let mut lines = Vec::new();
    let mut own = group.to_owned();
    if let Some(family) = group.strip_prefix("default.") {
        own = format!("{}-replication", facts.identifier());
        lines.push(format!(
            "aws rds create-db-{cluster}parameter-group --db-{cluster}parameter-group-name {own} \
             --db-parameter-group-family {family} --description replication"
        ));
        lines.push(facts.modify(&format!("--db-{cluster}parameter-group-name {own}")));
    }
    let method = if name == "binlog_format" { "immediate" } else { "pending-reboot" };
    lines.push(format!(
        "aws rds modify-db-{cluster}parameter-group --db-{cluster}parameter-group-name {own} \
         --parameters ParameterName={name},ParameterValue={value},ApplyMethod={method}"
    ));
    lines.push(facts.reboot());
    lines
}

fn status(facts: &Facts) -> Finding {
    let check = Check {
        id: "rds-parameter-status",
        system: &facts.system,
        why: "A value that waits for a reboot comes into force with the next one, wanted or not.",
    };
    let Some((group, status)) = facts.group() else { return check.pass("it has no parameter group", "") };
    match status.as_str() {
        "in-sync" => check.pass("its parameters are in force", format!("{group} is in-sync.")),
        "pending-reboot" => {
            check.warn("parameters wait for a reboot", format!("{group} is pending-reboot."), vec![facts.reboot()])
        }
        other => {
            let mend = vec!["-- wait until it is in-sync, then look again".to_owned()];
            check.warn("parameters are being applied", format!("{group} is {other}."), mend)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::judged;
    use crate::preflight::Level;
    use crate::systems::pair::Side;

    #[test]
    fn what_replication_needs_must_be_set_and_in_force() {
        let set = |value: &'static str, status: &'static str| {
            judged("rds-parameters", move |facts| {
                let parameters = facts.parameters.as_mut().unwrap();
                parameters.insert("rds.logical_replication".into(), value.into());
                facts.instance().groups[0].status = status.into();
            })
        };
        assert_eq!(set("1", "in-sync").level, Level::Pass);
        let waits = set("1", "pending-reboot");
        assert!(waits.level == Level::Fail && waits.mend[0].starts_with("aws rds reboot-db-instance"), "{waits:?}");
        let off = set("0", "in-sync");
        assert_eq!((off.level, off.mend.len()), (Level::Fail, 2));
        assert!(off.mend[0].contains("ParameterName=rds.logical_replication,ParameterValue=1"), "{off:?}");
        let pending =
            judged("rds-parameter-status", |facts| facts.instance().groups[0].status = "pending-reboot".into());
        assert_eq!(pending.level, Level::Warn);
    }

    #[test]
    fn a_group_of_aws_is_replaced_first() {
        let found = judged("rds-parameters", |facts| {
            facts.parameters.as_mut().unwrap().clear();
            facts.instance().groups[0].name = "default.postgres17".into();
        });
        assert!(found.mend[0].contains("--db-parameter-group-family postgres17"), "{found:?}");
        assert!(found.mend[1].contains("modify-db-instance") && found.mend.len() == 4, "{found:?}");
    }

    #[test]
    fn who_sends_nothing_needs_nothing() {
        let of = |way_back| {
            judged("rds-parameters", move |facts| {
                (facts.part.side, facts.part.way_back) = (Some(Side::Target), way_back);
                facts.parameters.as_mut().unwrap().clear();
            })
        };
        assert_eq!((of(false).level, of(true).level), (Level::Pass, Level::Fail));
        let source = |physical| {
            judged("rds-parameters", move |facts| {
                (facts.part.side, facts.part.physical) = (Some(Side::Source), physical);
                facts.parameters.as_mut().unwrap().clear();
            })
        };
        assert_eq!((source(true).level, source(false).level), (Level::Pass, Level::Fail));
    }

    #[test]
    fn mysql_needs_rows_in_its_log() {
        let of = |value: Option<&'static str>, version: &'static str| {
            judged("rds-parameters", move |facts| {
                let server = &mut facts.instance().server;
                (server.engine, server.version) = ("mysql".into(), version.into());
                facts.part.database = Some(("target".into(), "mysql"));
                let parameters = facts.parameters.as_mut().unwrap();
                parameters.extend(value.map(|value| ("binlog_format".to_owned(), value.to_owned())));
            })
        };
        assert_eq!(of(Some("MIXED"), "8.0.40").level, Level::Fail);
        assert_eq!(of(Some("ROW"), "8.0.40").level, Level::Pass);
        assert_eq!((of(None, "8.0.40").level, of(None, "8.4.3").level), (Level::Fail, Level::Pass));
    }
}
