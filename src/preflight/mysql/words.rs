//! Character sets, collations, time zones, and how names are spelt: what the same bytes mean on the other side.

use std::collections::BTreeSet;

use super::PreflightInput;
use super::finding::{Check, Finding, names};
use super::mend::change;
use crate::systems::mysql::survey::Survey;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    vec![charsets(input), collations(input), letters(input), time_zone(input)]
}

/// What schemas, tables and columns that are carried use.
fn used(input: &PreflightInput) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let columns = || input.tables().flat_map(|table| &table.columns);
    let schemas = || input.source.schemas.iter().filter(|schema| input.carries(&schema.name));
    let charsets = columns().filter_map(|column| column.charset.as_deref());
    let charsets = charsets.chain(schemas().map(|schema| schema.charset.as_str())).collect();
    let collations = columns().filter_map(|column| column.collation.as_deref());
    let collations = collations.chain(input.tables().map(|table| table.collation.as_str()));
    let collations = collations.chain(schemas().map(|schema| schema.collation.as_str())).collect();
    (charsets, collations)
}

fn charsets(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "character-sets",
        system: &input.target.system,
        why: "A column in a character set that the target does not know can't be made there.",
    };
    let (used, _) = used(input);
    let unknown: Vec<&&str> = used
        .iter()
        .filter(|name| !name.is_empty() && !input.target.charsets.iter().any(|known| known == *name))
        .collect();
    if unknown.is_empty() {
        return check.pass("the target knows every character set", format!("{}.", names(&used)));
    }
    let mend = unknown
        .iter()
        .map(|name| {
            format!("-- on the source: ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4, for each table in {name}")
        })
        .collect();
    check.fail("the target does not know some character sets", format!("{}.", names(unknown)), mend)
}

fn collations(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "collations",
        system: &input.target.system,
        why: "A collation decides what is equal and what comes first: unknown to the target, its columns can't be made there.",
    };
    let (_, used) = used(input);
    let known = |name: &str| {
        // MariaDB lists those of the newest Unicode without their character set.
        let short = name.split_once('_').map_or(name, |(_, rest)| rest);
        input.target.collations.iter().any(|found| found == name || (input.target.is_mariadb() && found == short))
    };
    let unknown: Vec<&&str> = used.iter().filter(|name| !name.is_empty() && !known(name)).collect();
    if unknown.is_empty() {
        return check.pass("the target knows every collation", format!("{}.", names(&used)));
    }
    let mend = unknown
        .iter()
        .map(|name| format!("-- on the source: ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci, for each table in {name}"))
        .collect();
    check.fail("the target does not know some collations", format!("{}.", names(unknown)), mend)
}

/// `lower_case_table_names` is set when a server is made and never again.
fn letters(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "lower-case-table-names",
        system: &input.target.system,
        why: "Whether `Orders` and `orders` are one table is fixed when a server is made; carried rows look for the name \
              that the other side wrote.",
    };
    let of = |side: &Survey| side.variable("lower_case_table_names").unwrap_or("unknown").to_owned();
    let (source, target) = (of(&input.source), of(&input.target));
    let read = format!("lower_case_table_names is {source} on the source and {target} on the target.");
    if source == target {
        return check.pass("both sides spell names alike", read);
    }
    let has_capitals = |name: &str| name.chars().any(char::is_uppercase);
    let capital: Vec<String> = input
        .tables()
        .filter(|table| has_capitals(&table.name) || has_capitals(&table.schema))
        .map(crate::systems::mysql::survey::Table::full_name)
        .collect();
    let mend = vec![format!(
        "-- make the target anew with lower_case_table_names = {source} (RDS: a parameter group given at creation)"
    )];
    if capital.is_empty() {
        return check.warn("the sides spell names differently", format!("{read} No name has capitals now."), mend);
    }
    check.fail("the sides spell names differently", format!("{read} With capitals: {}.", names(&capital)), mend)
}

