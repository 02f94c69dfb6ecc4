//! A client of TLS, and certificates for it to trust.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, ProtocolVersion,
    RootCertStore, SignatureScheme, StreamOwned, SupportedProtocolVersion,
};

use super::PATIENCE;
use super::client::{Answer, parse};

/// A certificate in two files.
pub struct Pair {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The same to be trusted.
    pub der: CertificateDer<'static>,
}

impl Pair {
    /// Makes one for `hosts` that ends `days` from now, in files of this name in `folder`.
    pub fn write(folder: &Path, name: &str, hosts: &[&str], days: i64) -> Self {
        let hosts: Vec<String> = hosts.iter().copied().map(str::to_owned).collect();
        let mut params = rcgen::CertificateParams::new(hosts).expect("hosts");
        params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(10);
        params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(days);
        let key = rcgen::KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        let pair = Self {
            cert: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
            der: cert.der().clone(),
        };
        std::fs::write(&pair.cert, cert.pem()).expect("a file");
        std::fs::write(&pair.key, key.serialize_pem()).expect("a file");
        pair
    }
}

/// A client that trusts some certificates, and keeps tickets of its sessions.
#[derive(Clone)]
pub struct TlsClient(Arc<ClientConfig>);

/// A connection of it.
pub type Stream = StreamOwned<ClientConnection, TcpStream>;

impl TlsClient {
    /// With both versions of TLS.
    pub fn trusting<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> Self {
        Self::speaking(rustls::ALL_VERSIONS, certificates)
    }

    /// With some versions of it.
    pub fn speaking<'a>(
        versions: &[&'static SupportedProtocolVersion],
        certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        certificates.into_iter().for_each(|der| roots.add(der.clone()).expect("a certificate"));
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("known versions");
        Self(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    }

    /// One that would like this cipher suite most, and takes all others.
    pub fn preferring(suite: CipherSuite, certificate: &CertificateDer<'static>) -> Self {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.sort_by_key(|other| other.suite() != suite);
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("a certificate");
        let is_of_1_3 = suite.as_str().is_some_and(|name| name.starts_with("TLS13"));
        let version = if is_of_1_3 { &rustls::version::TLS13 } else { &rustls::version::TLS12 };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .expect("known versions");
        Self(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    }

    /// The same client with a certificate of its own.
    pub fn showing(&self, pair: &Pair) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
        let key = CertifiedKey::from_der(vec![pair.der.clone()], key, &aws_lc_rs::default_provider());
        config.client_auth_cert_resolver =
            Arc::new(SingleCertAndKey::from(key.expect("a key and its certificate")));
        config.resumption = Resumption::in_memory_sessions(8);
        Self(Arc::new(config))
    }

    /// The same client, which offers these protocols.
    pub fn offering(&self, protocols: &[&str]) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self(Arc::new(config))
    }

    /// How its sessions are made.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    /// Connects, and makes a session for `host`.
    pub fn connect(&self, address: SocketAddr, host: &str) -> std::io::Result<Stream> {
        self.over(TcpStream::connect(address)?, host)
    }

    /// The same on a connection that is there.
    pub fn over(&self, tcp: TcpStream, host: &str) -> std::io::Result<Stream> {
        tcp.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(host.to_owned()).expect("a host");
        let session = ClientConnection::new(Arc::clone(&self.0), name).expect("a session");
        let mut stream = StreamOwned::new(session, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// `GET path` for `host` on a connection of its own.
    pub fn get(&self, address: SocketAddr, host: &str, path: &str) -> Answer {
        let mut stream = self.connect(address, host).expect("a session");
        exchange(&mut stream, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    }
}

/// Sends bytes and reads to the end.
pub fn exchange(stream: &mut Stream, bytes: &str) -> Answer {
    stream.write_all(bytes.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers and closes as TLS does");
    parse(&String::from_utf8(answer).expect("text"))
}

/// The version of a session, and whether an earlier one was resumed.
pub fn kind(stream: &Stream) -> (Option<ProtocolVersion>, bool) {
    (stream.conn.protocol_version(), stream.conn.handshake_kind() == Some(HandshakeKind::Resumed))
}

/// What goes out with the certificate for `host`, which is checked as usual.
pub fn stapled_by(
    address: SocketAddr,
    host: &str,
    versions: &[&'static SupportedProtocolVersion],
    authority: &CertificateDer<'static>,
) -> Vec<u8> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).expect("a certificate");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier =
        Arc::new(Noting { verifier: verifier.build().expect("a verifier"), stapled: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("known versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>);
    TlsClient(Arc::new(config.with_no_client_auth())).connect(address, host).expect("a session");
    std::mem::take(&mut verifier.stapled.lock().expect("no panic"))
}

/// Notes what comes with a certificate, and checks it as usual.
#[derive(Debug)]
struct Noting {
    verifier: Arc<WebPkiServerVerifier>,
    stapled: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.stapled.lock().expect("no panic") = ocsp.to_vec();
        self.verifier.verify_server_cert(certificate, between, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
