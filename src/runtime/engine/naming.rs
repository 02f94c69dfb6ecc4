//! What a replica is called on an engine and on its network.

use crate::names::FoldedName;

/// `name` as a host name: see [`FoldedName`].
pub fn slug(name: &str) -> String {
    FoldedName::of(name).to_string()
}

/// The name of a replica's container or service.
pub fn object_name(pool: &str, name: &str) -> String {
    format!("ringherd-{pool}-{}", FoldedName::of(name))
}

/// The name of the network that is made for a pool without one.
pub fn pool_network(pool: &str) -> String {
    format!("ringherd-{pool}")
}

/// The start of an id, as people know it.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_the_name_of_pool_and_replica() {
        assert_eq!(object_name("blue", "Server 1"), "ringherd-blue-server-1");
    }
}
