//! Why a plugin is not loaded.

use super::FileError;
use crate::config::ReadError;
use crate::runtime::LoadError;

/// Each case has one meaning. The texts are for the operator: they name no more of the machine than the
/// configuration does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// No plugin has this name.
    #[error("there is no plugin '{0}' among 'plugins' in harperdb-config.yaml")]
    Unknown(String),
    /// It came from the program that this host is a part of, which alone has it.
    #[error("the plugin '{0}' was given by the program, and is not loaded again")]
    OfTheProgram(String),
    /// Its file cannot be used.
    #[error("plugin '{plugin}': {source}")]
    File {
        /// The plugin's name.
        plugin: String,
        /// Why.
        source: FileError,
    },
    /// The configuration names no hash, so that nothing is granted.
    #[error(
        "plugin '{plugin}' is granted nothing: have sha256 {have}, want one in 'plugins'; look at it \
         with 'harper-host plugin inspect {file}', and allow it with 'harper-host plugin grant {file}'"
    )]
    NotGranted {
        /// The plugin's name.
        plugin: String,
        /// The file's hash.
        have: String,
        /// The file, as the configuration has it.
        file: String,
    },
    /// The file is not the one that was granted.
    #[error(
        "plugin '{plugin}' is not the file that was granted: have sha256 {have}, want {want}; look at \
         it with 'harper-host plugin inspect {file}', and allow it with 'harper-host plugin grant {file}'"
    )]
    Changed {
        /// The plugin's name.
        plugin: String,
        /// The file's hash.
        have: String,
        /// The hash that was granted.
        want: String,
        /// The file, as the configuration has it.
        file: String,
    },
    /// A file's name gives no name for a plugin.
    #[error(
        "'{0}' is no name for a plugin: call the file by 1 to 64 lower-case letters, digits, - and _"
    )]
    Name(String),
    /// The component cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The host ends.
    #[error("the host is about to end")]
    Lost,
    /// The configuration cannot be read.
    #[error(transparent)]
    Config(#[from] ReadError),
}
