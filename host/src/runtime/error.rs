//! Why a call of a plugin failed.

use wasmtime::{Error, PoolConcurrencyLimitError, Trap};

use crate::capabilities::{ConfigError, Exceeded};
use crate::dispatch;
use crate::wit::exports::harper::plugin::operations;

/// Each case has one meaning. The caller is told less than the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The plugin answered with an error: that is its reply.
    #[error("{}", text(.0))]
    Refused(operations::Error),
    /// The request is larger than the plugin takes; it was not called.
    #[error("the request has {size} bytes, and the limit is {limit}")]
    RequestTooLarge { size: usize, limit: usize },
    /// All places to run were taken until the call's time was up; the plugin was not called.
    #[error("no place to run")]
    Busy,
    /// Its caller was removed or changed while it waited for a place; the plugin was not called.
    #[error("the caller may no longer: {0}")]
    Dismissed(dispatch::Error),
    /// It went over its budget.
    #[error("it {0}")]
    Exceeded(Exceeded),
    /// It panicked: its message, if it has one, is in the log under its name.
    #[error("it panicked: {0:?}")]
    Panicked(Error),
    /// It broke in another way.
    #[error("it trapped: {0:?}")]
    Trapped(Error),
    /// The host failed in the middle of it.
    #[error("the host failed in the middle of it")]
    Lost,
    /// What it has seen of the configuration never became durable, so its reply may be untrue.
    #[error("the configuration that it was shown was not written: {0}")]
    NotDurable(ConfigError),
    /// Its reply is not JSON.
    #[error("its reply is not JSON: {0}")]
    NotJson(serde_json::Error),
}

impl CallError {
    /// Whether the plugin was called and did not come to its end.
    pub(crate) fn is_midway(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::RequestTooLarge { .. } | Self::Busy)
    }

    /// A sentence for whoever asked: the cause of what is not their doing is for the log.
    pub(crate) fn for_caller(&self, operation: &str) -> String {
        match self {
            Self::Refused(refused) => text(refused).to_owned(),
            Self::RequestTooLarge { limit, .. } => {
                format!("The request body is over the limit of {limit} bytes of '{operation}'")
            }
            Self::NotDurable(ConfigError::Conflict) => {
                "The configuration was changed by others meanwhile, try again".into()
            }
            Self::NotDurable(error) => error.to_string(),
            Self::Busy => "The host is busy: try again later".into(),
            Self::Dismissed(error) => error.message.clone(),
            Self::Exceeded(exceeded) => {
                format!("Operation '{operation}' was stopped: it {exceeded}")
            }
            Self::Panicked(_) | Self::Trapped(_) | Self::NotJson(_) | Self::Lost => {
                format!("Operation '{operation}' failed unexpectedly: the host's log has the cause")
            }
        }
    }

    /// The same for another node.
    pub(crate) fn for_peer(&self) -> String {
        match self {
            Self::RequestTooLarge { limit, .. } => {
                format!("The request is over the limit of {limit} bytes")
            }
            Self::Busy => "The node is busy: try again later".into(),
            Self::Exceeded(exceeded) => format!("The request was stopped: it {exceeded}"),
            _ => "The request failed unexpectedly: the node's log has the cause".into(),
        }
    }
}

/// What a plugin's error says, whichever it is.
pub(super) fn text(refused: &operations::Error) -> &str {
    match refused {
        operations::Error::Invalid(text)
        | operations::Error::Conflict(text)
        | operations::Error::Failed(text)
        | operations::Error::Other(text) => text,
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
            return Self::Exceeded(*exceeded);
        }
        if let Some(error) = error.downcast_ref::<ConfigError>() {
            return Self::NotDurable(error.clone());
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Self::Busy;
        }
        match error.downcast_ref::<Trap>() {
            // What a panic of a Rust guest compiles to.
            Some(Trap::UnreachableCodeReached) => Self::Panicked(error),
            Some(Trap::StackOverflow) => Self::Exceeded(Exceeded::Stack),
            _ => Self::Trapped(error),
        }
    }
}
