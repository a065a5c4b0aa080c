//! The tree keeps its own rules: files stay small, documents name only files that exist, scripts can be run.
use std::error::Error;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A longer file does more than one thing.
const CODE_LINES_MAX: usize = 500;
/// Below these a name in a document means a file of this project.
const FOLDERS: [&str; 9] =
    [".ci/", ".config/", "benches/", "docs/", "examples/", "runbooks/", "src/", "tests/", "tools/"];
const SKIPPED: [&str; 3] = ["target", ".git", "node_modules"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, without what builds leave there. Symbolic links are not followed.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let skipped = SKIPPED.iter().any(|name| entry.file_name() == *name);
        if kind.is_dir() && !skipped {
            found.extend(files(&path)?);
        } else if kind.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// Lines before the tests, which stand at the end of a file.
fn code_lines(text: &str) -> usize {
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

/// What a document names that a reader would look for: words that start like a path of ours, and links.
fn named_files(document: &str) -> Vec<&str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let words = document.split(|c| !is_path(c)).map(|word| word.trim_end_matches('.'));
    let paths = words.filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)));
    let links = document.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
    paths.chain(links.filter(|link| !link.is_empty() && !link.contains(':'))).collect()
}

/// One line for each name in a document of `root` that leads nowhere, from the root and from the document.
fn dead_names(root: &Path, document: &Path) -> std::io::Result<Vec<String>> {
    let text = fs::read_to_string(document)?;
    let beside = document.parent().unwrap_or(root);
    let dead = |name: &&str| !root.join(name).exists() && !beside.join(name).exists();
    Ok(named_files(&text).into_iter().filter(dead).map(|name| format!("{} names {name}", document.display())).collect())
}

/// A file that starts with `#!` and that nobody may execute.
fn is_dead_script(path: &Path) -> std::io::Result<bool> {
    let mut start = Vec::new();
    fs::File::open(path)?.take(2).read_to_end(&mut start)?;
    Ok(start == b"#!" && fs::metadata(path)?.permissions().mode() & 0o111 != 0o111)
}

#[test]
fn source_files_stay_small() -> Result<(), Box<dyn Error>> {
    let sources: Vec<_> = files(&root().join("src"))?.into_iter().filter(|path| has_extension(path, "rs")).collect();
    assert!(sources.len() > 1, "no sources were found");
    for path in sources.iter().filter(|path| !path.ends_with("tests.rs")) {
        let lines = code_lines(&fs::read_to_string(path)?);
        assert!(lines <= CODE_LINES_MAX, "{} has {lines} lines without its tests: split it", path.display());
    }
    Ok(())
}

#[test]
fn documents_name_files_that_exist() -> Result<(), Box<dyn Error>> {
    let documents: Vec<_> = files(root())?.into_iter().filter(|path| has_extension(path, "md")).collect();
    assert!(!documents.is_empty(), "no documents were found");
    let mut dead = Vec::new();
    for document in documents {
        dead.extend(dead_names(root(), &document)?);
    }
    assert_eq!(dead, Vec::<String>::new());
    Ok(())
}

#[test]
fn no_merge_was_left_half_done() -> Result<(), Box<dyn Error>> {
    let mark = "<".repeat(7) + " ";
    let texts = files(root())?.into_iter().filter_map(|path| Some((fs::read_to_string(&path).ok()?, path)));
    let left = texts.filter(|(text, _)| text.lines().any(|line| line.starts_with(&mark))).map(|(_, path)| path);
    assert_eq!(left.collect::<Vec<_>>(), Vec::<PathBuf>::new());
    Ok(())
}

#[test]
fn scripts_can_be_run() -> Result<(), Box<dyn Error>> {
    let mut dead = Vec::new();
    for path in files(root())? {
        if is_dead_script(&path)? {
            dead.push(path);
        }
    }
    assert_eq!(dead, Vec::<PathBuf>::new(), "make them executable: chmod +x");
    Ok(())
}

#[test]
fn tests_at_the_end_of_a_file_do_not_count() {
    assert_eq!(code_lines("one\ntwo\n#[cfg(test)]\nmod tests {}\n"), 2);
    assert_eq!(code_lines(&"code\n".repeat(CODE_LINES_MAX + 1)), CODE_LINES_MAX + 1);
}

#[test]
fn a_name_that_leads_nowhere_is_found() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("src"))?;
    fs::write(folder.path().join("src/here.rs"), "")?;
    let document = folder.path().join("GUIDE.md");
    fs::write(
        &document,
        "`src/here.rs`, src/gone.rs. [a](LOST.md#x) [b](https://example.org/src/x) [c](#top) src/*.rs",
    )?;
    let dead = dead_names(folder.path(), &document)?;
    assert_eq!(dead.len(), 2, "{dead:?}");
    assert!(dead[0].ends_with("src/gone.rs") && dead[1].ends_with("LOST.md"), "{dead:?}");
    Ok(())
}

#[test]
fn a_script_that_nobody_may_run_is_found() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("x.sh");
    fs::write(&script, "#!/bin/sh\n")?;
    assert!(is_dead_script(&script)?);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    assert!(!is_dead_script(&script)?);
    Ok(())
}
