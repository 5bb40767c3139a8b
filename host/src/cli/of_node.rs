//! Operations that this program does not know: those of plugins, which a running node tells of.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::FromArgMatches;
use harper_host::{Operation, openapi};
use serde_json::{Map, Value};

use super::arguments::Arguments;
use super::call::Options;
use super::client::{Client, Reply};
use super::login::Login;
use super::target::Target;
use super::{help, tls, wait_for};

/// Until the node has told. Help does not wait for one that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the command line is about, as far as this is known.
#[derive(Debug, PartialEq)]
enum About<'a> {
    /// All operations.
    All,
    /// One that is not known.
    Unknown(&'a str),
    /// Nothing that a node would have to be asked for.
    Known,
}

/// Adds the operations of the node's plugins, where the command line is about what is not known. A node
/// that is not there, or wants a login that would have to be asked for, has told of none. Returns the
/// names of plugins that may have the operation that is asked for, and are not loaded.
pub(super) fn add(operations: &mut Vec<Operation>, arguments: &[OsString]) -> Vec<String> {
    let name = match about(operations, arguments) {
        About::Known => return Vec::new(),
        About::All => None,
        About::Unknown(name) => Some(name),
    };
    let Ok((told, not_loaded)) = ask(name, arguments) else { return Vec::new() };
    // Nor does a plugin take the name of a command from the program.
    let is_new = |one: &Operation| {
        operations.iter().all(|known| known.name != one.name) && !is_command(&one.name)
    };
    let mut new: Vec<_> =
        told.into_iter().filter(|one| one.plugin.is_some() && is_new(one)).collect();
    operations.append(&mut new);
    not_loaded
}

fn about<'a>(operations: &[Operation], arguments: &'a [OsString]) -> About<'a> {
    match arguments.get(1).map(|first| first.to_str()) {
        None | Some(Some("--help" | "-h" | "help")) => About::All,
        Some(Some(name)) if !name.starts_with('-') => {
            let is_operation = operations.iter().any(|operation| operation.name == name);
            match is_operation || is_command(name) {
                true => About::Known,
                false => About::Unknown(name),
            }
        }
        Some(_) => About::Known,
    }
}

/// Whether the program has a command of its own of this name.
pub(super) fn is_command(name: &str) -> bool {
    name == "help" || help::command(&[]).find_subcommand(name).is_some()
}

/// The node's operations; and where the one of this name is not among them, the plugins that are not
/// loaded.
fn ask(asked: Option<&str>, arguments: &[OsString]) -> Result<(Vec<Operation>, Vec<String>)> {
    let name = asked.unwrap_or("operation");
    let operation = Operation::new(name, "");
    // What help is asked for is found with the words without it.
    let is_help = |word: &OsString| word == "--help" || word == "-h";
    let words = arguments.iter().skip(2).filter(|word| !is_help(word)).cloned();
    let words = [OsString::from("harper-host"), name.into()].into_iter().chain(words);
    let matches = help::command(std::slice::from_ref(&operation)).try_get_matches_from(words)?;
    let Some((_, matches)) = matches.subcommand() else { bail!("no operation") };
    let options = Options::from_arg_matches(matches)?;
    let arguments = Arguments::read(&operation, &options.words)?;
    let target = Target::find(&arguments, &options)?;
    let (tls, login) = match &target {
        Target::Folder(_) => (None, None),
        Target::Url(url) => {
            let Some(login) = Login::without_asking(&arguments) else { bail!("no login") };
            let tls = url.tls.then(|| tls::connector(options.cacert.as_deref())).transpose()?;
            (tls, Some(login))
        }
    };
    let client = Client { target, login, tls, deadline: PATIENCE };
    let body = |reply: Reply| match reply.status {
        200 => Ok(serde_json::from_slice::<Value>(&reply.body)?),
        status => bail!("status {status}"),
    };
    let operations = openapi::operations(&body(wait_for(client.get("/openapi.json"))??)?);
    if asked.is_none_or(|name| operations.iter().any(|operation| operation.name == name)) {
        return Ok((operations, Vec::new()));
    }
    let list = Map::from_iter([("operation".to_owned(), "plugin_list".into())]);
    let plugins = wait_for(client.send(&list))?.and_then(body).unwrap_or_default();
    let not_loaded = plugins.as_array().into_iter().flatten().filter(|one| one["loaded"] == false);
    let names = not_loaded.filter_map(|one| one["name"].as_str().map(str::to_owned));
    Ok((operations, names.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_asked_for_what_is_not_known() {
        let known = [Operation::new("known", "")];
        let about = |words: &[&str]| {
            let words: Vec<_> = ["harper-host"].iter().chain(words).map(OsString::from).collect();
            match super::about(&known, &words) {
                About::Unknown(name) => format!("unknown {name}"),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(about(&[]), "All");
        assert_eq!(about(&["--help"]), "All");
        assert_eq!(about(&["known", "--help"]), "Known");
        assert_eq!(about(&["--version"]), "Known");
        assert_eq!(about(&["cert", "show"]), "Known");
        assert!(is_command("run") && is_command("help") && !is_command("known"));
        assert_eq!(about(&["other", "--help"]), "unknown other");
    }
}
