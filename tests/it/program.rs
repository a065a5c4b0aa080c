//! The program from outside: its help, its exit codes. In an environment that holds nothing.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use clap::CommandFactory as _;
use pointsman::cli::Cli;

fn pointsman(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Exit code, standard output and standard error.
fn run(args: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.yaml"), "version: 1\nname: bad\nsistems: {}\n").unwrap();
    std::fs::write(folder.path().join("text.db"), "this is no database, but some text. ".repeat(50)).unwrap();
    std::fs::write(folder.path().join("gone.yaml"), GONE).unwrap();
    let output = pointsman(folder.path(), args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&folder.path().display().to_string(), "HOME");
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// A runbook whose database does not answer.
const GONE: &str = "version: 1
name: gone
stage: rehearsal
systems:
  db: { postgres: { url: \"postgresql://nobody@127.0.0.1:1/nothing\" } }
  other: { postgres: { url: \"postgresql://nobody@127.0.0.1:1/other\" } }
steps:
  - replicate: { from: db, to: other }
";

#[test]
fn help() {
    let mut text = run(&["--help"]).1;
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let (code, help, told) = run(&[command.get_name(), "--help"]);
        assert_eq!((code, told.as_str()), (0, ""), "{}", command.get_name());
        text.push_str(&format!("\n======== {}\n{help}", command.get_name()));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn exit_codes_and_what_is_told() {
    let cases: [&[&str]; 22] = [
        &["--version"],
        &[],
        &["no-such-command"],
        &["run"],
        &["run", "bad.yaml"],
        &["run", "missing.yaml"],
        &["check", "bad.yaml"],
        &["plan", "missing.yaml"],
        &["run", "gone.yaml", "--env", "nowhere"],
        &["run", "gone.yaml"],
        &["runs"],
        &["runs", "--output", "json"],
        &["status"],
        &["status", "no-such-run"],
        &["watch", "no-such-run"],
        &["resume", "no-such-run"],
        &["rollback", "no-such-run"],
        &["approve", "no-such-run"],
        &["skip", "no-such-run", "step", "--reason", "x"],
        &["report", "no-such-run"],
        &["runs", "--state", "text.db"],
        &["rehearse", "missing.yaml"],
    ];
    let mut text = String::new();
    for case in cases {
        let (code, out, told) = run(case);
        text.push_str(&format!("$ pointsman {}\n{out}{told}=> {code}\n\n", case.join(" ")));
    }
    insta::with_settings!({ filters => [(r"pointsman \d+\.\d+\.\d+", "pointsman VERSION")] }, {
        insta::assert_snapshot!(text);
    });
}

/// What `init` writes can be checked, and is never written over.
#[test]
fn init_writes_once_what_it_can_read() {
    let folder = tempfile::tempdir().unwrap();
    assert!(pointsman(folder.path(), &["init", "mine.yaml"]).status.success());
    let text = std::fs::read_to_string(folder.path().join("mine.yaml")).unwrap();
    pointsman::runbook::load_str("mine.yaml", &text, None).unwrap();
    assert_eq!(pointsman(folder.path(), &["init", "mine.yaml"]).status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(folder.path().join("mine.yaml")).unwrap(), text);
}

#[test]
fn the_schema_is_json_and_completions_name_the_commands() {
    let (code, schema, _) = run(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert!(code == 0 && schema.is_object());
    for shell in ["bash", "zsh", "fish"] {
        let (code, text, _) = run(&["completions", shell]);
        assert!(code == 0 && text.contains("rehearse"), "{shell}");
    }
}
