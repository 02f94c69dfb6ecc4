//! TLS towards clients: certificates by host, sessions, redirects, and what strangers to it are told.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which are exact")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CipherSuite, ProtocolVersion};

use crate::common::client::raw;
use crate::common::held::held_replica;
use crate::common::origin::Origin;
use crate::common::scrape::Scrape;
use crate::common::taken::taken_replica;
use crate::common::tls::{Pair, TlsClient, exchange, kind, stapled_by};
use crate::common::{Balancer, PATIENCE, wait_until};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// A balancer with one certificate, and its address for TLS.
fn start(pair: &Pair, args: &[&str]) -> (Balancer, SocketAddr) {
    let tls =
        ["--tls-listen", "127.0.0.1:0", "--tls-certificate", text(&pair.cert), "--tls-key", text(&pair.key)];
    let mut balancer = Balancer::start(&[&tls[..], args].concat());
    let address = tls_address(&mut balancer);
    (balancer, address)
}

fn tls_address(balancer: &mut Balancer) -> SocketAddr {
    let event = balancer.find_log("it listens for TLS", |event| event["message"] == "listening for TLS");
    event["address"].as_str().expect("an address").parse().expect("an address")
}

/// The certificate that a client without demands gets for `host`.
fn presented(address: SocketAddr, host: &str, known: &[&Pair]) -> CertificateDer<'static> {
    let client = TlsClient::trusting(known.iter().map(|pair| &pair.der));
    let stream = client.connect(address, host).expect("a session");
    stream.conn.peer_certificates().expect("a certificate")[0].clone()
}

#[test]
fn a_host_gets_its_certificate_and_its_requests_go_to_replicas() {
    let folder = folder("hosts");
    let (a, b) = (Pair::write(&folder, "a", &["a.test"], 30), Pair::write(&folder, "b", &["*.b.test"], 30));
    let origin = Origin::start();
    let file = folder.join("ringherd.toml");
    let tables = [&a, &b].map(|pair| {
        format!("[[certificates]]\ncert = '{}'\nkey = '{}'\n", text(&pair.cert), text(&pair.key))
    });
    std::fs::write(&file, tables.concat()).expect("a file");
    let mut balancer = Balancer::start(&[
        "--config",
        text(&file),
        "--tls-listen",
        "127.0.0.1:0",
        "--upstream",
        &origin.address.to_string(),
    ]);
    let address = tls_address(&mut balancer);
    let client = TlsClient::trusting([&a.der, &b.der]);
    for host in ["a.test", "www.b.test"] {
        assert_eq!(client.get(address, host, "/x").status, 200);
    }
    let arrived = origin.arrived("/x");
    let of_host =
        |host: &str| arrived.iter().find(|request| request.header("host") == [host]).expect("it came");
    let request = of_host("www.b.test");
    assert_eq!(request.header("x-forwarded-proto"), ["https"]);
    assert_eq!(request.header("x-forwarded-host"), ["www.b.test"]);
    // A host that its session is not for.
    let misdirected = |host: &str| {
        let mut stream = client.connect(address, "a.test").expect("a session");
        exchange(&mut stream, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    let answer = misdirected("www.b.test");
    assert_eq!((answer.status, answer.header("x-ringherd-error")), (421, Some("misdirected")));
    assert_eq!(misdirected("A.test:443").status, 200);
}

#[test]
fn sessions_of_both_versions_are_made_resumed_and_counted() {
    let folder = folder("versions");
    let pair = Pair::write(&folder, "a", &["a.test"], 30);
    let (balancer, address) = start(&pair, &[]);
    for (version, name) in [(&rustls::version::TLS12, "1.2"), (&rustls::version::TLS13, "1.3")] {
        let client = TlsClient::speaking(&[version], [&pair.der]);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut stream = client.connect(address, "a.test").expect("a session");
            kinds.push(kind(&stream));
            let answer =
                exchange(&mut stream, "GET /home HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
            assert_eq!(answer.status, 200);
        }
        let version = if name == "1.2" { ProtocolVersion::TLSv1_2 } else { ProtocolVersion::TLSv1_3 };
        assert_eq!(kinds, [(Some(version), false), (Some(version), true)]);
        let scrape = Scrape::of(&balancer);
        for resumed in ["no", "yes"] {
            let labels = [("version", name), ("resumed", resumed)];
            assert_eq!(scrape.value("ringherd_tls_handshakes_total", &labels), 1.0, "{name} {resumed}");
        }
    }
    let names = [("certificate", text(&pair.cert))];
    let expiry = Scrape::of(&balancer).value("ringherd_tls_certificate_expiry_timestamp_seconds", &names);
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64();
    assert!((expiry - now - 30.0 * 86_400.0).abs() < 600.0, "{expiry}");
}

#[test]
fn whoever_speaks_something_else_is_told() {
    let folder = folder("strangers");
    let pair = Pair::write(&folder, "a", &["a.test"], 30);
    let (balancer, address) = start(&pair, &["--tls-handshake-timeout", "2s"]);
    let answer = raw(address, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!((answer.status, answer.header("x-ringherd-error")), (400, Some("not-http")));
    assert!(answer.body.contains("this port speaks HTTPS"), "{}", answer.body);
    // The beginning of a TLS handshake.
    let mut stream = TcpStream::connect(balancer.public).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]).expect("it reads");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("without TLS"), "{answer}");
    // Nothing at all, nonsense, an old version, and a client that does not trust the certificate.
    let mut silent = TcpStream::connect(address).expect("it listens");
    assert_eq!(silent.read(&mut [0]).expect("it closes"), 0);
    let mut nonsense = TcpStream::connect(address).expect("it listens");
    nonsense.write_all(&[0xff; 64]).expect("it reads");
    let _ = nonsense.read_to_end(&mut Vec::new());
    assert!(TlsClient::trusting([]).connect(address, "a.test").is_err());
    wait_until("all are counted", || {
        let scrape = Scrape::of(&balancer);
        let failed = |reason| scrape.value("ringherd_tls_handshake_failures_total", &[("reason", reason)]);
        (["plain-http", "timeout", "protocol", "client-refused"].map(failed) == [1.0; 4]).then_some(())
    });
    assert_eq!(TlsClient::trusting([&pair.der]).get(address, "a.test", "/home").status, 200);
}

