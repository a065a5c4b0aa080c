//! The data folder of a server. A first one takes half a second of a processor to make, so it is kept as a template, with
//! roles and database but without passwords, and copied from then on.

use std::{fs, path::Path};

use super::super::{
    DATABASE, Role, SandboxError, owner,
    process::{self, EndWith, Spawn},
    roles,
    server::StartServer,
    template,
};

/// A cluster of its own, with the sandbox's roles, their passwords, and the empty database.
pub(super) async fn init(start: &StartServer, data: &Path) -> Result<(), SandboxError> {
    // Copies of one cluster take themselves for the same server. Those of a sandbox have different names, so that each
    // name has a template of its own.
    let version = format!("{}-{}", start.program.version_text(), start.name);
    let template = template::of(&start.program.path.join("postgres"), &version);
    if template.as_deref().is_none_or(|template| template::copy(template, data).is_err()) {
        fs::remove_dir_all(data).ok();
        make(start, data).await?;
        if let Some(template) = template {
            template::keep(data, &template);
        }
    }
    run_sql(start, data, &roles::set_passwords(&start.passwords)).await
}

async fn make(start: &StartServer, data: &Path) -> Result<(), SandboxError> {
    owner::make_folder(data)?;
    // Nobody has a password yet, and nobody is let in: the server's own file says later who is.
    let folder = format!("--pgdata={}", data.display());
    let args = ["--no-sync", "--username=postgres", "--auth=reject", "--encoding=UTF8", "--locale=C", &folder];
    run(start, data, "initdb", &args, Input::Nothing).await?;
    let database = format!("CREATE DATABASE {DATABASE} OWNER {};\n", Role::Mover.name());
    run_sql(start, data, &(roles::create_roles(start.program.version[0]) + &database)).await
}

/// Runs SQL, a statement a line, on a cluster whose server does not run.
async fn run_sql(start: &StartServer, data: &Path, sql: &str) -> Result<(), SandboxError> {
    let folder = data.display().to_string();
    // Without syncing, and without the statements of errors in the log: they have passwords in them.
    let args = ["--single", "-F", "-c", "log_min_error_statement=panic", "-D", &folder, "postgres"];
    run(start, data, "postgres", &args, Input::Sql(sql)).await
}

/// A physical replica: it follows the primary from its first start on.
pub(super) async fn copy(start: &StartServer, data: &Path, primary: u16) -> Result<(), SandboxError> {
    owner::make_folder(data)?;
    let url = format!("host=127.0.0.1 port={primary} user={}", Role::Superuser.name());
    let folder = data.display().to_string();
    let args = ["-d", &url, "-D", &folder, "-R", "-X", "stream", "-c", "fast", "--no-sync"];
    run(start, data, "pg_basebackup", &args, Input::Password(start.passwords.of(Role::Superuser))).await
}

/// What a program is told beside its arguments.
enum Input<'a> {
    Nothing,
    /// The password that it logs in with.
    Password(String),
    /// Statements that must not fail.
    Sql(&'a str),
}

async fn run(
    start: &StartServer,
    data: &Path,
    program: &str,
    args: &[&str],
    input: Input<'_>,
) -> Result<(), SandboxError> {
    let mut spawn = Spawn {
        name: &format!("{}-{program}", start.name),
        program: &start.program.path.join(program),
        args: args.iter().map(ToString::to_string).collect(),
        env: Vec::new(),
        root: &start.root,
        working_folder: data,
        as_servant: true,
        end_with: EndWith::Kill,
    };
    match input {
        Input::Nothing => process::run(&spawn).await,
        Input::Password(password) => {
            spawn.env.push(("PGPASSWORD", password));
            process::run(&spawn).await
        }
        Input::Sql(sql) => process::feed(&spawn, sql, "ERROR:").await,
    }
}
