//! Who promotes the replica, and how one sees that it happened. It is asked for once: the intent is journaled first, and
//! what was asked for and not confirmed is looked for, for long enough, before it is asked for again.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::blue_green::BlueGreen;
use super::rds;
use crate::clock;
use crate::engine::Outcome;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, JournalError, Move};
use crate::plan::Plan;
use crate::runbook::model::{Means, Name, System};
use crate::runbook::units::Span;
use crate::steps::StepError;
use crate::systems::aws::rds::Source;
use crate::systems::postgres::standby;
use crate::systems::{Certainty, DriverError};

/// How long a promotion may take, where the runbook does not say.
pub(super) const PATIENCE: Span = Span::secs(30 * 60);
/// When it was asked for, in the notes of `promote`.
pub(super) const ASKED: &str = "promotion_asked";

/// Who promotes.
pub(super) enum Promotion {
    /// The server itself is asked.
    Server,
    /// RDS is, for this system.
    Rds(Name),
    /// RDS is, as a part of a switchover.
    BlueGreen(BlueGreen),
}

/// What a look at the replica says.
pub(super) enum Standing {
    /// It takes writes.
    Primary,
    /// It is a replica, and nothing is seen of a promotion.
    Replica,
    /// It is on its way, or can't be looked at now.
    Busy(String),
}

impl Promotion {
    pub(super) fn of(plan: &Plan) -> Self {
        let target = plan.pair.as_ref().and_then(|pair| plan.systems.get(&pair.target));
        match target {
            Some(System::Postgres(spec)) => match (&spec.rds, plan.pair.as_ref().map(|pair| pair.through)) {
                (Some(rds), Some(Means::BlueGreen)) => Self::BlueGreen(BlueGreen::of(plan, rds.clone())),
                (Some(rds), _) => Self::Rds(rds.clone()),
                (None, _) => Self::Server,
            },
            _ => Self::Server,
        }
    }

    /// Whether the server itself is asked.
    pub(super) const fn by_server(&self) -> bool {
        matches!(self, Self::Server)
    }

    /// What is sent, for the plan.
    pub(super) fn describe(&self, plan: &Plan, target: &str) -> (String, String) {
        match self {
            Self::Server => (target.to_owned(), standby::PROMOTE.to_owned()),
            Self::Rds(name) => (name.clone(), rds::call(plan, name)),
            Self::BlueGreen(deployment) => (deployment.rds.clone(), deployment.call()),
        }
    }