#[test]
fn certificates_that_change_are_taken_over_and_bad_ones_are_not() {
    let folder = folder("renewal");
    let first = Pair::write(&folder, "a", &["a.test"], 30);
    let (mut balancer, address) = start(&first, &[]);
    let open = TlsClient::trusting([&first.der]);
    let mut stream = open.connect(address, "a.test").expect("a session");
    // One that has expired.
    let expired = Pair::write(&folder, "a", &["a.test"], -1);
    balancer.wait_for_log("certificate not reloaded, the one before stays in force");
    assert_eq!(presented(address, "a.test", &[&first, &expired]), first.der);
    let stale = [("certificate", text(&first.cert))];
    assert_eq!(Scrape::of(&balancer).value("ringherd_tls_certificate_stale", &stale), 1.0);
    // A good one, at once on SIGHUP.
    let second = Pair::write(&folder, "a", &["a.test"], 60);
    balancer.signal(Signal::HUP);
    balancer.wait_for_log("certificates read again");
    assert_eq!(presented(address, "a.test", &[&first, &second]), second.der);
    assert_eq!(Scrape::of(&balancer).value("ringherd_tls_certificate_stale", &stale), 0.0);
    // The session of before goes on.
    let answer = exchange(&mut stream, "GET /home HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.status, 200);
    // Without a signal, when its file is looked at.
    let third = Pair::write(&folder, "a", &["a.test"], 90);
    wait_until("it is read again", || {
        (presented(address, "a.test", &[&second, &third]) == third.der).then_some(())
    });
}

#[test]
fn what_the_authority_says_goes_out_with_its_certificate() {
    let data = |name: &str| format!("{}/tests/data/ocsp/{name}", env!("CARGO_MANIFEST_DIR"));
    let [cert, key, ocsp] = ["stapled.pem", "stapled.key", "good.der"].map(data);
    let mut balancer = Balancer::start(&[
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-certificate",
        &cert,
        "--tls-key",
        &key,
        "--tls-ocsp",
        &ocsp,
    ]);
    let address = tls_address(&mut balancer);
    let authority = CertificateDer::from_pem_file(data("ca.pem")).expect("a certificate");
    let stapled = std::fs::read(&ocsp).expect("a file");
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        assert_eq!(stapled_by(address, "stapled.test", versions, &authority), stapled);
    }
}

