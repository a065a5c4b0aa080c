//! Every dependency's licence is one that `deny.toml` allows, and none is a crate that it bans. `cargo deny` checks the
//! same and more; this needs neither it nor a network.
use std::collections::BTreeSet;
use std::error::Error;
use std::process::Command;

use serde_json::Value;

const DENY: &str = include_str!("../../deny.toml");

/// What Cargo knows of all packages that are built for this machine.
fn metadata() -> Result<Value, Box<dyn Error>> {
    let rustc = Command::new("rustc").arg("-vV").output()?;
    let rustc = String::from_utf8(rustc.stdout)?;
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    if !cargo.status.success() {
        return Err(String::from_utf8_lossy(&cargo.stderr).into());
    }
    Ok(serde_json::from_slice(&cargo.stdout)?)
}

/// The double-quoted strings of one line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

/// The lines of `deny.toml` between `KEY = [` and `]`.
fn list<'a>(deny: &'a str, key: &str) -> Vec<&'a str> {
    let start = format!("{key} = [");
    deny.lines().skip_while(|line| *line != start).skip(1).take_while(|line| *line != "]").collect()
}

fn allowed(deny: &str) -> BTreeSet<&str> {
    list(deny, "allow").into_iter().flat_map(quoted).collect()
}

/// Banned crates, each with the reason.
fn banned(deny: &str) -> Vec<(&str, &str)> {
    list(deny, "deny").into_iter().filter_map(|line| Some((quoted(line).next()?, quoted(line).nth(1)?))).collect()
}

/// An SPDX expression, with the old `MIT/Apache-2.0` for `OR`.
struct Expression<'a> {
    tokens: Vec<&'a str>,
    next: usize,
    allowed: &'a BTreeSet<&'a str>,
}

impl<'a> Expression<'a> {
    fn is_allowed(spdx: &'a str, allowed: &'a BTreeSet<&'a str>) -> bool {
        let spaced = spdx.split_inclusive(['(', ')', '/']).flat_map(|part| {
            let (word, sign) = part.split_at(part.trim_end_matches(['(', ')', '/']).len());
            word.split_whitespace().chain(Some(sign).filter(|sign| !sign.is_empty()))
        });
        let mut expression = Self { tokens: spaced.collect(), next: 0, allowed };
        expression.any() && expression.next == expression.tokens.len()
    }

    fn take(&mut self, tokens: &[&str]) -> bool {
        let found = self.tokens.get(self.next).is_some_and(|token| tokens.contains(token));
        self.next += usize::from(found);
        found
    }

    fn any(&mut self) -> bool {
        let mut ok = self.all();
        while self.take(&["OR", "/"]) {
            ok |= self.all();
        }
        ok
    }

    fn all(&mut self) -> bool {
        let mut ok = self.one();
        while self.take(&["AND"]) {
            ok &= self.one();
        }
        ok
    }

    fn one(&mut self) -> bool {
        if self.take(&["("]) {
            return self.any() & self.take(&[")"]);
        }
        let Some(&licence) = self.tokens.get(self.next) else { return false };
        self.next += 1;
        if !self.take(&["WITH"]) {
            return self.allowed.contains(licence);
        }
        let Some(&exception) = self.tokens.get(self.next) else { return false };
        self.next += 1;
        self.allowed.contains(format!("{licence} WITH {exception}").as_str())
    }
}

/// One line for each package that may not be here.
fn findings(metadata: &Value, deny: &str) -> Vec<String> {
    let (allowed, banned) = (allowed(deny), banned(deny));
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let finding = |package: &Value| {
        let (name, licence) = (package["name"].as_str()?, package["license"].as_str().unwrap_or("no licence"));
        if let Some((_, reason)) = banned.iter().find(|(banned, _)| *banned == name) {
            return Some(format!("{name} is banned by deny.toml: {reason}"));
        }
        (!Expression::is_allowed(licence, &allowed)).then(|| format!("{name}: deny.toml does not allow {licence}"))
    };
    packages.iter().filter_map(finding).collect()
}

#[test]
fn every_dependency_is_allowed() -> Result<(), Box<dyn Error>> {
    let metadata = metadata()?;
    assert!(metadata["packages"].as_array().is_some_and(|packages| packages.len() > 50), "no packages were read");
    assert!(allowed(DENY).len() > 3 && banned(DENY).len() > 3, "deny.toml was not understood");
    assert_eq!(findings(&metadata, DENY), Vec::<String>::new());
    Ok(())
}

#[test]
fn expressions_are_read_as_spdx_reads_them() {
    let allowed = BTreeSet::from(["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"]);
    let good =
        ["MIT", "MIT/GPL-2.0", "GPL-3.0 OR MIT", "(GPL-3.0 OR MIT) AND Zlib", "Apache-2.0 WITH LLVM-exception OR X"];
    let bad = [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "MIT AND (GPL-3.0 OR AGPL-3.0)",
        "Apache-2.0",
        "MIT WITH X",
        "",
        "(MIT",
        "MIT Zlib",
    ];
    for spdx in good {
        assert!(Expression::is_allowed(spdx, &allowed), "{spdx}");
    }
    for spdx in bad {
        assert!(!Expression::is_allowed(spdx, &allowed), "{spdx}");
    }
}

#[test]
fn a_wrong_dependency_is_found() {
    let metadata = serde_json::json!({ "packages": [
        { "name": "good", "license": "MIT" },
        { "name": "copyleft", "license": "GPL-3.0" },
        { "name": "silent", "license": null },
        { "name": "serde_yml", "license": "MIT" },
    ] });
    let found = findings(&metadata, DENY);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[2].contains("RUSTSEC-2025-0068"), "{found:?}");
}
