//! `replicate`, as the plan shows it.

use super::super::common;
use super::Replication;
use crate::plan::{Follow, Plan};
use crate::secret;
use crate::steps::Description;
use crate::systems::mysql::dial::Target;
use crate::systems::mysql::dump::{self, Copy};
use crate::systems::mysql::setup;
use crate::systems::mysql::stream::Position;
use crate::systems::pair::Heading;

impl Replication<'_> {
    pub(in crate::engine::mysql) fn describe(&self, plan: &Plan) -> Description {
        let (source, target) = (self.0.from.clone(), self.0.to.clone());
        let flavour = common::flavour(plan);
        let servers = [common::side(plan, &source).server_id, common::side(plan, &target).server_id];
        let (open, exempt) = (common::planned_open(), common::exempt(plan, &target));
        let fencing = common::fencing(plan, &target, &open, &exempt);
        let script = |side: &str| setup::script(flavour, servers, common::side(plan, side).rds);
        let mut apply = vec![(source.clone(), script(&source)), (target.clone(), script(&target))];
        apply.push((target.clone(), "-- CREATE USER and GRANT of each account that is missing here".to_owned()));
        apply.push((target.clone(), setup::held("RUN", 1, &format!("{}{}", fencing.close(), fencing.expel(5000)))));
        apply.push((target.clone(), self.command(plan)));
        let shown = Target {
            host: "HOST".into(),
            port: 3306,
            user: "USER".into(),
            password: secret::Secret::new("NOT SHOWN"),
            schema: None,
        };
        let start = Position { gtid: Some("POSITION".into()), file: Some("FILE".into()), offset: Some(4) };
        for heading in [Heading::Forth, Heading::Back] {
            let stream = common::stream(plan, heading);
            let follower = plan.pair.as_ref().map(|pair| pair.arriving(heading).to_owned()).unwrap_or_default();
            let schemas: &[String] = if self.0.schemas.is_empty() { &[] } else { &plan.choices.schemas };
            let filter = stream.filter(schemas, common::accounts_apart(plan));
            apply.push((follower, format!("{}{filter}{}", stream.create(&shown, true, &start), stream.start())));
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
        undo.extend([(source.clone(), setup::TEARDOWN.to_owned()), (target.clone(), setup::TEARDOWN.to_owned())]);
        let chosen = plan.choices.mysql.clone().unwrap_or_default();
        let way = if chosen.follow == Follow::Gtid { "GTIDs" } else { "file and position" };
        let through = if common::side(plan, &target).rds { ", through RDS's procedures" } else { "" };
        let summary = format!(
            "Copy {} tables ({}) from {source} to {target} and follow by {way}{through} ({}); lay the way back; fence {target}",
            plan.choices.tables.len(),
            chosen.objects,
            chosen.why
        );
        let clients = Some(format!(
            "writes on {source} wait for a moment when the copy takes its snapshot; {target} refuses writes until the switch"
        ));
        Description { summary, apply, undo, clients }
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
        format!("-- {} {} | {}", dump.display(), copy.arguments().join(" "), client.display())
    }
}
