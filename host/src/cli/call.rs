//! An operation on a running node, from the words of the command line to what is printed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use harper_host::Operation;
use serde_json::Value;

use super::arguments::Arguments;
use super::client::{Client, Reply};
use super::description::Description;
use super::login::Login;
use super::output::printable;
use super::target::{Root, Target};
use super::{Usage, confirm, output, prompt, purge, tls, wait_for};

/// The exit code of what was done in part: the reply says which.
const PARTLY: u8 = 3;

/// What every operation takes beside its keys.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// What the operation is told
    #[arg(value_name = "KEY=VALUE", hide = true)]
    pub words: Vec<String>,
    #[command(flatten)]
    pub root: Root,
    /// Do not ask
    #[arg(long)]
    pub force: bool,
    /// Read the password from standard input: the login's with target=, else the operation's own
    #[arg(long)]
    pub password_stdin: bool,
    /// With target=https://…: trust the certificates in this file, and no others
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// With target=http://…: let the password travel where others can read it
    #[arg(long)]
    pub allow_plaintext: bool,
    /// How long to wait for the reply
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub timeout: u64,
}

/// Calls the operation, and prints the reply. The exit code says whether all of it was done.
pub(super) fn call(operation: &Operation, options: Options) -> Result<ExitCode> {
    let (reply, as_json) = ask(operation, options)?;
    output::reply(&reply, as_json)?;
    Ok(match is_partial(operation, &reply) {
        true => ExitCode::from(PARTLY),
        false => ExitCode::SUCCESS,
    })
}

/// Whether what was asked is done in part, where a reply that went well says so.
fn is_partial(operation: &Operation, reply: &Reply) -> bool {
    let key = match &*operation.name {
        "configure_cluster" => "failed_nodes",
        "apply_dead_letters" => "left",
        _ => return false,
    };
    let reply = output::value(reply).unwrap_or_default();
    match &reply[key] {
        Value::Array(list) => !list.is_empty(),
        Value::Number(left) => left.as_u64() != Some(0),
        _ => false,
    }
}

/// Calls the operation: checks the words, asks if something would be taken away, finds out as whom,
/// and sends. Returns the reply, and whether it is wanted as JSON.
pub(super) fn ask(operation: &Operation, options: Options) -> Result<(Reply, bool)> {
    let mut arguments = Arguments::read(operation, &options.words)?;
    arguments.warnings.iter().for_each(|warning| output::warn(warning));
    let target = Target::find(&arguments, &options)?;
    // Where nothing at all is given the node will say what is missing. What is given may stand for a
    // key that seems to be missing: an older name for instance.
    let is_said = arguments.request.keys().any(|key| key != "operation");
    let warning = operation.warning.as_ref().filter(|_| is_said && !options.force);
    // The node can say more of what would be lost. Where nobody can be asked it need not.
    let mut client = None;
    if let Some(warning) = warning {
        let mut warning = printable(warning);
        if operation.name == purge::OPERATION && prompt::can_ask() {
            let client = client.insert(client_for(target.clone(), &options, &mut arguments)?);
            warning = format!("{warning}\n{}", purge::unread(client, &arguments.request));
        }
        confirm::confirm(operation, &warning, &arguments.request, &target)?;
    }
    let is_here = matches!(target, Target::Folder(_));
    find_password(operation, &mut arguments, is_here && options.password_stdin)?;
    let client = match client {
        Some(client) => client,
        None => client_for(target, &options, &mut arguments)?,
    };
    let reply = wait_for(client.send(&arguments.request))??;
    Ok((reply, arguments.json))
}

/// Finds out as whom, and with which certificates.
fn client_for(target: Target, options: &Options, arguments: &mut Arguments) -> Result<Client> {
    let (tls, login) = match &target {
        Target::Folder(_) => (None, None),
        Target::Url(url) => {
            let tls = url.tls.then(|| tls::connector(options.cacert.as_deref())).transpose()?;
            (tls, Some(Login::find(arguments, options, url)?))
        }
    };
    Ok(Client { target, login, tls, deadline: Duration::from_secs(options.timeout) })
}

/// A password that is a key of the operation, such as that of a new user, need not stand on the
/// command line. Without a terminal the node says what is missing.
fn find_password(operation: &Operation, arguments: &mut Arguments, stdin: bool) -> Result<()> {
    let required = Description(operation).required().any(|key| key == ("password", true));
    let password = match arguments.request.contains_key("password") {
        true if stdin => return Err(Usage("the password is given twice".into()).into()),
        false if stdin && !prompt::can_ask() => prompt::password_from_stdin()?,
        false if stdin || required && prompt::can_ask() => {
            prompt::ask_password_twice(&format!("New password, for {}", operation.name))?
        }
        _ => return Ok(()),
    };
    arguments.request.insert("password".into(), password.as_str().into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: cli.exit-3
    #[test]
    fn what_is_done_in_part_is_told_apart() {
        let is_partial = |name: &str, body: &str| {
            let reply =
                Reply { status: 200, body: body.to_owned().into(), from: "http://h".into() };
            super::is_partial(&Operation::new(name, ""), &reply)
        };
        for (name, body, is_so) in [
            ("configure_cluster", r#"{"message":"m","failed_nodes":["b"],"connections":[]}"#, true),
            ("configure_cluster", r#"{"message":"m","failed_nodes":[]}"#, false),
            ("configure_cluster", r#"{"message":"Cluster successfully configured."}"#, false),
            ("apply_dead_letters", r#"{"applied":1,"left":2}"#, true),
            ("apply_dead_letters", r#"{"applied":3,"left":0}"#, false),
            ("search_by_id", r#"[{"failed_nodes":["b"],"left":1}]"#, false),
        ] {
            assert_eq!(is_partial(name, body), is_so, "{name} {body}");
        }
    }
}
