//! What the parts of the engine ask of a plan.

use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::FailureKind;
use crate::plan::{CopyBy, Follow, MysqlSide, Plan, SideChoices};
use crate::runbook::model::{Fence, Mysql as Spec, System, TlsMode};
use crate::steps::StepError;
use crate::systems::mysql::accounts::REPLICATION_USERS;
use crate::systems::mysql::fence::{Fencing, Open};
use crate::systems::mysql::stream::{Protection, Stream};
use crate::systems::mysql::{Flavour, dial};
use crate::systems::pair::Heading;

/// How a server is reached, as the runbook has it.
pub(super) fn spec<'a>(plan: &'a Plan, side: &str) -> Option<&'a Spec> {
    match plan.systems.get(side) {
        Some(System::Mysql(spec) | System::Mariadb(spec)) => Some(spec),
        _ => None,
    }
}

/// Which of the two flavours the pair is.
pub(super) fn flavour(plan: &Plan) -> Flavour {
    match plan.pair.as_ref().and_then(|pair| plan.systems.get(&pair.source)) {
        Some(System::Mariadb(_)) => Flavour::Mariadb,
        _ => Flavour::Mysql,
    }
}

/// What was chosen for one server.
pub(super) fn choices<'a>(plan: &'a Plan, side: &str) -> &'a SideChoices {
    let source = plan.pair.as_ref().is_some_and(|pair| pair.source == side);
    if source { &plan.choices.source } else { &plan.choices.target }
}

/// The same, of what only these servers have.
pub(super) fn side(plan: &Plan, side: &str) -> MysqlSide {
    choices(plan, side).mysql.clone().unwrap_or_default()
}

/// How the streams know where they are.
pub(super) fn follow(plan: &Plan) -> Follow {
    plan.choices.mysql.as_ref().map_or(Follow::Gtid, |chosen| chosen.follow)
}

/// How the other server's connection to this one is protected: with TLS where this one has it, and as the runbook asks.
pub(super) fn protection(plan: &Plan, publisher: &str, encrypted: bool) -> Protection {
    match spec(plan, publisher).filter(|spec| spec.tls.mode == TlsMode::VerifyFull) {
        Some(spec) => Protection::Identified(spec.replication_ca.clone()),
        None if encrypted => Protection::Encrypted,
        None => Protection::Clear,
    }
}

/// How the first copy is made.
pub(super) fn copy_by(plan: &Plan) -> CopyBy {
    plan.choices.mysql.as_ref().map_or(CopyBy::Dump, |chosen| chosen.copy_by)
}

/// The stream in a direction.
pub(super) fn stream(plan: &Plan, heading: Heading) -> Stream {
    let follower = plan.pair.as_ref().map(|pair| pair.arriving(heading)).unwrap_or_default();
    Stream::new(heading, flavour(plan), follow(plan), &side(plan, follower))
}

/// What keeps the stream in a direction to what the plan carries, before it is started; empty where nothing has to.
pub(super) fn filter(plan: &Plan, heading: Heading) -> String {
    let filtered = plan.choices.mysql.as_ref().is_some_and(|chosen| chosen.filtered);
    let schemas: &[String] = if filtered { &plan.choices.schemas } else { &[] };
    stream(plan, heading).filter(schemas, accounts_apart(plan))
}

/// Users that the fence of a server leaves in: the author's, and those that the other server replicates with.
pub(super) fn exempt(plan: &Plan, side: &str) -> Vec<String> {
    let Some(spec) = spec(plan, side) else { return Vec::new() };
    let mut users = spec.exempt_users.clone();
    users.extend(REPLICATION_USERS.map(String::from));
    if spec.replication_url.is_some()
        && let Ok(target) = dial::by_other_server(side, spec)
    {
        users.push(target.user);
    }
    users
}

/// The fence of one server.
pub(super) fn fencing<'a>(plan: &Plan, side: &str, open: &'a Open, exempt: &'a [String]) -> Fencing<'a> {
    let chosen = choices(plan, side);
    let mode = if chosen.fence == Fence::Accounts { Fence::Accounts } else { Fence::ReadOnly };
    Fencing { mode, flavour: flavour(plan), open, exempt, quiet: chosen.superuser }
}

/// For the plan, before the accounts were read.
pub(super) fn planned_open() -> Open {
    Open { read_only: false, scheduler: true, accounts: vec!["'ACCOUNT'@'HOST'".to_owned()] }
}

/// What a server was like before it was fenced: from the arming of the window for the side that takes writes, from
/// `replicate` for the target before the first cutover.
pub(super) fn known_open(cx: &Context, state: &RunState, side: &str) -> Result<Open, StepError> {
    let key = format!("open_{side}");
    remembered(state, "window", &key).or_else(|| remembered(state, "replicate", &key)).ok_or_else(|| {
        let message = format!("the journal does not say what {side} was like before it was fenced (run {})", cx.run);
        StepError::told(FailureKind::Refused, message, Some("look at read_only and at locked accounts by hand"))
    })
}

/// Whether accounts must be kept out of the streams: a lock on one side would lock the other one.
pub(super) fn accounts_apart(plan: &Plan) -> bool {
    let locks = |chosen: &SideChoices| chosen.fence == Fence::Accounts && !chosen.superuser;
    locks(&plan.choices.source) || locks(&plan.choices.target)
}
