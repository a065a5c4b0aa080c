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
        let how = if input.target.server.rds {
            "is not offered by RDS: do without it"
        } else {
            "install its package on the target's host"
        };
        let mend = impossible.iter().map(|name| format!("-- {name}: {how}")).collect();
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
    fn other_versions_warn() {
        assert_eq!(with("extension-versions", true, Some("1.8"), true).level, Level::Pass);
        let found = with("extension-versions", false, Some("1.9"), true);
        assert!(found.level == Level::Warn && found.detail.contains("hstore (1.8 / 1.9)"));
    }
}
