//! Test cases that are folders: a request to a plugin on a [`FakeNode`], and what must come of it.
//!
//! | file | what it is |
//! | --- | --- |
//! | `request.json` | the request |
//! | `cluster.yaml` | what the node, its network and its tables are like: the fields of [`Cluster`] |
//! | `before.yaml` | its configuration, instead of `config` in `cluster.yaml` |
//! | `case.yaml` | `caller`: the role of whoever asks, `super_user` without it; `status`: that of the reply, 200 without it |
//! | `reply.json` | the reply: as the operations API gives it, so that an error is `{"error": "…"}` and a text `{"message": "…"}` |
//! | `calls.json` | what is asked of network, streams and tables, in order; without it, nothing |
//! | `after.yaml` | the configuration after it; without it, it is as it was |
//!
//! A value such as `"<ms>"` or `"<any>"`, any small letters between angle brackets, stands for any
//! text or number.

use std::fs;
use std::io::{self, ErrorKind as IoErrorKind};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Cluster, FakeNode};
use crate::capabilities::Grants;
use crate::dispatch::{Caller, Role};
use crate::host::{BuildError, Host};
use crate::runtime::{ComponentSource, Limits};

/// A case, as its folder has it.
#[derive(Debug, Clone)]
pub struct Case {
    folder: PathBuf,
    request: Value,
    cluster: Cluster,
    caller: Role,
    /// What must come of it; the reply is none when it is still to be written.
    reply: Option<Value>,
    came: Came,
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq)]
struct Came {
    status: u16,
    reply: Value,
    calls: Value,
    config: Value,
}

/// A folder is no case.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct CaseError {
    file: PathBuf,
    why: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Settings {
    caller: Option<String>,
    status: Option<u16>,
}

/// A plugin that cases are run against. It is granted all that it asks for.
pub struct Tested {
    /// Where what was compiled is kept from one case to the next.
    folder: TempDir,
    plugin: Option<(String, ComponentSource, Grants)>,
}

impl Tested {
    /// A plugin of this name, with these grants.
    ///
    /// # Errors
    ///
    /// There is no temporary folder.
    pub fn new(name: impl Into<String>, component: Vec<u8>, grants: Grants) -> io::Result<Self> {
        let plugin = Some((name.into(), ComponentSource::bytes(component), grants));
        Ok(Self { folder: tempfile::tempdir()?, plugin })
    }

    /// The clustering plugin, which every host has.
    ///
    /// # Errors
    ///
    /// There is no temporary folder.
    pub fn clustering() -> io::Result<Self> {
        Ok(Self { folder: tempfile::tempdir()?, plugin: None })
    }

    async fn host(&self, node: &FakeNode) -> Result<Host, BuildError> {
        let builder = Host::builder().root_path(self.folder.path()).config(node.config().clone());
        let builder = node.give_to(builder);
        match self.plugin.clone() {
            Some((name, component, grants)) => {
                builder.plugin(name, component, grants, Limits::default()).build().await
            }
            None => builder.build().await,
        }
    }
}

