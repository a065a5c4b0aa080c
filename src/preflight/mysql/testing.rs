//! A tidy pair of servers for the tests of the judges; each test spoils one thing.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::{EndpointFacts, Finding, PreflightInput, Wanted, judge};
use crate::systems::mysql::survey::{
    Account, Activity, Column, Disk, Found, OwnAccount, Reach, Schema, Server, SessionGroup, Survey, Table,
};
use crate::systems::mysql::{Flavour, Version};
use crate::systems::survey::{ClockReading, Dialled};

/// The only finding of this id on this system after `spoil`, of a pair of MySQL servers.
pub fn judged(id: &str, system: &str, spoil: impl FnOnce(&mut PreflightInput)) -> Finding {
    after(input(), id, system, spoil)
}

/// The same, of a pair of MariaDB servers.
pub fn judged_mariadb(id: &str, system: &str, spoil: impl FnOnce(&mut PreflightInput)) -> Finding {
    after(mariadb(), id, system, spoil)
}

fn after(mut input: PreflightInput, id: &str, system: &str, spoil: impl FnOnce(&mut PreflightInput)) -> Finding {
    spoil(&mut input);
    find(&judge(&input), id, system).clone()
}

/// The only finding of this id on this system.
pub fn find<'a>(findings: &'a [Finding], id: &str, system: &str) -> &'a Finding {
    let found: Vec<&Finding> = findings.iter().filter(|finding| finding.id == id && finding.system == system).collect();
    assert_eq!(found.len(), 1, "{id} on {system}: {found:#?}");
    found[0]
}

/// Changes a variable.
pub fn set(side: &mut Survey, name: &str, value: &str) {
    side.variables.insert(name.to_owned(), value.to_owned());
}

pub fn privileges(all: &[&str]) -> Vec<String> {
    all.iter().map(|&name| name.to_owned()).collect()
}

/// Two MySQL servers that can be moved from one to the other.
pub fn input() -> PreflightInput {
    pair(Flavour::Mysql, Version(90_704), &[])
}

/// Two MariaDB servers that can be moved from one to the other.
pub fn mariadb() -> PreflightInput {
    let differing = [
        ("log_slave_updates", "ON"),
        ("slave_parallel_threads", "4"),
        ("slave_parallel_mode", "optimistic"),
        ("gtid_domain_id", "0"),
    ];
    let mut input = pair(Flavour::Mariadb, Version(101_119), &differing);
    for side in [&mut input.source, &mut input.target] {
        side.server.uuid = None;
        side.plugins = privileges(&["mysql_native_password"]);
        for account in side.accounts.iter_mut().flatten() {
            account.plugin = "mysql_native_password".into();
        }
        for name in ["gtid_mode", "enforce_gtid_consistency", "log_replica_updates", "replica_parallel_workers"] {
            side.variables.remove(name);
        }
    }
    input
}

fn pair(flavour: Flavour, version: Version, differing: &[(&str, &str)]) -> PreflightInput {
    let survey = |system: &str, id: u8| {
        let mut survey = survey(system, id);
        (survey.server.flavour, survey.server.version) = (flavour, version);
        for (name, value) in differing {
            set(&mut survey, name, value);
        }
        survey
    };
    let (mut source, target) = (survey("source", 1), survey("target", 2));
    source.tables = vec![table("orders")];
    source.schemas =
        vec![Schema { name: "shop".into(), charset: "utf8mb4".into(), collation: "utf8mb4_general_ci".into() }];
    PreflightInput {
        reach: vec![reach(&target, &source), reach(&source, &target)],
        endpoints: vec![EndpointFacts {
            name: "proxy".into(),
            dialled: Some("proxy.example:3306".into()),
            uuid: source.server.uuid.clone(),
            server_id: Some(1),
            seen_from: Some("10.0.0.5".into()),
            failure: None,
        }],
        source,
        target,
        wanted: Wanted::default(),
        accept: Vec::new(),
    }
}

