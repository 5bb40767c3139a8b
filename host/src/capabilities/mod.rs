//! What plugins may use, one file a capability, each under the name of its WIT interface.
//!
//! A capability is two things: a trait that does the work, which an embedder may replace, and the
//! WIT interface's implementation on top, which checks the plugin's grant and charges the call's
//! budget before it asks the trait.

mod call;
pub(crate) mod clock;
pub(crate) mod config;
mod grants;
pub(crate) mod log;
mod meter;

pub use clock::{Clock, SystemClock};
pub use config::{Change, Config, ConfigError, Durable, Snapshot, Texts};
pub use grants::{ConfigGrants, GrantError, Grants, KeyPath, KeyPattern};
pub use log::{Entry, Level, Log, TracingLog};

pub(crate) use call::Call;
pub(crate) use config::Counted;
pub(crate) use meter::{Capability, Exceeded, HostCalls, Meter};

use std::pin::Pin;
use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker};

use crate::wit;

/// What a capability that waits returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One implementation of each capability.
#[derive(Clone)]
pub struct Capabilities {
    /// The configuration file.
    pub config: Arc<dyn Config>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Gives every capability to the components that are linked with `linker`.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    call: fn(&mut T) -> &mut Call,
) -> Result<()> {
    wit::harper::plugin::types::add_to_linker::<T, HasSelf<Call>>(linker, call)?;
    wit::harper::plugin::config::add_to_linker::<T, HasSelf<Call>>(linker, call)?;
    wit::harper::plugin::log::add_to_linker::<T, HasSelf<Call>>(linker, call)?;
    wit::harper::plugin::clock::add_to_linker::<T, HasSelf<Call>>(linker, call)
}
