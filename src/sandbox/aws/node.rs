//! One node of the load balancer: a HAProxy whose weights are set at its runtime socket.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::super::{
    Program, SandboxError,
    haproxy::SOCKET_PATH_MAX,
    owner,
    ports::free_port,
    process::{EndWith, ServerProcess, Spawn},
};
use super::{config::Structure, read::Weights};

const START_LIMIT: Duration = Duration::from_secs(20);

/// A running node. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) port: u16,
    pub(crate) socket: PathBuf,
    process: ServerProcess,
}

/// What a node has counted of one server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    pub(crate) route: usize,
    pub(crate) server: String,
    pub(crate) requests: u64,
    pub(crate) errors_5xx: u64,
    pub(crate) up: bool,
}

impl Node {
    /// Writes its configuration and starts it.
    pub(crate) async fn start(
        name: &str,
        program: &Program,
        root: &Path,
        structure: &Structure,
    ) -> Result<Self, SandboxError> {
        let folder = root.join(name);
        owner::make_folder(&folder)?;
        let (port, socket, file) = (free_port()?, folder.join("sock"), folder.join("haproxy.cfg"));
        if socket.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(SandboxError::Options(format!("{} is too long a path for a Unix socket", socket.display())));
        }
        owner::write_file(&file, &structure.text(&socket, port), 0o600)?;
        let mut process = ServerProcess::spawn(&Spawn {
            name,
            program: &program.path,
            args: vec!["-db".into(), "-f".into(), file.display().to_string()],
            env: Vec::new(),
            root,
            working_folder: &folder,
            as_servant: true,
            end_with: EndWith::Kill,
        })?;
        process.wait_listening(port, START_LIMIT).await?;
        Ok(Self { port, socket, process })
    }

    pub(crate) fn leave_running(&mut self) {
        self.process.leave_running();
    }
}

/// Gives every server of a rule its weight.
pub(crate) async fn weigh(
    socket: &Path,
    structure: &Structure,
    route: usize,
    weights: &Weights,
) -> std::io::Result<()> {
    let backend = Structure::backend(route);
    let servers = structure.weighed(weights).into_iter();
    let lines: Vec<String> =
        servers.map(|(name, weight)| format!("set server {backend}/{name} weight {weight}")).collect();
    let answer = ask(socket, &lines.join(";")).await?;
    if answer.trim().is_empty() { Ok(()) } else { Err(std::io::Error::other(answer)) }
}

/// What the node has counted.
pub(crate) async fn counted(socket: &Path) -> std::io::Result<Vec<Counted>> {
    let answer = ask(socket, "show stat").await?;
    let mut lines = answer.lines();
    let columns = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').enumerate();
    let columns: HashMap<&str, usize> = columns.map(|(at, name)| (name, at)).collect();
    let rows = lines.map(|line| line.split(',').collect::<Vec<_>>());
    Ok(rows.filter_map(|row| server(&row, &columns)).collect())
}

fn server(row: &[&str], columns: &HashMap<&str, usize>) -> Option<Counted> {
    let text = |column: &str| row.get(*columns.get(column)?).copied();
    let number = |column: &str| text(column).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let server = text("svname").filter(|name| !matches!(*name, "FRONTEND" | "BACKEND"))?;
    Some(Counted {
        route: text("pxname")?.strip_prefix('r')?.parse().ok()?,
        server: server.to_owned(),
        requests: number("stot"),
        errors_5xx: number("hrsp_5xx"),
        up: text("status").is_some_and(|status| status.starts_with("UP") || status == "no check"),
    })
}

async fn ask(socket: &Path, line: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
