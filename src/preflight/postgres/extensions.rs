//! Extensions that the target must have.

use super::PreflightInput;
use super::finding::{Check, Finding, names};
use crate::systems::postgres::ident;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    vec![available(input), versions(input)]
}

/// An extension that the target has not installed, or can't.
fn available(input: &PreflightInput) -> Finding {
    let (source, target) = (&input.source.objects, &input.target.objects);
    let check = Check {
        id: "extensions",
        system: &input.target.system,
        why: "Types, functions and indexes of a missing extension make the schema fail to restore.",
    };
    let missing: Vec<&String> =
        source.extensions.keys().filter(|name| !target.extensions.contains_key(*name)).collect();
    let (possible, impossible): (Vec<&String>, Vec<&String>) =
        missing.iter().partition(|name| target.available.contains_key(**name));
    if !impossible.is_empty() {
        let rds = input.target.server.rds;
        let how = |name: &str| if rds { not_on_rds(name) } else { "install its package on the target's host" };
        let mend = impossible.iter().map(|name| format!("-- {name}: {}", how(name))).collect();
        return check.fail(
            "the target does not have every extension",
            format!("Not available there: {}.", names(impossible)),
            mend,
        );
    }
    if possible.is_empty() {
        return check
            .pass("the target has every extension", format!("The source has: {}.", names(source.extensions.keys())));
    }
    if input.wanted.copy_schema {
        return check
            .pass("the target can have every extension", format!("Created with the schema: {}.", names(possible)));
    }
    let mend = possible.iter().map(|name| format!("CREATE EXTENSION {};", ident(name))).collect();
    check.fail(
        "extensions are not created on the target",
        format!("Available, not created: {}.", names(possible)),
        mend,
    )
}

/// What to do without an extension that RDS does not offer here.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/PostgreSQLReleaseNotes/postgresql-extensions.html>
fn not_on_rds(name: &str) -> &'static str {
    match name {
        "timescaledb" => {
            "RDS and Aurora never offer it: turn hypertables into partitioned tables (pg_partman is offered) and \
             continuous aggregates into materialized views, or stay on a server of your own"
        }
        "postgis" | "postgis_raster" | "postgis_topology" | "postgis_tiger_geocoder" | "address_standardizer" => {
            "RDS offers PostGIS: allow it in `rds.extensions` of the parameter group, and take a version of the engine \
             that has it"
        }
        "pg_cron" | "pgaudit" | "pg_stat_statements" | "pglogical" | "pg_partman_bgw" => {
            "RDS offers it: put it into `shared_preload_libraries` of the parameter group, and reboot the instance"
        }
        _ => "it is not offered by RDS: do without it",
    }
}

fn versions(input: &PreflightInput) -> Finding {
    let (source, target) = (&input.source.objects, &input.target.objects);
    let check = Check {
        id: "extension-versions",
        system: &input.target.system,
        why: "Another version can lack a function, or write values that the source can't read on the way back.",
    };
    let different: Vec<(String, &String, &String)> = source
        .extensions
        .iter()
        .filter_map(|(name, had)| {
            let has = target.extensions.get(name).or_else(|| target.available.get(name))?;
            (had != has).then(|| (format!("{name} ({had} / {has})"), name, had))
        })
        .collect();
    if different.is_empty() {
        return check.pass("extensions have the same versions", "Nothing differs.");
    }
    let mend =
        different.iter().map(|(_, name, had)| format!("-- look at the release notes of {name} since {had}")).collect();
    check.warn(
        "extensions have other versions on the target",
        format!("Source / target: {}.", names(different.iter().map(|(shown, ..)| shown))),
        mend,
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::judged;
    use super::super::{Finding, Level};

    fn with(id: &str, installed: bool, available: Option<&'static str>, copy_schema: bool) -> Finding {
        judged(id, "target", move |input| {
            input.source.objects.extensions.insert("hstore".into(), "1.8".into());
            if let Some(version) = available {
                input.target.objects.available.insert("hstore".into(), version.into());
                if installed {
                    input.target.objects.extensions.insert("hstore".into(), version.into());
                }
            }
            input.wanted.copy_schema = copy_schema;
        })
    }

    #[test]
    fn extensions_must_be_there_or_come_with_the_schema() {
        assert_eq!(with("extensions", false, None, true).level, Level::Fail);
        assert_eq!(with("extensions", false, Some("1.8"), true).level, Level::Pass);
        assert_eq!(with("extensions", false, Some("1.8"), false).mend, [r#"CREATE EXTENSION "hstore";"#]);
        assert_eq!(with("extensions", true, Some("1.8"), false).level, Level::Pass);
    }

    #[test]
    fn rds_offers_postgis_and_never_timescaledb() {
        let of = |name: &'static str| {
            judged("extensions", "target", move |input| {
                input.source.objects.extensions.insert(name.into(), "2".into());
                input.target.server.rds = true;
            })
        };
        assert!(of("timescaledb").mend[0].contains("partitioned tables"), "{:?}", of("timescaledb"));
        assert!(of("postgis").mend[0].contains("`rds.extensions`") && of("postgis").level == Level::Fail);
        assert!(of("mine").mend[0].contains("not offered by RDS"));
    }

    #[test]
    fn other_versions_warn() {
        assert_eq!(with("extension-versions", true, Some("1.8"), true).level, Level::Pass);
        let found = with("extension-versions", false, Some("1.9"), true);
        assert!(found.level == Level::Warn && found.detail.contains("hstore (1.8 / 1.9)"));
    }
}
