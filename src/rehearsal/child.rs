//! The run of a rehearsal: this program, started as anybody would start it.

use std::collections::BTreeMap;
use std::process::Stdio;

use super::Rehearsal;
use crate::error::CliError;

/// A started run.
pub struct Child(tokio::process::Child);

impl Child {
    /// Starts `pointsman run`. What it says goes to our own output, or into a file of the rehearsal's folder when a
    /// screen is shown; then it also stays when it is held, since there is somebody who can speak to it.
    pub fn start(rehearsal: &Rehearsal, env: &BTreeMap<String, String>) -> Result<Self, CliError> {
        let program = match &rehearsal.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?,
        };
        let mut command = tokio::process::Command::new(program);
        if rehearsal.screen {
            let lines = std::fs::File::create(rehearsal.folder.join("run.log"))?;
            command.arg("--output").arg("plain").stdout(lines.try_clone()?).stderr(lines);
        }
        let child = command
            .arg("run")
            .arg(&rehearsal.runbook)
            .arg("--state")
            .arg(rehearsal.folder.join("journal.db"))
            .args((rehearsal.screen || rehearsal.by_hand).then_some("--wait"))
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
}
