//! An instance of the sample application, as a process of the sandbox.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    SandboxError,
    ports::free_port,
    process::{EndWith, ServerProcess, Spawn},
};

const START_LIMIT: Duration = Duration::from_secs(20);

/// A running application process. Dropping it ends it.
#[derive(Debug)]
pub struct AppInstance {
    name: String,
    binary: PathBuf,
    root: PathBuf,
    database_url: String,
    port: u16,
    process: Option<ServerProcess>,
}

impl AppInstance {
    /// Starts `binary sandbox-app` under this name.
    ///
    /// # Errors
    /// With the end of its log.
    pub async fn start(name: &str, binary: &Path, root: &Path, database_url: String) -> Result<Self, SandboxError> {
        let mut instance = Self {
            name: name.to_owned(),
            binary: binary.to_owned(),
            root: root.to_owned(),
            database_url,
            port: free_port()?,
            process: None,
        };
        instance.restart().await?;
        Ok(instance)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    pub(crate) fn leave_running(&mut self) {
        self.process.iter_mut().for_each(ServerProcess::leave_running);
    }

    /// Starts it (again) on its port.
    ///
    /// # Errors
    /// With the end of its log.
    pub async fn restart(&mut self) -> Result<(), SandboxError> {
        self.kill9();
        let listen = format!("127.0.0.1:{}", self.port);
        let mut process = ServerProcess::spawn(&Spawn {
            name: &format!("app-{}", self.name),
            program: &self.binary,
            args: ["sandbox-app", "--listen", &listen, "--name", &self.name].map(String::from).to_vec(),
            env: vec![("DATABASE_URL", self.database_url.clone())],
            root: &self.root,
            working_folder: &self.root,
            // Our own program may lie where only we can read it.
            as_servant: false,
            end_with: EndWith::Kill,
        })?;
        process.wait_listening(self.port, START_LIMIT).await?;
        self.process = Some(process);
        Ok(())
    }
}
