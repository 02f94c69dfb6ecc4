//! The certificates in force, by the hosts that they are for.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use super::file::CertificateError;
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
    changed: [Option<SystemTime>; 3],
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
            // Before it is read: a change in between is seen at the next look.
            let changed = changed(files);
            let certificate = Certificate::read(files, &provider)?;
            if let Some(error) = expired(files, &certificate) {
                tracing::warn!(%error, "a certificate has expired; clients will refuse it");
            }
            if let Some(error) = staple_expired(files, &certificate) {
                tracing::warn!(%error, "a certificate goes out without what its authority says of it");
            }
            Ok(SourceState {
                files: files.clone(),
                certificate: Arc::new(certificate),
                problem: None,
                changed,
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
            let is_same =
                |before: &CertificateFiles| (&before.cert, &before.key) == (&files.cert, &files.key);
            let before = sources.iter().find(|source| is_same(&source.files));
            let changed = changed(files);
            let (certificate, problem) = match self.read_unexpired(files) {
                Ok(certificate) => (Some(Arc::new(certificate)), None),
                Err(error) => {
                    let before = before.map(|source| &source.certificate);
                    let kept = if error.is_of_staple() { self.without_staple(files, before) } else { None };
                    let text = error.to_string();
                    problems.push(error);
                    (kept.or_else(|| before.cloned()), Some(text))
                }
            };
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

    /// A certificate whose authority says nothing that counts of it: a renewal must not wait for that. The one
    /// before if it is the same, with what was said of that.
    fn without_staple(
        &self,
        files: &CertificateFiles,
        before: Option<&Arc<Certificate>>,
    ) -> Option<Arc<Certificate>> {
        let files = CertificateFiles { ocsp: None, ..files.clone() };
        let certificate = self.read_unexpired(&files).ok()?;
        let same = before.filter(|before| before.is_same(&certificate)).cloned();
        Some(same.unwrap_or_else(|| Arc::new(certificate)))
    }

    fn read_unexpired(&self, files: &CertificateFiles) -> Result<Certificate, CertificateError> {
        let certificate = Certificate::read(files, &self.provider)?;
        match expired(files, &certificate).or_else(|| staple_expired(files, &certificate)) {
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
        Some(self.find(hello.server_name()).key(SystemTime::now()))
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

fn staple_expired(files: &CertificateFiles, certificate: &Certificate) -> Option<CertificateError> {
    let ago = certificate.staple_expired(SystemTime::now())?;
    Some(CertificateError::StapleExpired {
        path: files.ocsp.clone()?,
        ago: std::time::Duration::from_secs(ago.as_secs()),
    })
}

fn changed(files: &CertificateFiles) -> [Option<SystemTime>; 3] {
    [Some(&files.cert), Some(&files.key), files.ocsp.as_ref()]
        .map(|path| path.and_then(|path| modified(path)))
}

/// When a file was changed last, as far as that is known.
pub(super) fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|facts| facts.modified()).ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::provider::default_provider;
    use super::*;

    /// Files in a folder that is removed with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("ringherd-tls-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        /// A new certificate for `hosts` that ends `days` from now, in files of this name.
        fn write(&self, name: &str, hosts: &[&str], days: i64) -> CertificateFiles {
            let hosts: Vec<String> = hosts.iter().copied().map(str::to_owned).collect();
            let mut params = rcgen::CertificateParams::new(hosts).unwrap();
            params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(10);
            params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(days);
            let key = rcgen::KeyPair::generate().unwrap();
            let files = CertificateFiles {
                cert: self.path(&format!("{name}.pem")),
                key: self.path(&format!("{name}.key")),
                ocsp: None,
            };
            std::fs::write(&files.cert, params.self_signed(&key).unwrap().pem()).unwrap();
            std::fs::write(&files.key, key.serialize_pem()).unwrap();
            files
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn load(files: &[CertificateFiles]) -> Result<Option<Certificates>, CertificateError> {
        let config = TlsConfig { files: files.to_vec(), ..TlsConfig::default() };
        Certificates::load(&config, Arc::new(default_provider()))
    }

    #[test]
    fn a_host_gets_the_certificate_that_is_for_it() {
        let folder = Folder::new("hosts");
        let a = folder.write("a", &["a.example", "*.a.example", "10.0.0.1"], 30);
        let b = folder.write("b", &["*.example", "b.example", "a.example"], 30);
        let certificates = load(&[a, b]).unwrap().unwrap();
        let first_name = |host: Option<&str>| certificates.find(host).names()[0].clone();
        for (host, expected) in [
            (Some("a.example"), "a.example"),
            (Some("A.Example"), "a.example"),
            (Some("x.a.example"), "a.example"),
            (Some("c.example"), "*.example"),
            (Some("b.example"), "*.example"),
            // A star stands for one label, and names nothing by itself.
            (Some("x.y.a.example"), "a.example"),
            (Some("example"), "a.example"),
            (None, "a.example"),
        ] {
            assert_eq!(first_name(host), expected, "{host:?}");
        }
        assert!(load(&[]).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_used_says_which_file_and_why() {
        let folder = Folder::new("bad");
        let (good, other) = (folder.write("good", &["a"], 30), folder.write("other", &["b"], 30));
        let text = folder.path("text");
        std::fs::write(&text, "hello").unwrap();
        let odd = folder.path("odd");
        std::fs::write(&odd, "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n").unwrap();
        let of = |cert: &Path, key: &Path| CertificateFiles {
            cert: cert.to_owned(),
            key: key.to_owned(),
            ocsp: None,
        };
        for (files, says) in [
            (of(&folder.path("none"), &good.key), "none cannot be read: "),
            (of(&good.cert, &folder.path("none")), "none cannot be read: "),
            (of(&text, &good.key), "text has no certificate: it must be PEM"),
            (of(&good.cert, &text), "text has no private key: it must be PEM"),
            (of(&good.cert, &good.cert), "good.pem has no private key"),
            (of(&odd, &good.key), "the certificate in "),
            (of(&good.cert, &other.key), "other.key is not that of the certificate in "),
        ] {
            let error = load(std::slice::from_ref(&files)).unwrap_err().to_string();
            assert!(error.contains(says), "{files:?}: {error}");
        }
    }

    #[test]
    fn a_bad_reload_leaves_what_there_was() {
        let folder = Folder::new("reload");
        let (a, b) = (folder.write("a", &["a"], 30), folder.write("b", &["b"], 30));
        let certificates = load(&[a.clone(), b.clone()]).unwrap().unwrap();
        let before = certificates.find(Some("a"));
        // Another key, one that has expired, and none at all.
        let good = [&a.cert, &a.key].map(|path| std::fs::read(path).unwrap());
        for spoil in [
            &(|| std::fs::write(&a.key, std::fs::read(&b.key).unwrap()).unwrap()) as &dyn Fn(),
            &|| drop(folder.write("a", &["a"], -1)),
            &|| std::fs::remove_file(&a.cert).unwrap(),
        ] {
            spoil();
            let problems = certificates.reload(&[a.clone(), b.clone()]);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(Arc::ptr_eq(&certificates.find(Some("a")), &before));
            let reports = certificates.reports();
            assert_eq!(reports[0].problem, Some(problems[0].to_string()));
            assert_eq!(reports[1].problem, None);
            for (path, content) in [&a.cert, &a.key].into_iter().zip(&good) {
                std::fs::write(path, content).unwrap();
            }
        }
        assert!(certificates.reload(&[a.clone(), b.clone()]).is_empty());
        assert!(certificates.reports().iter().all(|report| report.problem.is_none()));
        // One that is gone from the configuration is gone.
        assert!(certificates.reload(std::slice::from_ref(&a)).is_empty());
        assert_eq!(certificates.find(Some("b")).names(), ["a"]);
        // Without any, what there was stays.
        assert!(certificates.reload(&[]).is_empty());
        assert_eq!(certificates.find(None).names(), ["a"]);
    }

    #[test]
    fn files_that_change_are_read_again() {
        let folder = Folder::new("watch");
        let a = folder.write("a", &["a"], 30);
        let certificates = load(std::slice::from_ref(&a)).unwrap().unwrap();
        assert!(certificates.refresh().is_none(), "nothing has changed");
        let before = certificates.find(None);
        folder.write("a", &["a", "also"], 60);
        assert!(certificates.refresh().is_some_and(|problems| problems.is_empty()));
        let after = certificates.find(None);
        assert!(after.not_after() > before.not_after() && after.covers("ALSO") && !before.covers("also"));
        assert!(certificates.refresh().is_none());
    }

    #[test]
    fn what_an_authority_says_goes_with_its_certificate_as_long_as_it_counts() {
        let data =
            |name: &str| PathBuf::from(format!("{}/tests/data/ocsp/{name}", env!("CARGO_MANIFEST_DIR")));
        let files = |ocsp: &str| CertificateFiles {
            cert: data("stapled.pem"),
            key: data("stapled.key"),
            ocsp: Some(data(ocsp)),
        };
        let certificates = load(&[files("good.der")]).unwrap().unwrap();
        let stapled = |certificates: &Certificates, now| certificates.find(None).key(now).ocsp.is_some();
        let (now, day) = (SystemTime::now(), std::time::Duration::from_secs(24 * 60 * 60));
        assert!(stapled(&certificates, now) && !stapled(&certificates, now + day * 36_600));
        // At the start it is left out, as one that has expired is taken; later it changes nothing.
        assert!(!stapled(&load(&[files("past.der")]).unwrap().unwrap(), now));
        for (name, says) in [("past.der", "past.der counted until "), ("revoked.der", "revoked")] {
            let certificates = load(&[files("good.der")]).unwrap().unwrap();
            let problems = certificates.reload(&[files(name)]);
            assert!(problems[0].to_string().contains(says), "{problems:?}");
            assert!(stapled(&certificates, now));
            assert!(load(&[files("other.der")]).is_err());
        }
    }

    #[test]
    fn a_renewal_does_not_wait_for_its_authority() {
        let folder = Folder::new("staple");
        let data =
            |name: &str| PathBuf::from(format!("{}/tests/data/ocsp/{name}", env!("CARGO_MANIFEST_DIR")));
        let mut files = folder.write("a", &["a"], 30);
        for (from, to) in [("stapled.pem", &files.cert), ("stapled.key", &files.key)] {
            std::fs::copy(data(from), to).unwrap();
        }
        files.ocsp = Some(data("good.der"));
        let certificates = load(std::slice::from_ref(&files)).unwrap().unwrap();
        folder.write("a", &["renewed"], 30);
        let problems = certificates.reload(std::slice::from_ref(&files));
        assert!(problems[0].to_string().contains("is for another certificate"), "{problems:?}");
        assert_eq!(certificates.find(None).names(), ["renewed"]);
        assert!(certificates.find(None).key(SystemTime::now()).ocsp.is_none());
    }

    #[test]
    fn one_that_has_expired_is_taken_at_the_start() {
        let folder = Folder::new("expired");
        let certificates = load(&[folder.write("a", &["a"], -2)]).unwrap().unwrap();
        let report = &certificates.reports()[0];
        assert!(report.not_after < SystemTime::now() && report.names == ["a"]);
    }
}
