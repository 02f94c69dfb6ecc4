//! Certificates of clients: which are asked for, and who may have signed them.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificate::{CertificateError, content};

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// They are not.
    #[default]
    Off,
    /// They are, and may have none.
    Optional,
    /// They are, and there is no session without one.
    Required,
}

/// What certificates of clients are checked with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientAuthConfig {
    /// Whether they are asked for.
    pub mode: ClientAuth,
    /// The authorities that may have signed them, in PEM; needed unless the mode is off.
    pub authorities: Option<PathBuf>,
}

impl ClientAuthConfig {
    /// Reads the authorities. `None` where clients are not asked.
    pub(super) fn verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, CertificateError> {
        let Some(path) = self.authorities.as_ref().filter(|_| self.mode != ClientAuth::Off) else {
            return Ok(None);
        };
        let mut roots = RootCertStore::empty();
        for der in CertificateDer::pem_slice_iter(&content(path)?) {
            let added = der.ok().and_then(|der| roots.add(der).ok());
            added.ok_or_else(|| CertificateError::Malformed(path.clone()))?;
        }
        if roots.is_empty() {
            return Err(CertificateError::NoCertificate(path.clone()));
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = match self.mode {
            ClientAuth::Optional => verifier.allow_unauthenticated(),
            ClientAuth::Off | ClientAuth::Required => verifier,
        };
        let verifier = verifier.build().map_err(|_| CertificateError::Malformed(path.clone()))?;
        Ok(Some(verifier))
    }
}

/// The subject of a certificate, as `CN=alice, O=Example` (RFC 4514).
pub(super) fn subject(der: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.subject().to_string())
}
