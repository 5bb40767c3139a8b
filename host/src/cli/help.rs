//! The commands, made of the operations' descriptions, and their help.

use std::ffi::OsString;
use std::fmt::Write;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command};
use harper_host::Operation;
use serde_json::Value;

use super::arguments::{OWN, words};
use super::call::Options;
use super::cert::Cert;
use super::description::{Description, Key};
use super::output::printable;
use super::plugin::Plugin;
use super::replay::Replay;
use super::run::Run;
use super::{Usage, nearest, replication};

/// Longer command lines are shown with a line for each key.
const WIDTH: usize = 100;

/// Where clap puts what it is given: the keys, or the operations, come before the options.
const TEMPLATE: &str = "\
{about-with-newline}
{usage-heading} {usage}

{before-help}Options:
{options}{after-help}";

/// The whole program: `run`, `cert`, `plugin`, `replay`, `replication`, and a command for each
/// operation.
pub(super) fn command(operations: &[Operation]) -> Command {
    let about = "Runs a node that serves Harper's operations API, and calls operations on nodes";
    let usage = "harper-host run [OPTIONS]\n       harper-host cert COMMAND\n       harper-host plugin COMMAND\n       harper-host replay FILE\n       harper-host replication [COMMAND] [OPTIONS]\n       harper-host OPERATION [OPTIONS] [KEY=VALUE]...";
    Command::new("harper-host")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Run::augment_args(Command::new("run")))
        .subcommand(Cert::augment_args(Command::new("cert")))
        .subcommand(Plugin::augment_args(Command::new("plugin")))
        .subcommand(Replay::augment_args(Command::new("replay")))
        .subcommand(replication::command(operations))
        .subcommands(operations.iter().map(|one| of_operation(one, &one.name).hide(true)))
        .about(about)
        .override_usage(usage)
        .help_template(
            TEMPLATE.replace("{before-help}", "Commands:\n{subcommands}\n\n{before-help}"),
        )
        .before_help(list(operations))
        .after_help("'harper-host OPERATION --help' shows an operation's keys and an example.")
}

/// The operations with a line each, those of a plugin together.
fn list(operations: &[Operation]) -> String {
    let width = operations.iter().map(|operation| operation.name.len()).max().unwrap_or(0);
    let mut plugins: Vec<_> = operations.iter().map(|operation| &operation.plugin).collect();
    plugins.sort_by_key(|plugin| plugin.is_none());
    plugins.dedup();
    let mut list = String::new();
    for plugin in plugins {
        let heading = match plugin {
            Some(plugin) => format!("Operations of the {} plugin", printable(plugin)),
            None => "Operations of the node itself".into(),
        };
        list += &format!("{heading}:\n");
        for operation in operations.iter().filter(|operation| operation.plugin == *plugin) {
            let help = printable(&operation.help);
            list += &format!("  {:width$}  {help}\n", operation.name);
        }
        list.push('\n');
    }
    list.trim_end().to_owned()
}

/// An operation, as the command that these words are.
pub(super) fn of_operation(operation: &Operation, words: &str) -> Command {
    let description = Description(operation);
    let mut usage = format!("harper-host {words} [OPTIONS]");
    for (key, required) in description.required().filter(|(key, _)| !description.is_deprecated(key))
    {
        let key = printable(key);
        usage += &if required { format!(" {key}=VALUE") } else { format!(" [{key}=VALUE]") };
    }
    usage += " [KEY=VALUE]...";
    // It is taken for every operation, so that a script need not know which ones ask.
    Options::augment_args(Command::new(operation.name.clone()))
        .mut_arg("force", |force| force.hide(operation.warning.is_none()))
        .about(printable(&operation.help))
        .override_usage(usage)
        .help_template(TEMPLATE)
        .before_help(keys(description))
        .after_help(example(description, words))
}

fn keys(description: Description<'_>) -> String {
    let mut text = String::new();
    if let Some(warning) = &description.0.warning {
        text += &format!("{} On a terminal it asks before it is sent.\n\n", printable(warning));
    }
    let rows = description.rows();
    if !rows.is_empty() || description.takes_others() {
        text += "Keys:\n";
    }
    for row in rows {
        let required = match row {
            Key { deprecated: true, .. } => "deprecated",
            Key { required: true, .. } => "required",
            _ => "optional",
        };
        let kind = if row.kind.is_empty() { String::new() } else { format!(", {}", row.kind) };
        entry(&mut text, &row.label, &format!("({required}{kind})"), &row.meaning);
    }
    if description.takes_others() {
        entry(&mut text, "any other", "", description.others().unwrap_or_default());
    }
    text += if text.is_empty() { "" } else { "\n" };
    text += "Keys of every operation:\n";
    for (key, value, meaning) in OWN.iter().filter(|(key, ..)| !description.has(key)) {
        let _ = writeln!(text, "      {:<19}  {meaning}", format!("{key}={value}"));
    }
    text.trim_end().to_owned()
}

