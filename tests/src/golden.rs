//! The folders of `golden/`: a case each, and the rules that the cases show.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::tables::Tables;
use harper_host::testing::Cluster;

/// The folder for rules of the HTTP face that belong to no operation. The others are named after
/// an operation.
pub const NO_OPERATION: &str = "operations_api";

/// One folder with a request and what must come of it. `golden/README.md` describes its files.
#[derive(Debug)]
pub struct Case {
    /// The folder.
    pub folder: PathBuf,
    /// `<operation>/<case>`.
    pub name: String,
    /// `case.yaml`.
    pub settings: Settings,
    /// `request.json` or `request.txt`, byte for byte.
    pub request: Vec<u8>,
    /// The configuration file when the node starts.
    pub before: Vec<u8>,
    /// What a hand makes of it before the request.
    pub edited: Option<Vec<u8>>,
    /// The expected reply, unless the file is still to be written.
    pub reply: Option<Value>,
    /// The configuration file after the request, unless it must not change.
    pub after: Option<Vec<u8>>,
    /// The users after the request, unless they must not change.
    pub users: Option<Value>,
    /// The node's tables before the request.
    pub tables: Tables,
    /// The tables after it, unless they must not change.
    pub tables_after: Option<Tables>,
    /// What the node's network and tables are like, where they are not there.
    pub cluster: Option<Cluster>,
    /// What is asked of them.
    pub calls: Option<Value>,
}

/// In an expected reply: any moment, in milliseconds since 1970.
pub const ANY_TIME: &str = "<ms>";
/// Likewise, and in tables: any key that was made at random.
pub const ANY_UUID: &str = "<uuid>";

/// `case.yaml`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The ids of the rules that the case shows.
    pub covers: Vec<String>,
    /// The reply's status.
    #[serde(default = "ok")]
    pub status: u16,
    /// Who asks.
    #[serde(default)]
    pub caller: Caller,
    /// Where their name and password are.
    #[serde(default)]
    pub credentials: Credentials,
    /// Headers instead of those that are sent otherwise, or beside them; null sends none.
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
    /// The method and the path.
    #[serde(default = "post")]
    pub line: String,
}

fn ok() -> u16 {
    200
}

fn post() -> String {
    "POST /".into()
}

/// Who asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// A super_user.
    #[default]
    SuperUser,
    /// A cluster_user.
    ClusterUser,
    /// Someone with a role of another name.
    Developer,
    /// The super_user, with another password.
    WrongPassword,
    /// A name that no user has.
    UnknownUser,
    /// Nobody: without credentials.
    None,
}

impl Caller {
    /// The name and the password that are sent.
    pub fn credentials(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::SuperUser => Some(("admin", "admin-password")),
            Self::ClusterUser => Some(("cluster", "cluster-password")),
            Self::Developer => Some(("dev", "dev-password")),
            Self::WrongPassword => Some(("admin", "wrong-password")),
            Self::UnknownUser => Some(("nobody", "admin-password")),
            Self::None => None,
        }
    }
}

/// Where a caller's name and password are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credentials {
    /// In the Basic header.
    #[default]
    Header,
    /// In the request's body, where the case has written them.
    Body,
}

/// The folder of all this.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// All cases, and what is wrong with the folders.
pub fn cases() -> anyhow::Result<(Vec<Case>, Vec<String>)> {
    let (mut cases, mut wrong) = (Vec::new(), Vec::new());
    let shared = fs::read(folder().join("before.yaml"))?;
    for operation in entries(&folder())? {
        if !operation.is_dir() {
            let name = file_name(&operation);
            if !["README.md", "rules.yaml", "before.yaml", ".gitattributes"].contains(&&*name) {
                wrong.push(format!("{name}: nobody reads this file"));
            }
            continue;
        }
        for folder in entries(&operation)? {
            let name = format!("{}/{}", file_name(&operation), file_name(&folder));
            match Case::read(&folder, &name, &shared) {
                Ok(case) => cases.push(case),
                Err(error) => wrong.push(format!("{name}: {error:#}")),
            }
        }
    }
    Ok((cases, wrong))
}

