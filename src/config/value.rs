//! From the text of one value to its type, within bounds. Knows no setting by name.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use super::setting::Kind;
use super::words;
use crate::control::BoundedLoad;
use crate::telemetry::access::Destination;

/// Why a value is refused: what is wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

impl Refusal {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn must_be(kind: &Kind) -> Self {
        Self::new(format!("must be {kind}"))
    }
}

/// Anything with a parser of its own.
pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|error: T::Err| Refusal::new(error.to_string()))
}

/// One of the words of a [`Kind::Choice`].
pub(super) fn choice(kind: &Kind, text: &str) -> Result<&'static str, Refusal> {
    let Kind::Choice(words) = kind else { return Err(Refusal::must_be(kind)) };
    let found = words.iter().find(|word| **word == text);
    found.copied().ok_or_else(|| {
        let refusal = Refusal::must_be(kind);
        match super::suggest::nearest(text, words.iter().copied()) {
            Some(word) => refusal.hint(format!("did you mean {word:?}?")),
            None => refusal,
        }
    })
}

/// Where lines are written to; `None` for nowhere.
pub(super) fn destination(text: &str) -> Result<Option<Destination>, Refusal> {
    match text {
        "off" => Ok(None),
        "stdout" => Ok(Some(Destination::Stdout)),
        "on" | "true" | "stderr" | "-" => {
            Err(Refusal::must_be(&Kind::Destination).hint(format!("for a file of that name write ./{text}")))
        }
        path => Ok(Some(Destination::File(path.into()))),
    }
}

/// A whole number within the bounds of a [`Kind::Integer`].
pub(super) fn integer(kind: &Kind, text: &str) -> Result<u64, Refusal> {
    let Kind::Integer { min, max, .. } = *kind else { return Err(Refusal::must_be(kind)) };
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && (min..=max).contains(&number) => Ok(number),
        _ if text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(char::is_alphabetic) => {
            Err(Refusal::must_be(kind).hint("write the number alone, without a unit"))
        }
        _ => Err(Refusal::must_be(kind)),
    }
}

/// A number within the bounds of a [`Kind::Number`].
pub(super) fn number(kind: &Kind, text: &str) -> Result<f64, Refusal> {
    let Kind::Number { min, max } = *kind else { return Err(Refusal::must_be(kind)) };
    match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(Refusal::must_be(kind)),
    }
}

/// A length of time within the bounds of a [`Kind::Duration`].
pub(super) fn duration(kind: &Kind, text: &str) -> Result<Duration, Refusal> {
    let Kind::Duration { min, max } = *kind else { return Err(Refusal::must_be(kind)) };
    if text.parse::<f64>().is_ok_and(f64::is_finite) {
        let hint = format!("add one, as in {text}ms or {text}s");
        return Err(Refusal::new(format!("has no unit; must be {kind}")).hint(hint));
    }
    match humantime::parse_duration(text) {
        Ok(duration) if (min..=max).contains(&duration) => Ok(duration),
        Ok(_) => Err(Refusal::must_be(kind)),
        Err(_) => Err(Refusal::must_be(kind).hint("write a number with a unit, such as 500ms, 1s or 2m")),
    }
}

/// `auto`, `off`, or a factor within the bounds of a [`Kind::Factor`].
pub(super) fn factor(kind: &Kind, text: &str) -> Result<BoundedLoad, Refusal> {
    let Kind::Factor { min, max } = *kind else { return Err(Refusal::must_be(kind)) };
    match text {
        "auto" => Ok(BoundedLoad::Auto),
        "off" => Ok(BoundedLoad::Off),
        _ => match text.parse() {
            Ok(factor) if (min..=max).contains(&factor) => Ok(BoundedLoad::Factor(factor)),
            _ => Err(Refusal::must_be(kind)),
        },
    }
}

/// An address to listen on. Names are not looked up: what is bound must not depend on DNS.
pub(super) fn address(text: &str) -> Result<SocketAddr, Refusal> {
    let port = |port: &str| port.parse::<u16>().is_ok();
    text.parse().map_err(|_| {
        let refusal = Refusal::must_be(&Kind::Address);
        match text.rsplit_once(':') {
            Some(("" | "*", p)) if port(p) => refusal.hint(format!("for all addresses write 0.0.0.0:{p}")),
            Some(("localhost", p)) if port(p) => refusal.hint(format!("write 127.0.0.1:{p}")),
            None if port(text) => refusal.hint(format!("write 127.0.0.1:{text}")),
            _ if text.parse::<std::net::IpAddr>().is_ok() => refusal.hint("add the port"),
            _ => refusal.hint("as in 127.0.0.1:5000 or [::1]:5000"),
        }
    })
}

/// The address of a replica: a name or an IP address (version 6 in brackets), and a port.
pub(super) fn endpoint(text: &str) -> Result<String, Refusal> {
    let refusal = || Refusal::new("must be HOST:PORT").hint("as in 10.0.0.7:8080 or [::1]:8080");
    let (host, port) = text.rsplit_once(':').ok_or_else(refusal)?;
    let port_is_good = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host(host),
    };
    if port_is_good && host_is_good { Ok(text.to_owned()) } else { Err(refusal()) }
}

/// A host name, in lower case: names are the same whatever their case.
pub(super) fn host(text: &str) -> Result<String, Refusal> {
    if is_host(text) {
        return Ok(text.to_ascii_lowercase());
    }
    let refusal = Refusal::new("must be a host name, of letters, digits, '-' and '.'");
    Err(if text.contains(':') { refusal.hint("leave out scheme and port") } else { refusal })
}

/// Labels of 1 to 63 letters, digits, inner `-`, and `_` (which containers have), 253 in all.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// The path of a URL, query included.
pub(super) fn url_path(text: &str) -> Result<String, Refusal> {
    let visible = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if text.starts_with('/') && visible && http::uri::PathAndQuery::try_from(text).is_ok() {
        return Ok(text.to_owned());
    }
    let refusal = Refusal::must_be(&Kind::UrlPath);
    Err(if text.starts_with('/') { refusal } else { refusal.hint("as in /heartbeat") })
}

/// A command line whose first word is a program and which says where the port goes.
pub(super) fn command(text: &str) -> Result<Vec<String>, Refusal> {
    let words = command_in_container(text)?;
    if !words[1..].iter().any(|word| word.contains("{port}")) {
        let hint = "write {port} where the program is told its port, as in \"python3 -m http.server {port}\"";
        return Err(Refusal::new("has no {port} among its arguments").hint(hint));
    }
    Ok(words)
}

/// A command line whose first word is a program. In a container each has the port to itself, and
/// the program may know it already.
pub(super) fn command_in_container(text: &str) -> Result<Vec<String>, Refusal> {
    let words = words::split(text)
        .map_err(|error| Refusal::new(error.to_string()).hint("quote it as for a shell"))?;
    if words.first().is_none_or(String::is_empty) {
        return Err(Refusal::new("names no program"));
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err(Refusal::new("contains a NUL character, which no argument can"));
    }
    Ok(words)
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
