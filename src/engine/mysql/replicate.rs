//! The target follows the source, and the source follows the target: in this order. Our schema on both servers, the
//! accounts that the target lacks, the fence around the target (nobody but the stream writes there before the switch),
//! the copy of one consistent snapshot, the stream from exactly its position, and the stream back from where the target
//! is then. What the target did by itself before (its own transactions) is declared done on the source, so that it does
//! not come back as something new.

mod cloning;
mod describe;
pub(super) mod following;

use std::time::Duration;

use serde_json::json;

use super::{arm, common, complete, finalize, retention};
use crate::clock;
use crate::engine::Outcome;
use crate::executor::context::{Context, remembered};
use crate::executor::state::RunState;
use crate::journal::{Durability, FailureKind, Move};
use crate::plan::{CopyBy, Follow};
use crate::runbook::model::Replicate;
use crate::secret;
use crate::steps::StepError;
use crate::systems::mysql::dump::{self, Copy};
use crate::systems::mysql::fence::{self, Fencing, Open};
use crate::systems::mysql::mydumper::{self, Parallel};
use crate::systems::mysql::stream::Position;
use crate::systems::mysql::{Flavour, Session, accounts, catalog, ident, literal, setup};
use crate::systems::pair::Heading;

/// The step with what only MySQL and MariaDB know of it.
pub(super) struct Replication<'a>(pub(super) &'a Replicate);

