//! The streams: each is made from exactly a position, by an account that the other server dials with, and proves that it
//! runs before anything goes on.

use std::time::Duration;

use super::super::common;
use super::Replication;
use crate::clock;
use crate::executor::context::Context;
use crate::journal::{FailureKind, Move};
use crate::runbook::model::TlsMode;
use crate::steps::{StepError, new_token};
use crate::systems::mysql::dial::{self, Target};
use crate::systems::mysql::gtid::{GtidPosition, GtidSet};
use crate::systems::mysql::stream::{self, Position};
use crate::systems::mysql::{Flavour, Session, accounts, literal};
use crate::systems::pair::Heading;

/// Transactions of the target's own that are declared done on the source in one round trip.
const DECLARED_AT_ONCE: usize = 500;

impl Replication<'_> {
    /// Makes a stream, if it isn't there, and starts it. The follower's server dials the other one: this proves that it
    /// can.
    pub(in crate::engine::mysql) async fn follow(
        &self,
        cx: &Context,
        of: &Move,
        follower: &Session,
        publisher: &Session,
        heading: Heading,
        start: &Position,
    ) -> Result<(), StepError> {
        let stream = common::stream(&cx.plan, heading);
        let filter = common::filter(&cx.plan, heading);
        if let Some(state) = stream.state(follower).await? {
            match (state.receives(), state.applies) {
                (true, true) => {}
                // Whoever made it may not have come to its filter.
                (false, false) => {
                    follower.batch("start replication", &format!("{filter}{}", stream.start())).await?;
                }
                _ => follower.batch("start replication", &stream.start()).await.map(drop)?,
            }
            return self.await_running(cx, follower, &stream).await;
        }
        cx.still_mine()?;
        cx.progress(&of.step, &format!("{} begins to follow {}", follower.system(), publisher.system()));
        let encrypted = is_encrypted(cx, publisher).await?;
        let dialled = self.dialled(cx, publisher, encrypted).await?;
        self.place(cx, follower, heading, start).await?;
        let create = stream.create(&dialled, &common::protection(&cx.plan, publisher.system(), encrypted), start);
        follower.batch("make the stream", &create).await.map_err(|error| {
            error.with_hint(format!(
                "{} needs REPLICATION_SLAVE_ADMIN (MariaDB: REPLICATION SLAVE ADMIN), or RDS's procedures",
                follower.system()
            ))
        })?;
        follower.batch("start replication", &format!("{filter}{}", stream.start())).await?;
        self.await_running(cx, follower, &stream).await
    }

    /// Who the follower is for the publisher: the author's account, or one of ours.
    pub(in crate::engine::mysql) async fn dialled(
        &self,
        cx: &Context,
        publisher: &Session,
        encrypted: bool,
    ) -> Result<Target, StepError> {
        let name = publisher.system();
        let spec = common::spec(&cx.plan, name).ok_or_else(|| StepError::broken("the publisher is not in the plan"))?;
        let target = dial::by_other_server(name, spec)?;
        if spec.replication_url.is_some() {
            return Ok(target);
        }
        let heading = if cx.pair()?.source == name { Heading::Forth } else { Heading::Back };
        let (user, quiet) = (accounts::replication_user(heading), common::choices(&cx.plan, name).superuser);
        let password = accounts::make_replication_user(publisher, user, &new_token(), encrypted, quiet).await?;
        Ok(accounts::dialled_as_ours(&target, user, password))
    }

    /// Tells the follower which transactions it has, where it does not know it by itself.
    async fn place(
        &self,
        cx: &Context,
        follower: &Session,
        heading: Heading,
        start: &Position,
    ) -> Result<(), StepError> {
        let Some(gtid) = start.gtid.as_deref().filter(|gtid| !gtid.is_empty()) else { return Ok(()) };
        match follower.flavour() {
            // RDS's procedure sets it itself.
            Flavour::Mariadb if common::stream(&cx.plan, heading).by_procedure() => {}
            Flavour::Mariadb => {
                let known =
                    follower.value("read where it is", "SELECT @@GLOBAL.gtid_slave_pos").await?.unwrap_or_default();
                let unread = |reason: String| StepError::broken(reason);
                let known = GtidPosition::read(&known).map_err(unread)?;
                let position = known.overlaid(&GtidPosition::read(gtid).map_err(unread)?);
                let sql = format!("SET GLOBAL gtid_slave_pos = '{position}'");
                follower.batch("say where it is", &sql).await?;
            }
            Flavour::Mysql if heading == Heading::Forth => {
                let missing = lacks(follower, gtid).await?;
                if !missing.is_empty() {
                    self.purge(follower, &missing).await?;
                }
            }
            // What the source lacks of the target's own was declared done one by one.
            Flavour::Mysql => {}
        }
        Ok(())
    }

    /// What the copy has is had, though it never came through a stream.
    async fn purge(&self, follower: &Session, missing: &GtidSet) -> Result<(), StepError> {
        let sql = format!("SET GLOBAL gtid_purged = '+{missing}'");
        let Err(error) = follower.batch("say which transactions the copy has", &sql).await else { return Ok(()) };
        if !error.is_code("1227") && !error.is_code("1621") {
            return Err(error.into());
        }
        for (server, from, to) in missing.intervals() {
            let sql = format!("CALL mysql.rds_set_external_source_gtid_purged({}, {from}, {to})", literal(server));
            follower.batch("say which transactions the copy has", &sql).await.map_err(|error| error.with_hint(
                "RDS has this procedure from 8.0.37 on; else switch gtid_mode off on both servers, so that positions are used",
            ))?;
        }
        Ok(())
    }

    /// Where the stream back begins. With MySQL's GTIDs the source is given everything that the target did by itself, as
    /// transactions that do nothing; its other replicas get them the same way.
    pub(super) async fn declare_done(
        &self,
        cx: &Context,
        of: &Move,
        source: &Session,
        target: &Session,
    ) -> Result<Position, StepError> {
        let domain = common::side(&cx.plan, &self.0.to).domain;
        let follow = common::follow(&cx.plan);
        if source.flavour() == Flavour::Mariadb {
            let gtid = target.value("read its position", "SELECT @@GLOBAL.gtid_current_pos").await?;
            let own = target.value("read its position", "SELECT @@GLOBAL.gtid_binlog_pos").await?.unwrap_or_default();
            let unread = |reason: String| StepError::broken(reason);
            let own = GtidPosition::read(&own).map_err(unread)?.of_domain(domain);
            let position = GtidPosition::read(&gtid.unwrap_or_default()).map_err(unread)?.overlaid(&own);
            return Ok(Position { gtid: Some(position.to_string()), ..Position::default() });
        }
        let new_words = common::side(&cx.plan, &self.0.to).new_words;
        let sql = stream::show_position(Flavour::Mysql, follow, new_words);
        let rows = target.rows("read its position", sql).await?;
        let read = |row: &Vec<Option<String>>| stream::read_position(row, Flavour::Mysql, follow, domain);
        let here =
            rows.first().and_then(read).ok_or_else(|| StepError::broken("the target does not say its position"))?;
        let Some(gtid) = here.gtid.as_deref() else { return Ok(here) };
        // Only its own: what came from the source is there.
        let uuid = common::choices(&cx.plan, &self.0.to).system_identifier.clone();
        let own: Vec<String> = lacks(source, gtid).await?.each().filter(|one| one.starts_with(&uuid)).collect();
        for (n, batch) in own.chunks(DECLARED_AT_ONCE).enumerate() {
            cx.checkpoint()?;
            cx.progress(
                &of.step,
                &format!("declaring {} of {} transactions of the target done", n * DECLARED_AT_ONCE, own.len()),
            );
            let each = batch.iter().map(|one| format!("SET SESSION gtid_next = '{one}';\nBEGIN;\nCOMMIT;\n"));
            let sql = format!("{}SET SESSION gtid_next = 'AUTOMATIC';\n", each.collect::<String>());
            source.batch("declare transactions done", &sql).await?;
        }
        Ok(here)
    }

    async fn await_running(&self, cx: &Context, follower: &Session, stream: &stream::Stream) -> Result<(), StepError> {
        let began = clock::monotonic();
        loop {
            let state = stream.state(follower).await?.unwrap_or_default();
            let Some(trouble) = state.trouble() else { return Ok(()) };
            let dead = !state.errors.is_empty() && (!state.applies || began.elapsed() > Duration::from_secs(10));
            if dead || began.elapsed() > Duration::from_secs(60) {
                let message = format!("{} does not follow: {trouble}", follower.system());
                let hint = format!("on {}: {}", follower.system(), stream.show());
                return Err(StepError::told(FailureKind::Refused, message, Some(&hint)));
            }
            cx.rest(Duration::from_millis(50)).await?;
        }
    }
}

/// What a server has not executed of a set.
pub(in crate::engine::mysql) async fn lacks(session: &Session, set: &str) -> Result<GtidSet, StepError> {
    let done = session.value("read what it has executed", "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')").await?;
    let read = |text: &str| GtidSet::read(text).map_err(StepError::broken);
    Ok(read(set)?.without(&read(&done.unwrap_or_default())?))
}

/// Whether a server has TLS, so that the other one asks for it; told by our own session, unless the runbook forbids it.
pub(in crate::engine::mysql) async fn is_encrypted(cx: &Context, session: &Session) -> Result<bool, StepError> {
    let mode = common::spec(&cx.plan, session.system()).map_or(TlsMode::Prefer, |spec| spec.tls.mode);
    if mode == TlsMode::Disable {
        return Ok(false);
    }
    let rows = session.rows("see whether it has TLS", "SHOW SESSION STATUS LIKE 'Ssl_cipher'").await?;
    let cipher = rows.first().and_then(|row| row.get(1).cloned().flatten()).unwrap_or_default();
    Ok(!cipher.is_empty())
}
