//! File descriptors: as many as the system gives, and what is left of them for connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the node itself may need at once: for its files, the database and the audit log among them.
const RESERVE: u64 = 256;

/// Raises the limit as far as this process may, and returns how many connections there can be of
/// those that are `wanted`. The rest would make the node fail at its own files.
pub(super) fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it is refused, what there was is what there is.
    let _ = setrlimit(Resource::Nofile, raised);
    let fitting = fitting(wanted, getrlimit(Resource::Nofile).current);
    if fitting < wanted {
        tracing::warn!(
            "operationsApi.network.maxConnections is {wanted}, but the system's limit on open files \
             leaves room for {fitting}: raise it (ulimit -n, LimitNOFILE=)"
        );
    }
    fitting
}

/// No limit is none.
fn fitting(wanted: usize, limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return wanted };
    let left = limit - RESERVE.min(limit / 2);
    wanted.min(usize::try_from(left).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_node() {
        for (wanted, limit, expected) in [
            (1000, None, 1000),
            (1000, Some(1 << 20), 1000),
            (1000, Some(1024), 768),
            (10, Some(1024), 10),
            (1000, Some(300), 150),
            (1000, Some(0), 1),
        ] {
            assert_eq!(fitting(wanted, limit), expected, "{limit:?}");
        }
    }
}
