//! A client: what the requests on its connection share.

use std::net::SocketAddr;
use std::rc::Rc;

use http::HeaderValue;

use super::progress::Progress;
use super::state::Worker;

/// A client, as the requests on its connection need it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    pub(crate) progress: Rc<Progress>,
    pub(crate) peer: SocketAddr,
    /// The peer's address as text, made once: it goes into `X-Forwarded-For` of each request.
    pub(crate) address_text: HeaderValue,
    /// The same as a routing key.
    pub(crate) address_key: u64,
}
