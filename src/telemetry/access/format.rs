//! What a line of the access log looks like.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;

/// The form of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// The Common Log Format of the NCSA server, which most tools read.
    Common,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// When its head was complete.
    pub time: SystemTime,
    /// Its `X-Request-Id`; empty if it got none.
    pub request_id: Cow<'a, str>,
    /// The trace it belongs to (32 hexadecimal digits); empty if to none.
    pub trace_id: &'a str,
    /// Who sent it.
    pub client: IpAddr,
    /// Method, as sent.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Version of HTTP, as `HTTP/1.1`.
    pub version: &'a str,
    /// Status of the response; 0 if there was none.
    pub status: u16,
    /// Bytes of the response's body, or of what a tunnel received from its replica.
    pub bytes: u64,
    /// Bytes that a tunnel sent to its replica; `None` where there was no tunnel.
    pub sent: Option<u64>,
    /// From its head to the last byte of its response.
    pub duration: Duration,
    /// From sending it to the head of the replica's response.
    pub upstream: Option<Duration>,
    /// Of connecting to the replica, if that was needed.
    pub connect: Option<Duration>,
    /// Replicas it was tried at, with repetition.
    pub attempts: u32,
    /// Name of the pool that its route leads to; empty if no route has decided it.
    pub pool: &'a str,
    /// Name of the one that answered, or failed last; empty if there was none.
    pub replica: &'a str,
    /// The slot of its key.
    pub slot: Option<u32>,
    /// Whether the slot's owner was passed over for having its share of the load.
    pub spilled: bool,
    /// Why it got no whole response from a replica; empty if it did.
    pub reason: &'a str,
}

/// Durations are in seconds, as everywhere in metrics.
#[derive(Serialize)]
struct Json<'a> {
    time: String,
    request_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_id: &'a str,
    client: IpAddr,
    method: &'a str,
    path: &'a str,
    status: u16,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<u64>,
    duration: f64,
    upstream: Option<f64>,
    connect: Option<f64>,
    attempts: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    pool: &'a str,
    replica: &'a str,
    slot: Option<u32>,
    spilled: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
}

impl Format {
    /// The line, with its end. Control characters are escaped: no client can begin a line of its
    /// own, or speak to the terminal of who reads it.
    pub(super) fn line(self, line: &Line<'_>) -> String {
        let mut text = match self {
            Self::Json => json(line),
            Self::Common => common(line),
        };
        text.push('\n');
        text
    }
}

fn json(line: &Line<'_>) -> String {
    let json = Json {
        time: humantime::format_rfc3339_micros(line.time).to_string(),
        request_id: &line.request_id,
        trace_id: line.trace_id,
        client: line.client,
        method: line.method,
        path: line.path,
        status: line.status,
        bytes: line.bytes,
        sent: line.sent,
        duration: seconds(line.duration),
        upstream: line.upstream.map(seconds),
        connect: line.connect.map(seconds),
        attempts: line.attempts,
        pool: line.pool,
        replica: line.replica,
        slot: line.slot,
        spilled: line.spilled,
        reason: line.reason,
    };
    let text = serde_json::to_string(&json).expect("numbers and strings are JSON");
    // JSON escapes what is below a space only.
    escaped(&text, char::is_control)
}

/// `host ident user [time] "request" status bytes`.
fn common(line: &Line<'_>) -> String {
    let request = format!("{} {} {}", line.method, line.path, line.version);
    let request = escaped(&request, |c| c.is_control() || c == '"' || c == '\\');
    let status = if line.status == 0 { "-".to_owned() } else { line.status.to_string() };
    let bytes = if line.bytes == 0 { "-".to_owned() } else { line.bytes.to_string() };
    format!("{} - - [{}] \"{request}\" {status} {bytes}", line.client, clf_time(line.time))
}

/// As `10/Oct/2000:13:55:36 +0000`; cut from RFC 3339, so that the calendar is a library's.
fn clf_time(time: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = humantime::format_rfc3339_seconds(time).to_string();
    let month = text.get(5..7).and_then(|month| month.parse::<usize>().ok()).unwrap_or(1);
    let part = |range| text.get(range).unwrap_or_default();
    format!("{}/{}/{}:{} +0000", part(8..10), MONTHS[(month - 1) % 12], part(0..4), part(11..19))
}

fn seconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}

/// `text` with each character that `is_special` as `\u` and four hexadecimal digits, which is how
/// JSON has it; such a character is below U+10000.
fn escaped(text: &str, is_special: impl Fn(char) -> bool) -> String {
    if !text.contains(&is_special) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 16), |mut escaped, c| {
        if is_special(c) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    fn line<'a>(method: &'a str, path: &'a str) -> Line<'a> {
        Line {
            time: UNIX_EPOCH + Duration::from_micros(971_186_136_000_250),
            request_id: "7".into(),
            trace_id: "",
            client: [127, 0, 0, 1].into(),
            method,
            path,
            version: "HTTP/1.1",
            status: 200,
            bytes: 2326,
            sent: None,
            duration: Duration::from_micros(1_500),
            upstream: Some(Duration::from_micros(1_200)),
            connect: None,
            attempts: 1,
            pool: "",
            replica: "Server 1",
            slot: Some(4),
            spilled: false,
            reason: "",
        }
    }

    #[test]
    fn json_lines() {
        assert_eq!(
            Format::Json.line(&line("GET", "/a?b")),
            concat!(
                r#"{"time":"2000-10-10T13:55:36.000250Z","request_id":"7","client":"127.0.0.1","method":"GET","#,
                r#""path":"/a?b","status":200,"bytes":2326,"duration":0.0015,"upstream":0.0012,"connect":null,"#,
                r#""attempts":1,"replica":"Server 1","slot":4,"spilled":false}"#,
                "\n"
            )
        );
    }

    #[test]
    fn the_line_of_a_tunnel_has_the_bytes_of_both_ways() {
        let tunnel = Line { status: 101, sent: Some(7), ..line("GET", "/a") };
        assert!(Format::Json.line(&tunnel).contains(r#""status":101,"bytes":2326,"sent":7,"duration""#));
    }

    #[test]
    fn common_lines() {
        assert_eq!(
            Format::Common.line(&line("GET", "/a\"b")),
            "127.0.0.1 - - [10/Oct/2000:13:55:36 +0000] \"GET /a\\u0022b HTTP/1.1\" 200 2326\n"
        );
        let none = Line { status: 0, bytes: 0, ..line("GET", "/") };
        assert!(Format::Common.line(&none).ends_with("\"GET / HTTP/1.1\" - -\n"));
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_is_one_line_that_reads_back(
            method in any::<String>(), path in any::<String>(), id in any::<String>(),
        ) {
            let line = Line { request_id: id.as_str().into(), ..line(&method, &path) };
            for format in [Format::Json, Format::Common] {
                let text = format.line(&line);
                let text = text.strip_suffix('\n').expect("a whole line");
                prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
            }
            let json: serde_json::Value = serde_json::from_str(&Format::Json.line(&line)).expect("JSON");
            prop_assert_eq!(&json["method"], method.as_str());
            prop_assert_eq!(&json["path"], path.as_str());
            prop_assert_eq!(&json["request_id"], id.as_str());
        }
    }
}
