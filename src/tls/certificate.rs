//! One certificate: read, checked against its key, and asked which hosts it is for.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::CertificateFiles;

/// Largest file that is read, in bytes: a wrong path does no harm.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// How long a certificate that was made up is valid.
const SELF_SIGNED_DAYS: i64 = 30;

/// A certificate with its key.
#[derive(Debug)]
pub struct Certificate {
    /// Chain and key, as the handshake needs them.
    pub(super) key: Arc<CertifiedKey>,
    /// Hosts that it is for, in lower case: names, names that begin with `*.`, addresses.
    names: Vec<String>,
    not_after: SystemTime,
}

/// Why there is no certificate. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file of the certificate has none.
    #[error("{} has no certificate: it must be PEM, with BEGIN CERTIFICATE", _0.display())]
    NoCertificate(PathBuf),
    /// The file of the key has none.
    #[error("{} has no private key: it must be PEM, without a password", _0.display())]
    NoKey(PathBuf),
    /// The certificate is not well formed.
    #[error("the certificate in {} is not valid X.509", _0.display())]
    Malformed(PathBuf),
    /// Key and certificate do not belong together.
    #[error("the key in {} is not that of the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// File of the key.
        key: PathBuf,
        /// File of the certificate.
        cert: PathBuf,
    },
    /// The key is of a kind that cannot be used.
    #[error("the key in {} cannot be used: {reason}", path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It has expired.
    #[error("the certificate in {} expired {} ago", path.display(), humantime::format_duration(*ago))]
    Expired {
        /// Which.
        path: PathBuf,
        /// How long ago.
        ago: Duration,
    },
    /// TLS itself cannot be set up.
    #[error("TLS cannot be set up: {0}; please report this")]
    Provider(rustls::Error),
    /// A name that no certificate can be for.
    #[error("'{0}' is not the name of a server: give a host name or an address")]
    ServerName(String),
    /// The system knows no authorities.
    #[error("this system has no authorities to verify replicas by: {0}; give their certificates in a file")]
    NoSystemRoots(String),
    /// None can be made up.
    #[error("a self-signed certificate cannot be made: {0}")]
    SelfSigned(String),
}

impl Certificate {
    /// Reads a certificate. One that has expired is read like any other: see [`Certificate::expired`].
    pub fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Self, CertificateError> {
        let CertificateFiles { cert, key } = files;
        let chain = CertificateDer::pem_slice_iter(&content(cert)?).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| CertificateError::NoCertificate(cert.clone()))?;
        let private = PrivateKeyDer::from_pem_slice(&content(key)?)
            .map_err(|_| CertificateError::NoKey(key.clone()))?;
        Self::new(chain, private, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                CertificateError::Mismatch { key: key.clone(), cert: cert.clone() }
            }
            rustls::Error::InvalidCertificate(_) => CertificateError::Malformed(cert.clone()),
            error => CertificateError::Key { path: key.clone(), reason: error.to_string() },
        })
    }

    /// Makes one up that nobody has signed, for `localhost` and this machine's loopback addresses.
    pub fn self_signed(provider: &CryptoProvider) -> Result<Self, CertificateError> {
        let failed = |error: rcgen::Error| CertificateError::SelfSigned(error.to_string());
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = rcgen::CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name.push(rcgen::DnType::CommonName, "ringherd, self-signed");
        params.not_before = time::OffsetDateTime::now_utc() - time::Duration::DAY;
        params.not_after = params.not_before + time::Duration::days(SELF_SIGNED_DAYS + 1);
        let key = rcgen::KeyPair::generate().map_err(failed)?;
        let cert = params.self_signed(&key).map_err(failed)?;
        let private = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| CertificateError::SelfSigned(error.to_owned()))?;
        Self::new(vec![cert.der().clone()], private, provider)
            .map_err(|error| CertificateError::SelfSigned(error.to_string()))
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Self, rustls::Error> {
        let malformed = || rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding);
        let (names, not_after) = facts(chain.first().ok_or_else(malformed)?).ok_or_else(malformed)?;
        let key = Arc::new(CertifiedKey::from_der(chain, key, provider)?);
        Ok(Self { key, names, not_after })
    }

    /// Hosts that it is for.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// When it expires.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// How long ago it expired, if it has.
    pub fn expired(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(self.not_after).ok().filter(|ago| !ago.is_zero())
    }

    /// Whether it is for `host`, which has no port. A `*` stands for one label.
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(suffix) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(suffix)),
            None => name.eq_ignore_ascii_case(host),
        })
    }
}

/// Names and end of a certificate; `None` if it is not one.
fn facts(der: &CertificateDer<'_>) -> Option<(Vec<String>, SystemTime)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    let alternatives = certificate.subject_alternative_name().ok()?;
    let names = alternatives.into_iter().flat_map(|extension| &extension.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    Some((names.collect(), UNIX_EPOCH + Duration::from_secs(seconds)))
}

/// An address of a certificate, as text.
fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(bytes).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string())
}

pub(super) fn content(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
        }
        Ok(bytes)
    };
    read().map_err(|source| CertificateError::Read { path: path.to_owned(), source })
}
