//! The way back: the source follows the target from exactly the place where the target opened.
//!
//! It does not run before: what DMS writes on the target are transactions of the target's own, and would come back; and a
//! replica is written only when it is one no more. So only whether it can be laid is tried beforehand. The place is read on
//! the target when nothing carries rows there any more and nobody writes; it is kept there, before the target opens, and
//! never changed again. The channel is laid from it behind the switch, when nobody waits any more: the target's binary log
//! has everything until then.

use std::time::Duration;

use super::replicate::Replication;
use super::{arm, common};
use crate::clock;
use crate::engine::{Outcome, dms};
use crate::executor::context::Context;
use crate::journal::{Act, FailureKind, Move};
use crate::plan::{Follow, Plan};
use crate::steps::StepError;
use crate::systems::mysql::dial::Target;
use crate::systems::mysql::stream::{self, Position, Stream};
use crate::systems::mysql::{Flavour, Session, literal, setup};
use crate::systems::pair::Heading;

/// Where the target was when it opened: one row, which is written once. On both servers, because it goes through the way
/// back itself.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS pointsman.way_back (id int PRIMARY KEY, gtid mediumtext, \
     file varchar(512), place bigint unsigned) ENGINE=InnoDB";
const READ: &str = "SELECT gtid, file, place FROM pointsman.way_back WHERE id = 1";
/// The name of a channel that only tries.
const TRIAL: &str = "pointsman_trial";
/// It applies nothing within 68 years, even if the server starts again before it is forgotten.
const NEVER: u32 = 2_147_483_647;
/// It has connected by then.
const PATIENCE: Duration = Duration::from_secs(30);

/// What asks for the place where the target is. MariaDB's in all domains: whatever carried rows may have written in more
/// than one.
pub(super) fn here(plan: &Plan) -> &'static str {
    let target = plan.pair.as_ref().map(|pair| pair.target.as_str()).unwrap_or_default();
    stream::show_position(common::flavour(plan), common::follow(plan), common::side(plan, target).new_words)
}

/// Reads its answer.
fn place(row: &[Option<String>], flavour: Flavour, follow: Follow) -> Option<Position> {
    match flavour {
        Flavour::Mariadb => Some(Position { gtid: row.first()?.clone(), ..Position::default() }),
        Flavour::Mysql => stream::read_position(row, flavour, follow, 0),
    }
}

/// What keeps a place on the target; the first one stays.
pub(super) fn keep(position: &Position) -> String {
    let text = |value: Option<&str>| value.map_or_else(|| "NULL".to_owned(), literal);
    let offset = position.offset.map_or_else(|| "NULL".to_owned(), |offset| offset.to_string());
    let (gtid, file) = (text(position.gtid.as_deref()), text(position.file.as_deref()));
    format!("INSERT IGNORE INTO pointsman.way_back VALUES (1, {gtid}, {file}, {offset});\n")
}

/// Keeps where the target is now. Nobody but us writes there.
pub(super) async fn remember(cx: &Context, target: &Session) -> Outcome<()> {
    let row = target.rows("read its position", here(&cx.plan)).await?.into_iter().next().unwrap_or_default();
    let position = place(&row, target.flavour(), common::follow(&cx.plan))
        .ok_or_else(|| StepError::broken(format!("{} does not say its position", target.system())))?;
    setup::send_held(target, "keep where it opens", (&cx.run, cx.epoch), &keep(&position)).await?;
    Ok(())
}

/// Where the target opened; none before it has.
pub(super) async fn opened_at(target: &Session) -> Outcome<Option<Position>> {
    let rows = target.rows("read where it opened", READ).await?;
    let position = |row: Vec<Option<String>>| {
        let mut values = row.into_iter();
        let mut next = || values.next().flatten();
        Position { gtid: next(), file: next(), offset: next().and_then(|offset| offset.parse().ok()) }
    };
    Ok(rows.into_iter().next().map(position))
}

/// Lays the way back, if it is not there, and proves it.
pub(super) async fn lay(cx: &Context) -> Outcome<()> {
    let pair = cx.pair()?;
    let (source, target) = tokio::try_join!(cx.rig.mysql(&pair.source), cx.rig.mysql(&pair.target))?;
    let Some(position) = opened_at(&target).await? else {
        let message = format!("{} does not say where it opened: the way back has no beginning", pair.target);
        let hint = "somebody emptied pointsman.way_back there; what was written since can only be carried by hand";
        return Err(StepError::told(FailureKind::Refused, message, Some(hint)));
    };
    let step = dms::around::step(cx)?;
    let of = Move { step: "window".to_owned(), act: Act::Apply, way: Heading::Forth };
    Replication(step).follow(cx, &of, &source, &target, Heading::Back, &position).await?;
    arm::prove(cx, Heading::Back).await.map(drop)
}

/// Whether the way back is tried beforehand. RDS's procedures start receiver and applier at once: there it is not.
pub(super) fn is_tried(plan: &Plan) -> bool {
    plan.keeps_way_back() && !common::stream(plan, Heading::Back).by_procedure()
}

