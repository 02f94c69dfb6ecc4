//! Certificates of clients: which are asked for, and who may have signed them.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::file::{CertificateError, content};

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

/// The subject of a certificate, as `CN=alice, O=Example`, in its own order and with the escapes of RFC 4514:
/// what a value holds must not look like another part. `None` where it cannot be told so.
pub(super) fn subject(der: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut text = String::new();
    for (i, part) in certificate.subject().iter().enumerate() {
        for (j, attribute) in part.iter().enumerate() {
            text.push_str(match (i, j) {
                (0, 0) => "",
                (_, 0) => ", ",
                _ => "+",
            });
            match oid2abbrev(attribute.attr_type(), oid_registry()) {
                Ok(name) => text.push_str(name),
                Err(_) => text.push_str(&attribute.attr_type().to_id_string()),
            }
            text.push('=');
            push_escaped(&mut text, attribute.as_str().ok()?);
        }
    }
    Some(text)
}

/// Appends a value as RFC 4514 has it in section 2.4.
fn push_escaped(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '=' | '\\' => text.extend(['\\', character]),
            '#' | ' ' if index == 0 => text.extend(['\\', character]),
            ' ' if index == last => text.push_str("\\ "),
            '\u{0}'..='\u{1f}' | '\u{7f}' => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\{:02x}", u32::from(character));
            }
            character => text.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject_of(parts: &[(rcgen::DnType, &str)]) -> Option<String> {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        subject(params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der())
    }

    #[test]
    fn a_value_never_looks_like_another_part() {
        use rcgen::DnType::{CommonName, OrganizationName};
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(
            subject_of(&[(CommonName, "alice"), (OrganizationName, "Example")]),
            is("CN=alice, O=Example")
        );
        assert_eq!(subject_of(&[(CommonName, "alice, O=Admins")]), is("CN=alice\\, O\\=Admins"));
        assert_eq!(subject_of(&[(CommonName, " #a\\+b\n ")]), is("CN=\\ #a\\\\\\+b\\0a\\ "));
        assert_eq!(subject_of(&[]), is(""));
    }
}