    /// How long it takes as a rule, for people.
    pub(super) const fn usual(&self) -> &'static str {
        match self {
            Self::Server => "a second as a rule",
            Self::Rds(_) => "minutes as a rule, with a reboot",
            Self::BlueGreen(_) => "less than a minute as a rule, with names that change",
        }
    }

    /// Between two looks.
    const fn pause(&self) -> Duration {
        match self {
            Self::Server => Duration::from_millis(20),
            Self::Rds(_) | Self::BlueGreen(_) => Duration::from_secs(3),
        }
    }

    /// How long nothing at all must be seen before it is asked for again. To ask a server twice does no harm, and writes
    /// wait; RDS takes a while to show what it was asked for.
    const fn settles(&self) -> Duration {
        match self {
            Self::Server => Duration::from_secs(1),
            Self::Rds(_) | Self::BlueGreen(_) => Duration::from_secs(30),
        }
    }

    /// Refuses when the replica could not be promoted.
    pub(super) async fn may(&self, cx: &Context) -> Outcome<()> {
        let pair = cx.pair()?;
        match self {
            Self::Server => {}
            Self::Rds(name) => return rds::may(cx, name).await,
            Self::BlueGreen(deployment) => return deployment.may(cx).await,
        }
        let sql = "SELECT has_function_privilege('pg_promote(boolean, integer)', 'EXECUTE')";
        let session = cx.rig.postgres(&pair.target).await?;
        if session.value("see whether we may promote it", sql, &[]).await? {
            return Ok(());
        }
        let message = format!("our role may not promote {}", pair.target);
        let hint = "GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) on the source; a replica of RDS is promoted by \
                    RDS: name its `rds` system";
        Err(StepError::told(FailureKind::Refused, message, Some(hint)))
    }

    /// Remembers which server it is that is promoted: its identifier may be given to another one.
    pub(super) async fn remember(&self, cx: &Context, of: &Move) -> Outcome<()> {
        let name = match self {
            Self::Server => return Ok(()),
            Self::Rds(name) => name,
            Self::BlueGreen(deployment) => return deployment.remember(cx, of).await,
        };
        let resource = rds::resource(cx, name).await?;
        cx.note(of, json!({ (rds::RESOURCE): resource }), Durability::Ordered)
    }

    /// Promotes the replica, if it was not yet, and waits until it takes writes.
    pub(super) async fn carry_out(&self, cx: &Context, state: &RunState, of: &Move, limit: Span) -> Outcome<()> {
        if let Self::BlueGreen(deployment) = self {
            return deployment.carry_out(cx, state, of, limit).await;
        }
        let target = &cx.pair()?.target;
        let began = clock::monotonic();
        let mut asked: Option<Timestamp> = remembered(state, "promote", ASKED);
        loop {
            let words = match self.look(cx, state, target).await {
                Standing::Primary => return Ok(()),
                Standing::Replica if self.may_ask(asked) => {
                    let (at, words) = self.ask(cx, state, of, target).await?;
                    asked = at;
                    words
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
            if let Self::Rds(name) = self {
                cx.listen(of, name, &cx.world.rds(name).iter().filter_map(Source::of).collect::<Vec<_>>());
            }
            tokio::time::sleep(self.pause().min(began.elapsed() / 4).max(self.pause() / 20)).await;
        }
    }

    fn may_ask(&self, asked: Option<Timestamp>) -> bool {
        let long_ago = |asked| Duration::try_from(clock::now().duration_since(asked)).unwrap_or_default();
        asked.is_none_or(|asked| long_ago(asked) > self.settles())
    }

    async fn look(&self, cx: &Context, state: &RunState, target: &str) -> Standing {
        if let Self::Rds(name) = self {
            match rds::look(cx, state, name).await {
                Standing::Primary => {}
                other => return other,
            }
        }
        match in_recovery(cx, target).await {
            Ok(false) => Standing::Primary,
            Ok(true) if self.by_server() => Standing::Replica,
            Ok(true) => Standing::Busy("RDS has promoted it, and it is in recovery still".to_owned()),
            Err(error) => Standing::Busy(format!("{}: {}", error.what, error.reason)),
        }
    }

    /// Asks, and says when, and how that went; `None` when it is certain that nothing came of it, and it may be asked for
    /// at once.
    async fn ask(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        target: &str,
    ) -> Outcome<(Option<Timestamp>, String)> {
        let now = clock::now();
        intend(cx, of, Some(now))?;
        cx.still_mine()?;
        let sent = match self {
            Self::Server => cx.rig.postgres(target).await?.batch("promote it", standby::PROMOTE).await.map(drop),
            Self::Rds(name) => rds::promote(cx, state, name).await,
            Self::BlueGreen(_) => return Err(StepError::broken("a deployment is switched over by itself")),
        };
        match sent {
            Ok(()) => Ok((Some(now), "asked for".to_owned())),
            Err(error) if error.certainty == Certainty::Unknown => {
                Ok((Some(now), "asked for, and its answer was lost".to_owned()))
            }
            Err(error) => {
                intend(cx, of, None)?;
                // It may be busy with something else, which ends.
                match self {
                    _ if rds::passes(&error) => Ok((None, format!("not now: {}", error.reason))),
                    Self::Rds(name) => Err(rds::refused(&cx.plan, name, &error)),
                    _ => Err(error.into()),
                }
            }
        }
    }
}

async fn in_recovery(cx: &Context, target: &str) -> Result<bool, DriverError> {
    standby::in_recovery(&*cx.rig.postgres(target).await?).await
}

/// The intent, with its time; or that nothing came of it. Where the journal can't be written any more, the commit entry
/// stands for it.
pub(super) fn intend(cx: &Context, of: &Move, at: Option<Timestamp>) -> Outcome<()> {
    match cx.note(of, json!({ (ASKED): at }), Durability::Synced) {
        Err(StepError::Journal(JournalError::Store { .. })) => Ok(()),
        other => other,
    }
}
