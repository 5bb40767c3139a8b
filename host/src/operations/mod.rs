//! Operations of the host's own, one file each, named as the API names it. They run without a
//! sandbox, behind the same check of the caller's role as those of plugins.

mod add_user;
mod alter_user;
mod data;
mod dead_letters;
mod drop_user;
mod get_configuration;
mod list_users;
mod plugin_list;
mod plugin_reload;
mod replication_status;
mod request;
mod set_configuration;
mod user_info;

use std::sync::{Arc, LazyLock, Weak};

use serde_json::Value;

use crate::capabilities::Config;
use crate::config::ConfigFile;
use crate::data::Data;
use crate::dispatch::{Caller, Error, ErrorKind, Native, Reply};
use crate::figures::Figures;
use crate::flow::DeadLetters;
use crate::plugins::Plugins;
use crate::replication::Replicator;
use crate::runtime::Operation;
use crate::store;
use crate::users::{self, Users};

/// All of them, as a host with users, data and a configuration file has them.
pub fn descriptions() -> Vec<Operation> {
    let mut all = vec![
        add_user::operation(),
        alter_user::operation(),
        drop_user::operation(),
        list_users::operation(),
        user_info::operation(),
        get_configuration::operation(),
        set_configuration::operation(),
        plugin_list::operation(),
        plugin_reload::operation(),
        replication_status::operation(),
    ];
    all.extend(dead_letters::descriptions());
    all.extend(data::descriptions());
    all
}

/// Whether an operation of the host's own has this name.
pub(crate) fn is_name(name: &str) -> bool {
    static NAMES: LazyLock<Vec<String>> =
        LazyLock::new(|| descriptions().into_iter().map(|operation| operation.name).collect());
    NAMES.iter().any(|known| known == name)
}

/// Those on databases, tables and rows.
pub(crate) fn of_data(data: Data) -> Vec<(Operation, Arc<Native>)> {
    data::operations(data)
}

/// Those that manage users.
pub(crate) fn of_users(users: &Users) -> Vec<(Operation, Arc<Native>)> {
    vec![
        (add_user::operation(), with(users, |users, _, request| add_user::perform(users, request))),
        (
            alter_user::operation(),
            with(users, |users, _, request| alter_user::perform(users, request)),
        ),
        (
            drop_user::operation(),
            with(users, |users, _, request| drop_user::perform(users, request)),
        ),
        (list_users::operation(), with(users, |users, _, _| list_users::perform(users))),
        (user_info::operation(), with(users, |users, caller, _| user_info::perform(users, caller))),
    ]
}

/// Those on the configuration file; they write it through `config`, which counts.
pub(crate) fn of_configuration(
    file: &ConfigFile,
    config: Arc<dyn Config>,
) -> Vec<(Operation, Arc<Native>)> {
    let both = (file.clone(), config);
    vec![
        (
            get_configuration::operation(),
            with(&both, |(file, _), _, _| get_configuration::perform(file)),
        ),
        (
            set_configuration::operation(),
            with(&both, |(file, config), _, request| {
                set_configuration::perform(file, config, request)
            }),
        ),
    ]
}

/// Those on plugins. They do not keep the plugins from going away with the host.
pub(crate) fn of_plugins(plugins: &Weak<Plugins>) -> Vec<(Operation, Arc<Native>)> {
    vec![
        (plugin_list::operation(), with(plugins, |plugins, _, _| plugin_list::perform(plugins))),
        (
            plugin_reload::operation(),
            with(plugins, |plugins, _, request| plugin_reload::perform(plugins, request)),
        ),
    ]
}

/// Those that show how tables flow between nodes, and on what could not be applied; of a node that is
/// in no cluster they say so.
pub(crate) fn of_replication(
    figures: Option<Arc<Figures>>,
    replicator: Option<Replicator>,
    letters: Option<DeadLetters>,
) -> Vec<(Operation, Arc<Native>)> {
    let both = (figures, replicator);
    let mut all = dead_letters::operations(letters);
    all.push((
        replication_status::operation(),
        with(&both, |(figures, replicator), _, _| replication_status::perform(figures, replicator)),
    ));
    all
}

/// What an operation of replication says on a node that is in no cluster.
fn not_enabled() -> Error {
    let text = "Clustering is not enabled: set clustering.enabled to true in harperdb-config.yaml";
    Error::new(ErrorKind::Invalid, text)
}

/// A time in milliseconds since 1970, as people read it.
fn iso(milliseconds: u64) -> Option<String> {
    let milliseconds = i64::try_from(milliseconds).ok()?;
    jiff::Timestamp::from_millisecond(milliseconds).ok().map(|time| time.to_string())
}

/// A native operation on `what`.
fn with<T, F, R>(what: &T, perform: fn(T, Caller, Value) -> F) -> Arc<Native>
where
    T: Clone + Send + Sync + 'static,
    F: Future<Output = Result<R, Error>> + Send + 'static,
    R: Into<Reply>,
{
    let what = what.clone();
    Arc::new(move |caller, request| {
        let performed = perform(what.clone(), caller, request);
        Box::pin(async { performed.await.map(Into::into) })
    })
}

impl From<users::LoginFailed> for Error {
    fn from(error: users::LoginFailed) -> Self {
        let kind = match error {
            users::LoginFailed::Credentials => ErrorKind::Unauthorized,
            users::LoginFailed::Busy => ErrorKind::Busy,
            users::LoginFailed::Internal => ErrorKind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<users::Error> for Error {
    fn from(error: users::Error) -> Self {
        let kind = match &error {
            users::Error::Name
            | users::Error::Password
            | users::Error::Role
            | users::Error::MisspelledRole { .. }
            | users::Error::Taken(_)
            | users::Error::NotFirst(_)
            | users::Error::Unknown(_)
            | users::Error::LastSuperUser(_) => ErrorKind::Invalid,
            users::Error::Busy => ErrorKind::Busy,
            users::Error::Store(error) => {
                tracing::error!(%error, "the users cannot be read or changed");
                let text = match error {
                    store::Error::Full => {
                        "The disk is full: nothing can be written until there is room"
                    }
                    _ => "The node's database failed: its log has the cause",
                };
                return Self::new(ErrorKind::Failed, text);
            }
        };
        Self::new(kind, error.to_string())
    }
}
