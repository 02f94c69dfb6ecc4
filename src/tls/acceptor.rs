//! The handshake with a client.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{AlertDescription, HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::Certificates;
use super::session::Session;
use crate::telemetry::{Handshake, HandshakeFailure};

/// Most bytes of a session that wait to be encrypted or sent.
const BUFFER_LIMIT: usize = 16 * 1024;

/// Names of protocols in the handshake (RFC 7301).
const HTTP2: &str = "h2";
const HTTP1: &str = "http/1.1";

/// Makes TLS sessions of connections. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    /// Offers HTTP/2 and HTTP/1.1.
    http2: TlsAcceptor,
    /// Offers HTTP/1.1 alone. Sessions of either may be resumed with the other.
    http1: TlsAcceptor,
    certificates: Arc<Certificates>,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It took too long.
    #[error("the handshake took longer than --tls-handshake-timeout")]
    Timeout,
    /// The client closed the connection or reset it.
    #[error("the client left: {0}")]
    Left(io::Error),
    /// The client speaks HTTP without TLS.
    #[error("a client speaks HTTP without TLS to the TLS port")]
    PlainHttp,
    /// The client refuses what it got, most often the certificate.
    #[error("the client refuses it: {0:?}")]
    Refused(AlertDescription),
    /// The client has no version, cipher or the like in common with us.
    #[error("nothing in common with the client: {0}")]
    Incompatible(rustls::Error),
    /// What came is not TLS.
    #[error("{0}")]
    Protocol(rustls::Error),
}

impl HandshakeError {
    /// The same in the vocabulary of metrics and logs.
    pub fn failure(&self) -> HandshakeFailure {
        match self {
            Self::Timeout => HandshakeFailure::Timeout,
            Self::Left(_) => HandshakeFailure::ClientLeft,
            Self::PlainHttp => HandshakeFailure::PlainHttp,
            Self::Refused(_) => HandshakeFailure::ClientRefused,
            Self::Incompatible(_) => HandshakeFailure::Incompatible,
            Self::Protocol(_) => HandshakeFailure::Protocol,
        }
    }
}

/// What came of a handshake.
pub struct Accepted<S> {
    /// The stream within the session.
    pub stream: TlsStream<S>,
    /// What was agreed.
    pub session: Session,
    /// For the counters.
    pub handshake: Handshake,
}

impl Acceptor {
    /// With these certificates, TLS 1.2 and 1.3, and HTTP/2 or HTTP/1.1 within.
    ///
    /// # Errors
    /// No keys for session tickets can be made.
    pub fn new(certificates: Arc<Certificates>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let resolver = Arc::clone(&certificates);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        // One for as long as the process lives, so that a reload ends no session. Its keys are replaced
        // every six hours. Early data stays off: it can be replayed.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        let offering = |protocols: &[&str]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
            TlsAcceptor::from(Arc::new(config))
        };
        let (http2, http1) = (offering(&[HTTP2, HTTP1]), offering(&[HTTP1]));
        Ok(Self { http2, http1, certificates })
    }

    /// The certificates of the sessions.
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// The handshake on `stream`, in which HTTP/2 may be agreed on if it `offers_http2`.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        offers_http2: bool,
    ) -> Result<Accepted<S>, HandshakeError> {
        let tls = if offers_http2 { &self.http2 } else { &self.http1 };
        let handshake = tls.accept_with(stream, |session| session.set_buffer_limit(Some(BUFFER_LIMIT)));
        let stream = handshake.await.map_err(classified)?;
        let (_, tls) = stream.get_ref();
        let server_name = tls.server_name().map(Into::into);
        let session = Session {
            certificate: self.certificates.find(tls.server_name()),
            server_name,
            speaks_http2: tls.alpn_protocol() == Some(HTTP2.as_bytes()),
        };
        let handshake = Handshake {
            is_1_3: tls.protocol_version() == Some(ProtocolVersion::TLSv1_3),
            is_resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        };
        Ok(Accepted { stream, session, handshake })
    }
}

fn classified(error: io::Error) -> HandshakeError {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return HandshakeError::Left(error);
    };
    match tls {
        rustls::Error::AlertReceived(alert) => HandshakeError::Refused(*alert),
        rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => {
            HandshakeError::Incompatible(tls.clone())
        }
        _ => HandshakeError::Protocol(tls.clone()),
    }
}
