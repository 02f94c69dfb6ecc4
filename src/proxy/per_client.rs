//! Connections of each client, over all workers, for a limit on them.
//!
//! Counted when they begin and end, under one of some locks: no request comes here. There are no more
//! entries than connections.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts of the table, each with a lock of its own.
const SHARDS: usize = 16;

/// An address, or the 64 bits of an IPv6 address that its network has: who has one address of those has all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientNetwork(u64);

impl ClientNetwork {
    /// That of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // No network of IPv6 begins so: these are multicast addresses.
            IpAddr::V4(address) => Self(0xffff_ffff_0000_0000 | u64::from(address.to_bits())),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64),
        }
    }
}

/// How many connections each client has.
#[derive(Debug, Default)]
pub(crate) struct PerClient {
    shards: [Mutex<HashMap<ClientNetwork, u32>>; SHARDS],
    secret: RandomState,
}

/// One connection, counted until it drops.
#[derive(Debug)]
pub(crate) struct ClientPlace {
    table: Arc<PerClient>,
    client: ClientNetwork,
}

impl PerClient {
    /// Counts one more of this address; `None` if it has `limit` already.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, limit: u32) -> Option<ClientPlace> {
        let client = ClientNetwork::of(address);
        let mut shard = self.shard(client);
        let count = shard.entry(client).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        drop(shard);
        Some(ClientPlace { table: Arc::clone(self), client })
    }

    fn shard(&self, client: ClientNetwork) -> MutexGuard<'_, HashMap<ClientNetwork, u32>> {
        let number = self.secret.hash_one(client) as usize % SHARDS;
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut shard = self.table.shard(self.client);
        if let Some(count) = shard.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let of = |text: &str| ClientNetwork::of(address(text));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("::1"));
    }

    #[test]
    fn places_are_given_back_and_nothing_is_left() {
        let table = Arc::<PerClient>::default();
        let enter = |text: &str| table.enter(address(text), 2);
        let (one, two) = (enter("10.0.0.1"), enter("::ffff:10.0.0.1"));
        assert!(one.is_some() && two.is_some() && enter("10.0.0.1").is_none());
        let other = enter("10.0.0.2");
        assert!(other.is_some());
        drop(one);
        let again = enter("10.0.0.1");
        assert!(again.is_some());
        drop((two, other, again));
        assert!(table.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}
