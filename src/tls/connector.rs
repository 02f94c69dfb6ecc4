//! The handshake with a replica: what it has to show, and what it is shown.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError as Unverified, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::CertificateFiles;
use super::certificate::Certificate;
use super::certificates::modified;
use super::file::{CertificateError, content};
use super::provider;

/// Most bytes of a session that wait to be encrypted or sent.
const BUFFER_LIMIT: usize = 16 * 1024;

/// What sessions with replicas are made with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectorConfig {
    /// The authorities that certificates of replicas are signed by, in PEM; those of the system if none.
    pub authorities: Option<PathBuf>,
    /// The name that their certificates are for; the host of each one's address if none.
    pub server_name: Option<String>,
    /// What replicas are shown, where they ask for a certificate.
    pub identity: Option<CertificateFiles>,
    /// Whether HTTP/2 is agreed on, and not HTTP/1.1.
    pub http2: bool,
}

/// Makes TLS sessions with replicas. Clones are the same. Sessions are resumed.
#[derive(Clone)]
pub struct Connector(Arc<Shared>);

struct Shared {
    provider: Arc<CryptoProvider>,
    /// What the next handshakes go by.
    current: ArcSwap<Made>,
    /// What that was made of.
    source: Mutex<Source>,
}

struct Made {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

struct Source {
    config: ConnectorConfig,
    /// When its files were changed last.
    changed: Vec<Option<SystemTime>>,
}

impl Source {
    fn now(config: &ConnectorConfig) -> Self {
        let identity = config.identity.iter().flat_map(|files| [&files.cert, &files.key]);
        let changed = config.authorities.iter().chain(identity).map(|path| modified(path)).collect();
        Self { config: config.clone(), changed }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Why there is no session with a replica. Each says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The replica ended the connection, or it broke.
    #[error("the TLS handshake broke off: {0}; does the replica speak TLS at this port?")]
    Broken(io::Error),
    /// What came is not TLS.
    #[error("the replica does not speak TLS at this port (--upstream-tls)")]
    NotTls,
    /// Nobody known has signed its certificate.
    #[error(
        "its certificate is signed by no authority that is known: give the certificate of its authority \
         (--upstream-ca)"
    )]
    UnknownIssuer,
    /// Its certificate is for other names.
    #[error(
        "its certificate is not for the name '{0}': give the name that it is for (--upstream-server-name)"
    )]
    WrongName(String),
    /// Its certificate is over.
    #[error("its certificate has expired: renew it at the replica")]
    Expired,
    /// Its certificate is not valid yet.
    #[error("its certificate is not valid yet: check the clocks of both machines")]
    NotYetValid,
    /// Its certificate is bad in another way.
    #[error("its certificate is not valid: {0}")]
    Certificate(String),
    /// It wants a certificate of ours, or another one.
    #[error(
        "the replica refuses our certificate, or that there is none ({0:?}): give one that it takes \
         (--upstream-certificate, --upstream-key)"
    )]
    ClientCertificate(AlertDescription),
    /// It speaks another version of HTTP.
    #[error("the replica does not agree on {}", .0)]
    Protocol(&'static str),
    /// The name is none that a certificate can be for.
    #[error("'{0}' is no name of a server: give the name in its certificate (--upstream-server-name)")]
    Name(String),
    /// Something else.
    #[error("no TLS session: {0}")]
    Tls(rustls::Error),
}

impl Connector {
    /// With the files of a configuration.
    ///
    /// # Errors
    /// One cannot be used, or the system has no authorities.
    pub fn load(config: &ConnectorConfig) -> Result<Self, CertificateError> {
        let provider = Arc::new(provider::default_provider());
        let source = Source::now(config);
        let current = ArcSwap::from_pointee(made(&provider, config)?);
        Ok(Self(Arc::new(Shared { provider, current, source: Mutex::new(source) })))
    }

    /// Goes by another configuration from the next handshake on, reading its files again. What is bad
    /// leaves what was before in force, and is returned.
    ///
    /// # Errors
    /// See [`Connector::load`].
    pub fn reload(&self, config: &ConnectorConfig) -> Result<(), CertificateError> {
        let next = Source::now(config);
        let outcome = made(&self.0.provider, config).map(|made| self.0.current.store(Arc::new(made)));
        let mut source = self.lock();
        match &outcome {
            Ok(()) => *source = next,
            // Not looked at again before the files change again.
            Err(_) if source.config == next.config => source.changed = next.changed,
            Err(_) => {}
        }
        outcome
    }

