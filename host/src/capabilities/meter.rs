//! What a call has used of its budget so far.

use std::time::Duration;

use crate::runtime::Limits;

/// A call went over its budget. The text completes "was stopped: it …" and is for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exceeded {
    #[error("needed more than {0} bytes of memory")]
    Memory(usize),
    #[error("needed more than {0} table elements")]
    TableElements(usize),
    #[error("used more than {} ms of processor time", .0.as_millis())]
    Cpu(Duration),
    #[error("took longer than {} ms", .0.as_millis())]
    WallClock(Duration),
    #[error("made more than {0} calls to the host")]
    HostCalls(u32),
    #[error("exchanged more than {0} bytes with the host")]
    ExchangedBytes(usize),
    #[error("replied with more than {0} bytes")]
    ReplyBytes(usize),
    #[error("replied with more values than fit into {0} bytes")]
    ReplyValues(usize),
    #[error("recursed too deeply")]
    Stack,
}

/// Which WIT interface a call to the host is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capability {
    Config,
    Log,
    Clock,
    Node,
    Nats,
    JetStream,
    Tables,
    Replication,
}

impl Capability {
    pub(crate) const ALL: [Self; 8] = [
        Self::Config,
        Self::Log,
        Self::Clock,
        Self::Node,
        Self::Nats,
        Self::JetStream,
        Self::Tables,
        Self::Replication,
    ];

    /// The interface's name.
    fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Log => "log",
            Self::Clock => "clock",
            Self::Node => "node",
            Self::Nats => "nats",
            Self::JetStream => "jetstream",
            Self::Tables => "tables",
            Self::Replication => "replication",
        }
    }
}

/// Calls to each capability, by its name.
pub(crate) type HostCalls = [(&'static str, u32); Capability::ALL.len()];

/// Counts down what capabilities use. Memory and processor time are the runtime's to count.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    host_calls: HostCalls,
    exchanged_bytes: usize,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        let host_calls = Capability::ALL.map(|capability| (capability.name(), 0));
        Self { limits, host_calls, exchanged_bytes: 0 }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Charges one call to the host, and the bytes that came with it.
    pub(crate) fn host_call(&mut self, of: Capability, bytes: usize) -> Result<(), Exceeded> {
        if self.host_calls.iter().map(|(_, calls)| calls).sum::<u32>() >= self.limits.host_calls {
            return Err(Exceeded::HostCalls(self.limits.host_calls));
        }
        if let Some((_, calls)) = self.host_calls.get_mut(of as usize) {
            *calls += 1;
        }
        self.bytes(bytes)
    }

    /// The calls so far.
    pub(crate) fn host_calls(&self) -> HostCalls {
        self.host_calls
    }

    /// Bytes that one call to the host makes it hold meanwhile.
    pub(crate) fn at_once(&self, bytes: usize) -> Result<(), Exceeded> {
        if bytes > self.limits.exchanged_bytes {
            return Err(Exceeded::ExchangedBytes(self.limits.exchanged_bytes));
        }
        Ok(())
    }

    /// Charges bytes that cross the border, in either direction.
    pub(crate) fn bytes(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.exchanged_bytes = self.exchanged_bytes.saturating_add(bytes);
        if self.exchanged_bytes > self.limits.exchanged_bytes {
            return Err(Exceeded::ExchangedBytes(self.limits.exchanged_bytes));
        }
        Ok(())
    }
}