fn time_zone(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "time-zone",
        system: &input.target.system,
        why: "NOW(), CURDATE() and every TIMESTAMP that is shown follow the session's zone; carried rows are right, but \
              what the application reads and writes after the switch may be hours off.",
    };
    let zone = |side: &Survey| {
        let zone = side.variable("time_zone").unwrap_or("unknown");
        let system = side.variable("system_time_zone").unwrap_or("unknown");
        if zone == "SYSTEM" { format!("SYSTEM ({system})") } else { zone.to_owned() }
    };
    let (source, target) = (zone(&input.source), zone(&input.target));
    let read = format!("time_zone is {source} on the source and {target} on the target.");
    if input.source.named_time_zones && !input.target.named_time_zones {
        let mend = vec![format!(
            "-- on {}'s host: mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql mysql (MariaDB: mariadb-tzinfo-to-sql)",
            input.target.system
        )];
        return check.warn(
            "the target does not know time zones by name",
            format!("{read} CONVERT_TZ by name gives NULL there."),
            mend,
        );
    }
    if bare(&source) == bare(&target) {
        return check.pass("both sides have the same time zone", read);
    }
    let wanted = match input.source.variable("time_zone") {
        Some("SYSTEM") | None => input.source.variable("system_time_zone").unwrap_or("+00:00"),
        Some(zone) => zone,
    };
    let wanted = if bare(wanted) == "UTC" { "+00:00" } else { wanted };
    check.warn("the sides have different time zones", read, change(&input.target, "time_zone", wanted))
}

/// Several names of one zone.
fn bare(zone: &str) -> &str {
    match zone {
        "SYSTEM (UTC)" | "SYSTEM (Etc/UTC)" | "+00:00" | "UTC" | "Etc/UTC" | "GMT" => "UTC",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{judged, judged_mariadb, set};

    #[test]
    fn what_the_target_does_not_know_is_refused() {
        let charset = judged("character-sets", "target", |input| {
            input.source.tables[0].columns[1].charset = Some("eucjpms".into());
        });
        assert!(charset.level == Level::Fail && charset.detail == "eucjpms.");
        let collation =
            judged("collations", "target", |input| input.source.tables[0].collation = "utf8mb4_zz_ci".into());
        assert!(collation.level == Level::Fail && collation.mend[0].contains("utf8mb4_zz_ci"));
        let newest = judged_mariadb("collations", "target", |input| {
            input.source.tables[0].collation = "utf8mb4_uca1400_ai_ci".into();
            input.target.collations.push("uca1400_ai_ci".into());
        });
        assert_eq!(newest.level, Level::Pass);
        for id in ["character-sets", "collations"] {
            assert_eq!(judged(id, "target", |_| ()).level, Level::Pass);
        }
    }

    #[test]
    fn names_with_capitals_need_the_same_spelling() {
        let with = |name: &'static str| {
            judged("lower-case-table-names", "target", move |input| {
                input.source.tables[0].name = name.into();
                set(&mut input.target, "lower_case_table_names", "1");
            })
            .level
        };
        assert_eq!([with("Orders"), with("orders")], [Level::Fail, Level::Warn]);
        assert_eq!(judged("lower-case-table-names", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn zones_are_compared_by_what_they_mean() {
        let with =
            |zone: &'static str| judged("time-zone", "target", move |input| set(&mut input.target, "time_zone", zone));
        assert_eq!(with("+00:00").level, Level::Pass);
        let other = with("+09:00");
        assert_eq!((other.level, other.mend), (Level::Warn, vec!["SET PERSIST time_zone = '+00:00';".to_owned()]));
        let nameless = judged("time-zone", "target", |input| {
            input.source.named_time_zones = true;
            input.target.named_time_zones = false;
        });
        assert!(nameless.level == Level::Warn && nameless.mend[0].contains("tzinfo"));
    }
}
