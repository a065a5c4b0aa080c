//! A target that is a replica already: a real one, promoted under load, and back along a stream that begins at exactly that
//! point.

use std::collections::BTreeSet;

use pointsman::{
    executor::state::Side as Writer,
    journal::{Act, Event, halt},
    sandbox::{
        DATABASE, Role, SandboxOptions,
        history::Side,
        mysql::{Mariadb, Mysql, MysqlClient},
        server::{Kind, Server},
    },
};

use super::{RATE, pairs::value};
use crate::cutover::{
    killing::{account_for, lead_back},
    support::{DOOR, KILLED, Scene, Staged, ended, steps, steps_to_the_end, steps_with},
};

fn through(steps: &[String]) -> Vec<String> {
    steps.iter().map(|step| step.replace("to: target, timeout: 2m", "to: target, through: read-replica")).collect()
}

struct Stage<K: Staged> {
    scene: Scene<K>,
    /// What both servers were like at first.
    pristine: [BTreeSet<String>; 2],
}

impl<K: Staged + Kind<Client = MysqlClient>> Stage<K> {
    async fn new() -> Self {
        Self::with(K::options()).await
    }

    async fn with(options: SandboxOptions) -> Self {
        let scene = Scene::<K>::with(SandboxOptions { replica: true, ..options }).await;
        scene.write(&through(&steps::<K>()));
        let pristine = Self::both(&scene).await;
        Self { scene, pristine }
    }

    /// What is there, without how far replication is.
    async fn both(scene: &Scene<K>) -> [BTreeSet<String>; 2] {
        let of = async |server: &Server<K>| {
            let found: BTreeSet<String> = K::catalog(server).await;
            found.into_iter().filter(|line| !line.contains("relay")).collect()
        };
        [of(&scene.sandbox.source).await, of(&scene.sandbox.target).await]
    }

    async fn is_replica(&self) -> bool {
        let status = if K::NAME == "MySQL" { "SHOW REPLICA STATUS" } else { "SHOW ALL SLAVES STATUS" };
        let client = self.scene.sandbox.target.connect(Role::Superuser).await.unwrap();
        !client.query(status).await.unwrap().is_empty()
    }

    /// What the replica wrote itself: nothing, as long as it is one.
    async fn own_transactions(&self) -> String {
        let target = &self.scene.sandbox.target;
        if K::NAME == "MySQL" {
            let there = value(target, "SELECT REPLACE(@@GLOBAL.gtid_executed, '\n', '')").await;
            let sql = format!("SELECT GTID_SUBTRACT('{there}', @@GLOBAL.gtid_executed)");
            return value(&self.scene.sandbox.source, &sql).await;
        }
        let (position, own) =
            (value(target, "SELECT @@GLOBAL.gtid_binlog_pos").await, value(target, "SELECT @@GLOBAL.server_id").await);
        position.split(',').filter(|gtid| gtid.split('-').nth(1) == Some(&own)).collect()
    }

    /// Nothing of the run is left. A replica follows, as it was; what was promoted stays shut.
    async fn assert_undone(&self, when: &str) {
        let [source, target] = Self::both(&self.scene).await;
        let left: Vec<_> = source.symmetric_difference(&self.pristine[0]).collect();
        assert!(left.is_empty(), "{when}: source: {left:?}\n{}", self.scene.story());
        if self.is_replica().await {
            let left: Vec<_> = target.symmetric_difference(&self.pristine[1]).collect();
            assert!(left.is_empty(), "{when}: replica: {left:?}\n{}", self.scene.story());
            assert_eq!(self.own_transactions().await, "", "{when}");
            return;
        }
        self.assert_nothing_of_ours(&self.scene.sandbox.target).await;
        let app = K::open(&self.scene.sandbox.target.url(Role::App, DATABASE)).await;
        assert!(app.is_err(), "{when}: an old copy takes clients");
    }

    async fn assert_nothing_of_ours(&self, server: &Server<K>) {
        let ours: Vec<_> = K::catalog(server).await.into_iter().filter(|line| line.contains("pointsman")).collect();
        assert!(ours.is_empty(), "{ours:?}\n{}", self.scene.story());
        let granted = "SELECT COUNT(*) FROM mysql.tables_priv WHERE Db = 'pointsman'";
        assert_eq!(value(server, granted).await, "0", "{}", self.scene.story());
    }
}

