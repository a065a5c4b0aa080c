//! What `tools/servers.sh` names are servers that run here, of the versions that it says.
use std::error::Error;
use std::process::Command;

/// NAME=path lines, found or installed.
fn servers() -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/servers.sh");
    let output = Command::new(script).output()?;
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
}

/// What a program says of its version. Neither PostgreSQL nor PgBouncer refuses root for this.
fn version_of(program: &str, option: &str) -> Result<String, Box<dyn Error>> {
    let output = Command::new(program).arg(option).output().map_err(|e| format!("{program}: {e}"))?;
    assert!(output.status.success(), "{program} {option}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn every_named_server_runs_and_is_what_its_name_says() -> Result<(), Box<dyn Error>> {
    let (mut postgres, mut basedirs, mut poolers, mut balancers) = (0, 0, 0, 0);
    for (name, path) in servers()? {
        let major =
            name.strip_prefix("PG").and_then(|rest| rest.strip_suffix("_BIN")).and_then(|n| n.parse::<u8>().ok());
        if let Some(major) = major {
            let version = version_of(&format!("{path}/postgres"), "--version")?;
            assert!(version.contains(&format!("PostgreSQL) {major}.")), "{name} is {version}");
            postgres += 1;
        } else if let Some((kind, version)) = name
            .strip_suffix("_BASEDIR")
            .and_then(|name| name.split_at_checked(name.find(|c: char| c.is_ascii_digit())?))
        {
            let server = if kind == "MYSQL" { "mysqld" } else { "mariadbd" };
            let said = version_of(&format!("{path}/sbin/{server}"), "--version")?;
            assert_eq!(said.contains("MariaDB"), kind == "MARIADB", "{name} is {said}");
            let found = said.split("Ver ").nth(1).unwrap_or_default().replace('.', "");
            assert!(found.starts_with(version), "{name} is {said}");
            basedirs += 1;
        } else if name.starts_with("PGBOUNCER_") {
            assert!(version_of(&path, "--version")?.starts_with("PgBouncer "), "{name}");
            poolers += 1;
        } else if name.starts_with("HAPROXY_") {
            assert!(version_of(&path, "-v")?.starts_with("HAProxy version"), "{name}");
            balancers += 1;
        }
    }
    let counts = (postgres, basedirs, poolers, balancers);
    assert!(postgres >= 1 && basedirs >= 2 && poolers == 2 && balancers == 2, "{counts:?}");
    Ok(())
}
