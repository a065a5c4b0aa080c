//! Who promotes the server that follows, and how one sees that it happened. It is asked for once: the intent is journaled
//! first, and what was asked for and not confirmed is looked for, for long enough, before it is asked for again.
//!
//! What only a kind of database knows lies behind [`Promotable`].

mod asking;
mod blue_green;
mod deployment;
mod promotable;
mod rds;
mod reboot;

use std::time::Duration;

pub use blue_green::BlueGreen;
pub use deployment::{chosen, findings};
use jiff::Timestamp;
pub use promotable::Promotable;
pub use reboot::restart;
use serde_json::json;

use super::Outcome;
use crate::clock;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, JournalError, Move};
use crate::plan::Plan;
use crate::runbook::model::{Means, Name, System};
use crate::runbook::units::Span;
use crate::steps::StepError;
use crate::systems::Certainty;
use crate::systems::aws::Permission;
use crate::systems::aws::rds::Source;

/// How long a promotion may take, where the runbook does not say.
pub const PATIENCE: Span = Span::secs(30 * 60);
/// When it was asked for, in the notes of `promote`.
const ASKED: &str = "promotion_asked";

/// Who promotes.
pub enum Promotion {
    /// The server itself is asked.
    Server,
    /// RDS is, for this system.
    Rds(Name),
    /// RDS is, as a part of a switchover.
    BlueGreen(BlueGreen),
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
    /// Who promotes the target of a plan.
    pub fn of(plan: &Plan) -> Self {
        let Some(pair) = &plan.pair else { return Self::Server };
        match (plan.systems.get(&pair.target).and_then(System::naming), pair.through) {
            (Some(naming), Means::BlueGreen) => Self::BlueGreen(BlueGreen::of(plan, naming.rds.to_owned())),
            (Some(naming), _) => Self::Rds(naming.rds.to_owned()),
            (None, _) => Self::Server,
        }
    }

    /// Whether the server itself is asked.
    pub const fn by_server(&self) -> bool {
        matches!(self, Self::Server)
    }

    /// What is sent, for the plan.
    pub fn describe(&self, kind: &dyn Promotable, plan: &Plan, target: &str) -> (String, String) {
        match self {
            Self::Server => (target.to_owned(), kind.statement(plan)),
            Self::Rds(name) => (name.clone(), rds::call(plan, name)),
            Self::BlueGreen(deployment) => (deployment.rds.clone(), deployment.call()),
        }
    }

    /// How long it takes as a rule, for people.
    pub const fn usual(&self) -> &'static str {
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

    /// What it asks of IAM.
    pub fn permissions(&self, plan: &Plan) -> Vec<Permission> {
        match self {
            Self::Server => Vec::new(),
            Self::Rds(name) => rds::permissions(plan, name),
            Self::BlueGreen(deployment) => deployment.permissions(plan),
        }
    }

    /// Refuses when the replica could not be promoted.
    pub async fn may(&self, kind: &dyn Promotable, cx: &Context) -> Outcome<()> {
        match self {
            Self::Server => kind.may(cx).await,
            Self::Rds(name) => rds::may(cx, name).await,
            Self::BlueGreen(deployment) => deployment.may(kind, cx).await,
        }
    }

    /// Remembers which server it is that is promoted: its identifier may be given to another one.
    pub async fn remember(&self, kind: &dyn Promotable, cx: &Context, of: &Move) -> Outcome<()> {
        let name = match self {
            Self::Server => return Ok(()),
            Self::Rds(name) => name,
            Self::BlueGreen(deployment) => return deployment.remember(kind, cx, of).await,
        };
        let resource = rds::resource(cx, name).await?;
        cx.note(of, json!({ (rds::RESOURCE): resource }), Durability::Ordered)
    }

    /// Promotes the replica, if it was not yet, and waits until it takes writes.
    pub async fn carry_out(
        &self,
        kind: &dyn Promotable,
        cx: &Context,
        state: &RunState,
        of: &Move,
        limit: Span,
    ) -> Outcome<()> {
        if let Self::BlueGreen(deployment) = self {
            return deployment.carry_out(kind, cx, state, of, limit).await;
        }
        let target = &cx.pair()?.target;
        let began = clock::monotonic();
        let mut asked: Option<Timestamp> = remembered(state, "promote", ASKED);
        loop {
            let words = match self.look(kind, cx, state, target).await {
                Standing::Primary => return Ok(()),
                Standing::Replica if self.may_ask(asked) => {
                    let (at, words) = self.ask(kind, cx, state, of, target).await?;
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

    async fn look(&self, kind: &dyn Promotable, cx: &Context, state: &RunState, target: &str) -> Standing {
        if let Self::Rds(name) = self {
            match rds::look(cx, state, name).await {
                Standing::Primary => {}
                other => return other,
            }
        }
        match kind.follows(cx, target).await {
            Ok(false) => Standing::Primary,
            Ok(true) if self.by_server() => Standing::Replica,
            Ok(true) => Standing::Busy(format!("RDS has promoted it, and it {}", kind.still())),
            Err(error) => Standing::Busy(format!("{}: {}", error.what, error.reason)),
        }
    }

    /// Asks, and says when, and how that went; `None` when it is certain that nothing came of it, and it may be asked for
    /// at once.
    async fn ask(
        &self,
        kind: &dyn Promotable,
        cx: &Context,
        state: &RunState,
        of: &Move,
        target: &str,
    ) -> Outcome<(Option<Timestamp>, String)> {
        let now = clock::now();
        intend(cx, of, Some(now))?;
        cx.still_mine()?;
        let sent = match self {
            Self::Server => kind.promote(cx, target).await,
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

/// The intent, with its time; or that nothing came of it. Where the journal can't be written any more, the commit entry
/// stands for it.
fn intend(cx: &Context, of: &Move, at: Option<Timestamp>) -> Outcome<()> {
    match cx.note(of, json!({ (ASKED): at }), Durability::Synced) {
        Err(StepError::Journal(JournalError::Store { .. })) => Ok(()),
        other => other,
    }
}
