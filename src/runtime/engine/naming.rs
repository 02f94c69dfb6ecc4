//! Names of replicas' objects on an engine and its networks.

use crate::names::FoldedName;

/// `name` as a host name: see [`FoldedName`].
pub fn slug(name: &str) -> String {
    FoldedName::of(name).to_string()
}

/// The name of a replica's container or service.
pub fn object_name(pool: &str, name: &str) -> String {
    format!("ringherd-{pool}-{}", FoldedName::of(name))
}

/// The name of the network that is created for a pool without a configured one.
pub fn pool_network(pool: &str) -> String {
    format!("ringherd-{pool}")
}

/// The first 12 characters of an id, as the command line of Docker shows them.
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
