//! A tidy pair of databases for the tests of the judges; each test spoils one thing.

use std::net::{IpAddr, Ipv4Addr};

use super::{Finding, PreflightInput, Wanted, judge};
use crate::systems::postgres::survey::{
    Activity, ClockReading, DatabaseFacts, Dialled, Disk, Found, LoginRole, Objects, OwnRole, Reach, Roles, Schema,
    Sequence, Server, Setting, Survey, Table, Usage,
};

/// The only finding of this id on this system after `spoil`.
pub fn judged(id: &str, system: &str, spoil: impl FnOnce(&mut PreflightInput)) -> Finding {
    let mut input = input();
    spoil(&mut input);
    find(&judge(&input), id, system).clone()
}

/// The only finding of this id on this system.
pub fn find<'a>(findings: &'a [Finding], id: &str, system: &str) -> &'a Finding {
    let found: Vec<&Finding> = findings.iter().filter(|finding| finding.id == id && finding.system == system).collect();
    assert_eq!(found.len(), 1, "{id} on {system}: {found:#?}");
    found[0]
}

/// Changes a setting's value.
pub fn set(side: &mut Survey, name: &str, value: &str) {
    side.settings.entry(name.to_owned()).or_insert_with(|| setting("")).value = value.to_owned();
}

/// Two servers that can be moved from one to the other.
pub fn input() -> PreflightInput {
    let (source, target) = (survey("source", 150_018, "7001"), survey("target", 180_006, "7002"));
    let reach = vec![reach(&target, &source), reach(&source, &target)];
    let mut input = PreflightInput {
        source,
        target,
        wanted: Wanted::default(),
        poolers: Vec::new(),
        pg_dump: Some(Ok("pg_dump 18".into())),
        reach,
        accept: Vec::new(),
    };
    input.source.tables = vec![table("orders")];
    input.source.sequences = vec![sequence("orders_id_seq")];
    input
}

/// A table with a primary key.
pub fn table(name: &str) -> Table {
    Table {
        schema: "public".into(),
        name: name.into(),
        kind: "r".into(),
        owner: "app".into(),
        ours: true,
        identity: "d".into(),
        primary_key: true,
        keyed: true,
        rows: 1_000,
        heap_bytes: 65_536,
        bytes: 131_072,
        columns: "c0ffee".into(),
        ..Table::default()
    }
}

/// A sequence with room.
pub fn sequence(name: &str) -> Sequence {
    Sequence {
        schema: "public".into(),
        name: name.into(),
        kind: "bigint".into(),
        last_value: Some(1_000),
        increment: 1,
        min_value: 1,
        max_value: i64::MAX,
        cache: 1,
        readable: true,
        settable: true,
        ..Sequence::default()
    }
}

/// A login role of the application.
pub fn login(name: &str) -> LoginRole {
    LoginRole {
        name: name.into(),
        connection_limit: -1,
        writes: true,
        we_may_alter: true,
        we_may_end: true,
        password_print: Some("aa".into()),
        ..LoginRole::default()
    }
}

fn reach(from: &Survey, to: &Survey) -> Reach {
    Reach {
        from: from.system.clone(),
        to: to.system.clone(),
        dialled: to.dialled.clone(),
        found: Some(Found {
            system_identifier: to.server.system_identifier.clone(),
            database: to.database.name.clone(),
            role: "pointsman".into(),
            replicates: true,
            bypasses_rls: true,
            unreadable: Vec::new(),
        }),
        failure: None,
    }
}

fn survey(system: &str, version: i64, identifier: &str) -> Survey {
    Survey {
        system: system.into(),
        address: None,
        dialled: Dialled {
            host: format!("{system}.example"),
            port: 5432,
            database: "shop".into(),
            user: "pointsman".into(),
            with_password: true,
            addresses: vec![IpAddr::V4(Ipv4Addr::new(203, 0, 113, if system == "source" { 1 } else { 2 }))],
        },
        server: Server {
            version,
            version_text: format!("{}.{}", version / 10_000, version % 100),
            system_identifier: Some(identifier.into()),
            timeline: Some(1),
            ..Server::default()
        },
        clock: ClockReading::default(),
        settings: settings(),
        usage: Usage { worker_processes: Some(1), synchronous_standbys: Some(0), ..Usage::default() },
        database: DatabaseFacts {
            name: "shop".into(),
            owner: "app".into(),
            ours: true,
            encoding: "UTF8".into(),
            provider: "c".into(),
            collate: "C.UTF-8".into(),
            ctype: "C.UTF-8".into(),
            connection_limit: -1,
            bytes: 8 << 20,
            ..DatabaseFacts::default()
        },
        own_settings: Vec::new(),
        schemas: vec![Schema { name: "public".into(), owner: "app".into() }],
        tables: Vec::new(),
        sequences: Vec::new(),
        objects: Objects { available: [("plpgsql".to_owned(), "1.0".to_owned())].into(), ..Objects::default() },
        logins: vec![login("app"), LoginRole { superuser: true, ..login("pointsman") }],
        roles: Roles { all: vec!["app".into(), "pointsman".into()], needed: vec!["app".into()] },
        activity: Activity::default(),
        hba: None,
        disk: Disk { wal_bytes: Some(16 << 20), data_directory: Some("/data".into()), free_bytes: Some(100 << 30) },
        role: OwnRole {
            name: "pointsman".into(),
            superuser: true,
            replication: true,
            create_role: true,
            creates_in_database: true,
            reads_origins: true,
            reads_control: true,
            reads_wal: true,
            reads_hba: true,
            sees_sessions: true,
            ..OwnRole::default()
        },
    }
}

fn settings() -> std::collections::BTreeMap<String, Setting> {
    [
        ("wal_level", "logical"),
        ("max_wal_senders", "10"),
        ("max_replication_slots", "10"),
        ("max_active_replication_origins", "10"),
        ("max_logical_replication_workers", "8"),
        ("max_sync_workers_per_subscription", "4"),
        ("max_worker_processes", "16"),
        ("max_connections", "100"),
        ("wal_sender_timeout", "60000"),
        ("max_slot_wal_keep_size", "10240"),
        ("idle_replication_slot_timeout", "0"),
        ("synchronous_standby_names", ""),
        ("default_transaction_read_only", "off"),
        ("shared_preload_libraries", ""),
        ("TimeZone", "UTC"),
        ("IntervalStyle", "postgres"),
        ("search_path", "public"),
        ("work_mem", "4096"),
        ("max_prepared_transactions", "0"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), setting(value)))
    .collect()
}

fn setting(value: &str) -> Setting {
    Setting { value: value.into(), source: "default".into(), boot: Some(value.into()), ..Setting::default() }
}
