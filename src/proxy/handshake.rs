//! From an accepted connection to a TLS session, or to what its client is told instead.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;

use super::error::Failure;
use super::record::RequestRecord;
use super::refusal;
use super::worker::Worker;
use crate::listen::open::Open;
use crate::listen::{Linger, Stream};
use crate::tls::{Accepted, Acceptor, HandshakeError, Session};

/// How long a client that spoke plain HTTP has to read what it is told.
const LINGER: Duration = Duration::from_secs(2);

/// How long a handshake may still take when the balancer stops.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// Most handshakes of one worker at a time. Others wait for their turn, so that those who have a session
/// already are served in between. Who has sent nothing yet does not count.
const MAX_HANDSHAKES: usize = 256;

/// Makes a TLS session on `tcp`; `None` if it failed, which is counted, or if the balancer stops meanwhile.
pub(super) async fn secure(
    worker: &Worker,
    acceptor: &Acceptor,
    handshakes: &Rc<Open>,
    tcp: Stream,
    peer: SocketAddr,
    mut stop: watch::Receiver<bool>,
) -> Option<(TlsStream<Stream>, Session)> {
    let (within, offers_http2) = {
        let config = worker.config();
        (config.handshake_timeout, config.http2)
    };
    let outcome = tokio::select! {
        outcome = accept(worker, acceptor, handshakes, tcp, within, offers_http2) => outcome?,
        () = async {
            // An error means that the balancer is gone.
            let _ = stop.wait_for(|stop| *stop).await;
            // The client may believe that it has a session, and have sent a request on it.
            tokio::time::sleep(STOP_PATIENCE).await;
        } => return None,
    };
    match outcome {
        Ok(accepted) => {
            worker.recorder.handshake(accepted.handshake);
            Some((accepted.stream, accepted.session))
        }
        Err((error, stream)) => {
            worker.recorder.handshake_failed(error.failure());
            tracing::debug!(%peer, %error, reason = error.failure().code(), "TLS handshake failed");
            if let (HandshakeError::PlainHttp, Some(stream)) = (error, stream) {
                refuse_plain_http(worker, stream, peer).await;
            }
            None
        }
    }
}

/// The handshake, unless the first byte shows that it is none: rustls would answer it with an alert, and
/// then a client of HTTP could not read what it is told. The stream comes back with that error.
///
/// `None` if its place is needed before anything has come.
async fn accept(
    worker: &Worker,
    acceptor: &Acceptor,
    handshakes: &Rc<Open>,
    tcp: Stream,
    within: Duration,
    offers_http2: bool,
) -> Option<Result<Accepted<Stream>, (HandshakeError, Option<Stream>)>> {
    let handshake = async {
        let mut first = [0];
        let looked = worker.newcomers.wait(worker.clock.now(), tcp.peek(&mut first)).await?;
        Some(match looked {
            Ok(1) if first[0].is_ascii_alphabetic() => Err((HandshakeError::PlainHttp, Some(tcp))),
            Ok(_) => {
                handshakes.fewer_than(MAX_HANDSHAKES).await;
                let _handshake = handshakes.enter();
                acceptor.accept(tcp, offers_http2).await.map_err(|error| (error, None))
            }
            Err(error) => Err((HandshakeError::Left(error), None)),
        })
    };
    tokio::time::timeout(within, handshake).await.unwrap_or(Some(Err((HandshakeError::Timeout, None))))
}

async fn refuse_plain_http(worker: &Worker, mut stream: Stream, peer: SocketAddr) {
    let failure = Failure::PlainOnTlsPort;
    let response = failure.to_response();
    tracing::debug!(%peer, %failure, "refused");
    RequestRecord::refused(worker, peer, response.status().as_u16(), failure.reason());
    let told = async {
        stream.write_all(&refusal::on_wire(&response, None)).await?;
        // Its request was not read: to close now would take the response away from it.
        let mut linger = Linger::new(TokioIo::new(stream));
        poll_fn(|cx| linger.poll(cx)).await;
        std::io::Result::Ok(())
    };
    // A client that does not read is not waited for.
    let _ = tokio::time::timeout(LINGER, told).await;
}
