//! `replay`: calls that `run --record` has recorded, once more.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use harper_host::transcript::{Ended, Replayed, Transcript, replay};
use harper_host::{ComponentSource, files};
use serde_json::{Map, Value, json};

use super::{Usage, output, wait_for};

/// The name of the plugin that this program has with it.
const CLUSTERING: &str = "clustering";

/// Perform recorded calls of a plugin again, without a node or a network
#[derive(Debug, clap::Args)]
#[command(after_help = "\
FILE is what 'harper-host run --record FILE' wrote. Each call in it is performed again and told what
it was told then; nothing is asked and nothing is changed. The exit code is 1 when a reply is another
one, or when the component asks something else: the first such difference is shown.

Without --component the clustering plugin of this program is taken, for its own calls; with it, those
of other plugins are played, if there are any.")]
pub(super) struct Replay {
    /// The recorded calls
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The component, such as a newer one
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Only the calls of the plugin of this name
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Only the call of this number, from 1 on
    #[arg(long, value_name = "NUMBER")]
    call: Option<usize>,
}

impl Replay {
    pub(super) fn run(self) -> Result<()> {
        let text = files::read(&self.file).with_context(|| self.file.display().to_string())?;
        let text = String::from_utf8_lossy(&text);
        let transcripts = Transcript::read_all(&text)
            .with_context(|| format!("{} is no file of recorded calls", self.file.display()))?;
        let component = self
            .component
            .as_ref()
            .map(|file| files::read(file).with_context(|| file.display().to_string()));
        let component = component.transpose()?;
        let numbered = transcripts.iter().enumerate().map(|(n, transcript)| (n + 1, transcript));
        let chosen: Vec<_> = numbered
            .filter(|(n, _)| self.call.is_none_or(|only| only == *n))
            .filter(|(_, one)| self.plugin.as_ref().is_none_or(|only| only == one.plugin()))
            .collect();
        if chosen.is_empty() {
            bail!("{} has no such call: it has {}", self.file.display(), transcripts.len());
        }
        let (mut all, mut differ) = (Vec::new(), 0);
        let is_ours = |one: &Transcript| one.plugin() == CLUSTERING;
        // A node records the calls of all its plugins; one component performs those of one.
        let is_mixed = chosen.iter().any(|(_, one)| is_ours(one))
            && !chosen.iter().all(|(_, one)| is_ours(one));
        for (number, transcript) in chosen {
            if is_mixed && is_ours(transcript) == component.is_some() {
                continue;
            }
            let source = match &component {
                Some(bytes) => ComponentSource::bytes(bytes.clone()),
                None if is_ours(transcript) => ComponentSource::clustering(),
                None => {
                    let plugin = output::printable(transcript.plugin());
                    let text =
                        format!("call {number} is of the plugin '{plugin}': give its --component");
                    return Err(Usage(text).into());
                }
            };
            let replayed = wait_for(replay(transcript, source))??;
            differ += usize::from(!replayed.is_same || replayed.difference.is_some());
            all.push(shown(number, transcript, &replayed));
        }
        output::print(&output::yaml(Value::from(all).to_string().as_bytes())?)?;
        match differ {
            0 => Ok(()),
            1 => bail!("a call differs from what was recorded"),
            _ => bail!("{differ} calls differ from what was recorded"),
        }
    }
}

fn shown(number: usize, transcript: &Transcript, replayed: &Replayed) -> Value {
    let mut shown = Map::new();
    let mut add = |key: &str, value: Value| drop(shown.insert(key.into(), value));
    add("call", number.into());
    match transcript.export() {
        Some(export) => add("export", export.into()),
        None => add("operation", transcript.operation().into()),
    }
    if transcript.is_cut() {
        add("cut", true.into());
    }
    add("same", replayed.is_same.into());
    add(key(&replayed.ended), value(&replayed.ended));
    if !replayed.is_same {
        add("recorded", json!({ key(transcript.ended()): value(transcript.ended()) }));
    }
    if let Some(difference) = &replayed.difference {
        let or_nothing = |call: &Option<Value>| call.clone().unwrap_or_else(|| "nothing".into());
        add(
            "difference",
            json!({
                "at": difference.call,
                "expected": or_nothing(&difference.expected),
                "got": or_nothing(&difference.got),
            }),
        );
    }
    Value::Object(shown)
}

fn key(ended: &Ended) -> &'static str {
    match ended {
        Ended::Reply(_) => "reply",
        Ended::Error(_) => "error",
    }
}

fn value(ended: &Ended) -> Value {
    match ended {
        Ended::Reply(reply) => reply.clone(),
        Ended::Error(text) => text.as_str().into(),
    }
}
