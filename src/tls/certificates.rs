//! The certificates in force, by the hosts that they are for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::{Certificate, CertificateError};
use super::{CertificateFiles, TlsConfig};

/// The certificates in force. Handshakes read them without a lock.
#[derive(Debug)]
pub struct Certificates {
    provider: Arc<CryptoProvider>,
    table: ArcSwap<Table>,
    /// What they were read from, and what came of it last. Touched by whoever reads files.
    sources: Mutex<Vec<SourceState>>,
    self_signed: Option<Arc<Certificate>>,
}

/// Files, what they gave, and whether they still do.
#[derive(Debug)]
struct SourceState {
    files: CertificateFiles,
    certificate: Arc<Certificate>,
    /// Why what the files have now is not in force.
    problem: Option<String>,
    /// When the files were changed last, as far as that is known.
    changed: [Option<SystemTime>; 2],
}

/// A certificate as users see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The file, or `self-signed`.
    pub source: String,
    /// Hosts that it is for.
    pub names: Vec<String>,
    /// When it expires.
    pub not_after: SystemTime,
    /// Why what the files have now is not in force, if it is not.
    pub problem: Option<String>,
}

/// By host.
#[derive(Debug)]
struct Table {
    exact: HashMap<String, Arc<Certificate>>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Arc<Certificate>>,
    /// For clients that name no host, or one that none is for.
    first: Arc<Certificate>,
}

impl Certificates {
    /// Reads all. `None` where there are none. One that has expired is taken, and said to be.
    pub fn load(config: &TlsConfig, provider: Arc<CryptoProvider>) -> Result<Option<Self>, CertificateError> {
        let read = |files: &CertificateFiles| {
            let certificate = Certificate::read(files, &provider)?;
            if let Some(error) = expired(files, &certificate) {
                tracing::warn!(%error, "a certificate has expired; clients will refuse it");
            }
            Ok(SourceState {
                files: files.clone(),
                certificate: Arc::new(certificate),
                problem: None,
                changed: changed(files),
            })
        };
        let sources = config.files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let self_signed = config.self_signed.then(|| Certificate::self_signed(&provider)).transpose()?;
        let self_signed = self_signed.map(Arc::new);
        let Some(table) = Table::of(&sources, self_signed.as_ref()) else { return Ok(None) };
        let table = ArcSwap::from_pointee(table);
        Ok(Some(Self { provider, table, sources: Mutex::new(sources), self_signed }))
    }

    /// Reads the files of another configuration. What is bad by now, or has expired, leaves the certificate
    /// that these files gave before in force; files that gave none before are left out. Returns what was
    /// bad. Without any certificate left, all stay as they are.
    pub fn reload(&self, files: &[CertificateFiles]) -> Vec<CertificateError> {
        let mut problems = Vec::new();
        let mut sources = self.lock();
        let mut next = Vec::with_capacity(files.len());
        for files in files {
            let before = sources.iter().find(|source| source.files == *files);
            let (certificate, problem) = match self.read_unexpired(files) {
                Ok(certificate) => (Some(Arc::new(certificate)), None),
                Err(error) => {
                    let text = error.to_string();
                    problems.push(error);
                    (before.map(|source| Arc::clone(&source.certificate)), Some(text))
                }
            };
            let changed = changed(files);
            let source = |certificate| SourceState { files: files.clone(), certificate, problem, changed };
            next.extend(certificate.map(source));
        }
        if let Some(table) = Table::of(&next, self.self_signed.as_ref()) {
            self.table.store(Arc::new(table));
            *sources = next;
        }
        problems
    }

    /// Reads those files again that have changed since they were read. `None` where none has.
    pub fn refresh(&self) -> Option<Vec<CertificateError>> {
        let files: Vec<CertificateFiles> = {
            let sources = self.lock();
            if sources.iter().all(|source| changed(&source.files) == source.changed) {
                return None;
            }
            sources.iter().map(|source| source.files.clone()).collect()
        };
        Some(self.reload(&files))
    }

    /// All of them, in order.
    pub fn reports(&self) -> Vec<Report> {
        let sources = self.lock();
        let of_files = sources.iter().map(|source| Report {
            source: source.files.cert.display().to_string(),
            names: source.certificate.names().to_vec(),
            not_after: source.certificate.not_after(),
            problem: source.problem.clone(),
        });
        let own = self.self_signed.iter().map(|certificate| Report {
            source: "self-signed".to_owned(),
            names: certificate.names().to_vec(),
            not_after: certificate.not_after(),
            problem: None,
        });
        of_files.chain(own).collect()
    }

    /// The certificate for a host.
    pub(super) fn find(&self, host: Option<&str>) -> Arc<Certificate> {
        self.table.load().find(host)
    }

    fn read_unexpired(&self, files: &CertificateFiles) -> Result<Certificate, CertificateError> {
        let certificate = Certificate::read(files, &self.provider)?;
        match expired(files, &certificate) {
            Some(error) => Err(error),
            None => Ok(certificate),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<SourceState>> {
        // What a panicking thread left is whole: it is replaced in one assignment.
        self.sources.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.find(hello.server_name()).key))
    }
}

impl Table {
    /// `None` if there is no certificate at all.
    fn of(sources: &[SourceState], self_signed: Option<&Arc<Certificate>>) -> Option<Self> {
        let certificates: Vec<&Arc<Certificate>> =
            sources.iter().map(|source| &source.certificate).chain(self_signed).collect();
        let first = Arc::clone(certificates.first()?);
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for certificate in certificates {
            for name in certificate.names() {
                // Where two are for one host, the one that stands first.
                match name.strip_prefix("*.") {
                    Some(suffix) => wildcard.entry(suffix.to_owned()),
                    None => exact.entry(name.clone()),
                }
                .or_insert_with(|| Arc::clone(certificate));
            }
        }
        Some(Self { exact, wildcard, first })
    }

    fn find(&self, host: Option<&str>) -> Arc<Certificate> {
        let found = host.map(str::to_ascii_lowercase).and_then(|host| {
            let wildcard = || self.wildcard.get(host.split_once('.')?.1);
            self.exact.get(&host).or_else(wildcard)
        });
        Arc::clone(found.unwrap_or(&self.first))
    }
}

fn expired(files: &CertificateFiles, certificate: &Certificate) -> Option<CertificateError> {
    let ago = certificate.expired(SystemTime::now())?;
    Some(CertificateError::Expired {
        path: files.cert.clone(),
        ago: std::time::Duration::from_secs(ago.as_secs()),
    })
}

fn changed(files: &CertificateFiles) -> [Option<SystemTime>; 2] {
    [&files.cert, &files.key].map(|path| std::fs::metadata(path).and_then(|facts| facts.modified()).ok())
}
