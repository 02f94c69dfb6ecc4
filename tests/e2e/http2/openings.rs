//! How a connection comes to speak HTTP/2.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use http::Request;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::in_front_of;
use crate::common::http2::{Client, run};
use crate::common::origin::Origin;
use crate::common::{Balancer, PATIENCE, client::raw};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A frame of settings that sets none.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

fn connect(balancer: &Balancer) -> TcpStream {
    let stream = TcpStream::connect(balancer.public).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

#[test]
fn a_preface_may_come_in_any_parts() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    for size in [1, 5, 23, 24, 33] {
        let mut stream = connect(&balancer);
        for part in [PREFACE, SETTINGS].concat().chunks(size) {
            stream.write_all(part).expect("it is read");
            // So that the parts come one by one: the other side is asked in between.
            if size < 24 {
                assert_eq!(origin_answers(&balancer), 200);
            }
        }
        let mut head = [0; 9];
        stream.read_exact(&mut head).expect("a frame");
        assert_eq!((head[3], head[4]), (4, 0), "settings, in parts of {size}");
    }
}

/// Asks on a connection of its own.
fn origin_answers(balancer: &Balancer) -> u16 {
    raw(balancer.public, "GET /between HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").status
}

#[test]
fn what_only_begins_like_a_preface_is_http1() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &[]);
    for method in ["P", "PR", "PRI", "PRINT"] {
        let mut stream = connect(&balancer);
        for part in
            [&method[..1], &method[1..], " /print HTTP/1.1\r\n", "Host: a\r\nConnection: close\r\n\r\n"]
        {
            stream.write_all(part.as_bytes()).expect("it is read");
            assert_eq!(origin_answers(&balancer), 200);
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("a response");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{method}: {answer}");
    }
    assert_eq!(origin.arrived("/print").len(), 4);
    let answer = raw(balancer.public, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    assert_eq!((answer.status, answer.header("x-ringherd-error")), (400, Some("not-http")));
    // One that ends in the middle is no more than that.
    let mut stream = connect(&balancer);
    stream.write_all(&PREFACE[..10]).expect("it is read");
    stream.shutdown(std::net::Shutdown::Write).expect("it is open");
    stream.read_to_end(&mut Vec::new()).expect("an end");
}

#[test]
fn half_a_preface_has_the_time_of_a_head() {
    let origin = Origin::start();
    let balancer = in_front_of(&origin, &["--header-timeout", "300ms"]);
    for sent in [&PREFACE[..10], PREFACE] {
        let mut stream = connect(&balancer);
        stream.write_all(sent).expect("it is read");
        stream.read_to_end(&mut Vec::new()).expect("an end");
    }
}

#[test]
fn it_can_be_turned_off() {
    let origin = Origin::start();
    let args = ["--http2", "off", "--tls-listen", "127.0.0.1:0", "--tls-self-signed", "on"];
    let mut balancer = in_front_of(&origin, &args);
    // hyper knows the preface, and has nothing to say to it.
    let mut stream = connect(&balancer);
    stream.write_all(PREFACE).expect("it is read");
    assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
    run(async {
        let stream = secure(&mut balancer, "localhost", &["h2", "http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    });
}

#[test]
fn it_is_agreed_on_over_tls() {
    let origin = Origin::start();
    let mut balancer = in_front_of(&origin, &["--tls-listen", "127.0.0.1:0", "--tls-self-signed", "on"]);
    run(async {
        let stream = secure(&mut balancer, "localhost", &["h2", "http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (client, _) = Client::over(stream).await;
        let ask = |url: &str| Request::get(url).body(()).expect("a request");
        let answer = client.ask(ask("https://localhost/secure")).await.expect("a response");
        assert_eq!(answer.status(), 200);
        let answer = client.ask(ask("https://other.example/secure")).await.expect("a response");
        assert_eq!((answer.status(), answer.header("x-ringherd-error")), (421, "misdirected"));
        assert_eq!(client.get_large("https://localhost/big").await, 10_000_000);
        // Who does not ask for it gets what they ask for.
        for (offered, agreed) in [(&["http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None)] {
            let stream = secure(&mut balancer, "localhost", offered).await;
            assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
        }
    });
    let arrived = origin.arrived("/secure");
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].header("x-forwarded-proto"), ["https"]);
}

impl Client {
    async fn get_large(&self, url: &str) -> usize {
        self.ask(Request::get(url).body(()).expect("a request")).await.expect("a response").body.len()
    }
}

/// A TLS session that offers these protocols.
pub(super) async fn secure(
    balancer: &mut Balancer,
    host: &'static str,
    protocols: &[&str],
) -> TlsStream<tokio::net::TcpStream> {
    let listening = balancer.find_log("it listens", |event| event["message"] == "listening for TLS");
    let address = listening["address"].as_str().expect("an address").to_owned();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let tcp = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let host = ServerName::try_from(host).expect("a name");
    TlsConnector::from(Arc::new(config)).connect(host, tcp).await.expect("a session")
}

/// Trusts whoever has the key of the certificate.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
