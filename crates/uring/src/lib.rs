//! TCP streams on `io_uring`, under a tokio runtime of one thread.
//!
//! On epoll a request costs a system call for each receive and each send. Here they are queued, and the
//! kernel gets all of them with one call when no task can go on. tokio stays: its timers, wakers and other
//! sockets work as ever.
//!
//! - [`Runtime`] is tokio's `LocalRuntime` with a ring that is driven when the thread would park.
//! - [`Stream`] is a TCP connection on that ring. It has tokio's traits, so what is made for a
//!   `tokio::net::TcpStream` takes it.
//! - [`Listener`] accepts such connections.
//! - [`is_available`] says whether the kernel lets this process have a ring at all.
//!
//! How it works, from below: `ring` is the queue to the kernel and back; `buffers` is the memory that the
//! kernel receives into; `socket` is what is under way on one connection; `reactor` brings them together.
//! This crate is the only one of the project that has `unsafe`: in `ring` and `buffers`, and where `socket` and
//! `runtime` use them, each with its reason.

mod buffers;
mod listener;
mod reactor;
mod ring;
mod runtime;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

pub use listener::Listener;
pub use runtime::{Runtime, is_available};
pub use stream::Stream;
