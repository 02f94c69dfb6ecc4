//! As many descriptors as this process may have, and no more connections than they allow.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but connections: listeners, event queues, pipes to replicas,
/// heartbeats, the log, the admin API's connections.
const RESERVE: u64 = 128;

/// Descriptors per replica: its pipes, a heartbeat, an idle connection or two.
const PER_REPLICA: u64 = 8;

/// Raises the soft limit on descriptors to the hard one, and returns how many client connections
/// of the `wanted` that leaves room for: each may need a second one, to a replica.
pub(super) fn room_for_connections(wanted: usize, max_replicas: u32) -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where that is refused, the limit stays as it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    // `None` is no limit at all.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = room_within(limit, max_replicas);
    if room < wanted {
        tracing::warn!(
            wanted,
            allowed = room,
            limit,
            "--max-connections is lowered to what the limit on open files allows; raise that (ulimit -n)"
        );
    }
    wanted.min(room)
}

fn room_within(limit: u64, max_replicas: u32) -> usize {
    // With a limit below the reserve there is nothing good to do; a few connections still work.
    let left = limit.saturating_sub(RESERVE + PER_REPLICA * u64::from(max_replicas));
    usize::try_from(left / 2).unwrap_or(usize::MAX).max(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_may_need_a_second_connection() {
        assert_eq!(room_within(1024, 64), (1024 - 128 - 512) / 2);
        assert_eq!(room_within(u64::MAX, 64), usize::MAX / 2 - 320);
        assert_eq!(room_within(100, 64), 8);
    }
}
