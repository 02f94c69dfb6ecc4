//! Types of the values of our settings: how each is read from text, within which form, and shown.
//!
//! Knows no setting by name.

mod command;
mod container;
pub(super) mod header;
mod revision;
pub(super) mod route;

use std::net::{IpAddr, SocketAddr};

pub use command::CommandLine;
pub(super) use container::{
    POOL, capability, image, image_prefix, network, no_overlay, pool, tmpfs, user, variable, volume,
    without_tls,
};
pub(super) use revision::revision;

use ipnet::IpNet;

use super::model::{Choice, Kind, Refusal, Shown, Value, choices};
use crate::admin;
use crate::cluster::KeySource;
use crate::control::{BoundedLoad, DeployOrder, HealthCheck};
use crate::names::{HostPort, is_host_name};
use crate::proxy::{
    HalfClose, Io, Message, ProxyProtocol, RateError, RateKey, RateLimit, TraceContext, UpstreamHttp,
};
use crate::ring::{Family, Placement, Probing};
use crate::runtime::StopSignal;
use crate::runtime::engine::ReadOnly;
use crate::telemetry::access::{Destination, Format};
use crate::telemetry::logs::LogFormat;
use crate::tls::ClientAuth;

/// Whether the admin routes are on the public listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PublicAdmin {
    /// Only while that is bound to loopback, and all replicas are the built-in ones.
    #[default]
    Auto,
    /// Yes, whoever can reach it.
    On,
    /// No.
    Off,
}

/// How replicas come to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RuntimeKind {
    /// Child processes.
    #[default]
    Process,
    /// Replicas that others run.
    Fixed,
    /// Containers of one engine.
    Docker,
    /// Services of a Swarm.
    Swarm,
}

/// What becomes of replicas when the balancer stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnExit {
    /// They are stopped.
    #[default]
    Remove,
    /// They are left to the next balancer.
    Keep,
}

choices!(PublicAdmin { Auto = "auto", On = "on", Off = "off" });
choices!(RuntimeKind { Process = "process", Fixed = "fixed", Docker = "docker", Swarm = "swarm" });
choices!(DeployOrder { StartFirst = "start-first", StopFirst = "stop-first" });
choices!(OnExit { Remove = "remove", Keep = "keep" });
choices!(StopSignal {
    Term = "TERM",
    Int = "INT",
    Quit = "QUIT",
    Hup = "HUP",
    Usr1 = "USR1",
    Usr2 = "USR2",
    Winch = "WINCH"
});
choices!(ReadOnly { On = "on", Off = "off" });
choices!(Family { Classic = "classic", Modified = "modified" });
choices!(Probing { Quadratic = "quadratic", Linear = "linear" });
choices!(Placement { Ring = "ring", Rendezvous = "rendezvous", Balanced = "balanced" });
choices!(Message { Request = "request", Response = "response" });
choices!(LogFormat { Auto = "auto", Text = "text", Json = "json" });
choices!(Format { Json = "json", Common = "common" });
impl Choice for bool {
    const ALL: &'static [Self] = &[true, false];
    const NAMES: &'static [&'static str] = &["on", "off"];
}

choices!(ClientAuth { Off = "off", Optional = "optional", Required = "required" });
choices!(HalfClose { Abort = "abort", Serve = "serve" });
choices!(Io { Auto = "auto", Epoll = "epoll", Uring = "uring" });
choices!(ProxyProtocol { V1 = "v1", V2 = "v2" });
choices!(UpstreamHttp { H1 = "h1", H2 = "h2" });
choices!(TraceContext { Pass = "pass", Start = "start" });

impl RuntimeKind {
    /// The word for it, as in `--runtime`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Fixed => "fixed",
            Self::Docker => "docker",
            Self::Swarm => "swarm",
        }
    }
}

/// An IP address and a port to listen on.
pub(super) const ADDRESS: Kind = Kind::text("IP:PORT", "0.0.0.0:8080");

/// Where a replica of others is.
pub(super) const HOST_PORT: Kind = Kind::text("HOST:PORT", "10.0.0.7:8080");

