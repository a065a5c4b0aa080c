//! What it takes to make a subscription: on the target for the way there, on the source for the way back.

use super::PreflightInput;
use super::finding::{Check, Finding};
use crate::systems::postgres::ident;
use crate::systems::postgres::survey::Survey;

pub(super) fn judge(input: &PreflightInput) -> Vec<Finding> {
    let back = input.wanted.way_back.then(|| subscribe(&input.source, input, "The way back"));
    std::iter::once(subscribe(&input.target, input, "The way there")).chain(back).collect()
}

fn subscribe(side: &Survey, input: &PreflightInput, way: &str) -> Finding {
    let check = Check {
        id: "subscription-privilege",
        system: &side.system,
        why: "The database that follows makes the subscription, so its role must be allowed to.",
    };
    let role = &side.role;
    if role.superuser
        || role.is_member("rds_superuser")
        || (side.major() >= 16 && role.is_member("pg_create_subscription"))
    {
        return with_password(check, side, input, way);
    }
    let who = ident(&role.name);
    let mend = match (side.server.rds, side.major() >= 16) {
        (true, _) => format!("GRANT rds_superuser TO {who};"),
        (false, true) => format!("GRANT pg_create_subscription TO {who};"),
        (false, false) => format!("ALTER ROLE {who} SUPERUSER; -- before 16 only a superuser subscribes"),
    };
    check.fail(
        "our role may not make a subscription",
        format!("{way} ends in {}: role {} may not subscribe.", side.system, role.name),
        vec![mend],
    )
}

/// A subscription of an ordinary role must name a password: the server's own files and `trust` won't do.
fn with_password(check: Check<'_>, side: &Survey, input: &PreflightInput, way: &str) -> Finding {
    let passwordless = input.reach.iter().find(|reach| reach.from == side.system && !reach.dialled.with_password);
    match passwordless {
        Some(reach) if !side.role.superuser => {
            let mend = vec![format!(
                "-- put a password into the `replication-url` (or `url`) of {}, and let pg_hba.conf ask for it",
                reach.to
            )];
            check.fail(
                "the subscription needs a password",
                format!("{way}: role {} is no superuser, and the URL of {} has no password.", side.role.name, reach.to),
                mend,
            )
        }
        _ => check.pass(
            "our role may make a subscription",
            format!("{way} ends in {}; role {}.", side.system, side.role.name),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{input, judged};
    use super::super::{Level, PreflightInput, judge};

    fn member_of(role: &'static str, version: i64) -> impl Fn(&mut PreflightInput) {
        move |input| {
            input.target.role.superuser = false;
            input.target.server.version = version;
            input.target.role.member_of = vec![role.to_owned()];
        }
    }

    #[test]
    fn superuser_rds_and_pg_create_subscription_may_subscribe() {
        let id = "subscription-privilege";
        assert_eq!(judged(id, "target", |_| ()).level, Level::Pass);
        assert_eq!(judged(id, "target", member_of("rds_superuser", 150_004)).level, Level::Pass);
        assert_eq!(judged(id, "target", member_of("pg_create_subscription", 160_004)).level, Level::Pass);
        assert_eq!(judged(id, "target", member_of("pg_create_subscription", 150_004)).level, Level::Fail);
        let refused = judged(id, "target", member_of("pg_monitor", 180_001));
        assert_eq!(
            (refused.level, refused.mend[0].as_str()),
            (Level::Fail, r#"GRANT pg_create_subscription TO "pointsman";"#)
        );
    }

    #[test]
    fn the_way_back_subscribes_on_the_source() {
        let mut input = input();
        input.source.role.superuser = false;
        let on_source = |input: &PreflightInput| {
            judge(input)
                .into_iter()
                .find(|finding| finding.id == "subscription-privilege" && finding.system == "source")
        };
        assert_eq!(on_source(&input).unwrap().level, Level::Fail);
        input.wanted.way_back = false;
        assert!(on_source(&input).is_none());
    }

    #[test]
    fn an_ordinary_role_needs_a_password_in_the_url() {
        let found = judged("subscription-privilege", "target", |input| {
            member_of("rds_superuser", 160_004)(input);
            input.reach[0].dialled.with_password = false;
        });
        assert_eq!((found.level, found.title.as_str()), (Level::Fail, "the subscription needs a password"));
    }
}