impl Replication<'_> {
    pub(super) async fn apply(&self, cx: &Context, state: &RunState, of: &Move) -> Outcome {
        let began = clock::monotonic();
        self.can_be_kept_to_its_schemas(cx)?;
        // A clone that an earlier executor began goes on: nothing else can be done there until it has ended.
        if !Self::clone_is_begun(cx, state) {
            let (source, target) = tokio::try_join!(cx.rig.mysql(&self.0.from), cx.rig.mysql(&self.0.to))?;
            arm::own_domain(cx).await?;
            self.claim(cx, &source).await?;
            self.claim(cx, &target).await?;
        }
        let cloned = self.clone_all(cx, state, of).await?;
        let (source, target) = tokio::try_join!(cx.rig.mysql(&self.0.from), cx.rig.mysql(&self.0.to))?;
        if cloned.is_some() {
            self.claim(cx, &target).await?;
        }
        retention::lengthen(cx, state, of, self.0, &target).await?;
        let carried = self.accounts(cx, state, of, &source, &target).await?;
        let open = self.fence_target(cx, state, of, &target, cloned.as_ref().map(|(_, open)| open)).await?;
        let start = self.copy(cx, state, of, &target, cloned.map(|(start, _)| start)).await?;
        self.scheduler_as_before(cx, &target, Some(&open)).await?;
        cx.checkpoint()?;
        self.follow(cx, of, &target, &source, Heading::Forth, &start).await?;
        arm::prove(cx, Heading::Forth).await?;
        let here = self.declare_done(cx, of, &source, &target).await?;
        self.follow(cx, of, &source, &target, Heading::Back, &here).await?;
        self.seal(cx, &target).await?;
        arm::prove(cx, Heading::Back).await?;
        Ok(json!({ "tables": cx.plan.choices.tables.len(), "seconds": began.elapsed().as_secs_f64(),
                   "summary": carried, "position": start }))
    }

    /// A runbook without a preflight comes as far as this.
    pub(super) fn can_be_kept_to_its_schemas(&self, cx: &Context) -> Result<(), StepError> {
        if self.0.schemas.is_empty() || !common::side(&cx.plan, &self.0.to).rds {
            return Ok(());
        }
        let message = format!("{} is an RDS server, which can't be kept to `schemas`", self.0.to);
        let hint = "leave `schemas` of `replicate` out: every schema of the application is carried then";
        Err(StepError::told(FailureKind::Refused, message, Some(hint)))
    }

    /// Our schema, taken for this run.
    pub(super) async fn claim(&self, cx: &Context, session: &Session) -> Result<(), StepError> {
        let servers = [common::side(&cx.plan, &self.0.from).server_id, common::side(&cx.plan, &self.0.to).server_id];
        if setup::owner(session).await?.as_ref() != Some(&cx.run) {
            let rds = common::side(&cx.plan, session.system()).rds;
            let script = setup::script(session.flavour(), servers, rds);
            session.batch("make our schema", &script).await?;
        }
        setup::claim(session, &cx.run, cx.epoch).await?;
        Ok(())
    }

    /// Accounts that the target lacks; those that were made are remembered, so that an undo drops no other.
    pub(super) async fn accounts(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        source: &Session,
        target: &Session,
    ) -> Result<String, StepError> {
        if remembered::<Position>(state, "replicate", "copied").is_some() {
            return Ok(String::new());
        }
        cx.progress(&of.step, "carrying the accounts over");
        let exempt = common::exempt(&cx.plan, &self.0.from);
        accounts::allow_canaries(source, &exempt, true).await?;
        if common::copy_by(&cx.plan) == CopyBy::Clone {
            accounts::allow_canaries(target, &common::exempt(&cx.plan, &self.0.to), true).await?;
            return Ok("accounts came with the clone".to_owned());
        }
        let before = remembered::<Vec<String>>(state, "replicate", "accounts").unwrap_or_default();
        if before.is_empty() {
            let missing = accounts::missing(source, target, &exempt).await?;
            cx.note(of, json!({ "accounts": missing }), Durability::Synced)?;
        }
        let quiet = common::choices(&cx.plan, target.system()).superuser;
        let carried = accounts::carry(source, target, &exempt, quiet).await?;
        accounts::allow_canaries(target, &common::exempt(&cx.plan, &self.0.to), true).await?;
        let left = if carried.left.is_empty() {
            String::new()
        } else {
            format!("; by hand: {}", secret::mask(&carried.left.join("; ")))
        };
        Ok(format!("{} accounts made, {} there already{left}", carried.made.len(), carried.there.len()))
    }

    /// Nobody but the stream writes on the target before the switch. What it was like is remembered first.
    pub(super) async fn fence_target(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        target: &Session,
        known: Option<&Open>,
    ) -> Result<Open, StepError> {
        let key = format!("open_{}", self.0.to);
        let exempt = common::exempt(&cx.plan, &self.0.to);
        let open = match known.cloned().or_else(|| remembered::<Open>(state, "replicate", &key)) {
            Some(open) => open,
            None => {
                let open = fence::read_open(target, &exempt).await?;
                cx.note(of, json!({ key: open }), Durability::Synced)?;
                open
            }
        };
        let fencing = common::fencing(&cx.plan, &self.0.to, &open, &exempt);
        let sql = format!("{}{}", fencing.close(), fencing.expel(5000));
        setup::send_held(target, "fence it until the switch", (&cx.run, cx.epoch), &sql).await?;
        Ok(open)
    }

    /// With the copy in place, not even we write there any more.
    async fn seal(&self, cx: &Context, target: &Session) -> Result<(), StepError> {
        let open = Open::default();
        let seal = common::fencing(&cx.plan, &self.0.to, &open, &[]).seal();
        if !seal.is_empty() {
            setup::send_held(target, "seal it until the switch", (&cx.run, cx.epoch), seal).await?;
        }
        Ok(())
    }

    /// The copy, once: its position is remembered when all of it is loaded.
    async fn copy(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        target: &Session,
        cloned: Option<Position>,
    ) -> Result<Position, StepError> {
        if let Some(start) = remembered::<Position>(state, "replicate", "copied") {
            return Ok(start);
        }
        let start = match cloned {
            Some(start) => start,
            None => self.dump(cx, state, of, target).await?,
        };
        let start = self.completed(cx, start).await?;
        self.events_stand_still(cx, target).await?;
        cx.note(of, json!({ "copied": start }), Durability::Synced)?;
        Ok(start)
    }

    async fn dump(&self, cx: &Context, state: &RunState, of: &Move, target: &Session) -> Result<Position, StepError> {
        let schemas = &cx.plan.choices.schemas;
        self.nothing_in_the_way(cx, state, of, target).await?;
        let (from, to) = (cx.world.mysql(&self.0.from)?, cx.world.mysql(&self.0.to)?);
        let copy = Copy {
            source: &from,
            target: &to,
            schemas,
            with_schema: self.0.copy_schema,
            follow: common::follow(&cx.plan),
            quiet: common::choices(&cx.plan, &self.0.to).superuser,
            program: self.0.dump.as_deref(),
        };
        let (began, all) = (clock::monotonic(), cx.plan.choices.tables.len());
        let told = std::sync::Mutex::new(began);
        let tell = |progress: &dump::Progress| {
            let Ok(mut last) = told.lock() else { return true };
            if last.elapsed() > Duration::from_millis(200) {
                *last = clock::monotonic();
                let size = bytesize::ByteSize(progress.bytes).display().iec().to_string();
                let (stage, table, tables) = (progress.stage.word(), &progress.table, progress.tables);
                cx.progress(&of.step, &format!("{stage}: table {tables} of {all} ({table}), {size}"));
            }
            began.elapsed() < self.0.timeout.0 && cx.checkpoint().is_ok()
        };
        let copied = if schemas.is_empty() {
            here(cx, &self.0.from).await
        } else if common::copy_by(&cx.plan) == CopyBy::Mydumper {
            let folder = mydumper::folder(&cx.run);
            let parallel = Parallel {
                copy: &copy,
                tables: &cx.plan.choices.tables,
                sequences: &cx.plan.choices.sequences,
                folder: &folder,
            };
            parallel.run(&tell).await.map_err(Into::into)
        } else {
            copy.run(&tell).await.map_err(Into::into)
        };
        cx.checkpoint()?;
        if began.elapsed() > self.0.timeout.0 {
            let message = format!("the initial copy has not ended within {}", self.0.timeout);
            return Err(StepError::told(
                FailureKind::Deadline,
                message,
                Some("give `timeout` more, then `pointsman retry`"),
            ));
        }
        copied
    }

    /// What is on the target already is nobody's to overwrite.
    async fn nothing_in_the_way(
        &self,
        cx: &Context,
        state: &RunState,
        of: &Move,
        target: &Session,
    ) -> Result<(), StepError> {
        if remembered::<bool>(state, "replicate", "copying").is_some() || !self.0.copy_schema {
            return Ok(());
        }
        let there = catalog::tables(target, &cx.plan.choices.schemas).await?;
        if let Some((schema, table)) = there.first() {
            let message =
                format!("{} has tables already, such as {schema}.{table} ({} of them)", self.0.to, there.len());
            let hint = "drop its schemas if nobody needs them, or say `copy-schema: false`";
            return Err(StepError::told(FailureKind::Refused, message, Some(hint)));
        }
        // An empty schema that is there has to be there after an undo too.
        let empty = catalog::schemas_there(target, &cx.plan.choices.schemas).await?;
        cx.note(of, json!({ "copying": true, "empty_schemas": empty }), Durability::Synced)
    }

    /// MariaDB's dump says file and position; the GTIDs of that place are asked for.
    async fn completed(&self, cx: &Context, mut start: Position) -> Result<Position, StepError> {
        if common::flavour(&cx.plan) == Flavour::Mariadb {
            let source = cx.rig.mysql(&self.0.from).await?;
            let (file, offset) = (start.file.clone().unwrap_or_default(), start.offset.unwrap_or(4));
            let sql = format!("SELECT BINLOG_GTID_POS({}, {offset})", literal(&file));
            start.gtid = source.value("read the position of the copy", &sql).await?;
        }
        if start.gtid.is_none() && common::follow(&cx.plan) == Follow::Gtid {
            return Err(StepError::broken("the copy does not say which transactions it has"));
        }
        Ok(start)
    }

    /// An event that runs on both sides would do everything twice.
    pub(super) async fn events_stand_still(&self, cx: &Context, target: &Session) -> Result<(), StepError> {
        let quiet = common::choices(&cx.plan, &self.0.to).superuser;
        let events = cx.plan.choices.mysql.iter().flat_map(|chosen| &chosen.events);
        let word =
            if target.flavour() == Flavour::Mysql && target.version().from(8, 0, 22) { "REPLICA" } else { "SLAVE" };
        for (schema, event, definer) in events {
            let (user, host) = definer.rsplit_once('@').unwrap_or((definer, "%"));
            let name = format!("{}.{}", ident(schema), ident(event));
            let sql = format!("ALTER DEFINER = {}@{} EVENT {name} DISABLE ON {word};\n", ident(user), ident(host));
            setup::send_quietly(target, "let no event run there", quiet, &sql).await?;
        }
        Ok(())
    }

    pub(super) async fn undo(&self, cx: &Context, state: &RunState) -> Outcome {
        let before = self.clone_has_ended(cx, state).await?;
        mydumper::clear(&mydumper::folder(&cx.run));
        let (source, target) = tokio::try_join!(cx.rig.mysql(&self.0.from), cx.rig.mysql(&self.0.to))?;
        let (here, there) = tokio::try_join!(setup::owner(&source), setup::owner(&target))?;
        if let Some(other) = here.iter().chain(&there).find(|owner| **owner != cx.run) {
            // It got no further than asking for both servers: what is there is the other run's.
            let ours = [(&source, &here), (&target, &there)];
            for (session, _) in ours.into_iter().filter(|(_, owner)| owner.as_ref() == Some(&cx.run)) {
                session.batch("drop our schema", setup::TEARDOWN).await?;
            }
            return Ok(json!({ "summary": format!("nothing to take back: run {other} has the servers") }));
        }
        common::stream(&cx.plan, Heading::Back).drop(&source).await?;
        common::stream(&cx.plan, Heading::Forth).drop(&target).await?;
        let exempt = common::exempt(&cx.plan, &self.0.to);
        let open = remembered::<Open>(state, "replicate", &format!("open_{}", self.0.to)).or(before);
        let quiet = common::choices(&cx.plan, &self.0.to).superuser;
        let fencing = open.as_ref().map(|open| common::fencing(&cx.plan, &self.0.to, open, &exempt));
        // Before anybody else may write: what an application wrote into the copy would go with it.
        if let Some(sql) = fencing.as_ref().map(Fencing::let_us_write).filter(|sql| !sql.is_empty()) {
            target.batch("let us write on it", sql).await?;
        }
        if self.0.copy_schema && remembered::<bool>(state, "replicate", "copying").is_some() {
            let empty: Vec<(String, String)> = remembered(state, "replicate", "empty_schemas").unwrap_or_default();
            drop_schemas(&target, &cx.plan.choices.schemas, &empty, quiet).await?;
        }
        if let Some(fencing) = &fencing {
            target.batch("lift the fence", &fencing.lift()).await?;
        }
        self.scheduler_as_before(cx, &target, open.as_ref()).await?;
        let made = remembered::<Vec<String>>(state, "replicate", "accounts").unwrap_or_default();
        accounts::discard(&target, &made, quiet).await?;
        if remembered::<Open>(state, "window", &format!("open_{}", self.0.from)).is_some() {
            complete::opened(cx, &self.0.from).await?;
        }
        finalize::clear(&cx.plan, &source).await?;
        finalize::clear(&cx.plan, &target).await?;
        retention::restore(state, &target).await?;
        if open.as_ref().is_some_and(|open| open.read_only) {
            target.batch("leave it read-only, as it was", "SET GLOBAL read_only = ON").await?;
        }
        Ok(json!({}))
    }
}