/// One address, or all that begin with the same bits.
pub(super) const NETWORK: Kind = Kind::text("an IP address or a network", "10.0.0.0/8");

/// Which part of a request is hashed.
pub(super) const KEY: Kind = Kind::text(
    "request-id, path, uri, client-ip, header:NAME, cookie:NAME, query:NAME or sticky:NAME",
    "header:x-user",
);

/// How many requests a client may make.
pub(super) const RATE: Kind = Kind::text(
    "off, or requests per second, minute or hour (s, m, h), maybe with a burst",
    "100/s burst 200",
);

/// Whose requests are counted together.
pub(super) const RATE_KEY: Kind = Kind::text("client-ip or header:NAME", "header:x-api-key");

/// The path of a file.
pub(super) const PEM: Kind = Kind::text("the path of a file", "/etc/ringherd/site.pem");
pub(super) const FILE: Kind = Kind::text("the path of a file", "/etc/ringherd/token");

/// A command line.
pub(super) const COMMAND: Kind = Kind::text("a command line", "python3 -m http.server {port}");

/// The path of a URL.
pub(super) const URL_PATH: Kind =
    Kind::checked("a path that starts with '/', percent-encoded where a URL needs it", "/healthz", url_path);

/// Names are not looked up: what is bound must not depend on DNS.
impl Value for SocketAddr {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        let port = |port: &str| port.parse::<u16>().is_ok();
        text.parse().map_err(|_| {
            let refusal = Refusal::must_be(kind);
            match text.rsplit_once(':') {
                Some(("" | "*", p)) if port(p) => {
                    refusal.hint(format!("for all addresses write 0.0.0.0:{p}"))
                }
                Some(("localhost", p)) if port(p) => refusal.hint(format!("write 127.0.0.1:{p}")),
                None if port(text) => refusal.hint(format!("write 127.0.0.1:{text}")),
                _ if text.parse::<std::net::IpAddr>().is_ok() => refusal.hint("add the port"),
                _ => refusal.hint("as in 127.0.0.1:5000 or [::1]:5000"),
            }
        })
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::text(self)
    }
}

/// An address alone is a network of one.
impl Value for IpNet {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(Self::from));
        let network = network.map_err(|_| Refusal::must_be(kind).hint("as in 10.0.0.0/8 or fd00::/8"))?;
        Ok(network.trunc())
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::text(self)
    }
}

impl Value for HostPort {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        let hint = || Self::hint(text).unwrap_or_else(|| "as in 10.0.0.7:8080 or [::1]:8080".to_owned());
        text.parse().map_err(|_| Refusal::must_be(kind).hint(hint()))
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::text(self)
    }
}

impl Value for KeySource {
    fn read(_: &Kind, text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|error: <Self as std::str::FromStr>::Err| Refusal::new(error.to_string()))
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::text(self)
    }
}

impl Value for RateLimit {
    const NOTHING: Option<&'static str> = Some("off");

    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|error| match error {
            RateError::Form => Refusal::must_be(kind).hint("as in 100/s or 100/s burst 200"),
            RateError::Number => Refusal::new(error.to_string()),
        })
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::text(self)
    }
}

impl Value for RateKey {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|_| Refusal::must_be(kind))
    }

    fn show(&self, _: &Kind) -> Shown {
        Shown::text(self)
    }
}

impl Value for HealthCheck {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        let is_service =
            |service: &str| service.bytes().all(|b| b.is_ascii_graphic()) && service.len() <= 256;
        match text.split_once(':') {
            None if text == "http" => Ok(Self::Http),
            None if text == "grpc" => Ok(Self::Grpc(String::new())),
            Some(("grpc", service)) if !service.is_empty() && is_service(service) => {
                Ok(Self::Grpc(service.to_owned()))
            }
            _ => Err(Refusal::must_be(kind)),
        }
    }

    fn show(&self, _: &Kind) -> Shown {
        match self {
            Self::Http => Shown::text("http"),
            Self::Grpc(service) if service.is_empty() => Shown::text("grpc"),
            Self::Grpc(service) => Shown::text(format!("grpc:{service}")),
        }
    }
}