fn entry(text: &mut String, label: &str, kind: &str, meaning: &str) {
    *text += format!("  {} {}", printable(label), printable(kind)).trim_end();
    text.push('\n');
    if !meaning.is_empty() {
        *text += &format!("          {}\n", printable(meaning));
    }
}

/// The example of the operation's schema, to be typed and to be sent. A value is JSON where it
/// parses as JSON.
fn example(description: Description<'_>, command: &str) -> String {
    let Some(request) = description.example() else {
        return String::new();
    };
    let words = words(request);
    let mut line = format!("  harper-host {command}");
    let long = line.len() + words.iter().map(|word| word.len() + 1).sum::<usize>() > WIDTH;
    for word in words {
        line += if long { " \\\n      " } else { " " };
        line += &printable(&word);
    }
    let json = format!("{:#}", Value::Object(request.clone()));
    let mut text = format!("Example:\n{line}\n\nThe same request to the operations API:\n");
    for line in json.lines() {
        let _ = writeln!(text, "  {}", printable(line));
    }
    text.trim_end().to_owned()
}

/// What clap has to say, as this program says it. `not_loaded` are plugins of the node that was asked.
pub(super) fn explained(
    error: &clap::Error,
    operations: &[Operation],
    not_loaded: &[String],
    arguments: &[OsString],
) -> Usage {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    if let Some(word) = context(ContextKind::InvalidSubcommand) {
        let commands = [
            ("cert", "issue, import and show"),
            ("plugin", "new, test, inspect, grant, list and reload"),
        ];
        for (command, has) in commands {
            if arguments.get(1).is_some_and(|first| first == command) {
                let word = printable(word);
                return Usage(format!("'{word}' is no command of {command}: it has {has}"));
            }
        }
        let names = operations.iter().map(|operation| operation.name.as_str());
        let own = ["run", "cert", "plugin", "replay", "replication", "help"];
        let hint = match nearest(word, names.chain(own)) {
            Some(known) => format!("did you mean '{known}'?"),
            None => "harper-host --help lists them".into(),
        };
        let mut text = format!("'{}' is no operation: {hint}", printable(word));
        if let Some(first) = not_loaded.first() {
            let names = not_loaded.iter().map(|name| format!("'{}'", printable(name)));
            let _ = write!(
                text,
                "; plugins that are not loaded may have it ({}): see 'harper-host plugin list', and \
                 'harper-host plugin reload {}'",
                names.collect::<Vec<_>>().join(", "),
                printable(first)
            );
        }
        return Usage(text);
    }
    let called = operations
        .iter()
        .find(|operation| arguments.get(1).is_some_and(|first| *first == *operation.name));
    match (context(ContextKind::InvalidArg), called) {
        (Some(option), Some(operation)) if error.kind() == ErrorKind::UnknownArgument => {
            let key =
                Description(operation).keys().find(|key| option.trim_start_matches('-') == *key);
            let hint = match (key, context(ContextKind::SuggestedArg)) {
                (Some(key), _) => format!("did you mean '{key}=VALUE'?"),
                (None, Some(known)) => format!("did you mean '{known}'?"),
                _ => format!("harper-host {} --help shows those there are", operation.name),
            };
            Usage(format!("'{}' is no option: {hint}", printable(option)))
        }
        _ => {
            let text = error.render().to_string();
            Usage(text.trim_start_matches("error: ").trim_end().to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn clap_finds_no_fault_with_the_commands() {
        let any = Operation::new("any", "Anything");
        let keys =
            Operation::new("with_keys", "Something").with_warning("It is gone.").with_schema(
                json!({ "properties": { "{usage}": {} }, "examples": [{ "{usage}": "{about}" }] }),
            );
        let mut command = command(&[any, keys]);
        command.build();
        command.clone().debug_assert();
        let help = |name: &str| {
            let found = command.clone().find_subcommand_mut(name).map(|c| c.render_help());
            found.unwrap().to_string()
        };
        assert!(help("with_keys").contains("--force") && !help("any").contains("--force"));
        assert!(help("with_keys").contains("harper-host with_keys '{usage}'='\"{about}\"'"));
        assert!(help("any").contains("any other"));
    }

    #[test]
    fn what_a_plugin_says_does_not_move_the_cursor() {
        let hostile =
            Operation::new("hostile", "\u{1b}[2J").with_warning("\r").with_schema(json!({
                "properties": { "\u{9b}a": { "description": "\u{8}", "enum": ["\u{7f}"] } },
                "examples": [{ "\u{9b}a": "\u{1b}" }],
            }));
        let mut command = command(&[hostile]);
        let list = command.render_help().to_string();
        let help = command.find_subcommand_mut("hostile").map(|hostile| hostile.render_help());
        for text in [list, help.unwrap().to_string()] {
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}
