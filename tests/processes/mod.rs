//! What tests with real processes share: watching an end, waiting for a sign, asking by HTTP.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::unix::pipe;

/// The binary under test.
pub(crate) const RINGHERD: &str = env!("CARGO_BIN_EXE_ringherd");

/// Fails a test that would otherwise hang.
pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it takes too long")
}

/// A process that is alive, whose end can be awaited whoever its parent is.
pub(crate) struct Watched {
    pub(crate) pid: Pid,
    fd: AsyncFd<OwnedFd>,
}

impl Watched {
    pub(crate) fn new(pid: Pid) -> Self {
        let fd = pidfd_open(pid, PidfdFlags::empty()).expect("the process lives");
        // Its replacement is `unsafe`, for the sake of descriptors that are not owned as this one is.
        #[allow(deprecated, reason = "sound for an `OwnedFd`")]
        let fd = AsyncFd::new(fd).unwrap();
        Self { pid, fd }
    }

    pub(crate) fn parse(pid: &str) -> Self {
        Self::new(Pid::from_raw(pid.trim().parse().unwrap()).unwrap())
    }

    pub(crate) fn kill(&self, signal: Signal) {
        rustix::process::kill_process(self.pid, signal).unwrap();
    }

    /// Waits until it has ended; it may still be waited for by its parent.
    pub(crate) async fn ended(&self) {
        let _ = bounded(self.fd.readable()).await.unwrap();
    }

    /// Whether not even a zombie of it is left.
    pub(crate) fn is_reaped(&self) -> bool {
        rustix::process::test_kill_process(self.pid) == Err(rustix::io::Errno::SRCH)
    }
}

/// A pipe that any process of this user can open by its path, to say that it has come so far.
pub(crate) struct Signs {
    writer: OwnedFd,
    reader: BufReader<pipe::Receiver>,
}

impl Signs {
    pub(crate) fn new() -> Self {
        let (reader, writer) = io::pipe().unwrap();
        let reader = BufReader::new(pipe::Receiver::from_owned_fd(reader.into()).unwrap());
        Self { writer: writer.into(), reader }
    }

    /// Where to write.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.writer.as_raw_fd())
    }

    /// Writes a line for a process that reads from the path.
    pub(crate) fn send(&self, line: &str) {
        rustix::io::write(&self.writer, format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line.
    pub(crate) async fn next(&mut self) -> String {
        let mut line = String::new();
        bounded(self.reader.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }
}

/// Sends `text` on a connection of its own and returns all that is answered until its end.
pub(crate) async fn exchange(address: SocketAddr, text: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    bounded(stream.read_to_string(&mut answer)).await?;
    Ok(answer)
}

/// The answer to a `GET`, head and body, without its date.
pub(crate) async fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    Ok(undated(&exchange(address, &request).await?))
}

/// The text without its lines `date: …`.
pub(crate) fn undated(text: &str) -> String {
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("date: ")).collect()
}
