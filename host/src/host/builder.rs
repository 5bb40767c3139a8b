//! What a host is made of, and how.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::Host;
use crate::audit::AuditLog;
use crate::capabilities::{
    Capabilities, Clock, Config, Counted, Grants, JetStream, KeyPattern, Log, Nats, NoTables, Node,
    NotEnabled, Replication, ReservedError, StreamPattern, SubjectPattern, SystemClock,
    TablePattern, Tables, ThisNode, TracingLog,
};
use crate::config::{ConfigFile, FileError, HUB_ROUTES, LEAF_ROUTES};
use crate::data::Data;
use crate::dispatch::{Caller, Dispatch, Error, Native, Reply};
use crate::figures::Figures;
use crate::flow::DeadLetters;
use crate::metrics::Metrics;
use crate::nats;
use crate::operations;
use crate::plugins::{PluginError, PluginSettings, Plugins, Trust};
use crate::replication::Replicator;
use crate::runtime::{Answerer, ComponentSource, Limits, LoadError, Operation, Recoverer, Runtime};
use crate::transcript::Recorder;
use crate::users::Users;

/// Makes a [`Host`]. Each capability has an implementation of ours unless another is given.
#[derive(Default)]
pub struct HostBuilder {
    root_path: Option<PathBuf>,
    config: Option<Arc<dyn Config>>,
    config_file: Option<ConfigFile>,
    users: Option<Users>,
    data: Option<Data>,
    audit: Option<AuditLog>,
    recorder: Option<Recorder>,
    servers: Option<nats::Nats>,
    replicator: Option<Replicator>,
    figures: Option<Arc<Figures>>,
    dead_letters: Option<DeadLetters>,
    log: Option<Arc<dyn Log>>,
    clock: Option<Arc<dyn Clock>>,
    node: Option<Arc<dyn Node>>,
    nats: Option<Arc<dyn Nats>>,
    jetstream: Option<Arc<dyn JetStream>>,
    tables: Option<Arc<dyn Tables>>,
    replication: Option<Arc<dyn Replication>>,
    plugins: Vec<PluginToLoad>,
    configured_plugins: Vec<PluginSettings>,
    plugins_in_development: Vec<(PathBuf, bool)>,
    operations: Vec<(Operation, Arc<Native>)>,
    clustering_limits: Option<Limits>,
    peer_limits: Option<Limits>,
    recovery_limits: Option<Limits>,
}

