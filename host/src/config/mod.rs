//! The node's configuration: the file `harperdb-config.yaml`, and what it means.

mod backup;
mod contents;
mod edit;
mod error;
mod file;
mod first;
mod group;
mod keys;
mod overrides;
mod replace;
mod seen;
mod settings;

pub use edit::EditError;
pub use error::{FileError, ReadError};
pub use file::ConfigFile;
pub use first::create_if_missing;
pub use overrides::{OverrideError, Overrides};
pub use settings::{
    Clustering, ClusteringTls, HUB_ROUTES, LEAF_ROUTES, Listen, LogLevel, Settings, SettingsError,
    Streams,
};

pub(crate) use contents::at;
pub(crate) use keys::{Named, is_key, named};
pub(crate) use replace::remove_left_overs;
pub(crate) use seen::Stamps;

/// The file's name in a node's folder.
pub const FILE_NAME: &str = "harperdb-config.yaml";