impl Value for BoundedLoad {
    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        let Kind::Factor { min, max } = *kind else { return Err(Refusal::must_be(kind)) };
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => match text.parse() {
                Ok(factor) if (min..=max).contains(&factor) => Ok(Self::Factor(factor)),
                _ => Err(Refusal::must_be(kind)),
            },
        }
    }

    fn show(&self, _: &Kind) -> Shown {
        match self {
            Self::Auto => Shown::text("auto"),
            Self::Off => Shown::text("off"),
            Self::Factor(factor) => Shown::Number(*factor),
        }
    }
}

/// Where lines are written to.
impl Value for Destination {
    const NOTHING: Option<&'static str> = Some("off");

    fn read(kind: &Kind, text: &str) -> Result<Self, Refusal> {
        match text {
            "stdout" => Ok(Self::Stdout),
            "on" | "true" | "stderr" | "-" => {
                Err(Refusal::must_be(kind).hint(format!("for a file of that name write ./{text}")))
            }
            path => Ok(Self::File(path.into())),
        }
    }

    fn show(&self, _: &Kind) -> Shown {
        match self {
            Self::Stdout => Shown::text("stdout"),
            Self::File(path) => Shown::text(path.display()),
        }
    }
}

/// A host name, in lower case: names are the same whatever their case.
pub(super) fn host(text: &str) -> Result<String, Refusal> {
    if is_host_name(text) {
        return Ok(text.to_ascii_lowercase());
    }
    let refusal = Refusal::new("must be a host name, of letters, digits, '-' and '.'");
    Err(if text.contains(':') { refusal.hint("leave out scheme and port") } else { refusal })
}

/// An origin, as browsers send it.
pub(super) fn origin(text: &str) -> Result<String, Refusal> {
    admin::origin(text).ok_or_else(|| {
        let refusal = Refusal::new("must be an origin: http:// or https://, a host, and maybe a port");
        match text.split_once("://") {
            None => refusal.hint(format!("write https://{text}")),
            Some((_, rest)) if rest.contains('/') => refusal.hint("leave out the path and the last slash"),
            Some(_) => refusal,
        }
    })
}

/// The path of a URL, query included.
fn url_path(text: &str) -> Result<String, Refusal> {
    let visible = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if text.starts_with('/') && visible && http::uri::PathAndQuery::try_from(text).is_ok() {
        return Ok(text.to_owned());
    }
    let refusal = Refusal::must_be(URL_PATH);
    Err(if text.starts_with('/') { refusal } else { refusal.hint("as in /heartbeat") })
}

/// Shortest and longest token, in characters: what can be guessed, and what fits into a head.
const TOKEN_LENGTH: std::ops::RangeInclusive<usize> = 8..=1024;

/// A bearer token. The refusal does not repeat it.
pub(super) fn token(text: &str) -> Result<String, Refusal> {
    let (min, max) = (TOKEN_LENGTH.start(), TOKEN_LENGTH.end());
    if text.is_empty() {
        Err(Refusal::new("the token is empty").hint(format!("it must have {min} to {max} characters")))
    } else if !text.bytes().all(|b| b.is_ascii_graphic()) {
        Err(Refusal::new("the token must be of visible ASCII characters, without white space"))
    } else if !TOKEN_LENGTH.contains(&text.len()) {
        Err(Refusal::new(format!("the token has {} characters; it must have {min} to {max}", text.len())))
    } else {
        Ok(text.to_owned())
    }
}

/// Shortest and longest secret of sticky sessions, in characters.
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 16..=1024;

/// A secret of sticky sessions. The refusal does not repeat it.
pub(super) fn sticky_secret(text: &str) -> Result<String, Refusal> {
    let (min, max) = (SECRET_LENGTH.start(), SECRET_LENGTH.end());
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        Err(Refusal::new("the secret must be of visible ASCII characters, without white space"))
    } else if !SECRET_LENGTH.contains(&text.len()) {
        let hint = "as printed by: openssl rand -base64 32";
        let what = format!("the secret has {} characters; it must have {min} to {max}", text.len());
        Err(Refusal::new(what).hint(hint))
    } else {
        Ok(text.to_owned())
    }
}
