//! A secret is never stored or shown.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pointsman::sandbox::{DATABASE, SandboxOptions};

use super::support::{Book, Stage, options, overriding, superuser};

/// A password that is told from everything else, raw and as a URL has it.
const RAW: &str = "Zebra&Wombat%77/@:?";
const ENCODED: &str = "Zebra%26Wombat%2577%2F%40%3A%3F";
/// What both forms have in common, and what an unfinished masking would leave.
const PARTS: [&str; 4] = [RAW, ENCODED, "Zebra", "Wombat"];

/// Every process's command line and environment-free title, again and again.
fn watch_processes(stop: Arc<Mutex<bool>>) -> std::thread::JoinHandle<BTreeSet<String>> {
    std::thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while !*stop.lock().unwrap() {
            for process in std::fs::read_dir("/proc").unwrap().flatten() {
                if let Ok(line) = std::fs::read(process.path().join("cmdline")) {
                    seen.insert(String::from_utf8_lossy(&line).replace('\0', " "));
                }
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        seen
    })
}

fn assert_silent(place: &str, text: &str) {
    for part in PARTS {
        assert!(!text.contains(part), "{place} tells the password ({part})");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_nowhere_to_be_read_after_a_run() {
    let mut stage = Stage::new(SandboxOptions { source_version: 17, ..options() }, Book::default()).await;
    for server in [&stage.sandbox.source, &stage.sandbox.target] {
        let sql = format!("CREATE ROLE keeper SUPERUSER LOGIN PASSWORD '{RAW}'");
        superuser(server).await.batch_execute(&sql).await.unwrap();
    }
    let url = |port: u16| format!("postgresql://keeper:{ENCODED}@127.0.0.1:{port}/{DATABASE}");
    stage.env.insert("SOURCE_URL".into(), url(stage.sandbox.source.port()));
    stage.env.insert("TARGET_URL".into(), url(stage.sandbox.target.port()));

    let stop = Arc::new(Mutex::new(false));
    let watcher = watch_processes(Arc::clone(&stop));
    let book = stage.book();
    let book = book.to_str().unwrap();
    let mut said = Vec::new();
    for words in [&["check", book][..], &["plan", book], &["plan", book, "--output", "json"]] {
        let (code, text) = stage.says(words).await;
        assert_eq!(code, 0, "{text}");
        said.push((words[0].to_owned(), text));
    }
    let run = stage.run();
    stage.until_asked().await;
    // A failure is worded too: the target's subscription can't be made use of, the window refuses.
    let sql = "ALTER SUBSCRIPTION pointsman_forward DISABLE";
    overriding(&stage.sandbox.target).await.batch_execute(sql).await.unwrap();
    stage.say(&["approve"]).await;
    said.push(("a hold".into(), stage.until_held(1).await));
    let sql = sql.replace("DISABLE", "ENABLE");
    overriding(&stage.sandbox.target).await.batch_execute(&sql).await.unwrap();
    stage.say(&["continue"]).await;
    said.push(("run".into(), run.expect(0).await));
    let (code, text) = stage.says(&["rollback", "--output", "json"]).await;
    assert_eq!(code, 5, "{text}");
    said.push(("rollback".into(), text));
    for words in [
        &["status"][..],
        &["runs"],
        &["report", "--format", "markdown"],
        &["report", "--format", "html"],
        &["report", "--format", "json"],
        &["verify", book],
    ] {
        said.push((words.join(" "), stage.says(words).await.1));
    }
    // A password that is refused, and a server that is not there.
    for (port, wrong) in [(stage.sandbox.source.port(), "x"), (1, "")] {
        stage.env.insert("SOURCE_URL".into(), url(port).replace("keeper", &format!("keeper{wrong}")));
        let (code, text) = stage.says(&["check", book]).await;
        assert_eq!(code, 1, "{text}");
        said.push(("an error".into(), text));
    }
    *stop.lock().unwrap() = true;
    let processes = watcher.join().unwrap();
    assert!(
        processes.iter().any(|line| line.contains("pointsman run") || line.contains(" guard ")),
        "nothing was sampled"
    );
    for line in &processes {
        assert_silent("the process list", line);
    }
    for (place, text) in &said {
        assert!(!text.is_empty(), "{place} said nothing");
        assert_silent(place, text);
    }
    let mut files = Vec::new();
    for file in std::fs::read_dir(stage.folder.path()).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap();
        let name = file.file_name().to_string_lossy().into_owned();
        assert_silent(&name, &String::from_utf8_lossy(&bytes));
        files.push(name);
    }
    for wanted in ["journal.db", "guard-", "out-run"] {
        assert!(files.iter().any(|name| name.starts_with(wanted)), "{wanted}: {files:?}");
    }
}
