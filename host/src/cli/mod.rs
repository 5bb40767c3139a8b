//! The command line, a thin user of the library: one file a command.

mod log;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs Harper plugins sandboxed, and serves Harper's operations API
#[derive(Debug, Parser)]
#[command(name = "harper-host", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
}

/// Performs the command that the arguments name. An error goes to standard error, and the exit
/// code is 1; it is 2 for arguments that make no sense.
pub(crate) fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(run) => run.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("harper-host: {error}");
            ExitCode::FAILURE
        }
    }
}
