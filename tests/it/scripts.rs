//! What the scripts say on a machine where they can't do their work.
use std::error::Error;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

fn script(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(name))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with links to these programs of the host, to be all of `PATH`.
fn only(programs: &[&str]) -> Result<tempfile::TempDir, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    for program in programs {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|folder| folder.join(program))
            .find(|path| path.exists())
            .ok_or_else(|| format!("this machine has no {program}"))?;
        symlink(found, folder.path().join(program))?;
    }
    Ok(folder)
}

#[test]
fn without_apt_the_installer_names_the_other_ways() -> Result<(), Box<dyn Error>> {
    let path = only(&["bash", "env", "flock", "mkdir", "id", "stat", "uname", "head", "sed", "rm", "cat"])?;
    let prefix = tempfile::tempdir()?;
    let output = script("install-servers.sh").arg(prefix.path()).env("PATH", path.path()).output()?;
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    for word in
        ["docker compose -f docker-compose.test.yml up -d", "PG15_BIN", "MYSQL97_BASEDIR", "POINTSMAN_TEST_SOURCE_URL"]
    {
        assert!(stderr(&output).contains(word), "{word} is missing in {}", stderr(&output));
    }
    Ok(())
}

/// An apt that knows Ubuntu's archive only, and gives a package of it; nothing else can be had.
const UBUNTU: &str = r#"#!/bin/bash
case "$*" in
  *indextargets*) echo "Ubuntu http://archive.example/ubuntu" ;;
  *download\ python-apt-common*)
    mkdir -p tree/DEBIAN tree/usr/share/python-apt/templates
    printf 'Package: python-apt-common\nVersion: 1\nArchitecture: all\nMaintainer: m\nDescription: d\n' > tree/DEBIAN/control
    printf 'Suite: {series}\nBaseURI: http://mirror.example/debian/\n' > tree/usr/share/python-apt/templates/Debian.info
    dpkg-deb --build tree p.deb > /dev/null ;;
  *) echo "no network" >&2; exit 100 ;;
esac
"#;

#[test]
fn on_ubuntu_the_installer_finds_debians_archive_in_a_package_of_ubuntu() -> Result<(), Box<dyn Error>> {
    let here = |path: &str| Path::new(path).exists();
    if !here("/usr/bin/dpkg-deb") || here("/usr/share/python-apt/templates/Debian.info") {
        println!("not tried: this machine has no dpkg-deb, or the file itself");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let apt = folder.path().join("apt-get");
    std::fs::write(&apt, UBUNTU)?;
    std::fs::set_permissions(&apt, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH")?);
    let mut command = script("install-servers.sh");
    command.arg(folder.path().join("servers")).env("PATH", path);
    for name in ["DEBIAN_MIRROR", "DEBIAN_SECURITY", "DEBIAN_KEYRING"] {
        command.env_remove(name);
    }
    let output = command.output()?;
    assert_ne!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("taking http://mirror.example/debian,"), "{}", stderr(&output));
    Ok(())
}

#[test]
fn a_wrong_server_in_the_environment_is_named() -> Result<(), Box<dyn Error>> {
    for (name, what) in [
        ("PG15_BIN", "is not a folder with postgres"),
        ("MYSQL97_BASEDIR", "is not a folder with bin or sbin and its server"),
        ("HAPROXY_NEW", "is not a program"),
    ] {
        let output = script("servers.sh").arg("--find").env(name, "/nowhere").output()?;
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(&format!("{name}=/nowhere {what}")), "{}", stderr(&output));
    }
    Ok(())
}

/// Stands in for a server: it only has to be there.
fn program(path: &Path) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    symlink("/bin/sh", path)?;
    Ok(())
}

#[test]
fn servers_that_the_environment_names_are_taken_and_nothing_is_installed() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut command = script("servers.sh");
    command.env("POINTSMAN_SERVERS", "/dev/null/nothing-can-be-installed-here");
    for version in ["16", "17"] {
        let bin = folder.path().join(version);
        for name in ["postgres", "initdb", "pg_dump"] {
            program(&bin.join(name))?;
        }
        command.env(format!("PG{version}_BIN"), bin);
    }
    for name in ["PG15_BIN", "PG18_BIN", "PG_NEWEST_BIN", "PGBOUNCER_NEW", "HAPROXY_OLD"] {
        command.env_remove(name);
    }
    program(&folder.path().join("pooler"))?;
    command.env("PGBOUNCER_OLD", folder.path().join("pooler")).env("HAPROXY_NEW", folder.path().join("pooler"));
    let output = command.output()?;
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = String::from_utf8(output.stdout)?;
    let pooler = folder.path().join("pooler");
    let newest = folder.path().join("17");
    assert!(lines.contains(&format!("PGBOUNCER_NEW={}\n", pooler.display())), "{lines}");
    assert!(lines.contains(&format!("PG_NEWEST_BIN={}\n", newest.display())), "{lines}");
    Ok(())
}

/// A basedir is what its server says it is: MariaDB's packages may call theirs `mysqld`.
#[test]
fn a_basedir_of_the_other_kind_is_not_taken() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let server = |place: &str, says: &str| -> Result<(), Box<dyn Error>> {
        let path = folder.path().join(place);
        std::fs::create_dir_all(path.parent().unwrap_or(folder.path()))?;
        std::fs::write(&path, format!("#!/bin/sh\necho 'mysqld  Ver {says} for Linux'\n"))?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(())
    };
    server("false/sbin/mysqld", "10.11.19-MariaDB")?;
    server("true/bin/mysqld", "8.4.3")?;
    server("maria/libexec/mariadbd", "11.4.2-MariaDB")?;
    let find =
        |basedir: &str| script("servers.sh").arg("--find").env("MYSQL84_BASEDIR", folder.path().join(basedir)).output();
    let refused = find("false")?;
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    let maria = ("MARIADB114_BASEDIR", folder.path().join("maria"));
    let mut command = script("servers.sh");
    command.arg("--find").env("MYSQL84_BASEDIR", folder.path().join("true")).env(maria.0, &maria.1);
    for name in ["PGBOUNCER_NEW", "HAPROXY_NEW"] {
        command.env(name, "/bin/sh");
    }
    for server in ["postgres", "initdb", "pg_dump"] {
        program(&folder.path().join("17").join(server))?;
    }
    let output = command.env("PG17_BIN", folder.path().join("17")).output()?;
    let lines = String::from_utf8(output.stdout.clone())?;
    for line in
        [format!("MYSQL84_BASEDIR={}/true\n", folder.path().display()), format!("{}={}\n", maria.0, maria.1.display())]
    {
        assert!(lines.contains(&line), "{lines}{}", stderr(&output));
    }
    Ok(())
}

/// The tests of the terminal screen find tmux where the environment names it, and say so where nobody has it.
#[test]
fn tmux_is_taken_from_the_environment() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let named = folder.path().join("my-tmux");
    program(&named)?;
    let mut command = script("servers.sh");
    command.env("TMUX_PROGRAM", &named).env("POINTSMAN_SERVERS", "/dev/null/nothing-can-be-installed-here");
    for (name, file) in [("PG16_BIN", "16"), ("PG17_BIN", "17")] {
        for server in ["postgres", "initdb", "pg_dump"] {
            program(&folder.path().join(file).join(server))?;
        }
        command.env(name, folder.path().join(file));
    }
    command.env("PGBOUNCER_NEW", &named).env("HAPROXY_NEW", &named);
    let output = command.output()?;
    let lines = String::from_utf8(output.stdout)?;
    assert!(
        lines.contains(&format!("TMUX_PROGRAM={}\n", named.display())),
        "{lines}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
