//! The handshake with a client.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{self, ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::{AlertDescription, CipherSuite, HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::TlsConfig;
use super::certificates::{Certificates, modified};
use super::client_auth::{self, ClientAuth, ClientAuthConfig};
use super::file::CertificateError;
use super::provider;
use super::session::Session;
use crate::telemetry::{Handshake, HandshakeFailure};

/// Most bytes of a session that wait to be encrypted or sent.
const BUFFER_LIMIT: usize = 16 * 1024;

/// Names of protocols in the handshake (RFC 7301).
const HTTP2: &str = "h2";
const HTTP1: &str = "http/1.1";

/// Makes TLS sessions of connections. Clones are the same.
#[derive(Clone)]
pub struct Acceptor(Arc<Shared>);

/// What handshakes go by. Sessions of any may be resumed with another.
struct Offers {
    /// Offers HTTP/2 and HTTP/1.1.
    http2: Offer,
    /// Offers HTTP/1.1 alone.
    http1: Offer,
}

/// The same twice: as OpenSSL's `PrioritizeChaCha` has it.
struct Offer {
    /// The first of our cipher suites that the client knows is taken.
    by_our_order: Arc<ServerConfig>,
    /// The first of the client's that we know: for those that want `ChaCha20` most, which have no
    /// instructions for AES.
    by_their_order: Arc<ServerConfig>,
}

impl Offer {
    fn for_client(&self, hello: &ClientHello<'_>) -> &Arc<ServerConfig> {
        if wants_chacha(hello.cipher_suites()) { &self.by_their_order } else { &self.by_our_order }
    }
}

/// Whether `ChaCha20` comes before all else. What is no suite may stand before it (RFC 8701).
fn wants_chacha(suites: &[CipherSuite]) -> bool {
    let is_suite = |suite: &&CipherSuite| suite.as_str().is_some();
    suites.iter().find(is_suite).is_some_and(|first| {
        matches!(
            first,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        )
    })
}

struct Shared {
    provider: Arc<CryptoProvider>,
    certificates: Arc<Certificates>,
    /// What the next handshakes go by.
    offers: ArcSwap<Offers>,
    /// What the check of client certificates was made of last.
    client_auth: Mutex<ClientAuthState>,
}

/// A check of client certificates.
struct ClientAuthState {
    config: ClientAuthConfig,
    /// When its file was changed last.
    changed: Option<SystemTime>,
}

impl ClientAuthState {
    fn now(config: &ClientAuthConfig) -> Self {
        let changed = config.authorities.as_deref().and_then(modified);
        Self { config: config.clone(), changed }
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").field("certificates", &self.0.certificates).finish_non_exhaustive()
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
    /// With the certificates of a configuration. `None` where there are none.
    ///
    /// # Errors
    /// One cannot be used.
    pub fn load(config: &TlsConfig) -> Result<Option<Self>, CertificateError> {
        let provider = Arc::new(provider::default_provider());
        let certificates = Certificates::load(config, Arc::clone(&provider))?;
        let Some(certificates) = certificates.map(Arc::new) else { return Ok(None) };
        let client_auth = Mutex::new(ClientAuthState::now(&config.client_auth));
        let offers = offers(&provider, &certificates, &config.client_auth)?;
        let offers = ArcSwap::from_pointee(offers);
        Ok(Some(Self(Arc::new(Shared { provider, certificates, offers, client_auth }))))
    }

    /// The certificates of the sessions.
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.0.certificates
    }

    /// Goes by another configuration from the next handshake on. What is bad by now leaves what was before
    /// in force, and is returned.
    pub fn reload(&self, config: &TlsConfig) -> Vec<CertificateError> {
        let mut problems = self.0.certificates.reload(&config.files);
        problems.extend(self.check_clients_by(ClientAuthState::now(&config.client_auth)));
        problems
    }

    /// Reads those files again that have changed since they were read. `None` where none has.
    pub fn refresh(&self) -> Option<Vec<CertificateError>> {
        let config = self.lock().config.clone();
        let client_auth = ClientAuthState::now(&config);
        let is_same = client_auth.changed == self.lock().changed;
        let mut problems = self.0.certificates.refresh();
        if !is_same {
            problems.get_or_insert_default().extend(self.check_clients_by(client_auth));
        }
        problems
    }

    /// Takes over another check of client certificates, if it is another.
    fn check_clients_by(&self, next: ClientAuthState) -> Option<CertificateError> {
        let mut state = self.lock();
        if state.config == next.config && state.changed == next.changed {
            return None;
        }
        let Shared { provider, certificates, offers: current, .. } = &*self.0;
        match offers(provider, certificates, &next.config) {
            Ok(made) => {
                *state = next;
                current.store(Arc::new(made));
                None
            }
            Err(error) => {
                if state.config == next.config {
                    // Not looked at again before the file changes again.
                    state.changed = next.changed;
                }
                Some(error)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ClientAuthState> {
        self.0.client_auth.lock().unwrap_or_else(PoisonError::into_inner)
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
        let begun = LazyConfigAcceptor::new(server::Acceptor::default(), stream).await.map_err(classified)?;
        let config = {
            let offers = self.0.offers.load();
            let offer = if offers_http2 { &offers.http2 } else { &offers.http1 };
            Arc::clone(offer.for_client(&begun.client_hello()))
        };
        let handshake =
            begun.into_stream_with(config, |session| session.set_buffer_limit(Some(BUFFER_LIMIT)));
        let stream = handshake.await.map_err(classified)?;
        let (_, tls) = stream.get_ref();
        let session = Session {
            certificate: self.0.certificates.find(tls.server_name()),
            server_name: tls.server_name().map(Into::into),
            client: tls.peer_certificates().and_then(|chain| client_auth::subject(chain.first()?)),
            speaks_http2: tls.alpn_protocol() == Some(HTTP2.as_bytes()),
        };
        let handshake = Handshake {
            is_1_3: tls.protocol_version() == Some(ProtocolVersion::TLSv1_3),
            is_resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        };
        Ok(Accepted { stream, session, handshake })
    }
}

/// TLS 1.2 and 1.3, and HTTP/2 or HTTP/1.1 within.
fn offers(
    provider: &Arc<CryptoProvider>,
    certificates: &Arc<Certificates>,
    client_auth: &ClientAuthConfig,
) -> Result<Offers, CertificateError> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(CertificateError::Provider)?;
    let builder = match client_auth.verifier(Arc::clone(provider))? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(certificates) as Arc<dyn ResolvesServerCert>);
    // Keys that live here alone and are replaced every six hours. They outlive reloads of certificates; with
    // another check of clients they are others, because a resumed session is not checked again. Early data
    // stays off: it can be replayed.
    config.ticketer = provider::Ticketer::new().map_err(CertificateError::Provider)?;
    if client_auth.mode != ClientAuth::Off {
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    let offering = |protocols: &[&str]| {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let by_their_order = Arc::new(config.clone());
        config.ignore_client_order = true;
        Offer { by_our_order: Arc::new(config), by_their_order }
    };
    Ok(Offers { http2: offering(&[HTTP2, HTTP1]), http1: offering(&[HTTP1]) })
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
