//! Both streams and everything of ours are dropped. The source stays fenced.

use super::{common, complete, retention};
use crate::engine::{Lines, Outcome};
use crate::executor::context::Context;
use crate::executor::state::RunState;
use crate::plan::Plan;
use crate::runbook::model::Fence;
use crate::systems::mysql::fence::Open;
use crate::systems::mysql::{Flavour, Session, accounts, setup};
use crate::systems::pair::Heading;

pub(super) fn describe(plan: &Plan) -> Lines {
    let Some(pair) = &plan.pair else { return Vec::new() };
    let mut lines = Vec::new();
    for heading in [Heading::Back, Heading::Forth] {
        let stream = common::stream(plan, heading);
        lines.push((pair.arriving(heading).to_owned(), format!("{}{}", stream.stop(), stream.forget())));
    }
    for side in [&pair.source, &pair.target] {
        let sealed = is_sealed(plan, side) && *side == pair.source;
        let (open, shut) = if sealed { (UNSEAL, SEAL) } else { ("", "") };
        let dropped = accounts::drop_replication_users();
        let dropped = setup::quietly(common::choices(plan, side).superuser, &dropped);
        lines.push((side.clone(), format!("{open}{dropped}{};\n{shut}", setup::TEARDOWN)));
    }
    lines.extend(retention::restored(plan));
    lines.push((
        pair.source.clone(),
        "-- its accounts stay locked: ALTER USER … ACCOUNT UNLOCK, later, by you\n".into(),
    ));
    lines
}

pub(super) async fn finalize(cx: &Context, state: &RunState) -> Outcome<()> {
    let pair = cx.pair()?.clone();
    let (source, target) = tokio::try_join!(cx.rig.mysql(&pair.source), cx.rig.mysql(&pair.target))?;
    complete::complete(cx, Heading::Forth).await?;
    common::stream(&cx.plan, Heading::Back).drop(&source).await?;
    common::stream(&cx.plan, Heading::Forth).drop(&target).await?;
    for session in [&source, &target] {
        let sealed = is_sealed(&cx.plan, session.system()) && session.system() == pair.source;
        if sealed {
            session.batch("let our own writes in", UNSEAL).await?;
        }
        let cleared = clear(&cx.plan, session).await;
        if sealed {
            session.batch("fence it again", SEAL).await?;
        }
        cleared?;
    }
    retention::restore(state, &target).await
}

/// Accounts that a message names; more are counted.
const NAMED: usize = 10;

/// The fence keeps every account but ours locked, and nobody unlocks them any more.
pub(super) fn left_shut(source: &str, open: &Open) -> Option<String> {
    if open.accounts.is_empty() {
        return None;
    }
    let named = open.accounts.iter().take(NAMED).cloned().collect::<Vec<String>>().join(", ");
    let more = match open.accounts.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "on {source} these accounts stay locked: {named}{more} (ALTER USER … ACCOUNT UNLOCK lets one in again)"
    ))
}

/// Other accounts but those of administrators are kept out meanwhile, too.
const UNSEAL: &str = "SET GLOBAL super_read_only = OFF;\n";
const SEAL: &str = "SET PERSIST super_read_only = ON;\n";

fn is_sealed(plan: &Plan, side: &str) -> bool {
    common::flavour(plan) == Flavour::Mysql && common::choices(plan, side).fence == Fence::ReadOnly
}

/// Everything of ours on a server that takes writes of ours; repeatable.
pub(super) async fn clear(plan: &Plan, session: &Session) -> Outcome<()> {
    if setup::is_there(session).await? {
        accounts::allow_canaries(session, &common::exempt(plan, session.system()), false).await?;
    }
    let quiet = common::choices(plan, session.system()).superuser;
    let dropped = accounts::drop_replication_users();
    setup::send_quietly(session, "drop the accounts of replication", quiet, &dropped).await?;
    session.batch("drop our schema", setup::TEARDOWN).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_that_stay_locked_are_told_with_what_unlocks_them() {
        let accounts = |count: usize| (0..count).map(|n| format!("'app{n}'@'%'")).collect();
        let told = left_shut("source", &Open { accounts: accounts(12), ..Open::default() }).unwrap();
        assert!(told.contains("on source") && told.contains("'app9'@'%' and 2 more (ALTER USER"), "{told}");
        let told = left_shut("source", &Open { accounts: accounts(1), ..Open::default() }).unwrap();
        assert!(told.contains("locked: 'app0'@'%' (ALTER USER"), "{told}");
        assert_eq!(left_shut("source", &Open::default()), None);
    }
}
