//! Servers that crash inside a window: what they forget of it with that keeps nobody out and lets nobody in.

use std::path::PathBuf;

use pointsman::sandbox::{
    Role, Sandbox,
    history::Side,
    mysql::{Mysql, MysqlClient},
};

use super::RATE;
use crate::cutover::support::{Scene, Staged, ended, steps, until};

/// A member of a window that waits for the test.
struct Point {
    name: &'static str,
    folder: PathBuf,
}

impl Point {
    fn of(sandbox: &Sandbox<Mysql>, name: &'static str) -> Self {
        Self { name, folder: sandbox.folder().to_owned() }
    }

    fn file(&self, word: &str) -> PathBuf {
        self.folder.join(format!("{}-{word}", self.name))
    }

    fn step(&self) -> String {
        let (here, go) = (self.file("here"), self.file("go"));
        let script = format!("touch {}; until [ -e {} ]; do sleep 0.005; done", here.display(), go.display());
        format!(
            "{{ command: {{ name: {}, apply: {{ run: [/bin/sh, -c, \"{script}\"] }}, undo: nothing }} }}",
            self.name
        )
    }

    async fn reached(&self) {
        until("the window stands at its point", || self.file("here").exists()).await;
    }

    fn go_on(&self) {
        std::fs::write(self.file("go"), "").unwrap();
    }
}

async fn value(db: &MysqlClient, sql: &str) -> String {
    db.value(sql).await.unwrap().unwrap_or_default()
}

/// The target has received all that the source has written.
async fn until_all_is_received(scene: &Scene<Mysql>) {
    let source = scene.sandbox.source.connect(Role::Superuser).await.unwrap();
    let target = scene.sandbox.target.connect(Role::Superuser).await.unwrap();
    let written = value(&source, "SELECT @@global.gtid_executed").await;
    let sql = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{written}', 10)");
    assert_eq!(value(&target, &sql).await, "0", "{}", scene.story());
}

/// The source dies when writes have stopped there, before it is told to stay shut over a restart; the target dies when it is
/// open, before it is told to stay open. The window passes; the source keeps the application out when it comes back, the
/// target is opened again, and nothing is lost there and back.
#[tokio::test(flavor = "multi_thread")]
async fn mysql_servers_that_crash_inside_the_window_lose_nothing() {
    let mut scene = Scene::<Mysql>::of_kind().await;
    let (frozen, opened) = (Point::of(&scene.sandbox, "frozen"), Point::of(&scene.sandbox, "opened"));
    let with_points = |step: String| {
        let step = step.replace("budget: 2s", "budget: 20s");
        let step = step.replace("drain: {}", &format!("{}, drain: {{}}", frozen.step()));
        step.replace("{ switch:", &format!("{}, {{ switch:", opened.step()))
    };
    scene.write(&steps::<Mysql>().into_iter().map(with_points).collect::<Vec<_>>());
    let load = scene.load(RATE);
    load.flows().await;
    let run = scene.command(&scene.run_words()).spawn().unwrap();

    frozen.reached().await;
    until_all_is_received(&scene).await;
    scene.sandbox.source.kill9();
    frozen.go_on();
    opened.reached().await;
    scene.sandbox.target.kill9();
    scene.sandbox.target.restart().await.unwrap();
    assert!(!Mysql::stays_open(&scene.sandbox.target).await, "what it was told before the window it knows again");
    opened.go_on();

    let held = ended(run).await;
    assert_eq!(held.code, 4, "{held:?}\n{}", scene.story());
    let story = scene.story();
    assert!(story.contains("passed") && held.says("source"), "{held:?}\n{story}");
    scene.sandbox.source.restart().await.unwrap();
    scene.sandbox.source.connect(Role::App).await.map(drop).expect_err("its accounts are locked");
    scene.must(0, &["resume", "--output", "json"]).await;
    load.flows().await;
    assert!(Mysql::stays_open(&scene.sandbox.target).await && !Mysql::stays_open(&scene.sandbox.source).await);
    scene.must(5, &["rollback", "--output", "json"]).await;
    load.flows().await;
    let mut seen = load.stop().await;
    scene.audit(&mut seen, Side::Source, 2).await;
}