impl Case {
    /// The cases in a folder, by their names: each folder with a `request.json`, however deep.
    ///
    /// # Errors
    ///
    /// One of them cannot be read.
    pub fn all_in(folder: &Path) -> Result<Vec<Self>, CaseError> {
        let mut cases = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            if folder.join("request.json").exists() {
                cases.push(Self::read(&folder)?);
            }
            let wrong =
                |error: io::Error| CaseError { file: folder.clone(), why: error.to_string() };
            for entry in fs::read_dir(&folder).map_err(wrong)? {
                let path = entry.map_err(wrong)?.path();
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        cases.sort_by(|one: &Self, other| one.folder.cmp(&other.folder));
        Ok(cases)
    }

    /// Reads a case.
    ///
    /// # Errors
    ///
    /// A file is missing or is not what it should be.
    pub fn read(folder: &Path) -> Result<Self, CaseError> {
        let request: Value = file(folder, "request.json", json_of)?.ok_or_else(|| CaseError {
            file: folder.join("request.json"),
            why: "it is missing".into(),
        })?;
        let mut cluster: Cluster = file(folder, "cluster.yaml", yaml_of)?.unwrap_or_default();
        if let Some(config) = file(folder, "before.yaml", yaml_of)? {
            cluster.config = config;
        }
        let settings: Settings = file(folder, "case.yaml", yaml_of)?.unwrap_or_default();
        let calls = file(folder, "calls.json", json_of)?.unwrap_or_else(|| json!([]));
        let config = file(folder, "after.yaml", yaml_of)?.unwrap_or_else(|| cluster.config.clone());
        let reply: Option<Value> = file(folder, "reply.json", json_of)?;
        let status = settings.status.unwrap_or(200);
        Ok(Self {
            folder: folder.to_owned(),
            request,
            cluster,
            caller: settings.caller.map_or(Role::SuperUser, Role::of_name),
            came: Came { status, reply: reply.clone().unwrap_or_default(), calls, config },
            reply,
        })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs it, and says what did not come as it must: nothing when all did.
    ///
    /// # Errors
    ///
    /// The plugin cannot be loaded.
    pub async fn run(&self, plugin: &Tested) -> Result<Vec<String>, BuildError> {
        let came = self.came_of(plugin).await?;
        let expected = &self.came;
        let mut wrong = Vec::new();
        if self.reply.is_none() {
            wrong.push(format!("reply.json is missing\n  got:      {}", came.reply));
        }
        let mut check = |what: &str, expected: &Value, came: &Value| {
            if masked(expected, came) != *expected {
                wrong.push(format!("{what}\n  expected: {expected}\n  got:      {came}"));
            }
        };
        check("status", &expected.status.into(), &came.status.into());
        if let Some(reply) = &self.reply {
            check("reply.json", reply, &came.reply);
        }
        check("calls.json", &expected.calls, &came.calls);
        check("after.yaml", &expected.config, &came.config);
        Ok(wrong)
    }

    /// Runs it, and writes what came as what must come. Returns the names of the files that are
    /// others now.
    ///
    /// # Errors
    ///
    /// The plugin cannot be loaded, or a file cannot be written.
    pub async fn write(&self, plugin: &Tested) -> Result<Vec<&'static str>, WriteError> {
        let came = self.came_of(plugin).await?;
        let mut written = Vec::new();
        let mut write = |name: &'static str, value: &Value, unless: bool, text: String| {
            if unless {
                return Ok(());
            }
            written.push(name);
            let path = self.folder.join(name);
            match value.is_null() && path.exists() {
                true => fs::remove_file(path),
                false => fs::write(path, text),
            }
        };
        let reply = masked(&self.came.reply, &came.reply);
        let same = self.reply.as_ref() == Some(&reply);
        write("reply.json", &reply, same, pretty(&reply))?;
        let calls = masked(&self.came.calls, &came.calls);
        write("calls.json", &calls, calls == self.came.calls, pretty(&calls))?;
        let same = came.config == self.came.config;
        let text = serde_yaml::to_string(&came.config).map_err(io::Error::other)?;
        write("after.yaml", &came.config, same, text)?;
        if came.status != self.came.status {
            let role = (self.caller != Role::SuperUser).then(|| self.caller.name());
            let settings = json!({ "caller": role.unwrap_or("super_user"), "status": came.status });
            let text = serde_yaml::to_string(&settings).map_err(io::Error::other)?;
            write("case.yaml", &settings, false, text)?;
        }
        Ok(written)
    }

    async fn came_of(&self, plugin: &Tested) -> Result<Came, BuildError> {
        let node = FakeNode::new(self.cluster.clone());
        let host = plugin.host(&node).await?;
        let caller = Caller::new("test", self.caller.clone());
        let performed = host.dispatch(&caller, self.request.clone()).await;
        let (status, reply) = match performed {
            Ok(Value::String(message)) => (200, json!({ "message": message })),
            Ok(reply) => (200, reply),
            Err(error) => (error.kind.status(), json!({ "error": error.message })),
        };
        let (calls, config) = (node.calls().into(), node.config().document());
        Ok(Came { status, reply, calls, config })
    }
}

