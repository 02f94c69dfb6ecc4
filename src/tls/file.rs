//! Files of certificates, keys and the like, and what may be wrong with them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest file that is read, in bytes: a wrong path does no harm.
const MAX_FILE_BYTES: u64 = 1 << 20;

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
    /// What is to be stapled to it cannot be.
    #[error("{} {reason}", path.display())]
    Staple {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What is to be stapled to it counts no more.
    #[error("{} counted until {} ago: get a new one", path.display(), humantime::format_duration(*ago))]
    StapleExpired {
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

impl CertificateError {
    /// Whether it is about what is stapled to a certificate, which may be good.
    pub fn is_of_staple(&self) -> bool {
        matches!(self, Self::Staple { .. } | Self::StapleExpired { .. })
    }
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