    /// Reads files again that have changed since they were read. `None` where none has.
    pub fn refresh(&self) -> Option<Result<(), CertificateError>> {
        let config = self.lock().config.clone();
        let is_same = Source::now(&config).changed == self.lock().changed;
        (!is_same).then(|| self.reload(&config))
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        self.0.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handshake on `stream`, with the replica at `host`, which may have a port.
    ///
    /// # Errors
    /// See [`ConnectorError`].
    pub async fn connect<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>, ConnectorError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (config, name) = {
            let current = self.0.current.load();
            let name = current.server_name.clone().map_or_else(|| name_of(host), Ok)?;
            (Arc::clone(&current.config), name)
        };
        let is_http2 = config.alpn_protocols == [b"h2"];
        let shown = name.to_str().into_owned();
        let handshake = TlsConnector::from(config)
            .connect_with(name, stream, |session| session.set_buffer_limit(Some(BUFFER_LIMIT)));
        let stream = handshake.await.map_err(|error| classified(error, shown, is_http2))?;
        // A server that knows nothing of ALPN speaks HTTP/1.1.
        if is_http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(ConnectorError::Protocol(no_protocol(true)));
        }
        Ok(stream)
    }
}

fn no_protocol(http2: bool) -> &'static str {
    if http2 { "HTTP/2 over TLS (--upstream-http h2)" } else { "HTTP/1.1 over TLS (--upstream-http h1)" }
}

/// The name of a server that is given as `host:port`.
fn name_of(host: &str) -> Result<ServerName<'static>, ConnectorError> {
    let bare = super::session::without_port(host);
    ServerName::try_from(bare.to_owned()).map_err(|_| ConnectorError::Name(bare.to_owned()))
}

fn made(provider: &Arc<CryptoProvider>, config: &ConnectorConfig) -> Result<Made, CertificateError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(CertificateError::Provider)?
        .with_root_certificates(roots(config)?);
    let mut made = match &config.identity {
        None => builder.with_no_client_auth(),
        Some(files) => {
            // What is wrong with it is told as of any other certificate.
            Certificate::read(files, provider)?;
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content(&files.cert)?).collect();
            let chain = chain.map_err(|_| CertificateError::NoCertificate(files.cert.clone()))?;
            let key = PrivateKeyDer::from_pem_slice(&content(&files.key)?)
                .map_err(|_| CertificateError::NoKey(files.key.clone()))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| CertificateError::Key {
                path: files.key.clone(),
                reason: error.to_string(),
            })?
        }
    };
    made.alpn_protocols = vec![if config.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    let name = config.server_name.as_ref().map(|name| {
        ServerName::try_from(name.clone()).map_err(|_| CertificateError::ServerName(name.clone()))
    });
    Ok(Made { config: Arc::new(made), server_name: name.transpose()? })
}

fn roots(config: &ConnectorConfig) -> Result<RootCertStore, CertificateError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &config.authorities {
        for der in CertificateDer::pem_slice_iter(&content(path)?) {
            let added = der.ok().and_then(|der| roots.add(der).ok());
            added.ok_or_else(|| CertificateError::Malformed(path.clone()))?;
        }
        return if roots.is_empty() { Err(CertificateError::NoCertificate(path.clone())) } else { Ok(roots) };
    }
    // Of a system's many some are often odd; what counts is that there are others.
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "none were found".to_owned(), ToString::to_string);
        return Err(CertificateError::NoSystemRoots(why));
    }
    Ok(roots)
}

fn inner(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// The replica refuses our certificate.
fn refusal(error: &rustls::Error) -> Option<ConnectorError> {
    use AlertDescription as Alert;
    match error {
        rustls::Error::AlertReceived(
            alert @ (Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::DecryptError
            | Alert::AccessDenied),
        ) => Some(ConnectorError::ClientCertificate(*alert)),
        _ => None,
    }
}

impl ConnectorError {
    /// What an error on the stream of a session means for TLS, if it does: with TLS 1.3 a replica may refuse
    /// our certificate when the session is there already.
    pub fn of_stream(error: &io::Error) -> Option<Self> {
        refusal(inner(error)?)
    }
}

fn classified(error: io::Error, name: String, http2: bool) -> ConnectorError {
    let Some(tls) = inner(&error) else { return ConnectorError::Broken(error) };
    if let Some(refusal) = refusal(tls) {
        return refusal;
    }
    match tls {
        rustls::Error::InvalidCertificate(why) => match why {
            // Signed by somebody of the same name as one that is known.
            Unverified::UnknownIssuer | Unverified::BadSignature => ConnectorError::UnknownIssuer,
            Unverified::NotValidForName | Unverified::NotValidForNameContext { .. } => {
                ConnectorError::WrongName(name)
            }
            Unverified::Expired | Unverified::ExpiredContext { .. } => ConnectorError::Expired,
            Unverified::NotValidYet | Unverified::NotValidYetContext { .. } => ConnectorError::NotYetValid,
            other => ConnectorError::Certificate(other.to_string()),
        },
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            ConnectorError::Protocol(no_protocol(http2))
        }
        rustls::Error::InvalidMessage(_) => ConnectorError::NotTls,
        other => ConnectorError::Tls(other.clone()),
    }
}
