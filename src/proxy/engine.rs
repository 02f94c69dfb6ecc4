//! Which I/O engine the workers have, and the runtime that goes with it.

use std::future::Future;
use std::io;

use tokio::runtime::LocalRuntime;

use crate::listen::Engine;

/// What the configuration says of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Io {
    /// A ring where the kernel has one for us, else epoll.
    Auto,
    /// epoll.
    #[default]
    Epoll,
    /// A ring, or no start.
    Uring,
}

impl Io {
    /// The engine to be used.
    ///
    /// # Errors
    /// A ring is required, and the kernel has none for us.
    pub fn engine(self) -> io::Result<Engine> {
        self.engine_if(ringherd_uring::is_available)
    }

    fn engine_if(self, is_available: impl FnOnce() -> io::Result<()>) -> io::Result<Engine> {
        match self {
            Self::Epoll => Ok(Engine::Epoll),
            Self::Uring => is_available().map(|()| Engine::Uring),
            Self::Auto => Ok(match is_available() {
                Ok(()) => Engine::Uring,
                Err(error) => {
                    tracing::info!(%error, "io_uring is not available here; using epoll (--io)");
                    Engine::Epoll
                }
            }),
        }
    }
}

/// Runs a worker's future on a runtime with this engine.
///
/// # Errors
/// The runtime or its ring cannot be made; or those of the future.
pub(super) fn block_on(engine: Engine, future: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    match engine {
        Engine::Epoll => LocalRuntime::new()?.block_on(future),
        Engine::Uring => ringherd_uring::Runtime::new()?.block_on(future),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_taken_where_there_is_one_and_refused_where_it_is_required() {
        let blocked = || Err(io::Error::from_raw_os_error(1));
        for (io, with, without) in [
            (Io::Epoll, Some(Engine::Epoll), Some(Engine::Epoll)),
            (Io::Auto, Some(Engine::Uring), Some(Engine::Epoll)),
            (Io::Uring, Some(Engine::Uring), None),
        ] {
            assert_eq!(io.engine_if(|| Ok(())).ok(), with, "{io:?}");
            assert_eq!(io.engine_if(blocked).ok(), without, "{io:?}");
        }
    }
}
