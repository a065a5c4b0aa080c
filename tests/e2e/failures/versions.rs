//! The same cutover, forward and back under load, with other versions, other roles and more or fewer poolers.

use pointsman::sandbox::{Age, Role, SandboxOptions};

use super::support::{Book, Stage, assert_kept_out, flows, options, superuser, value};

const LEFTOVERS: &str = "SELECT (SELECT count(*) FROM pg_subscription) + (SELECT count(*) FROM pg_publication) \
    + (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_replication_origin) \
    + (SELECT count(*) FROM pg_namespace WHERE nspname = 'pointsman') \
    + (SELECT count(*) FROM pg_database WHERE datconnlimit <> -1 AND datname = 'shop') \
    + (SELECT count(*) FROM pg_roles WHERE rolname IN ('app', 'app2') AND NOT rolcanlogin)";
/// Clients of the workload.
const CLIENTS: u64 = 8;
const APPLY_ERRORS: &str =
    "SELECT coalesce(sum(apply_error_count + sync_error_count), 0)::bigint FROM pg_stat_subscription_stats";

/// Forward and back under load: nothing lost, nothing twice, no error of replication (a loop would show as one), and
/// nothing left behind. Gives how many writes failed.
async fn forth_and_back(options: SandboxOptions, mut book: Book, role: Role) -> u64 {
    book.asks = false;
    let mut stage = Stage::new(options, book).await;
    stage.env = stage.sandbox.env_as(role);
    let workload = stage.sandbox.workload(4, 4, 200.0).unwrap();
    flows(&workload, 20).await;
    let said = stage.run().expect(0).await;
    assert!(said.contains("writes go to the target"), "{said}");
    assert_kept_out(&stage.sandbox.source, Role::App).await;
    flows(&workload, 200).await;
    let servers = [&stage.sandbox.source, &stage.sandbox.target];
    for server in servers {
        assert_eq!(value::<i64>(&superuser(server).await, APPLY_ERRORS).await, 0, "replication had errors");
    }
    let (code, said) = stage.says(&["rollback"]).await;
    assert_eq!(code, 5, "{said}");
    flows(&workload, 100).await;
    let ledger = workload.stop().await;
    let audit = stage.audit(&ledger, &stage.sandbox.source).await;
    for (server, side) in servers.into_iter().zip(["source", "target"]) {
        assert_eq!(
            value::<i64>(&superuser(server).await, LEFTOVERS).await,
            0,
            "something of ours is left on the {side}"
        );
    }
    let all = ledger.report_between(jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX);
    println!("what clients were told: {:?}", all.errors);
    audit.failed + audit.unknown_present + audit.unknown_absent
}

fn between(source_version: u32, target_version: u32) -> SandboxOptions {
    SandboxOptions { source_version, target_version, ..options() }
}

#[tokio::test(flavor = "multi_thread")]
async fn f35_from_15_to_18_no_row_runs_in_a_circle() {
    // PgBouncer 1.26 can't keep clients on the way from 16 or newer to 15: each is disconnected once.
    let failed = forth_and_back(between(15, 18), Book::default(), Role::Superuser).await;
    assert!(failed <= CLIENTS, "{failed} writes failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_18_to_the_older_15() {
    let failed = forth_and_back(between(18, 15), Book::default(), Role::Superuser).await;
    assert!(failed <= CLIENTS, "{failed} writes failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_17_to_18() {
    assert_eq!(forth_and_back(between(17, 18), Book::default(), Role::Superuser).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_servers_of_one_version() {
    assert_eq!(forth_and_back(between(15, 15), Book::default(), Role::Superuser).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_old_pooler_and_balancer() {
    let old = SandboxOptions { pgbouncer: Age::Old, haproxy: Age::Old, ..options() };
    assert_eq!(forth_and_back(old, Book { balancers: 1, ..Book::default() }, Role::Superuser).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_poolers_and_two_balancers() {
    let two = SandboxOptions { pgbouncers: 2, haproxies: 2, ..between(17, 18) };
    let book = Book { poolers: 2, balancers: 2, ..Book::default() };
    assert_eq!(forth_and_back(two, book, Role::Superuser).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_superuser_as_on_rds() {
    assert_eq!(forth_and_back(between(17, 18), Book::default(), Role::Mover).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_pooler_clients_see_errors_and_nothing_is_lost() {
    let stage = Stage::new(options(), Book { poolers: 0, asks: false, ..Book::default() }).await;
    let (code, plan) = stage.says(&["plan", stage.book().to_str().unwrap()]).await;
    assert_eq!(code, 0, "{plan}");
    assert!(plan.contains("disconnected and refused until the switch: they see errors"), "{plan}");
    // These clients reach the source by an address of their own, that nobody switches.
    let workload = stage.sandbox.workload(0, 4, 200.0).unwrap();
    flows(&workload, 100).await;
    stage.run().expect(0).await;
    let from = workload.mark();
    super::support::wait_for("clients see errors", || workload.report_between(from, workload.mark()).failed > 0).await;
    let ledger = workload.stop().await;
    stage.audit(&ledger, &stage.sandbox.target).await;
    assert_kept_out(&stage.sandbox.source, Role::App).await;
    let (code, said) = stage.says(&["rollback"]).await;
    assert_eq!(code, 5, "{said}");
    stage.audit(&ledger, &stage.sandbox.source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f27_after_the_finalization_no_slot_is_left_to_fill_a_disk() {
    let after = "  - verify: { compare: checksums }\n  - approve: { name: last, message: \"Drop the way back?\" }\n  - finalize\n";
    let stage = Stage::new(options(), Book { asks: false, after, ..Book::default() }).await;
    let run = stage.run();
    stage.until_begun("last", 1).await;
    stage.say(&["approve"]).await;
    run.expect(0).await;
    for server in [&stage.sandbox.source, &stage.sandbox.target] {
        let slots = "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_subscription)";
        assert_eq!(value::<i64>(&superuser(server).await, slots).await, 0);
    }
    let (code, said) = stage.says(&["rollback"]).await;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("has dropped the way back"), "{said}");
    assert_kept_out(&stage.sandbox.source, Role::App).await;
}
