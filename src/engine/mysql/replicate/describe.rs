//! `replicate`, as the plan shows it.

use super::super::{common, retention};
use super::Replication;
use crate::plan::{CopyBy, Follow, Plan};
use crate::secret;
use crate::steps::Description;
use crate::systems::mysql::accounts::replication_user;
use crate::systems::mysql::dial::Target;
use crate::systems::mysql::dump::{self, Copy, LOADERS, Part};
use crate::systems::mysql::mydumper::{self, Parallel};
use crate::systems::mysql::stream::Position;
use crate::systems::mysql::{clone, literal, setup};
use crate::systems::pair::Heading;

/// In the place of what is known only when the connection is made.
fn shown() -> Target {
    Target {
        host: "HOST".into(),
        port: 3306,
        user: "USER".into(),
        password: secret::Secret::new("NOT SHOWN"),
        schema: None,
    }
}

impl Replication<'_> {
    pub(in crate::engine::mysql) fn describe(&self, plan: &Plan) -> Description {
        let (source, target) = (self.0.from.clone(), self.0.to.clone());
        let flavour = common::flavour(plan);
        let servers = [common::side(plan, &source).server_id, common::side(plan, &target).server_id];
        let (open, exempt) = (common::planned_open(), common::exempt(plan, &target));
        let fencing = common::fencing(plan, &target, &open, &exempt);
        let script = |side: &str| setup::script(flavour, servers, common::side(plan, side).rds);
        let mut apply = vec![(source.clone(), script(&source)), (target.clone(), script(&target))];
        let (lengthened, restored) = retention::describe(plan, self.0);
        apply.extend(lengthened);
        if common::copy_by(plan) == CopyBy::Clone {
            apply.extend(self.cloning(&target));
        } else {
            apply.push((target.clone(), "-- CREATE USER and GRANT of each account that is missing here".to_owned()));
        }
        apply.push((target.clone(), setup::held("RUN", 1, &format!("{}{}", fencing.close(), fencing.expel(5000)))));
        if common::copy_by(plan) != CopyBy::Clone {
            apply.push((target.clone(), self.command(plan)));
        }
        let shown = shown();
        let start = Position { gtid: Some("POSITION".into()), file: Some("FILE".into()), offset: Some(4) };
        for heading in [Heading::Forth, Heading::Back] {
            let stream = common::stream(plan, heading);
            let follower = plan.pair.as_ref().map(|pair| pair.arriving(heading).to_owned()).unwrap_or_default();
            let filter = common::filter(plan, heading);
            let publisher = plan.pair.as_ref().map(|pair| pair.leaving(heading).to_owned()).unwrap_or_default();
            let create = stream.create(&shown, &common::protection(plan, &publisher, true), &start);
            apply.push((follower, format!("{create}{filter}{}", stream.start())));
        }
        if !fencing.seal().is_empty() {
            apply.push((target.clone(), fencing.seal().to_owned()));
        }
        let mut undo = Vec::new();
        for heading in [Heading::Back, Heading::Forth] {
            let stream = common::stream(plan, heading);
            let follower = plan.pair.as_ref().map(|pair| pair.arriving(heading).to_owned()).unwrap_or_default();
            undo.push((follower, format!("{}{}", stream.stop(), stream.forget())));
        }
        undo.push((target.clone(), fencing.lift().trim_end().to_owned()));
        if self.0.copy_schema {
            undo.push((
                target.clone(),
                "-- DROP of the schemas and accounts that were made, and of nothing else".into(),
            ));
        }
        undo.extend(restored);
        undo.extend([(source.clone(), setup::TEARDOWN.to_owned()), (target.clone(), setup::TEARDOWN.to_owned())]);
        let chosen = plan.choices.mysql.clone().unwrap_or_default();
        let way = if chosen.follow == Follow::Gtid { "GTIDs" } else { "file and position" };
        let through = if common::side(plan, &target).rds { ", through RDS's procedures" } else { "" };
        let by = match chosen.copy_by {
            CopyBy::Dump => "Copy",
            CopyBy::Clone => "Clone",
            CopyBy::Mydumper => "Copy, four at a time,",
        };
        let copied = if chosen.copy_why.is_empty() { String::new() } else { format!("; {}", chosen.copy_why) };
        let summary = format!(
            "{by} {} tables ({}) from {source} to {target} and follow by {way}{through} ({}{copied}); lay the way back; fence {target}",
            plan.choices.tables.len(),
            chosen.objects,
            chosen.why
        );
        let waits = self.waits(chosen.copy_by);
        let clients = Some(format!("{waits}; {target} refuses writes until the switch"));
        Description { summary, apply, undo, clients }
    }

    /// What clients notice of the copy.
    fn waits(&self, by: CopyBy) -> String {
        let (source, target) = (&self.0.from, &self.0.to);
        match by {
            CopyBy::Dump | CopyBy::Mydumper => {
                format!("writes on {source} wait for a moment when the copy takes its snapshot")
            }
            CopyBy::Clone => format!(
                "{target} starts again after the clone and has the accounts of {source}, with their passwords; DDL on {source} \
                 waits meanwhile"
            ),
        }
    }

    /// The source is let be cloned by the account that replication has too.
    fn cloning(&self, target: &str) -> Vec<(String, String)> {
        let user = literal(replication_user(Heading::Forth));
        let dialled = Target { user: replication_user(Heading::Forth).to_owned(), ..shown() };
        let fetch = format!("{}{}", clone::prepare(&dialled), clone::statement(&dialled, true));
        vec![
            (self.0.from.clone(), format!("-- CREATE USER {user}@'%'\nGRANT BACKUP_ADMIN ON *.* TO {user}@'%';\n")),
            (target.to_owned(), fetch),
            (target.to_owned(), "-- it starts again: by systemd or mysqld_safe, else you start it\n".to_owned()),
        ]
    }

    fn command(&self, plan: &Plan) -> String {
        let world = crate::systems::world::World::new(plan.systems.clone());
        let (Ok(from), Ok(to)) = (world.mysql(&self.0.from), world.mysql(&self.0.to)) else { return String::new() };
        let copy = Copy {
            source: &from,
            target: &to,
            schemas: &plan.choices.schemas,
            with_schema: self.0.copy_schema,
            follow: common::follow(plan),
            quiet: true,
            program: self.0.dump.as_deref(),
        };
        let (dump, client) = dump::programs(from.flavour, self.0.dump.as_deref());
        let piped =
            |part: Part| format!("-- {} {} | {}", dump.display(), copy.arguments(part).join(" "), client.display());
        if common::copy_by(plan) != CopyBy::Mydumper {
            return piped(Part::Whole);
        }
        let folder = mydumper::folder("RUN");
        let parallel =
            Parallel { copy: &copy, tables: &plan.choices.tables, sequences: &plan.choices.sequences, folder: &folder };
        let read = format!("-- {} {}", mydumper::program().display(), parallel.arguments().join(" "));
        let load = format!("-- {} {}/rows/*.sql, {LOADERS} at a time", client.display(), folder.display());
        let lines = if self.0.copy_schema {
            vec![read, piped(Part::Structure), load, piped(Part::Programs)]
        } else {
            vec![read, load]
        };
        lines.join("\n")
    }
}