/// Drops what the copy made, and makes again the schemas that were there, empty, before it.
async fn drop_schemas(
    session: &Session,
    schemas: &[String],
    empty: &[(String, String)],
    quiet: bool,
) -> Result<(), StepError> {
    for schema in schemas {
        let mut sql = format!("DROP DATABASE IF EXISTS {};\n", ident(schema));
        sql.extend(empty.iter().filter(|(name, _)| name == schema).map(|(_, make)| format!("{make};\n")));
        setup::send_quietly(session, "drop a schema that was copied", quiet, &sql).await?;
    }
    Ok(())
}

/// Where the source is now: there is nothing to copy.
async fn here(cx: &Context, name: &str) -> Result<Position, StepError> {
    let session = cx.rig.mysql(name).await?;
    let new_words = common::side(&cx.plan, name).new_words;
    let mut position = Position::default();
    if session.flavour() == Flavour::Mysql && common::follow(&cx.plan) == Follow::Gtid {
        let gtid = session.value("read its position", "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')").await?;
        position.gtid = gtid;
    }
    let show = if session.flavour() == Flavour::Mariadb || !new_words {
        "SHOW MASTER STATUS"
    } else {
        "SHOW BINARY LOG STATUS"
    };
    let row = session.rows("read its position", show).await?.into_iter().next().unwrap_or_default();
    position.file = row.first().cloned().flatten();
    position.offset = row.get(1).cloned().flatten().and_then(|value| value.parse().ok());
    Ok(position)
}