#[test]
fn requests_without_tls_are_redirected_if_they_are_to_be() {
    let folder = folder("redirect");
    let pair = Pair::write(&folder, "a", &["a.test"], 30);
    let (balancer, address) = start(&pair, &["--https-redirect", "--trusted-proxies", "127.0.0.1"]);
    let port = address.port();
    let ask = |head: &str| raw(balancer.public, &format!("{head}\r\nConnection: close\r\n\r\n"));
    let answer = ask("GET /home?x=1 HTTP/1.1\r\nHost: a.test:80");
    assert_eq!(
        (answer.status, answer.header("location")),
        (308, Some(&*format!("https://a.test:{port}/home?x=1")))
    );
    // The admin routes too.
    assert_eq!(ask("GET /rep HTTP/1.1\r\nHost: a.test").status, 308);
    assert_eq!(ask("GET / HTTP/1.0").status, 400);
    assert_eq!(ask("GET /home HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https").status, 200);
    assert_eq!(TlsClient::trusting([&pair.der]).get(address, "a.test", "/home").status, 200);
}

#[test]
fn a_made_up_certificate_is_there_to_try_it_out() {
    let mut balancer = Balancer::start(&["--tls-listen", "0.0.0.0:0", "--tls-self-signed"]);
    let port = tls_address(&mut balancer).port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    // Not loopback, so that the admin routes are not public by themselves, on either address.
    let listening = balancer.find_log("it listens", |event| event["message"] == "listening");
    assert_eq!(listening["public_admin"], false);
    // It is in no file: nobody trusts it.
    let error = TlsClient::trusting([]).connect(address, "localhost").expect_err("not trusted");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[test]
fn a_page_over_tls_may_use_the_admin_routes_and_one_without_may_not() {
    let folder = folder("origin");
    let pair = Pair::write(&folder, "local", &["localhost"], 30);
    let (_balancer, address) = start(&pair, &[]);
    let client = TlsClient::trusting([&pair.der]);
    let ask = |scheme: &str| {
        let mut stream = client.connect(address, "localhost").expect("a session");
        let host = format!("localhost:{}", address.port());
        let head = format!("GET /rep HTTP/1.1\r\nHost: {host}\r\nOrigin: {scheme}://{host}\r\n");
        exchange(&mut stream, &format!("{head}Connection: close\r\n\r\n")).status
    };
    assert_eq!((ask("https"), ask("http")), (200, 403));
}

#[test]
fn clients_show_certificates_and_replicas_learn_whose() {
    let folder = folder("clients");
    let server = Pair::write(&folder, "server", &["a.test"], 30);
    let (alice, mallory) =
        (Pair::write(&folder, "alice", &["alice"], 30), Pair::write(&folder, "mallory", &["mallory"], 30));
    let authorities = folder.join("ca.pem");
    std::fs::copy(&alice.cert, &authorities).expect("a file");
    let origin = Origin::start();
    let upstream = origin.address.to_string();
    let asked =
        |mode| ["--tls-client-auth", mode, "--tls-client-ca", text(&authorities), "--upstream", &upstream];
    let ask = |client: &TlsClient, address, path: &str| -> std::io::Result<u16> {
        let mut stream = client.connect(address, "a.test")?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: a.test\r\nX-Client-Cert-Subject: CN=root\r\nX_Client_Cert_Subject: \
             CN=root\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer[9..12].parse().expect("a status"))
    };
    let nobody = TlsClient::trusting([&server.der]);
    let (of_alice, of_mallory) = (nobody.showing(&alice), nobody.showing(&mallory));

    let (mut balancer, address) = start(&server, &asked("required"));
    for _ in 0..2 {
        assert_eq!(ask(&of_alice, address, "/alice").expect("a session"), 200);
    }
    assert!(ask(&nobody, address, "/").is_err() && ask(&of_mallory, address, "/").is_err());
    for request in origin.arrived("/alice") {
        let subject = request.header("x-client-cert-subject");
        assert!(subject.len() == 1 && subject[0].starts_with("CN="), "{subject:?}");
        assert!(request.header("x_client_cert_subject").is_empty(), "{}", request.head);
    }
    // Another authority: sessions of before are not resumed.
    std::fs::copy(&mallory.cert, &authorities).expect("a file");
    balancer.signal(Signal::HUP);
    balancer.wait_for_log("certificates read again");
    assert!(ask(&of_alice, address, "/").is_err());
    assert_eq!(ask(&of_mallory, address, "/").expect("a session"), 200);
    // None: the one before stays.
    std::fs::write(&authorities, "").expect("a file");
    balancer.signal(Signal::HUP);
    balancer.wait_for_log("certificate not reloaded, the one before stays in force");
    assert_eq!(ask(&of_mallory, address, "/").expect("a session"), 200);
    drop(balancer);

    std::fs::copy(&alice.cert, &authorities).expect("a file");
    let (_balancer, address) = start(&server, &asked("optional"));
    assert_eq!(ask(&nobody, address, "/nobody").expect("a session"), 200);
    assert_eq!(ask(&of_alice, address, "/known").expect("a session"), 200);
    assert!(ask(&of_mallory, address, "/").is_err());
    let subjects = |path| origin.arrived(path)[0].header("x-client-cert-subject").len();
    assert_eq!((subjects("/nobody"), subjects("/known")), (0, 1));
}

