//! Which part of a request decides where it goes.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;

/// Source of the routing key. A request without it gets a random key.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum KeySource {
    /// `X-Request-Id`, drawn at random where absent: spreads requests evenly.
    #[default]
    RequestId,
    /// The path without the query.
    Path,
    /// Path and query as sent.
    Uri,
    /// The address of the connecting client.
    ClientIp,
    /// A request header.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
    /// A query parameter, as sent (not percent-decoded).
    Query(String),
    /// The session in a cookie of this name, which the balancer sets and signs.
    Sticky(String),
}

impl KeySource {
    /// Whether the key is chosen so that equal requests stay on one replica.
    pub fn is_affinity(&self) -> bool {
        !matches!(self, Self::RequestId)
    }
}

/// A key source that cannot be used, with what would be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a key: use request-id, path, uri, client-ip, header:NAME, cookie:NAME, query:NAME or sticky:NAME"
)]
pub struct KeyError(String);

impl FromStr for KeySource {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bad = || KeyError(text.to_owned());
        match text.split_once(':') {
            None => match text {
                "request-id" => Ok(Self::RequestId),
                "path" => Ok(Self::Path),
                "uri" => Ok(Self::Uri),
                "client-ip" => Ok(Self::ClientIp),
                _ => Err(bad()),
            },
            Some(("header", name)) => name.parse().map(Self::Header).map_err(|_| bad()),
            // The same tokens as header names: what cookies and query keys are made of.
            Some((kind @ ("cookie" | "query" | "sticky"), name)) => {
                name.parse::<HeaderName>().map_err(|_| bad())?;
                let name = name.to_owned();
                Ok(match kind {
                    "cookie" => Self::Cookie(name),
                    "query" => Self::Query(name),
                    _ => Self::Sticky(name),
                })
            }
            Some(_) => Err(bad()),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestId => f.write_str("request-id"),
            Self::Path => f.write_str("path"),
            Self::Uri => f.write_str("uri"),
            Self::ClientIp => f.write_str("client-ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Sticky(name) => write!(f, "sticky:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_what_is_parsed() {
        for text in [
            "request-id",
            "path",
            "uri",
            "client-ip",
            "header:x-user",
            "cookie:SID",
            "query:id",
            "sticky:SRV",
        ] {
            assert_eq!(text.parse::<KeySource>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_choices() {
        for text in
            ["", "ip", "header:", "header:a b", "cookie:", "query:a=b", "sticky:", "sticky:a;b", "body:x"]
        {
            let error = text.parse::<KeySource>().unwrap_err().to_string();
            assert!(error.contains("header:NAME"), "{error}");
        }
    }
}
