//! What is sent in place of hyper's refusal of bytes that are no request.
//!
//! hyper answers them itself, with an empty response, and tells nobody before. So its response is
//! replaced by one of ours on its way out, counted and logged.

use bytes::Bytes;
use http::Response;

use super::connection::Connection;
use super::entrance;
use super::error::Failure;
use super::record::RequestRecord;

/// A response that is being sent.
#[derive(Debug)]
pub(crate) struct Refusal {
    bytes: Vec<u8>,
    sent: usize,
}

impl Refusal {
    /// Ours in place of `theirs`, a whole head, on this connection. Counts it.
    pub(crate) fn instead_of(theirs: &[u8], connection: &Connection) -> Self {
        let failure = match theirs.get("HTTP/1.1 ".len()..).and_then(|rest| rest.get(..3)) {
            Some(b"431") => Failure::HeadTooLarge,
            Some(b"414") => Failure::TargetTooLong,
            _ if connection.began_with_tls() => Failure::TlsOnPlainPort,
            _ if connection.began_like_proxy_header() => {
                entrance::refuse_stranger(&connection.worker, connection.peer);
                Failure::UnknownProxy
            }
            _ => Failure::NotHttp,
        };
        let response = failure.to_response();
        tracing::debug!(peer = %connection.peer, %failure, status = response.status().as_u16(), "refused");
        let reason = failure.reason();
        RequestRecord::refused(&connection.worker, connection.peer, response.status().as_u16(), reason);
        let date = theirs.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"date: "));
        Self { bytes: on_wire(&response, date), sent: 0 }
    }

    /// What is still to be sent.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// So many bytes more are sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }
}

/// A response as it is sent, with a line that tells the date, if there is one.
pub(crate) fn on_wire(response: &Response<Bytes>, date: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if let Some(date) = date {
        bytes.extend_from_slice(date);
        bytes.push(b'\n');
    }
    let body = response.body();
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}
