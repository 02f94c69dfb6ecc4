//! The address of an engine: `unix:///path` or `tcp://host:port`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::names::HostPort;

/// The address of an engine's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A socket in the file system.
    Unix(PathBuf),
    /// `host:port`, without TLS: a socket proxy, for instance.
    Tcp(String),
}

/// Error: the text is not a [`Host`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be unix:///PATH or tcp://HOST:PORT, without TLS")]
pub struct HostError;

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(HostError) };
        }
        let address = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://"));
        let address = address.map(|address| address.strip_suffix('/').unwrap_or(address)).ok_or(HostError)?;
        address.parse().map(|address: HostPort| Self::Tcp(address.to_string())).map_err(|_| HostError)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::Unix("/var/run/docker.sock".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_and_shown_the_same() {
        for text in ["unix:///var/run/docker.sock", "tcp://proxy:2375", "tcp://[::1]:2375"] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), text);
        }
        assert_eq!("http://proxy:2375/".parse::<Host>(), Ok(Host::Tcp("proxy:2375".into())));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "unix://",
            "unix://relative",
            "tcp://",
            "tcp://host",
            "tcp://:1",
            "tcp://a:0",
            "ssh://a:1",
            "/var/run/docker.sock",
            "tcp://a/b:1",
        ] {
            assert_eq!(text.parse::<Host>(), Err(HostError), "{text}");
        }
    }
}
