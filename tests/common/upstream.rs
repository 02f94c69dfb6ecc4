//! A replica that speaks what it is told to: HTTP/1.1 or HTTP/2, over TLS or not. hyper serves it.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::tls::Pair;

/// What it answers with.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// How it speaks.
#[derive(Clone)]
pub struct Speaks {
    /// HTTP/2, and not HTTP/1.1.
    pub http2: bool,
    /// Over TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// Streams that a client may have on one connection.
    pub max_streams: u32,
}

impl Speaks {
    /// HTTP/2 without TLS.
    pub fn h2c() -> Self {
        Self { http2: true, tls: None, max_streams: 100 }
    }

    /// Over TLS, with this certificate; clients have to show one of `clients` if there are any.
    pub fn tls(http2: bool, pair: &Pair, clients: &[&Pair]) -> Self {
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = if clients.is_empty() {
            builder.with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            for pair in clients {
                roots.add(pair.der.clone()).expect("a certificate");
            }
            let provider = Arc::new(aws_lc_rs::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        };
        let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
        let mut config = builder.with_single_cert(vec![pair.der.clone()], key).expect("they match");
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Self { http2, tls: Some(Arc::new(config)), max_streams: 100 }
    }
}

/// A running one; it ends with the test.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    counts: Arc<Counts>,
    stop: watch::Sender<Stop>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Not,
    /// The connections there are finish what they have.
    Connections(usize),
    All,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    open: AtomicUsize,
    resumed: AtomicUsize,
}

impl Upstream {
    /// Starts one that answers with what `service` says.
    pub fn start<S, F>(speaks: Speaks, service: S) -> Self
    where
        S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = watch::channel(Stop::Not);
        let counts = Arc::<Counts>::default();
        let counted = Arc::clone(&counts);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(serve(listener, speaks, service, counted, stopped));
        });
        Self { address, counts, stop }
    }

    /// How many connections were made so far.
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// How many of them resumed a session.
    pub fn resumed(&self) -> usize {
        self.counts.resumed.load(Ordering::SeqCst)
    }

    /// Has all connections that there are end gracefully: over HTTP/2 with GOAWAY. New ones are served.
    pub fn renew_connections(&self) {
        self.stop.send_replace(Stop::Connections(self.accepted()));
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.send_replace(Stop::All);
    }
}

async fn serve<S, F>(
    listener: std::net::TcpListener,
    speaks: Speaks,
    service: S,
    counts: Arc<Counts>,
    mut stop: watch::Receiver<Stop>,
) where
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let ended = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop == Stop::All) => return,
        };
        let Ok((tcp, _)) = accepted else { continue };
        let _ = tcp.set_nodelay(true);
        let number = counts.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        let (speaks, service, counts, ended) =
            (speaks.clone(), service.clone(), Arc::clone(&counts), ended.clone());
        tokio::spawn(async move {
            counts.open.fetch_add(1, Ordering::SeqCst);
            match speaks.tls.clone() {
                None => connection(tcp, number, &speaks, service, ended).await,
                Some(config) => {
                    if let Ok(stream) = TlsAcceptor::from(config).accept(tcp).await {
                        if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                            counts.resumed.fetch_add(1, Ordering::SeqCst);
                        }
                        connection(stream, number, &speaks, service, ended).await;
                    }
                }
            }
            counts.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn connection<S, F>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    number: usize,
    speaks: &Speaks,
    service: S,
    mut stop: watch::Receiver<Stop>,
) where
    S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let response = service(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let concerns = move |stop: &Stop| match *stop {
        Stop::Not => false,
        Stop::Connections(up_to) => number <= up_to,
        Stop::All => true,
    };
    macro_rules! run {
        ($connection:expr) => {{
            let mut connection = std::pin::pin!($connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = stop.wait_for(concerns) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }};
    }
    if speaks.http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(speaks.max_streams).max_header_list_size(256 * 1024);
        run!(builder.serve_connection(TokioIo::new(stream), service));
    } else {
        run!(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// A body of this text.
pub fn body(text: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}
