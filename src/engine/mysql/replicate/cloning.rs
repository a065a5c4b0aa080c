//! The first copy as a clone. The statement runs on the target; it goes on there without us, and the server starts again
//! at its end. So what has been done is read from the server, by whichever executor is there then.

use std::time::Duration;

use serde_json::json;

use super::super::common;
use super::Replication;
use super::following::is_encrypted;
use crate::clock;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::CopyBy;
use crate::steps::{StepError, new_token};
use crate::systems::mysql::clone::{self, Status};
use crate::systems::mysql::fence::{self, Open};
use crate::systems::mysql::stream::Position;
use crate::systems::mysql::{Access, Session, accounts, dial, literal, setup};
use crate::systems::pair::Heading;

/// Key of what the target was like before it was cloned.
const BEFORE: &str = "before_clone";
/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(300);

impl Replication<'_> {
    /// Clones, once, and gives where the source was and what the target was like before; nothing where the plan has another
    /// means, or all of it is copied. Afterwards only we can write there.
    pub(super) async fn clone_all(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
    ) -> Result<Option<(Position, Open)>, StepError> {
        if common::copy_by(&cx.plan) != CopyBy::Clone || remembered::<Position>(state, "replicate", "copied").is_some()
        {
            return Ok(None);
        }
        let begun = remembered::<Open>(state, "replicate", BEFORE);
        let cloned = if begun.is_some() { self.await_clone(cx, &of.step).await? } else { None };
        let (before, start) = match (begun, cloned) {
            (Some(before), Some(start)) => (before, start),
            (begun, _) => self.clone_now(cx, state, of, begun).await?,
        };
        let open = self.after_clone(cx, state, of, before).await?;
        Ok(Some((start, open)))
    }

    /// Whether the target is in the middle of it, or has started again and is not taken yet.
    pub(super) fn clone_is_begun(cx: &Context, state: &RunState) -> bool {
        common::copy_by(&cx.plan) == CopyBy::Clone
            && remembered::<Open>(state, "replicate", BEFORE).is_some()
            && remembered::<Position>(state, "replicate", "copied").is_none()
    }

    async fn clone_now(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        begun: Option<Open>,
    ) -> Result<(Open, Position), StepError> {
        let (source, target) = tokio::try_join!(cx.rig.mysql(&self.0.from), cx.rig.mysql(&self.0.to))?;
        self.nothing_in_the_way(cx, state, of, &target).await?;
        let before = match begun {
            Some(before) => before,
            None => self.note_what_goes(cx, of, &source, &target).await?,
        };
        self.start_clone(cx, of, &source, &target).await?;
        let start = self.await_clone(cx, &of.step).await?;
        Ok((before, start.ok_or_else(|| StepError::broken("the target says nothing of a clone of this run"))?))
    }

    /// What the clone replaces; an undo drops the accounts that came.
    async fn note_what_goes(
        &self,
        cx: &Context,
        of: &Move,
        source: &Session,
        target: &Session,
    ) -> Result<Open, StepError> {
        let before = fence::read_open(target, &common::exempt(&cx.plan, &self.0.to)).await?;
        let missing = accounts::missing(source, target, &common::exempt(&cx.plan, &self.0.from)).await?;
        cx.note(of, json!({ "accounts": missing, BEFORE: before }), Durability::Synced)?;
        Ok(before)
    }

    async fn start_clone(&self, cx: &Context, of: &Move, source: &Session, target: &Session) -> Result<(), StepError> {
        cx.still_mine()?;
        let spec =
            common::spec(&cx.plan, &self.0.from).ok_or_else(|| StepError::broken("the source is not in the plan"))?;
        let encrypted = is_encrypted(cx, source).await?;
        let quiet = common::choices(&cx.plan, &self.0.from).superuser;
        let user = accounts::replication_user(Heading::Forth);
        let password = accounts::make_replication_user(source, user, &new_token(), encrypted, quiet).await?;
        let grant = format!("GRANT BACKUP_ADMIN ON *.* TO {}@'%';\n", literal(user));
        setup::send_quietly(source, "let it be cloned", quiet, &grant).await?;
        let dialled = accounts::dialled_as_ours(&dial::by_other_server(&self.0.from, spec)?, user, password);
        target.batch("prepare the clone", &clone::prepare(&dialled)).await?;
        let session = cx.world.mysql(&self.0.to)?.connect(Access::ReadWrite).await?;
        let ended = self.run_clone(cx, of, &session, target, &clone::statement(&dialled, encrypted)).await;
        // The server goes away with every session.
        cx.rig.forget().await;
        match ended {
            Err(StepError::Driver(error)) if error.is_code(clone::NOT_SUPERVISED) || session.is_closed() => Ok(()),
            other => other,
        }
    }

    /// Sends the statement, and ends it when a person wants so or its time is over.
    async fn run_clone(
        &self,
        cx: &Context,
        of: &Move,
        session: &Session,
        spare: &Session,
        sql: &str,
    ) -> Result<(), StepError> {
        let began = clock::monotonic();
        let mut running = std::pin::pin!(session.batch("clone", sql));
        loop {
            tokio::select! {
                done = &mut running => return done.map(drop).map_err(Into::into),
                () = tokio::time::sleep(INTERVAL) => {}
            }
            if let Ok(Some(far)) = clone::progress(spare).await {
                cx.progress(&of.step, &format!("cloning: {far}"));
            }
            if let Err(why) = self.in_time(cx, began) {
                drop(spare.batch("end the clone", &format!("KILL QUERY {}", session.id())).await);
                drop(running.await);
                return Err(why);
            }
        }
    }

    fn in_time(&self, cx: &Context, began: std::time::Instant) -> Result<(), StepError> {
        cx.checkpoint()?;
        if began.elapsed() < self.0.timeout.0 {
            return Ok(());
        }
        let message =
            format!("the clone has not ended, or {} has not started again, within {}", self.0.to, self.0.timeout);
        let hint =
            format!("look whether {} runs: without systemd or mysqld_safe nobody starts it after a clone", self.0.to);
        Err(StepError::told(FailureKind::Deadline, message, Some(&hint)))
    }

    /// Waits until the server has started again with a clone of this run, and gives its position; `None` where it has
    /// none, and none is under way.
    async fn await_clone(&self, cx: &Context, step: &str) -> Result<Option<Position>, StepError> {
        let began = clock::monotonic();
        loop {
            match self.look_at_clone(cx).await {
                Ok(Some(status)) if status.state == "Completed" => return Ok(Some(status.position)),
                Ok(Some(status)) if status.state == "In Progress" => cx.progress(step, "cloning"),
                Ok(_) => return Ok(None),
                Err(error) => {
                    let words = format!(
                        "waiting until {} starts again after the clone; where neither systemd nor mysqld_safe does, start it now ({})",
                        self.0.to, error.reason
                    );
                    cx.progress(step, &words);
                }
            }
            self.in_time(cx, began)?;
            cx.rest(INTERVAL).await?;
        }
    }

    /// A clone that is complete has what the source knew of this run when it was made.
    async fn look_at_clone(&self, cx: &Context) -> crate::systems::Result<Option<Status>> {
        let session = cx.world.mysql(&self.0.to)?.connect(Access::ReadOnly).await?;
        let Some(status) = clone::status(&session).await? else { return Ok(None) };
        if status.state != "Completed" {
            return Ok(Some(status));
        }
        let source = common::side(&cx.plan, &self.0.from).server_id;
        let sql = format!("SELECT run FROM pointsman.run WHERE server_id = {source}");
        let ours = session.value("see whose clone it is", &sql).await;
        Ok(ours.is_ok_and(|run| run.as_ref() == Some(&cx.run)).then_some(status))
    }

    /// The new server is the source's twin: ours to write on, and still nobody else's. It shall be as it was when the fence
    /// is lifted, with the accounts that came.
    async fn after_clone(&self, cx: &Context, state: &RunState, of: &Move, before: Open) -> Result<Open, StepError> {
        let target = cx.rig.mysql(&self.0.to).await?;
        let sql = "SET GLOBAL event_scheduler = OFF;\nSET GLOBAL super_read_only = OFF;\nSET GLOBAL read_only = ON;\n";
        target.batch("let us write on the clone, and nobody else", sql).await?;
        let key = format!("open_{}", self.0.to);
        if let Some(open) = remembered(state, "replicate", &key) {
            return Ok(open);
        }
        let accounts = fence::accounts(&target, &common::exempt(&cx.plan, &self.0.to)).await?;
        let open = Open { accounts, ..before };
        cx.note(of, json!({ key: open }), Durability::Synced)?;
        Ok(open)
    }

    /// Events stand still, or are gone: the scheduler may run again where it did.
    pub(super) async fn scheduler_as_before(
        &self,
        cx: &Context,
        target: &Session,
        open: Option<&Open>,
    ) -> Result<(), StepError> {
        let Some(open) = open.filter(|_| common::copy_by(&cx.plan) == CopyBy::Clone) else { return Ok(()) };
        let on = if open.scheduler { "ON" } else { "OFF" };
        let sql = format!("RESET PERSIST IF EXISTS event_scheduler;\nSET GLOBAL event_scheduler = {on};\n");
        target.batch("let its event scheduler be as before", &sql).await?;
        Ok(())
    }

    /// A clone that was begun goes on without us: an undo lets it end first.
    pub(super) async fn clone_has_ended(&self, cx: &Context, state: &RunState) -> Result<Option<Open>, StepError> {
        let begun = remembered::<Open>(state, "replicate", BEFORE);
        if begun.is_some() {
            self.await_clone(cx, "replicate").await?;
        }
        Ok(begun)
    }
}
