//! Why an operation was not performed, as the caller is told.

/// An operation that failed. Its text is a clear sentence without secrets, paths of the machine
/// or stack traces: the cause is in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure this is.
    pub kind: ErrorKind,
    /// The text.
    pub message: String,
}

/// Each kind has one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request breaks a rule; nothing was changed: 400.
    Invalid,
    /// Nobody is logged in: 401.
    Unauthorized,
    /// The caller's role may not do this: 403.
    Forbidden,
    /// Others changed the same thing again and again meanwhile; nothing was changed: 409.
    Conflict,
    /// The request is too large, or a result that is wanted all at once: 413.
    TooLarge,
    /// The request is right, but it could not be done: 500.
    Failed,
    /// Too much is going on; nothing was changed: 503.
    Busy,
}

impl ErrorKind {
    /// Its HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Failed => 500,
            Self::Busy => 503,
        }
    }

    /// Its name in the audit log and in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Failed => "failed",
            Self::Busy => "busy",
        }
    }
}

impl Error {
    /// An error of this kind with this text.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
