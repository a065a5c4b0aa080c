//! Who promotes the replica, and how one sees that it happened. It is asked for once: the intent is journaled first, and
//! what was asked for and not confirmed is looked for, for long enough, before it is asked for again.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::clock;
use crate::engine::Outcome;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, JournalError, Move};
use crate::plan::Plan;
use crate::runbook::units::Span;
use crate::steps::StepError;
use crate::systems::postgres::standby;
use crate::systems::{Certainty, DriverError};

/// How long a promotion may take, where the runbook does not say.
pub(super) const PATIENCE: Span = Span::secs(30 * 60);
/// When it was asked for, in the notes of `promote`.
const ASKED: &str = "promotion_asked";

/// Who promotes.
pub(super) enum Promotion {
    /// The server itself is asked.
    Server,
}

/// What a look at the replica says.
enum Standing {
    /// It takes writes.
    Primary,
    /// It is a replica, and nothing is seen of a promotion.
    Replica,
    /// It is on its way, or can't be looked at now.
    Busy(String),
}

impl Promotion {
    pub(super) const fn of(_plan: &Plan) -> Self {
        Self::Server
    }

    /// Whether the server itself is asked.
    pub(super) const fn by_server(&self) -> bool {
        matches!(self, Self::Server)
    }

    /// What is sent, for the plan.
    pub(super) fn describe(&self, target: &str) -> (String, String) {
        match self {
            Self::Server => (target.to_owned(), standby::PROMOTE.to_owned()),
        }
    }

    /// How long it takes as a rule, for people.
    pub(super) const fn usual(&self) -> &'static str {
        match self {
            Self::Server => "a second as a rule",
        }
    }

    /// Between two looks.
    const fn pause(&self) -> Duration {
        match self {
            Self::Server => Duration::from_millis(20),
        }
    }

    /// How long nothing at all must be seen before it is asked for again.
    const fn settles(&self) -> Duration {
        match self {
            Self::Server => Duration::from_secs(5),
        }
    }

    /// Refuses when our role could not promote it.
    pub(super) async fn may(&self, cx: &Context) -> Outcome<()> {
        let target = &cx.pair()?.target;
        let sql = "SELECT has_function_privilege('pg_promote(boolean, integer)', 'EXECUTE')";
        let session = cx.rig.postgres(target).await?;
        if session.value("see whether we may promote it", sql, &[]).await? {
            return Ok(());
        }
        let message = format!("our role may not promote {target}");
        let hint = "GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) on the source; a replica of RDS is promoted by \
                    RDS: name its `rds` system";
        Err(StepError::told(FailureKind::Refused, message, Some(hint)))
    }

    /// Promotes the replica, if it was not yet, and waits until it takes writes.
    pub(super) async fn carry_out(&self, cx: &Context, state: &RunState, of: &Move, limit: Span) -> Outcome<()> {
        let target = &cx.pair()?.target;
        let began = clock::monotonic();
        let mut asked: Option<Timestamp> = remembered(state, "promote", ASKED);
        loop {
            let words = match self.look(cx, target).await {
                Standing::Primary => return Ok(()),
                Standing::Replica if self.may_ask(asked) => {
                    asked = self.ask(cx, of, target).await?;
                    "asked for".to_owned()
                }
                Standing::Replica => "asked for, and nothing is seen of it yet".to_owned(),
                Standing::Busy(words) => words,
            };
            if began.elapsed() > limit.0 {
                let message = format!("{target} was not promoted within {limit}: {words}");
                let hint = "see what its log, or its events, say; when it takes writes, `pointsman retry` goes on";
                return Err(StepError::told(FailureKind::Deadline, message, Some(hint)));
            }
            cx.progress(&of.step, &format!("the promotion of {target}: {words}"));
            tokio::time::sleep(self.pause()).await;
        }
    }

    fn may_ask(&self, asked: Option<Timestamp>) -> bool {
        let long_ago = |asked| Duration::try_from(clock::now().duration_since(asked)).unwrap_or_default();
        asked.is_none_or(|asked| long_ago(asked) > self.settles())
    }

    async fn look(&self, cx: &Context, target: &str) -> Standing {
        match in_recovery(cx, target).await {
            Ok(true) => Standing::Replica,
            Ok(false) => Standing::Primary,
            Err(error) => Standing::Busy(format!("{}: {}", error.what, error.reason)),
        }
    }

    /// Asks, and says when; `None` when it is certain that nothing came of it, and it may be asked for at once.
    async fn ask(&self, cx: &Context, of: &Move, target: &str) -> Outcome<Option<Timestamp>> {
        let now = clock::now();
        intend(cx, of, now)?;
        cx.still_mine()?;
        match self.send(cx, target).await {
            Ok(()) => Ok(Some(now)),
            Err(error) if error.certainty == Certainty::Unknown => Ok(Some(now)),
            Err(error) if error.certainty == Certainty::NotSent => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn send(&self, cx: &Context, target: &str) -> Result<(), DriverError> {
        match self {
            Self::Server => cx.rig.postgres(target).await?.batch("promote it", standby::PROMOTE).await.map(drop),
        }
    }
}

async fn in_recovery(cx: &Context, target: &str) -> Result<bool, DriverError> {
    standby::in_recovery(&*cx.rig.postgres(target).await?).await
}

/// The intent, with its time. Where the journal can't be written any more, the commit entry stands for it.
fn intend(cx: &Context, of: &Move, now: Timestamp) -> Outcome<()> {
    match cx.note(of, json!({ (ASKED): now }), Durability::Synced) {
        Err(StepError::Journal(JournalError::Store { .. })) => Ok(()),
        other => other,
    }
}
