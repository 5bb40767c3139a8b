//! The command line, a thin user of the library.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `help.rs` | the commands, of the operations' descriptions, and their help |
//! | `run.rs` | `run`: a node in the foreground |
//! | `cluster.rs` | its part in a cluster |
//! | `cert/` | `cert`: the certificates of a cluster's nodes |
//! | `plugin/` | `plugin`: the plugins of others |
//! | `replay.rs` | `replay`: recorded calls of plugins, once more |
//! | `call.rs` | an operation on a running node, from its words to what is printed |
//! | `replication.rs` | `replication`: how far subscriptions and their readers are, as tables |
//! | `arguments.rs` | the words `key=value` |
//! | `description.rs` | what an operation's schema says of its keys |
//! | `target.rs` | which node |
//! | `login.rs` | as whom |
//! | `of_node.rs` | operations that only a running node knows, those of plugins |
//! | `confirm.rs`, `purge.rs` | the question before something is taken away, and what a purge takes |
//! | `client.rs`, `tls.rs` | the request, over a socket, TCP or TLS |
//! | `output.rs` | what is printed, and the exit codes |
//! | `prompt.rs` | questions on the terminal |
//! | `log/` | the log of a node |

mod arguments;
mod call;
mod cert;
mod client;
mod cluster;
mod confirm;
mod description;
mod descriptors;
mod help;
mod log;
mod login;
mod of_node;
mod output;
mod plugin;
mod prompt;
mod purge;
mod replay;
mod replication;
mod run;
mod target;
mod tls;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::FromArgMatches;
use clap::error::ErrorKind;

/// Performs the command that the arguments name. An error goes to standard error, and the exit
/// code is 1; it is 2 for arguments that make no sense.
pub(crate) fn main() -> ExitCode {
    perform().unwrap_or_else(|error| output::failure(&error))
}

fn perform() -> Result<ExitCode> {
    let arguments: Vec<_> = std::env::args_os().collect();
    // A node's start needs no help, nor do its files.
    let needs_none = |first: &std::ffi::OsString| {
        ["run", "cert", "replay"].iter().any(|command| first == command)
    };
    let mut operations = Vec::new();
    if !arguments.get(1).is_some_and(needs_none) {
        operations = self::operations()?;
        if arguments.get(1).is_none_or(|first| first != "plugin") {
            of_node::add(&mut operations, &arguments);
        }
    }
    let matches = match help::command(&operations).try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                output::print(&format!("{}\n", error.render().to_string().trim_end()))?;
                return Ok(ExitCode::SUCCESS);
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                output::explain(&error.render().to_string());
                return Ok(ExitCode::from(2));
            }
            _ => return Err(help::explained(&error, &operations, &arguments).into()),
        },
    };
    let (name, matches) = matches.subcommand().context("no command")?;
    if name == "replication" {
        return replication::run(&operations, matches);
    }
    match operations.iter().find(|operation| operation.name == name) {
        None if name == "cert" => cert::Cert::from_arg_matches(matches)?.run()?,
        None if name == "plugin" => plugin::Plugin::from_arg_matches(matches)?.run(&operations)?,
        None if name == "replay" => replay::Replay::from_arg_matches(matches)?.run()?,
        None => run::Run::from_arg_matches(matches)?.run()?,
        Some(operation) => {
            return call::call(operation, call::Options::from_arg_matches(matches)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The operations that this program's nodes have.
fn operations() -> Result<Vec<harper_host::Operation>> {
    Ok(wait_for(harper_host::describe())??)
}

/// Runs what one thread can do.
fn wait_for<F: Future>(future: F) -> Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let output = runtime.block_on(future);
    // A name that is still being looked up must not keep a program that has given up.
    runtime.shutdown_background();
    Ok(output)
}

/// A command line that makes no sense, or asks for what must not be. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// The candidate that is most like `word`, if one is.
fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.8;
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (strsim::jaro_winkler(candidate.trim_start_matches('-'), &word), candidate)
        })
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}
