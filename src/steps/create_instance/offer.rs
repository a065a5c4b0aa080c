//! Whether RDS offers what shall be made: a pure judgement of what was read.

use super::{CreateInstance, driver};
use crate::preflight::{Check, Finding};
use crate::systems::Result;
use crate::systems::aws::rds::Version;
use crate::systems::aws::{Access, Permission, Service};
use crate::systems::world::World;

/// Versions that are named in the place of one that is not there.
const NAMED: usize = 6;

/// What was read.
pub(super) struct Offer {
    versions: Vec<Version>,
    orderable: bool,
}

pub(super) async fn read(step: &CreateInstance, world: &World) -> Result<Offer> {
    let aws = world.aws(&step.of, Access::ReadOnly).await?;
    let versions = driver::versions(&aws, &step.engine).await?;
    let exact =
        versions.iter().find(|version| version.name == step.engine_version).map(|version| version.name.as_str());
    let orderable = driver::is_orderable(&aws, &step.engine, exact, &step.class).await?;
    Ok(Offer { versions, orderable })
}

pub(super) fn judge(check: Check<'_>, step: &CreateInstance, offer: Result<Offer>) -> Finding {
    let offer = match offer {
        Ok(offer) => offer,
        Err(error) => {
            let mend = vec!["pointsman iam-policy RUNBOOK > policy.json  -- and attach it".to_owned()];
            let detail = format!("{}: {}.", error.what, error.reason);
            return check.warn("the name is free, and whether RDS offers what is made is not known", detail, mend);
        }
    };
    let wanted = format!("{} {}", step.engine, step.engine_version);
    let fitting: Vec<&Version> = offer.versions.iter().filter(|version| fits(&version.name, step)).collect();
    if fitting.is_empty() {
        let detail = format!("{wanted} is none of {}.", near(&offer.versions, step));
        let mend = format!(
            "aws rds describe-db-engine-versions --engine {} --query 'DBEngineVersions[].EngineVersion'  -- and name one",
            step.engine
        );
        return check.fail("RDS has no such version", detail, vec![mend]);
    }
    if !offer.orderable {
        let mend = format!(
            "aws rds describe-orderable-db-instance-options --engine {} --engine-version {} --query \
             'OrderableDBInstanceOptions[].DBInstanceClass'  -- and name one",
            step.engine, step.engine_version
        );
        return check.fail("RDS does not offer the class", format!("{} for {wanted}, here.", step.class), vec![mend]);
    }
    if fitting.iter().all(|version| version.deprecated) {
        let mend = vec![format!("-- a later version: {}", near(&offer.versions, step))];
        return check.warn("the version is deprecated", format!("AWS has given up {wanted}."), mend);
    }
    check.pass("the name is free, and RDS offers what is made", format!("{wanted} on {}.", step.class))
}

/// A major version stands for its newest minor one.
fn fits(name: &str, step: &CreateInstance) -> bool {
    let wanted = &step.engine_version;
    name == wanted || name.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with('.'))
}

/// Versions that could have been meant: of the same major version, else the last ones.
fn near(versions: &[Version], step: &CreateInstance) -> String {
    let major = step.engine_version.split('.').next().unwrap_or_default();
    let names: Vec<&str> =
        versions.iter().filter(|version| !version.deprecated).map(|version| version.name.as_str()).collect();
    let same: Vec<&str> = names.iter().copied().filter(|name| name.split('.').next() == Some(major)).collect();
    let all = if same.is_empty() { names } else { same };
    if all.is_empty() {
        return "those that RDS has, which are none".to_owned();
    }
    all[all.len().saturating_sub(NAMED)..].join(", ")
}

/// What looking must be allowed.
pub(super) fn permissions() -> [Permission; 2] {
    ["DescribeDBEngineVersions", "DescribeOrderableDBInstanceOptions"]
        .map(|operation| Permission::anywhere(Service::Rds, operation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Level;
    use crate::systems::{Certainty, DriverError};

    fn found(version: &str, offer: Result<(&[(&str, bool)], bool)>) -> Finding {
        let text = format!(
            r#"{{ "of": "fresh", "engine": "postgres", "engine-version": "{version}", "class": "db.m7g.large",
                 "storage": "20GiB", "user": "keeper" }}"#
        );
        let step: CreateInstance = serde_json::from_str(&text).unwrap();
        let version = |(name, deprecated): &(&str, bool)| Version { name: (*name).to_owned(), deprecated: *deprecated };
        let offer =
            offer.map(|(versions, orderable)| Offer { versions: versions.iter().map(version).collect(), orderable });
        judge(Check { id: "create-instance", system: "fresh", why: "." }, &step, offer)
    }

    const VERSIONS: &[(&str, bool)] = &[("16.1", true), ("16.8", false), ("17.4", false), ("17.5", false)];

    #[test]
    fn what_rds_does_not_have_is_told_beforehand() {
        let of = |version, orderable| found(version, Ok((VERSIONS, orderable)));
        assert_eq!((of("17.4", true).level, of("17", true).level), (Level::Pass, Level::Pass));
        let unknown = of("17.9", true);
        assert_eq!((unknown.level, unknown.title.as_str()), (Level::Fail, "RDS has no such version"));
        assert_eq!(unknown.detail, "postgres 17.9 is none of 17.4, 17.5.");
        assert!(of("1", true).level == Level::Fail, "17.4 is no minor version of 1");
        let class = of("17.4", false);
        assert_eq!((class.level, class.title.as_str()), (Level::Fail, "RDS does not offer the class"));
        assert_eq!(class.detail, "db.m7g.large for postgres 17.4, here.");
        let old = of("16.1", true);
        assert_eq!((old.level, old.title.as_str()), (Level::Warn, "the version is deprecated"));
        assert!(old.mend[0].contains("16.8"), "{old:?}");
    }

    #[test]
    fn what_could_not_be_asked_is_no_pass() {
        let denied = DriverError::new("fresh", "read the versions of postgres", "AccessDenied: no", Certainty::Refused);
        let found = found("17.4", Err(denied));
        assert!(found.level == Level::Warn && found.detail.contains("AccessDenied"), "{found:?}");
    }
}