/// To a client of HTTP/1.0 the end of the session is the end of the response. The rest of its upload is no reason to
/// end it in order.
#[test]
fn a_response_that_breaks_off_does_not_look_whole_to_one_that_is_still_sending() {
    let folder = folder("broken");
    let pair = Pair::write(&folder, "a", &["a.test"], 30);
    let replica = taken_replica();
    let (balancer, address) = start(&pair, &["--upstream", &replica.address]);
    balancer.wait_until_ready(1);
    let mut stream = TlsClient::trusting([&pair.der]).connect(address, "a.test").expect("a session");
    stream.write_all(b"POST / HTTP/1.0\r\nContent-Length: 10\r\n\r\nabc").expect("it reads");
    let (_, mut there) = replica.next();
    there.read_exact(&mut [0; 3]).expect("what has come of the upload");
    there.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n").expect("it reads");
    drop(there);
    let mut answer = Vec::new();
    let error = stream.read_to_end(&mut answer).expect_err("no end as TLS has it");
    assert!(answer.ends_with(b"part"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_stop_lets_requests_over_tls_finish() {
    let folder = folder("stop");
    let pair = Pair::write(&folder, "a", &["a.test"], 30);
    let held = held_replica();
    let (mut balancer, address) = start(&pair, &["--upstream", &held.address]);
    let client = TlsClient::trusting([&pair.der]);
    let mut stream = client.connect(address, "a.test").expect("a session");
    stream.write_all(b"GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n").expect("it reads");
    held.arrived.recv_timeout(PATIENCE).expect("it arrives");
    // Just begun, and in its handshake.
    let mut idle = client.connect(address, "a.test").expect("a session");
    let mut silent = TcpStream::connect(address).expect("it listens");
    balancer.signal(Signal::TERM);
    assert_eq!(silent.read(&mut [0]).expect("it closes"), 0);
    assert_eq!(idle.read(&mut [0]).expect("it closes as TLS does"), 0);
    held.release.send(()).expect("it waits");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes as TLS does");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("held"), "{answer}");
    assert!(balancer.wait().success());
}

#[test]
fn a_certificate_that_cannot_be_used_is_an_error_before_anything_starts() {
    let folder = folder("unusable");
    let (a, b) = (Pair::write(&folder, "a", &["a"], 30), Pair::write(&folder, "b", &["b"], 30));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ringherd"))
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"])
        .args(["--tls-certificate", text(&a.cert), "--tls-key", text(&b.key)])
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("b.key is not that of the certificate in"), "{said}");
    assert!(!said.contains("replica starting"), "{said}");
}

#[test]
fn the_cipher_suite_is_ours_to_choose_but_for_clients_without_instructions_for_aes() {
    let folder = folder("suites");
    let pair = Pair::write(&folder, "a", &["a.test"], 30);
    let (balancer, address) = start(&pair, &[]);
    let agreed = |wanted| {
        let client = TlsClient::preferring(wanted, &pair.der);
        let stream = client.connect(address, "a.test").expect("a session");
        stream.conn.negotiated_cipher_suite().expect("a suite").suite()
    };
    let [first, other, chacha] = [
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    assert_eq!([agreed(first), agreed(other), agreed(chacha)], [first, first, chacha]);
    let [first, other, chacha] = [
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    assert_eq!([agreed(first), agreed(other), agreed(chacha)], [first, first, chacha]);
    drop(balancer);
}