/// Whether the source's server can dial the target's, with the account of the way back, now: a channel receives from where
/// the target is, applies nothing, and is forgotten.
pub(super) async fn try_out(cx: &Context, dialled: &Target, encrypted: bool) -> Outcome<()> {
    let pair = cx.pair()?;
    let (source, target) = tokio::try_join!(cx.rig.mysql(&pair.source), cx.rig.mysql(&pair.target))?;
    let stream = common::stream(&cx.plan, Heading::Back);
    forget_trial(&source, &stream).await?;
    cx.still_mine()?;
    let show = stream::show_position(Flavour::Mysql, Follow::Position, common::side(&cx.plan, &pair.target).new_words);
    let row = target.rows("read its position", show).await?.into_iter().next().unwrap_or_default();
    let start = stream::read_position(&row, Flavour::Mysql, Follow::Position, 0).unwrap_or_default();
    let create = stream.create(dialled, &common::protection(&cx.plan, target.system(), encrypted), &start);
    let made = source.batch("try the way back", &trial(&format!("{create}{}", receive(&stream)), &start)).await;
    let done = match made {
        Ok(_) => receives(cx, &source, &stream).await,
        Err(error) => Err(error.into()),
    };
    forget_trial(&source, &stream).await?;
    done
}

/// The same statements about the channel that only tries. By file and position: MariaDB would ask for more than there may
/// be.
fn trial(sql: &str, start: &Position) -> String {
    let delayed = |word: &str| format!("{word}_DELAY = {NEVER}, {word}_HOST");
    let (file, offset) = (literal(start.file.as_deref().unwrap_or_default()), start.offset.unwrap_or(4));
    let from = format!("MASTER_USE_GTID = no, MASTER_LOG_FILE = {file}, MASTER_LOG_POS = {offset}");
    sql.replace("SOURCE_HOST", &delayed("SOURCE"))
        .replace("MASTER_HOST", &delayed("MASTER"))
        .replace("MASTER_USE_GTID = slave_pos", &from)
        .replace(Heading::Back.stream(), TRIAL)
}

/// Statements about that channel that say no place.
fn of_trial(sql: &str) -> String {
    trial(sql, &Position::default())
}

/// Starts the receiver only.
fn receive(stream: &Stream) -> String {
    let channel = stream.channel();
    match stream.flavour {
        Flavour::Mysql => format!("START REPLICA IO_THREAD FOR CHANNEL '{channel}';\n"),
        Flavour::Mariadb => format!("START SLAVE '{channel}' IO_THREAD;\n"),
    }
}

async fn receives(cx: &Context, source: &Session, stream: &Stream) -> Outcome<()> {
    let began = clock::monotonic();
    loop {
        let rows = source.records("look at the trial", &of_trial(&stream.show())).await?;
        let value = |row: &crate::systems::mysql::Record, new: &str, old: &str| {
            row.get(new).or_else(|| row.get(old)).cloned().flatten().unwrap_or_default()
        };
        let first = rows.first();
        let running = first.map(|row| value(row, "Replica_IO_Running", "Slave_IO_Running")).unwrap_or_default();
        if running == "Yes" {
            return Ok(());
        }
        let error = first.map(|row| value(row, "Last_IO_Error", "Last_IO_Error")).unwrap_or_default();
        if began.elapsed() > PATIENCE || (running == "No" && !error.is_empty()) {
            let side = source.system();
            let message = format!("the way back can't be laid: {side} does not receive from the target: {error}");
            let hint = "look at `replication-url` of the target, at its account, at routes and firewalls from the source's host";
            return Err(StepError::told(FailureKind::Refused, message, Some(hint)));
        }
        cx.rest(Duration::from_millis(20)).await?;
    }
}

/// Forgets the channel that only tried; repeatable.
pub(super) async fn forget_trial(source: &Session, stream: &Stream) -> Outcome<()> {
    let there = source.records("look for a trial", &of_trial(&stream.show())).await;
    let none = ["3074", "1617", "1618"];
    match there {
        Err(error) if none.iter().any(|code| error.is_code(code)) => return Ok(()),
        other => {
            if other?.is_empty() {
                return Ok(());
            }
        }
    }
    source.batch("forget the trial", &of_trial(&format!("{}{}", stream.stop(), stream.forget()))).await?;
    Ok(())
}

/// What an undo does besides.
pub(super) async fn clear(cx: &Context) -> Outcome<()> {
    let pair = cx.pair()?;
    let source = cx.rig.mysql(&pair.source).await?;
    let stream = common::stream(&cx.plan, Heading::Back);
    if stream.by_procedure() { Ok(()) } else { forget_trial(&source, &stream).await }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::MysqlSide;
    use crate::secret::Secret;
    use crate::systems::mysql::dial::Target;
    use crate::systems::mysql::stream::Protection;

    #[test]
    fn a_trial_applies_nothing_under_a_name_of_its_own() {
        let dialled =
            Target { host: "h".into(), port: 3306, user: "u".into(), password: Secret::new("p"), schema: None };
        for (flavour, word) in [(Flavour::Mysql, "SOURCE"), (Flavour::Mariadb, "MASTER")] {
            let stream = Stream::new(Heading::Back, flavour, Follow::Position, &MysqlSide::default());
            let start = Position { file: Some("bin.7".into()), offset: Some(99), ..Position::default() };
            let sql = trial(&stream.create(&dialled, &Protection::Clear, &start), &start);
            assert!(sql.contains("_LOG_FILE = 'bin.7'") && sql.contains("_LOG_POS = 99"), "{sql}");
            assert!(sql.contains(&format!("{word}_DELAY = 2147483647, {word}_HOST = 'h'")), "{sql}");
            assert!(sql.contains("pointsman_trial") && !sql.contains("pointsman_backward"), "{sql}");
        }
    }

    #[test]
    fn the_first_place_that_is_kept_stays() {
        let position = Position { gtid: None, file: Some("bin.000007".into()), offset: Some(1234) };
        assert_eq!(keep(&position), "INSERT IGNORE INTO pointsman.way_back VALUES (1, NULL, 'bin.000007', 1234);\n");
    }
}
