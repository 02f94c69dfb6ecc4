//! One certificate: read, checked against its key, and asked which hosts it is for.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::CertificateFiles;
use super::file::{CertificateError, content};
use super::staple::Staple;

/// How long a certificate that was made up is valid.
const SELF_SIGNED_DAYS: i64 = 30;

/// A certificate with its key.
#[derive(Debug)]
pub struct Certificate {
    /// Chain and key, as the handshake needs them.
    key: Arc<CertifiedKey>,
    /// The same with what its authority says of it, and until when that counts.
    stapled: Option<(Arc<CertifiedKey>, Staple)>,
    /// Hosts that it is for, in lower case: names, names that begin with `*.`, addresses.
    names: Vec<String>,
    not_after: SystemTime,
}

impl Certificate {
    /// Reads a certificate. One that has expired is read like any other: see [`Certificate::expired`].
    pub fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Self, CertificateError> {
        let CertificateFiles { cert, key, ocsp } = files;
        let chain = CertificateDer::pem_slice_iter(&content(cert)?).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| CertificateError::NoCertificate(cert.clone()))?;
        let private = PrivateKeyDer::from_pem_slice(&content(key)?)
            .map_err(|_| CertificateError::NoKey(key.clone()))?;
        let serial = chain.first().and_then(serial).unwrap_or_default();
        let mut certificate = Self::new(chain, private, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                CertificateError::Mismatch { key: key.clone(), cert: cert.clone() }
            }
            rustls::Error::InvalidCertificate(_) => CertificateError::Malformed(cert.clone()),
            error => CertificateError::Key { path: key.clone(), reason: error.to_string() },
        })?;
        if let Some(path) = ocsp {
            let staple = Staple::read(path, &serial)?;
            let mut key = CertifiedKey::clone(&certificate.key);
            key.ocsp = Some(staple.der.clone());
            certificate.stapled = Some((Arc::new(key), staple));
        }
        Ok(certificate)
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
        Ok(Self { key, stapled: None, names, not_after })
    }

    /// Whether it is this one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.key.cert.first() == other.key.cert.first()
    }

    /// What a handshake at this time needs. What its authority said goes with it as long as it counts.
    pub(super) fn key(&self, now: SystemTime) -> Arc<CertifiedKey> {
        let stapled = self.stapled.as_ref().filter(|(_, staple)| staple.expired(now).is_none());
        Arc::clone(stapled.map_or(&self.key, |(key, _)| key))
    }

    /// How long ago what its authority said ceased to count, if it has.
    pub(super) fn staple_expired(&self, now: SystemTime) -> Option<Duration> {
        self.stapled.as_ref().and_then(|(_, staple)| staple.expired(now))
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

/// The serial number of a certificate, as it stands in it.
fn serial(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.raw_serial().to_vec())
}

/// An address of a certificate, as text.
fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(bytes).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string())
}
