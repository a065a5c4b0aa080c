//! The run of a rehearsal: this program, started as anybody would start it.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use super::Rehearsal;
use crate::error::{CliError, Exit};

/// A started run.
pub struct Child(tokio::process::Child);

impl Child {
    /// Starts `pointsman run`; what it says goes to our own output.
    pub fn start(rehearsal: &Rehearsal, env: &BTreeMap<String, String>) -> Result<Self, CliError> {
        let program = match &rehearsal.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?,
        };
        let child = tokio::process::Command::new(program)
            .arg("run")
            .arg(&rehearsal.runbook)
            .arg("--state")
            .arg(rehearsal.folder.join("journal.db"))
            .envs(env)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self(child))
    }

    /// Its exit code, when it has ended.
    pub fn finished(&mut self) -> Result<Option<i32>, CliError> {
        Ok(self.0.try_wait()?.map(|status| status.code().unwrap_or(-1)))
    }

    /// Waits for its exit code.
    pub async fn wait(&mut self, patience: Duration) -> Result<i32, CliError> {
        match tokio::time::timeout(patience, self.0.wait()).await {
            Ok(status) => Ok(status?.code().unwrap_or(-1)),
            Err(_) => Err(CliError::new(Exit::Error, "the rollback did not end")),
        }
    }
}