async fn there_and_back_and_there_for_good<K: Staged + Kind<Client = MysqlClient>>() {
    let stage = Stage::<K>::new().await;
    let load = stage.scene.load(RATE);
    load.flows().await;

    // Taken back before the window, the replica is as it was.
    stage.scene.write(&through(&steps_with::<K>("wait", DOOR)));
    let plan = stage.scene.must(0, &["plan", stage.scene.runbook.to_str().unwrap()]).await;
    let promotes = if K::NAME == "MySQL" { "RESET REPLICA ALL FOR CHANNEL ''" } else { "RESET SLAVE '' ALL" };
    assert!(plan.says(promotes) && plan.says("pointsman_trial") && !plan.says("CREATE USER and GRANT"), "{}", plan.out);
    stage.scene.run(4).await;
    assert!(stage.scene.state().hold.unwrap_or_default().contains("door"), "{}", stage.scene.story());
    assert_eq!(stage.own_transactions().await, "");
    stage.scene.must(5, &["rollback", "--output", "json"]).await;
    assert!(stage.is_replica().await);
    stage.assert_undone("rolled back before the window").await;

    stage.scene.write(&through(&steps::<K>()));
    stage.scene.run(0).await;
    assert_eq!(stage.scene.state().writer, Writer::Target);
    load.flows().await;
    stage.scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    stage.assert_undone("rolled back after its end").await;
    let mut seen = load.stop().await;
    stage.scene.clean(&mut seen, Side::Source, 2).await;
    println!("there and back: longest wait {:?}", seen.longest_wait());
    seen.assert_within_budget(&stage.scene);

    stage.scene.sandbox.target.make_again().await.unwrap();
    // By somebody's hand, as if an executor had died when it had promoted the replica.
    let statements = if K::NAME == "MySQL" {
        "\"STOP REPLICA FOR CHANNEL ''\", \"RESET REPLICA ALL FOR CHANNEL ''\""
    } else {
        "\"STOP SLAVE ''\", \"RESET SLAVE '' ALL\""
    };
    let by_hand = format!("sequences: {{}}, {{ sql: {{ system: target, run: [{statements}], undo: nothing }} }}");
    let steps: Vec<String> =
        steps_to_the_end::<K>().iter().map(|step| step.replace("sequences: {}", &by_hand)).collect();
    stage.scene.write(&through(&steps));
    let load = stage.scene.load(RATE);
    load.flows().await;
    let run = stage.scene.command(&stage.scene.run_words()).spawn().unwrap();
    stage.scene.until("it asks", |event| begins(event, "approve")).await;
    stage.scene.must(0, &["approve"]).await;
    assert_eq!(ended(run).await.code, 0, "{}", stage.scene.story());
    load.flows().await;
    let mut again = load.stop().await;
    stage.scene.clean(&mut again, Side::Target, 1).await;
    // What the clients of the first half wrote has come along too.
    stage.scene.clean(&mut seen, Side::Target, 2).await;
    stage.assert_nothing_of_ours(&stage.scene.sandbox.target).await;
    stage.assert_nothing_of_ours(&stage.scene.sandbox.source).await;
    // Whatever a replica is told to be when it starts.
    stage.scene.sandbox.target.restart().await.unwrap();
    assert_eq!(value(&stage.scene.sandbox.target, "SELECT @@GLOBAL.read_only").await, "0");
}

/// Whether a step begins here.
fn begins(event: &Event, step: &str) -> bool {
    matches!(event, Event::Intent { of, .. } if of.step == step && of.act == Act::Apply)
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_there_and_back_and_there_for_good() {
    there_and_back_and_there_for_good::<Mysql>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_there_and_back_and_there_for_good() {
    there_and_back_and_there_for_good::<Mariadb>().await;
}

/// SIGKILL at each entry around the promotion: the window is left or finished by the guard, no write is lost or doubled. By file
/// and position: a way back that began at a wrong place would show.
#[tokio::test(flavor = "multi_thread")]
async fn every_entry_of_a_window_around_the_promotion() {
    let off = ["gtid-mode", "enforce-gtid-consistency"].map(|name| (name.to_owned(), "OFF".to_owned())).to_vec();
    let options = SandboxOptions { source_settings: off.clone(), target_settings: off, ..Mysql::options() };
    let stage = Stage::<Mysql>::with(options).await;
    let window: Vec<String> = steps::<Mysql>().into_iter().filter(|step| !step.starts_with("shift")).collect();
    stage.scene.write(&through(&window));
    let load = stage.scene.load(RATE);
    load.flows().await;
    stage.scene.run(0).await;
    let at = |wanted: fn(&Event) -> bool| stage.scene.entries().iter().find(|entry| wanted(&entry.event)).unwrap().seq;
    let first = at(|event| begins(event, "drain"));
    let last = at(|event| matches!(event, Event::Passed { .. }));
    stage.scene.must(5, &["rollback", "--output", "json"]).await;
    account_for(&stage.scene, load, "a whole run").await;
    for seq in first..=last {
        if !stage.is_replica().await {
            stage.scene.sandbox.target.make_again().await.unwrap();
        }
        let load = stage.scene.load(RATE);
        load.flows().await;
        let run = stage.scene.command(&stage.scene.run_words()).env(halt::KILL_AT, seq.to_string()).spawn().unwrap();
        assert_eq!(ended(run).await.code, KILLED, "{}", stage.scene.story());
        let when = lead_back(&stage.scene, &load, seq, seq % 2 == 1).await;
        stage.assert_undone(&when).await;
        account_for(&stage.scene, load, &when).await.assert_within_budget(&stage.scene);
    }
}
