//! The command `pointsman`.

use std::process::ExitCode;

use clap::Parser;
use pointsman::cli::Cli;
use pointsman::commands;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(Box::pin(commands::dispatch(cli)));
            // Not waiting for a read of standard input that never ends: the guard of a stopped executor has one.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            // What is wrong with a runbook says itself that it is an error.
            let text = error.to_string();
            let says_so = ["error[", "warning["].iter().any(|word| text.starts_with(word));
            let what = if says_so { "" } else { "error: " };
            anstream::eprintln!("{what}{text}");
            error.exit.into()
        }
    }
}