/// Why what came was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The plugin cannot be loaded.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn file<T>(
    folder: &Path,
    name: &str,
    read: fn(&[u8]) -> Result<T, String>,
) -> Result<Option<T>, CaseError> {
    let file = folder.join(name);
    let wrong = |why| CaseError { file: file.clone(), why };
    match fs::read(&file) {
        Ok(bytes) => read(&bytes).map(Some).map_err(wrong),
        Err(error) if error.kind() == IoErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn json_of<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn yaml_of<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_yaml::from_slice(bytes).map_err(|error| error.to_string())
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// What came, with the placeholder wherever the expected value has one that allows it.
fn masked(expected: &Value, came: &Value) -> Value {
    match (expected, came) {
        (Value::String(text), Value::String(_) | Value::Number(_)) if is_placeholder(text) => {
            expected.clone()
        }
        (Value::Object(expected), Value::Object(came)) => {
            let field = |(key, value): (&String, &Value)| {
                (key.clone(), masked(expected.get(key).unwrap_or(&Value::Null), value))
            };
            Value::Object(came.iter().map(field).collect())
        }
        (Value::Array(expected), Value::Array(came)) => {
            let expected = expected.iter().chain(std::iter::repeat(&Value::Null));
            expected.zip(came).map(|(expected, came)| masked(expected, came)).collect()
        }
        (_, came) => came.clone(),
    }
}

fn is_placeholder(text: &str) -> bool {
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    inner.is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_stand_for_texts_and_numbers() {
        let expected = json!({ "a": "<ms>", "b": ["<any>", 1], "c": "<A>" });
        assert_eq!(masked(&expected, &json!({ "a": 7, "b": ["x", 1], "c": "<A>" })), expected);
        for other in [
            json!({ "a": null, "b": ["x", 1], "c": "<A>" }),
            json!({ "a": 7, "b": ["x", 2], "c": "<A>" }),
            json!({ "a": 7, "b": ["x", 1], "c": "x" }),
            json!({ "a": 7, "b": ["x", 1, 2], "c": "<A>" }),
            json!({ "a": 7, "b": ["x", 1] }),
        ] {
            assert_ne!(masked(&expected, &other), expected, "{other}");
        }
    }

    // covers: testing.cases
    #[tokio::test]
    async fn a_case_fails_for_each_thing_that_is_not_as_it_must_be() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("request.json", r#"{"operation":"cluster_status"}"#);
        write(
            "cluster.yaml",
            "node_name: a\nnodes: [{ name: b, subscriptions: [] }]\npeers: { b: { after: 5, reply: { status: success, message: {} } } }\n",
        );
        let plugin = Tested::clustering().unwrap();
        let wrong = async || Case::read(folder.path()).unwrap().run(&plugin).await.unwrap();
        let starts = |wrong: &[String]| -> Vec<String> {
            wrong.iter().map(|text| text.split([' ', '\n']).next().unwrap().into()).collect()
        };
        assert_eq!(starts(&wrong().await), ["reply.json", "calls.json"]);
        let written = Case::read(folder.path()).unwrap().write(&plugin).await.unwrap();
        assert_eq!(written, ["reply.json", "calls.json"]);
        assert_eq!(wrong().await, [""; 0]);
        write("case.yaml", "status: 400\n");
        assert_eq!(starts(&wrong().await), ["status"]);
        write("case.yaml", "caller: developer\n");
        assert_eq!(starts(&wrong().await), ["status", "reply.json", "calls.json"]);
        write("case.yaml", "{}\n");
        write("after.yaml", "a: 1\n");
        assert_eq!(starts(&wrong().await), ["after.yaml"]);
    }
}
