//! Encoding, collation and time zone.

use super::PreflightInput;
use super::finding::{Check, Finding};
use super::settings::in_database;
use crate::systems::postgres::ident;
use crate::systems::postgres::survey::{DatabaseFacts, Survey};

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let mut findings = vec![encoding(input), collation(input), time_zone(input)];
    findings.extend(input.sides().map(stale_collation));
    findings
}

fn recreate(input: &PreflightInput) -> Vec<String> {
    let from = &input.source.database;
    let locale = from
        .locale
        .as_ref()
        .map(|locale| format!(" {} '{locale}'", if from.provider == "i" { "ICU_LOCALE" } else { "BUILTIN_LOCALE" }))
        .unwrap_or_default();
    let provider = match from.provider.as_str() {
        "i" => "icu",
        "b" => "builtin",
        _ => "libc",
    };
    vec![
        format!("DROP DATABASE {};", ident(&input.target.database.name)),
        format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING '{}' LOCALE_PROVIDER {provider} LC_COLLATE '{}' LC_CTYPE \
             '{}'{locale};",
            ident(&input.target.database.name),
            from.encoding,
            from.collate,
            from.ctype
        ),
    ]
}

fn encoding(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "encoding",
        system: &input.target.system,
        why: "Text that the target's encoding does not have stops replication at that row.",
    };
    let (had, has) = (&input.source.database.encoding, &input.target.database.encoding);
    let read = format!("{had} on the source, {has} on the target.");
    if had == has {
        return check.pass("the encodings are the same", read);
    }
    if has == "UTF8" && had != "SQL_ASCII" {
        let detail = format!("{read} Text is converted; the way back stops at text that {had} does not have.");
        return check.warn("the encodings differ", detail, recreate(input));
    }
    check.fail("the encodings do not fit", read, recreate(input))
}

fn shown(facts: &DatabaseFacts) -> String {
    let provider = match facts.provider.as_str() {
        "i" => "ICU",
        "b" => "builtin",
        _ => "libc",
    };
    let locale = facts.locale.as_ref().map(|locale| format!(", locale {locale}")).unwrap_or_default();
    let version =
        facts.collation_version_now.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
    format!("{provider}, collate {}, ctype {}{locale}{version}", facts.collate, facts.ctype)
}

fn collation(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "collation",
        system: &input.target.system,
        why: "Sorting, ranges, case and unique keys of text follow the collation, and its rules change with the \
              library's version.",
    };
    let (source, target) = (&input.source.database, &input.target.database);
    let read = format!("Source: {}. Target: {}.", shown(source), shown(target));
    let same = (&source.provider, &source.collate, &source.ctype, &source.locale)
        == (&target.provider, &target.collate, &target.ctype, &target.locale);
    if !same {
        return check.warn("the collations differ", read, recreate(input));
    }
    if source.collation_version_now != target.collation_version_now {
        let mend = vec![
            "-- compare ORDER BY of text that matters; check range partitions and CHECKs over text on the target"
                .to_owned(),
        ];
        return check.warn("the collation has another version on the target", read, mend);
    }
    check.pass("the collations are the same", read)
}

/// The library under a server was upgraded and its indexes were not rebuilt.
fn stale_collation(side: &Survey) -> Finding {
    let check = Check {
        id: "collation-version",
        system: &side.system,
        why: "Indexes over text that were built with another version of the collation may not find rows, or let \
              duplicates in.",
    };
    let facts = &side.database;
    let (Some(built), Some(now)) = (&facts.collation_version, &facts.collation_version_now) else {
        return check.pass(
            "the collation has no version",
            "Nothing can have changed under its indexes, as far as PostgreSQL knows.",
        );
    };
    if built == now {
        return check.pass("indexes were built with this version of the collation", format!("Version {now}."));
    }
    let name = ident(&facts.name);
    let mend = vec![format!("REINDEX DATABASE {name};"), format!("ALTER DATABASE {name} REFRESH COLLATION VERSION;")];
    check.warn(
        "indexes were built with another version of the collation",
        format!("Built with {built}; the server has {now}."),
        mend,
    )
}

fn time_zone(input: &PreflightInput) -> Finding {
    let check = Check {
        id: "time-zone",
        system: &input.target.system,
        why: "Timestamps without a zone, now()::date and date arithmetic follow the session's time zone.",
    };
    let (had, has) =
        (input.source.setting("TimeZone").unwrap_or("unknown"), input.target.setting("TimeZone").unwrap_or("unknown"));
    let read = format!("{had} on the source, {has} on the target.");
    if had == has || (is_utc(had) && is_utc(has)) {
        return check.pass("the time zones are the same", read);
    }
    check.warn("the time zones differ", read, vec![in_database(&input.target, "TimeZone", had)])
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "Etc/UTC" | "GMT" | "Etc/GMT" | "UCT" | "Etc/UCT" | "Zulu" | "Universal")
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{judged, set};

    #[test]
    fn encodings_must_fit() {
        let with = |had: &'static str, has: &'static str| {
            judged("encoding", "target", move |input| {
                input.source.database.encoding = had.into();
                input.target.database.encoding = has.into();
            })
        };
        assert_eq!(with("UTF8", "UTF8").level, Level::Pass);
        assert_eq!(with("LATIN1", "UTF8").level, Level::Warn);
        assert_eq!(with("SQL_ASCII", "UTF8").level, Level::Fail);
        let found = with("UTF8", "LATIN1");
        assert_eq!(found.level, Level::Fail);
        assert!(found.mend[1].contains("TEMPLATE template0 ENCODING 'UTF8'"), "{:?}", found.mend);
    }

    #[test]
    fn collations_are_compared_with_their_versions() {
        let id = "collation";
        assert_eq!(judged(id, "target", |_| ()).level, Level::Pass);
        assert_eq!(judged(id, "target", |input| input.target.database.collate = "C".into()).level, Level::Warn);
        let newer = judged(id, "target", |input| {
            input.source.database.collation_version_now = Some("2.31".into());
            input.target.database.collation_version_now = Some("2.41".into());
        });
        assert!(newer.level == Level::Warn && newer.detail.contains("version 2.41"), "{newer:?}");
        let stale = judged("collation-version", "source", |input| {
            input.source.database.collation_version = Some("2.31".into());
            input.source.database.collation_version_now = Some("2.36".into());
        });
        assert_eq!((stale.level, stale.mend[0].as_str()), (Level::Warn, r#"REINDEX DATABASE "shop";"#));
        assert_eq!(judged("collation-version", "target", |_| ()).level, Level::Pass);
    }

    #[test]
    fn names_of_utc_are_the_same_zone() {
        let with =
            |zone: &'static str| judged("time-zone", "target", move |input| set(&mut input.target, "TimeZone", zone));
        assert_eq!(with("Etc/UTC").level, Level::Pass);
        let found = with("Europe/Berlin");
        assert_eq!(
            (found.level, found.mend[0].as_str()),
            (Level::Warn, r#"ALTER DATABASE "shop" SET "TimeZone" = 'UTC';"#)
        );
    }
}
