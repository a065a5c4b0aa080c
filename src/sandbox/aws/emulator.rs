//! The two emulators as processes of the sandbox.

use std::{collections::BTreeMap, path::Path, time::Duration};

use super::super::{
    SandboxError, owner,
    ports::free_port,
    process::{EndWith, ServerProcess, Spawn},
    servers,
};

/// The region that everything is in.
pub const REGION: &str = "us-east-1";
/// The account of both emulators.
const ACCOUNT: &str = "123456789012";
/// Python's first start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Both emulators. Dropping it ends them.
#[derive(Debug)]
pub struct Cloud {
    moto: Emulator,
    ministack: Emulator,
}

/// One emulator.
#[derive(Debug)]
struct Emulator {
    port: u16,
    process: ServerProcess,
}

impl Cloud {
    /// Starts both, empty, as processes of the sandbox in this folder.
    ///
    /// # Errors
    /// When they are not installed or do not start, with the end of their log.
    pub async fn start(root: &Path) -> Result<Self, SandboxError> {
        let (moto, ministack) = tokio::try_join!(start_moto(root), start_ministack(root))?;
        Ok(Self { moto, ministack })
    }

    /// The emulator of load balancers, ECS and RDS.
    pub fn moto(&self) -> String {
        self.moto.url()
    }

    /// The emulator of everything else.
    pub fn ministack(&self) -> String {
        self.ministack.url()
    }

    /// What the SDK reads from its environment, so that each service leads to its emulator.
    pub fn env(&self) -> BTreeMap<String, String> {
        let mut env = credentials();
        env.insert("AWS_ENDPOINT_URL".into(), self.ministack());
        for service in ["ELASTIC_LOAD_BALANCING_V2", "ECS", "RDS"] {
            env.insert(format!("AWS_ENDPOINT_URL_{service}"), self.moto());
        }
        env
    }

    /// The same when one address stands before both.
    pub fn env_through(url: &str) -> BTreeMap<String, String> {
        let mut env = credentials();
        env.insert("AWS_ENDPOINT_URL".into(), url.to_owned());
        env
    }

    pub(crate) fn leave_running(&mut self) {
        self.moto.process.leave_running();
        self.ministack.process.leave_running();
    }
}

impl Emulator {
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Nothing of the machine's own configuration may reach a real account.
fn credentials() -> BTreeMap<String, String> {
    let pairs = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_SESSION_TOKEN", ""),
        ("AWS_REGION", REGION),
        ("AWS_PROFILE", "default"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ACCOUNT_ID", ACCOUNT),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

async fn start_moto(root: &Path) -> Result<Emulator, SandboxError> {
    let port = free_port()?;
    let args = ["-H", "127.0.0.1", "-p", &port.to_string()].map(String::from).to_vec();
    let env = vec![("MOTO_ACCOUNT_ID", ACCOUNT.to_owned())];
    start(root, "moto", "MOTO_SERVER", port, args, env).await
}

async fn start_ministack(root: &Path) -> Result<Emulator, SandboxError> {
    let port = free_port()?;
    let at = port.to_string();
    let env = [
        ("GATEWAY_PORT", at.as_str()),
        ("BIND_HOST", "127.0.0.1"),
        ("MINISTACK_HOST", "127.0.0.1"),
        ("MINISTACK_ACCOUNT_ID", ACCOUNT),
        ("MINISTACK_REGION", REGION),
        // Else it listens on every address of the machine for these two.
        ("IOT_MTLS_ENABLED", "0"),
        ("SFTP_ENABLED", "0"),
    ];
    let env = env.map(|(name, value)| (name, value.to_owned())).to_vec();
    start(root, "ministack", "MINISTACK", port, Vec::new(), env).await
}

async fn start(
    root: &Path,
    name: &'static str,
    variable: &str,
    port: u16,
    args: Vec<String>,
    mut env: Vec<(&str, String)>,
) -> Result<Emulator, SandboxError> {
    let program = servers::named(variable, &format!("AWS emulator {name} (tools/install-emulators.sh)"))?;
    let folder = root.join(name);
    owner::make_folder(&folder)?;
    env.extend([
        ("HOME", folder.display().to_string()),
        ("TMPDIR", folder.display().to_string()),
        ("PYTHONUNBUFFERED", "1".into()),
        ("PYTHONDONTWRITEBYTECODE", "1".into()),
    ]);
    let mut process = ServerProcess::spawn(&Spawn {
        name,
        program: &program,
        args,
        env,
        root,
        working_folder: &folder,
        // The machine's Python may lie where only we can read it; they do not mind root.
        as_servant: false,
        end_with: EndWith::Kill,
    })?;
    process.wait_listening(port, START_LIMIT).await?;
    Ok(Emulator { port, process })
}
