//! What a replica is called on an engine and on its network.

/// `name` as a host name: lower case, and runs of spaces, `_` and `-` are one `-` inside.
///
/// Of a name that the control plane takes, the slug is a DNS label. Names with the same slug
/// cannot exist side by side.
pub fn slug(name: &str) -> String {
    let words = name.split([' ', '_', '-']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// The name of a replica's container or service.
pub fn object_name(pool: &str, name: &str) -> String {
    format!("ringherd-{pool}-{}", slug(name))
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
    fn slugs_are_host_names() {
        let golden = [
            ("Server 1", "server-1"),
            ("S4", "s4"),
            ("web_1-b", "web-1-b"),
            ("A - _b", "a-b"),
            ("x--", "x"),
            ("Server-AB12CD", "server-ab12cd"),
        ];
        for (name, expected) in golden {
            assert_eq!(slug(name), expected);
        }
        assert_eq!(object_name("blue", "Server 1"), "ringherd-blue-server-1");
    }
}
