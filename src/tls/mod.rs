//! TLS towards clients: certificates, which of them a client gets, and the handshake. And towards replicas:
//! [`Connector`] checks who they are.
//!
//! Knows nothing of HTTP. [`Certificates`] holds what the files had when they were read last, and
//! reads them again; a file that is bad by then leaves the certificate before in force. [`ClientAuth`] says
//! whether clients need one. [`Acceptor`] makes a byte stream of a connection, with a [`Session`] that says which names it is for.

mod acceptor;
mod certificate;
mod certificates;
mod client_auth;
mod connector;
mod file;
pub(crate) mod provider;
mod session;
mod staple;

use std::path::PathBuf;

pub use acceptor::{Accepted, Acceptor, HandshakeError};
pub use certificate::Certificate;
pub use certificates::{Certificates, Report};
pub use client_auth::{ClientAuth, ClientAuthConfig};
pub use connector::{Connector, ConnectorConfig, ConnectorError};
pub use file::CertificateError;
pub use session::Session;
/// The stream within a session with a replica.
pub use tokio_rustls::client::TlsStream as ReplicaStream;

/// Files of one certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and those between it and its authority, in PEM, its own first.
    pub cert: PathBuf,
    /// Its private key, in PEM: PKCS #8, PKCS #1 or SEC1, without a password.
    pub key: PathBuf,
    /// What its authority says of it (OCSP, in DER), to be sent with it.
    pub ocsp: Option<PathBuf>,
}

/// Which certificates there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Those of files. The first is for clients that name no host, or one that none is for.
    pub files: Vec<CertificateFiles>,
    /// Whether one is made up at the start, for `localhost`, to try things out. It comes last.
    pub self_signed: bool,
    /// Whether clients need one.
    pub client_auth: ClientAuthConfig,
}
