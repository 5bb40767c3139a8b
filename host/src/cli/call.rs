//! An operation on a running node, from the words of the command line to what is printed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use harper_host::Operation;

use super::arguments::Arguments;
use super::client::{Client, Reply};
use super::description::Description;
use super::login::Login;
use super::target::{Root, Target};
use super::{Usage, confirm, output, prompt, tls, wait_for};

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

/// Calls the operation, and prints the reply.
pub(super) fn call(operation: &Operation, options: Options) -> Result<()> {
    let (reply, as_json) = ask(operation, options)?;
    output::reply(&reply, as_json)
}

/// Calls the operation: checks the words, asks if something would be taken away, finds out as whom,
/// and sends. Returns the reply, and whether it is wanted as JSON.
pub(super) fn ask(operation: &Operation, options: Options) -> Result<(Reply, bool)> {
    let mut arguments = Arguments::read(operation, &options.words)?;
    arguments.warnings.iter().for_each(|warning| output::warn(warning));
    let target = Target::find(&arguments, &options)?;
    // What is missing the node will say; there is nothing to ask about then. An older name may stand
    // for a key that is missing.
    let description = Description(operation);
    let mut required = description.required().filter(|(_, required)| *required);
    let complete = required.all(|(key, _)| arguments.request.contains_key(key))
        || arguments.request.keys().any(|key| description.is_deprecated(key));
    if let Some(warning) = operation.warning.as_ref().filter(|_| complete && !options.force) {
        confirm::confirm(operation, warning, &arguments.request, &target)?;
    }
    let is_here = matches!(target, Target::Folder(_));
    find_password(operation, &mut arguments, is_here && options.password_stdin)?;
    let (tls, login) = match &target {
        Target::Folder(_) => (None, None),
        Target::Url(url) => {
            let tls = url.tls.then(|| tls::connector(options.cacert.as_deref())).transpose()?;
            (tls, Some(Login::find(&mut arguments, &options, url)?))
        }
    };
    let client = Client { target, login, tls, deadline: Duration::from_secs(options.timeout) };
    let reply = wait_for(client.send(&arguments.request))??;
    Ok((reply, arguments.json))
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
