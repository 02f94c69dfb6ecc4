//! Streams to replicas for heartbeats: what requests use too, TLS included.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::listen::proxy_protocol::{Header, Version};
use crate::tls::{Connector, ConnectorError, ReplicaStream};

/// How replicas are spoken to.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// What makes TLS sessions, if they speak TLS.
    pub tls: Option<Connector>,
    /// Whether they speak HTTP/2.
    pub http2: bool,
}

/// A connection to a replica.
#[derive(Debug)]
pub(super) enum ReachedStream {
    Plain(TcpStream),
    Tls(Box<ReplicaStream<TcpStream>>),
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Unreached {
    /// Nobody responds, or this machine cannot connect.
    Connect(io::Error),
    /// Somebody does, who cannot show to be the replica.
    Tls(ConnectorError),
}

impl Reach {
    /// Connects to `address`, where a replica is that is called `host`, and says in this version of the PROXY
    /// protocol that no client is behind it, if replicas are told.
    pub(super) async fn open(
        &self,
        address: SocketAddr,
        host: &str,
        told: Option<Version>,
    ) -> Result<ReachedStream, Unreached> {
        let mut tcp = TcpStream::connect(address).await.map_err(Unreached::Connect)?;
        if let Some(version) = told {
            tcp.write_all(&Header::local().encode(version)).await.map_err(Unreached::Connect)?;
        }
        match &self.tls {
            None => Ok(ReachedStream::Plain(tcp)),
            Some(connector) => {
                let stream = connector.connect(host, tcp).await.map_err(Unreached::Tls)?;
                Ok(ReachedStream::Tls(Box::new(stream)))
            }
        }
    }
}

impl ReachedStream {
    /// Whether nothing has come on an idle connection: neither its end nor bytes that belong to no
    /// request. What TLS says for itself, such as a new ticket, is taken in.
    pub(super) fn is_quiet(&mut self) -> bool {
        match self {
            Self::Plain(tcp) => {
                let nothing = tcp.try_read(&mut [0]);
                nothing.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            Self::Tls(stream) => {
                let (mut cx, mut byte) = (Context::from_waker(Waker::noop()), [0]);
                Pin::new(stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
            }
        }
    }
}

impl AsyncRead for ReachedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ReachedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