struct PluginToLoad {
    name: String,
    source: ComponentSource,
    grants: Grants,
    limits: Limits,
}

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is neither a folder nor a configuration of the embedder's own.
    #[error("a host needs a root path, or a configuration of your own")]
    NoConfig,
    /// The configuration file cannot be used.
    #[error(transparent)]
    ConfigFile(#[from] FileError),
    /// The WebAssembly runtime does not start on this machine.
    #[error("the WebAssembly runtime does not start: {0}")]
    Runtime(String),
    /// Two operations have the same name.
    #[error("there are two operations of the name '{0}'")]
    TwoOperations(String),
    /// A plugin cannot be loaded.
    #[error(transparent)]
    Plugin(#[from] LoadError),
    /// A plugin's file cannot be loaded.
    #[error(transparent)]
    PluginFile(PluginError),
    /// A plugin would be given what no added plugin is.
    #[error("plugin '{plugin}' cannot have all of its grants: {source}")]
    Reserved {
        /// The plugin's name.
        plugin: String,
        /// Which grant.
        source: ReservedError,
    },
}

impl From<PluginError> for BuildError {
    fn from(error: PluginError) -> Self {
        match error {
            PluginError::Load(error) => Self::Plugin(error),
            error => Self::PluginFile(error),
        }
    }
}

impl HostBuilder {
    /// The node's folder, with `harperdb-config.yaml` in it.
    pub fn root_path(mut self, folder: impl Into<PathBuf>) -> Self {
        self.root_path = Some(folder.into());
        self
    }

    /// A configuration of your own, instead of the file.
    pub fn config(mut self, config: impl Config) -> Self {
        self.config = Some(Arc::new(config));
        self
    }

    /// The configuration file, opened; with it come the operations `get_configuration` and
    /// `set_configuration`.
    pub fn config_file(mut self, file: ConfigFile) -> Self {
        self.config_file = Some(file);
        self
    }

    /// The node's users; with them come the operations that manage them.
    pub fn users(mut self, users: Users) -> Self {
        self.users = Some(users);
        self
    }

    /// The node's databases; with them come the operations on databases, tables and rows.
    pub fn data(mut self, data: Data) -> Self {
        self.data = Some(data);
        self
    }

    /// Where operations that change something are written down.
    pub fn audit(mut self, audit: AuditLog) -> Self {
        self.audit = Some(audit);
        self
    }

    /// A log of your own, instead of `tracing`.
    pub fn log(mut self, log: impl Log) -> Self {
        self.log = Some(Arc::new(log));
        self
    }

    /// A clock of your own, instead of the machine's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// What this node is. Without, it is a node without clustering, with the name that the
    /// configuration file gives it.
    pub fn node(mut self, node: impl Node) -> Self {
        self.node = Some(Arc::new(node));
        self
    }

    /// The node's servers, where clustering is on: the network and the streams, unless others are
    /// given, and their metrics.
    pub fn servers(mut self, servers: nats::Nats) -> Self {
        self.servers = Some(servers);
        self
    }

    /// The node's reconciler: what keeps streams and durable consumers, unless another is given, and
    /// its metrics.
    pub fn replicator(mut self, replicator: Replicator) -> Self {
        self.replicator = Some(replicator);
        self
    }

    /// What is counted of rows that come and go: the operation `replication_status`, and metrics.
    /// Without, that operation says that clustering is not enabled.
    pub fn figures(mut self, figures: Arc<Figures>) -> Self {
        self.figures = Some(figures);
        self
    }

    /// What came from other nodes and could not be applied: the operations `dead_letters`,
    /// `apply_dead_letters` and `drop_dead_letters`. Without, they say that clustering is not enabled.
    pub fn dead_letters(mut self, letters: DeadLetters) -> Self {
        self.dead_letters = Some(letters);
        self
    }

    /// The network to ask other nodes over. Without, operations that need it say that clustering is
    /// not enabled.
    pub fn nats(mut self, nats: impl Nats) -> Self {
        self.nats = Some(Arc::new(nats));
        self
    }

    /// The streams of all nodes. Without, operations that need them say that clustering is not
    /// enabled.
    pub fn jetstream(mut self, jetstream: impl JetStream) -> Self {
        self.jetstream = Some(Arc::new(jetstream));
        self
    }

    /// The node's records, `system.hdb_nodes` among them.
    pub fn tables(mut self, tables: impl Tables) -> Self {
        self.tables = Some(Arc::new(tables));
        self
    }

    /// What keeps streams and durable consumers as the records of nodes say. Without, operations
    /// that need it say that clustering is not enabled.
    pub fn replication(mut self, replication: impl Replication) -> Self {
        self.replication = Some(Arc::new(replication));
        self
    }

    /// The budget of the clustering plugin's calls. Default: as [`Limits`] has it, but for 256 MiB
    /// of memory, 15 s on a processor and 50,000 calls to capabilities.
    pub fn clustering_limits(mut self, limits: Limits) -> Self {
        self.clustering_limits = Some(limits);
        self
    }

    /// The budget of its answers to other nodes. Default: 64 MiB of memory, 2 s on a processor,
    /// 10 s in all, 4 MiB for the request and 16 MiB for the answer.
    pub fn peer_limits(mut self, limits: Limits) -> Self {
        self.peer_limits = Some(limits);
        self
    }

    /// The budget of each time that it finishes or undoes what its calls have left. Default: as
    /// its calls have it, but for 60 s in all.
    pub fn recovery_limits(mut self, limits: Limits) -> Self {
        self.recovery_limits = Some(limits);
        self
    }

    /// One more operation, performed by a function of your own: without a sandbox or a budget, but
    /// behind the same check of the caller's role.
    pub fn operation<F>(
        mut self,
        operation: Operation,
        perform: impl Fn(Caller, Value) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Value, Error>> + Send + 'static,
    {
        let native = move |caller, request| {
            let performed = perform(caller, request);
            Box::pin(async { performed.await.map(Reply::Value) }) as _
        };
        self.operations.push((operation, Arc::new(native)));
        self
    }

    /// One more plugin, with what it may do and what a call of it may use. Grants that reach the
    /// cluster's own machinery are refused when the host is built: see [`Grants`] and
    /// [`RESERVED_SUBJECTS`](crate::RESERVED_SUBJECTS).
    pub fn plugin(
        mut self,
        name: impl Into<String>,
        source: ComponentSource,
        grants: Grants,
        limits: Limits,
    ) -> Self {
        self.plugins.push(PluginToLoad { name: name.into(), source, grants, limits });
        self
    }

    /// The plugins of the configuration file. One whose file cannot be loaded, or is not the one that was
    /// granted, keeps no host from being made: the log tells of it, and `plugin_list`. Given a
    /// [configuration file](Self::config_file), `plugin_reload` loads one as that has it then.
    pub fn plugins(mut self, plugins: Vec<PluginSettings>) -> Self {
        self.configured_plugins = plugins;
        self
    }

    /// One more plugin, from a file that is being worked on: whatever its hash is, it has what the
    /// configuration file grants a plugin of its name, which is the file's; or, with `grant_asked`,
    /// all that it asks for that anybody's may have.
    pub fn plugin_in_development(mut self, file: impl Into<PathBuf>, grant_asked: bool) -> Self {
        self.plugins_in_development.push((file.into(), grant_asked));
        self
    }

    /// Where a transcript of each call of a plugin's operation is written.
    pub fn record(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Makes the host: loads the clustering plugin and the others.
    pub async fn build(self) -> Result<Host, BuildError> {
        for plugin in &self.plugins {
            plugin
                .grants
                .check_for_third_party()
                .map_err(|source| BuildError::Reserved { plugin: plugin.name.clone(), source })?;
        }
        let file = match (self.config_file, &self.config, &self.root_path) {
            (Some(file), ..) => Some(file),
            (None, None, Some(folder)) => {
                Some(ConfigFile::open(folder.join(crate::config::FILE_NAME))?)
            }
            _ => None,
        };
        let of_file = || file.clone().map(|file| Arc::new(file) as Arc<dyn Config>);
        let config = self.config.or_else(of_file).ok_or(BuildError::NoConfig)?;
        let metrics = Arc::new(Metrics::new(self.audit.as_ref().map(AuditLog::lost)));
        let config: Arc<dyn Config> =
            Arc::new(Counted { config, writes: metrics.config_writes.clone() });
        let mut native = self.users.as_ref().map(operations::of_users).unwrap_or_default();
        if let Some(data) = self.data {
            native.extend(operations::of_data(data));
        }
        if let Some(file) = &file {
            native.extend(operations::of_configuration(file, config.clone()));
        }
        if file.is_some() {
            let (figures, replicator) = (self.figures.clone(), self.replicator.clone());
            native.extend(operations::of_replication(figures, replicator, self.dead_letters));
        }
        native.extend(self.operations);
        let capabilities = Capabilities {
            config,
            log: self.log.unwrap_or_else(|| Arc::new(TracingLog)),
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::default())),
            node: match self.node {
                Some(node) => node,
                None => Arc::new(ThisNode::new(file.as_ref().map(name_in).transpose()?.flatten())),
            },
            nats: self.nats.unwrap_or_else(|| match &self.servers {
                Some(servers) => Arc::new(servers.clone()),
                None => Arc::new(NotEnabled),
            }),
            jetstream: self.jetstream.unwrap_or_else(|| match &self.servers {
                Some(servers) => Arc::new(servers.clone()),
                None => Arc::new(NotEnabled),
            }),
            tables: self.tables.unwrap_or_else(|| Arc::new(NoTables)),
            replication: self.replication.unwrap_or_else(|| match &self.replicator {
                Some(replicator) => Arc::new(replicator.clone()),
                None => Arc::new(NotEnabled),
            }),
        };
        let cache = self.root_path.as_ref().map(|folder| folder.join("cache").join("components"));
        let runtime = Runtime::new(capabilities, metrics.clone(), cache)
            .map_err(|error| BuildError::Runtime(format!("{error:#}")))?
            .recording(self.recorder);
        let mut dispatch = Dispatch::new(runtime, metrics, self.audit);
        let source = ComponentSource::clustering();
        let limits = self.clustering_limits.unwrap_or_else(Limits::of_clustering);
        let grants = clustering_grants();
        let clustering = dispatch.load("clustering", source, grants, limits).await?.plugin;
        let peer_limits = self.peer_limits.unwrap_or_else(Answerer::limits);
        dispatch.answer_with(clustering.clone(), peer_limits)?;
        let recovery_limits = self.recovery_limits.unwrap_or_else(Recoverer::limits);
        dispatch.recover_with(clustering, recovery_limits)?;
        // Before the plugins: none of these may take a name.
        for (operation, native) in native {
            dispatch.add_native(operation, native).map_err(BuildError::TwoOperations)?;
        }
        let dispatch = Arc::new(dispatch);
        let plugins = Arc::new(Plugins::new(dispatch.clone(), self.root_path, file));
        for (operation, native) in operations::of_plugins(&Arc::downgrade(&plugins)) {
            dispatch.add_native(operation, native).map_err(BuildError::TwoOperations)?;
        }
        for plugin in self.plugins {
            let PluginToLoad { name, source, grants, limits } = plugin;
            plugins.load_of_program(&name, source, grants, limits).await?;
        }
        let mut in_development = Vec::new();
        for (file, grant_asked) in self.plugins_in_development {
            let settings = plugins.in_development(&file).await?;
            plugins.load(&settings, Trust::AnyHash(grant_asked)).await?;
            in_development.push(settings.name);
        }
        for settings in self.configured_plugins {
            if !in_development.contains(&settings.name) {
                // What is wrong is told in the log.
                let _ = plugins.load(&settings, Trust::Hash).await;
            }
        }
        Ok(Host {
            dispatch,
            _plugins: plugins,
            servers: self.servers,
            replicator: self.replicator,
            figures: self.figures,
        })
    }
}

/// The name that the configuration file gives the node.
fn name_in(file: &ConfigFile) -> Result<Option<String>, FileError> {
    let document = file.document()?;
    let name = document.pointer("/clustering/nodeName").and_then(Value::as_str);
    Ok(name.filter(|name| !name.is_empty()).map(str::to_owned))
}

/// The clustering plugin reads and writes the two lists of routes and the records of nodes, asks
/// other nodes, looks at the streams of all and purges them, makes tables, and says when streams and
/// durable consumers are to be there; and nothing else.
fn clustering_grants() -> Grants {
    let routes = [HUB_ROUTES, LEAF_ROUTES];
    let patterns: Vec<KeyPattern> = routes.iter().filter_map(|path| path.parse().ok()).collect();
    let mut grants = Grants::default();
    grants.config.read = patterns.clone();
    grants.config.write = patterns;
    grants.nats.request.extend("*.__request__".parse::<SubjectPattern>());
    grants.nats.servers = true;
    let any_stream = "*/*".parse::<StreamPattern>().ok();
    grants.jetstream.inspect.extend(any_stream.clone());
    grants.jetstream.purge.extend(any_stream);
    let records = ["system.hdb_nodes", "system.hdb_intents"];
    let records = records.iter().filter_map(|table| table.parse::<TablePattern>().ok());
    grants.tables.read = records.collect();
    grants.tables.write = grants.tables.read.clone();
    grants.tables.create.extend("*.*".parse::<TablePattern>());
    grants.tables.describe = true;
    grants.replication = true;
    grants
}
