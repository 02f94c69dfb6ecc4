//! The lines that a replica writes to standard output for the process that started it. They are the
//! whole protocol between a replica and the process runtime.

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The outcome of a start, or an end, as one JSON object on a line of its own, such as
/// `{"listening":"127.0.0.1:40123"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Report {
    /// The replica takes requests at this address.
    Listening(SocketAddr),
    /// The program that runs as the replica has this process id; its address is not reported.
    Running(u32),
    /// The start failed, for this reason.
    Failed(String),
    /// The program has ended with this exit code; others of its process group are being ended.
    Ended(i32),
}

impl Report {
    /// Parses a line without its newline.
    pub fn parse(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }

    /// Writes the line to standard output. Errors are ignored: the reader notices that the report is
    /// missing.
    pub fn send(&self) {
        let mut stdout = std::io::stdout().lock();
        // One write, so that another writer to the same pipe cannot split the line.
        let _ = stdout.write_all(format!("{self}\n").as_bytes());
        let _ = stdout.flush();
    }
}

/// The line, without its newline.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_report_has_its_line() {
        let golden = [
            (Report::Listening("127.0.0.1:40123".parse().unwrap()), r#"{"listening":"127.0.0.1:40123"}"#),
            (Report::Listening("[::1]:80".parse().unwrap()), r#"{"listening":"[::1]:80"}"#),
            (Report::Running(4711), r#"{"running":4711}"#),
            (Report::Failed("no\n\"x\"".into()), r#"{"failed":"no\n\"x\""}"#),
            (Report::Ended(137), r#"{"ended":137}"#),
        ];
        for (report, line) in golden {
            assert_eq!(report.to_string(), line);
            assert_eq!(Report::parse(line).unwrap(), report);
        }
    }

    #[test]
    fn other_lines_are_no_reports() {
        for line in ["", "hello", "{}", r#"{"listening":"nowhere"}"#, r#"{"listening":"1.2.3.4:5"} x"#] {
            assert!(Report::parse(line).is_err(), "{line}");
        }
    }
}
