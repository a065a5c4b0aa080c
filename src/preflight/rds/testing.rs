//! A tidy server for the tests of the judges; each test spoils one thing.

use aws_sdk_rds::types::DbInstance;

use super::{Facts, Finding, Part, judge};
use crate::runbook::model::{Tls, TlsMode};
use crate::systems::aws::ec2::{Peer, Rule, SecurityGroup};
use crate::systems::aws::rds::{Group, Instance};
use crate::systems::pair::Side;

impl Facts {
    /// The instance, to be spoilt.
    pub(super) fn instance(&mut self) -> &mut Instance {
        self.instance.as_mut().unwrap()
    }
}

/// The only finding of this id after `spoil`.
pub fn judged(id: &str, spoil: impl FnOnce(&mut Facts)) -> Finding {
    let mut facts = facts();
    spoil(&mut facts);
    let found: Vec<Finding> = judge(&facts).into_iter().filter(|finding| finding.id == id).collect();
    assert_eq!(found.len(), 1, "{id}: {found:#?}");
    found.into_iter().next().unwrap()
}

/// A target of PostgreSQL, on a Wednesday at 10:00, in a run of an hour.
pub fn facts() -> Facts {
    let parameters = [("rds.logical_replication", "1"), ("rds.force_ssl", "1")];
    Facts {
        system: "orders-rds".into(),
        part: Part {
            side: Some(Side::Target),
            database: Some(("target".into(), "postgres")),
            tls: Tls { mode: TlsMode::VerifyFull, ca: None },
            physical: false,
            way_back: true,
            source_bytes: Some(8 << 30),
            now: "2026-11-25T10:00:00Z".parse().unwrap(),
            minutes: 60,
            hours: Vec::new(),
        },
        instance: Some(instance()),
        cluster: None,
        parameters: Some(parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
        maintenance: Vec::new(),
        events: Vec::new(),
        rules: Some(vec![rules()]),
        clients: Vec::new(),
        unread: Vec::new(),
    }
}

fn rules() -> SecurityGroup {
    let from = vec![Peer::Group("sg-app".into())];
    let rule = Rule { protocol: "tcp".into(), ports: (Some(5432), Some(5432)), from };
    SecurityGroup { id: "sg-0a".into(), rules: vec![rule] }
}

fn instance() -> Instance {
    let mut instance = Instance::from(DbInstance::builder().db_instance_identifier("orders").build());
    let server = &mut instance.server;
    (server.engine, server.version, server.status) = ("postgres".into(), "17.4".into(), "available".into());
    server.address = crate::systems::address::Address::parse("orders.example:5432", None);
    (server.backup_days, server.backup_window) = (7, Some("03:00-03:30".into()));
    server.maintenance_window = Some("sun:05:00-sun:05:30".into());
    (server.protected, server.multi_az, server.storage_gib) = (true, true, Some(100));
    server.security_groups = vec![("sg-0a".into(), "active".into())];
    instance.class = "db.m7g.large".into();
    instance.groups = vec![Group { name: "orders-17".into(), status: "in-sync".into() }];
    instance.authority = Some("rds-ca-rsa2048-g1".into());
    instance.certificate_until = Some("2061-05-20T00:00:00Z".into());
    instance
}