/// A table with a primary key.
pub fn table(name: &str) -> Table {
    Table {
        schema: "shop".into(),
        name: name.into(),
        engine: "InnoDB".into(),
        collation: "utf8mb4_general_ci".into(),
        rows: 1_000,
        bytes: 131_072,
        primary_key: true,
        columns: vec![column("id", "auto_increment"), column("note", "")],
        ..Table::default()
    }
}

/// A column of text.
pub fn column(name: &str, extra: &str) -> Column {
    Column {
        name: name.into(),
        kind: "varchar(20)".into(),
        charset: Some("utf8mb4".into()),
        collation: Some("utf8mb4_general_ci".into()),
        extra: extra.into(),
    }
}

/// An account of the application.
pub fn account(user: &str) -> Account {
    Account {
        user: user.into(),
        host: "%".into(),
        plugin: "caching_sha2_password".into(),
        print: Some("aa".into()),
        ..Account::default()
    }
}

/// One session.
pub fn session(user: &str, host: &str) -> SessionGroup {
    SessionGroup { user: user.into(), host: host.into(), schema: None, ids: vec![7] }
}

fn reach(from: &Survey, to: &Survey) -> Reach {
    Reach {
        from: from.system.clone(),
        to: to.system.clone(),
        dialled: to.dialled.clone(),
        verified: false,
        without_ca: false,
        found: Some(Found {
            uuid: to.server.uuid.clone(),
            server_id: to.number("server_id").unwrap_or(0),
            account: "repl@%".into(),
            replicates: true,
            encrypted: true,
        }),
        failure: None,
    }
}

fn survey(system: &str, id: u8) -> Survey {
    Survey {
        system: system.into(),
        dialled: Dialled {
            host: format!("{system}.example"),
            port: 3306,
            database: "shop".into(),
            user: "pointsman".into(),
            with_password: true,
            addresses: vec![IpAddr::V4(Ipv4Addr::new(203, 0, 113, id))],
        },
        server: Server { uuid: Some(format!("uuid-{id}")), ..Server::default() },
        clock: ClockReading::default(),
        variables: variables(id),
        accounts: Some(vec![account("app")]),
        charsets: privileges(&["utf8mb4", "latin1"]),
        collations: privileges(&["utf8mb4_general_ci", "latin1_swedish_ci"]),
        named_time_zones: true,
        activity: Activity {
            sessions: Some(Vec::new()),
            transactions: Some(Vec::new()),
            prepared: Some(Vec::new()),
            errant: Some(String::new()),
            ..Activity::default()
        },
        disk: Disk { binlog_bytes: Some(1 << 20), folder: Some("/data".into()), free_bytes: Some(100 << 30) },
        account: OwnAccount {
            name: "pointsman@%".into(),
            privileges: privileges(&["ALL PRIVILEGES"]),
            rds_procedures: Vec::new(),
        },
        ..Survey::default()
    }
}

fn variables(id: u8) -> BTreeMap<String, String> {
    let id = id.to_string();
    [
        ("server_id", id.as_str()),
        ("log_bin", "ON"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_expire_logs_seconds", "2592000"),
        ("log_replica_updates", "ON"),
        ("replica_parallel_workers", "4"),
        ("replica_preserve_commit_order", "ON"),
        ("gtid_mode", "ON"),
        ("enforce_gtid_consistency", "ON"),
        ("innodb_flush_log_at_trx_commit", "1"),
        ("sync_binlog", "1"),
        ("read_only", "OFF"),
        ("super_read_only", "OFF"),
        ("event_scheduler", "OFF"),
        ("lower_case_table_names", "0"),
        ("sql_mode", "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"),
        ("time_zone", "SYSTEM"),
        ("system_time_zone", "UTC"),
        ("max_allowed_packet", "67108864"),
        ("replica_max_allowed_packet", "1073741824"),
        ("max_connections", "151"),
        ("group_concat_max_len", "1024"),
        ("auto_increment_increment", "1"),
        ("innodb_buffer_pool_size", "134217728"),
        ("sql_generate_invisible_primary_key", "OFF"),
        ("ssl_cert", "server-cert.pem"),
        ("log_bin_trust_function_creators", "OFF"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}
