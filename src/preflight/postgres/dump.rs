//! The `pg_dump` of this machine, which reads the schema.

use super::PreflightInput;
use super::finding::{Check, Finding};

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let check = Check {
        id: "pg-dump",
        system: &input.source.system,
        why: "The schema is copied with this machine's pg_dump, and one that is older than the server refuses to read it.",
    };
    let finding = match &input.pg_dump {
        None => check.pass("no pg_dump is needed", "The runbook copies no schema (`copy-schema: false`)."),
        Some(Ok(found)) => check.pass("pg_dump reads the source", format!("{found}.")),
        Some(Err(reason)) => check.fail(
            "there is no pg_dump that reads the source",
            format!("{reason}."),
            vec![format!(
                "-- install postgresql-client-{0} (or newer) here, or name one: `pg-dump:` of `replicate`, or POINTSMAN_PG_DUMP",
                input.source.major()
            )],
        ),
    };
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::judged;

    #[test]
    fn a_pg_dump_that_is_too_old_fails_and_none_is_needed_without_a_copy() {
        let level = |pg_dump| judged("pg-dump", "source", |input| input.pg_dump = pg_dump).level;
        assert_eq!(level(Some(Ok("pg_dump 18".into()))), Level::Pass);
        assert_eq!(level(None), Level::Pass);
        let old = judged("pg-dump", "source", |input| input.pg_dump = Some(Err("pg_dump is of version 13".into())));
        assert_eq!(old.level, Level::Fail);
        assert!(old.mend[0].contains("postgresql-client-15"), "{old:?}");
    }
}