impl Case {
    fn read(folder: &Path, name: &str, shared: &[u8]) -> anyhow::Result<Self> {
        const FILES: [&str; 12] = [
            "case.yaml",
            "request.json",
            "request.txt",
            "before.yaml",
            "edited.yaml",
            "reply.json",
            "after.yaml",
            "users.json",
            "tables.yaml",
            "tables-after.yaml",
            "cluster.yaml",
            "calls.json",
        ];
        let unknown = entries(folder)?.into_iter().map(|path| file_name(&path));
        let unknown: Vec<_> = unknown.filter(|name| !FILES.contains(&&**name)).collect();
        anyhow::ensure!(unknown.is_empty(), "unknown: {}", unknown.join(", "));
        let file = |name: &str| match fs::read(folder.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some).context(name.to_owned()),
        };
        let settings = file("case.yaml")?.context("case.yaml is missing")?;
        let settings: Settings = serde_yaml::from_slice(&settings).context("case.yaml")?;
        anyhow::ensure!(!settings.covers.is_empty(), "case.yaml: it covers no rule");
        let request = match (file("request.json")?, file("request.txt")?) {
            (Some(request), None) | (None, Some(request)) => request,
            (None, None) if settings.line != post() => Vec::new(),
            (None, None) => anyhow::bail!("request.json is missing"),
            (Some(_), Some(_)) => anyhow::bail!("both request.json and request.txt"),
        };
        let text = String::from_utf8_lossy(&request);
        let operation = name.split('/').next().unwrap_or_default();
        anyhow::ensure!(
            operation == NO_OPERATION || text.contains(&format!("\"{operation}\"")),
            "the request is not for '{operation}'"
        );
        if let (Credentials::Body, Some((name, password))) =
            (settings.credentials, settings.caller.credentials())
        {
            let has = |part: &str| text.contains(&format!("\"{part}\""));
            anyhow::ensure!(
                has(name) && has(password),
                "the request does not have \"{name}\" and \"{password}\""
            );
        }
        let json = |name| {
            let json = file(name)?.map(|json| serde_json::from_slice(&json)).transpose();
            json.context(name)
        };
        let tables = |name| {
            let tables = file(name)?.map(|text| serde_yaml::from_slice(&text)).transpose();
            tables.context(name)
        };
        let cluster = file("cluster.yaml")?.map(|text| serde_yaml::from_slice(&text));
        Ok(Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            settings,
            request,
            before: file("before.yaml")?.unwrap_or_else(|| shared.to_owned()),
            edited: file("edited.yaml")?,
            reply: json("reply.json")?,
            after: file("after.yaml")?,
            users: json("users.json")?,
            tables: tables("tables.yaml")?.unwrap_or_default(),
            tables_after: tables("tables-after.yaml")?,
            cluster: cluster.transpose().context("cluster.yaml")?,
            calls: json("calls.json")?,
        })
    }
}

/// `golden/rules.yaml`: each rule's id and what it says.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Those that cases show.
    pub cases: Pairs<String>,
    /// Those that no case can show, below the file or folder with the test that does.
    pub tests: Pairs<Pairs<String>>,
    /// Those that are not built yet, below the issue that will.
    pub later: Pairs<Pairs<String>>,
}

impl Rules {
    /// Reads the file.
    pub fn read() -> anyhow::Result<Self> {
        let text = fs::read_to_string(folder().join("rules.yaml"))?;
        serde_yaml::from_str(&text).context("rules.yaml")
    }
}

/// A mapping as it is written: in its order, and with keys that stand twice.
#[derive(Debug)]
pub struct Pairs<T>(pub Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

/// What is in a folder, by name.
pub fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
