//! The access log of a balancer: opened at the start, opened anew on SIGUSR1.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::Error;
use crate::telemetry::access::{self, AccessLog, AccessLogConfig, AccessLogHandle, Destination};

/// Opens the log, if there is to be one.
pub(super) fn open(config: &AccessLogConfig) -> Result<Option<(AccessLog, AccessLogHandle)>, Error> {
    let Some(destination) = config.destination.clone() else { return Ok(None) };
    let path = match &destination {
        Destination::File(path) => path.clone(),
        Destination::Stdout => Path::new("stdout").to_owned(),
    };
    let opened = access::open(destination, config.format);
    opened.map(Some).map_err(|source| Error::AccessLog { path, source })
}

/// Waits until the lines that wait are written, at most for `limit`.
pub(super) async fn finish(handle: Option<AccessLogHandle>, limit: Duration) {
    let Some(handle) = handle else { return };
    let finished = tokio::task::spawn_blocking(move || handle.finish(limit)).await;
    if let Ok(Err(bytes)) = finished {
        tracing::warn!(bytes, "the end of the access log could not be written in time");
    }
}

/// Has the log opened anew on each SIGUSR1. Without a log the signal is taken in all the same: it
/// would else end the process.
pub(super) fn reopen_on_signal(handle: Option<&AccessLogHandle>) -> Result<(), Error> {
    let mut asked = signal(SignalKind::user_defined1())?;
    let reopener = handle.map(AccessLogHandle::reopener);
    tokio::task::spawn_local(async move {
        while asked.recv().await.is_some() {
            if let Some(reopener) = &reopener {
                reopener.reopen();
            } else {
                tracing::info!("SIGUSR1 is ignored: there is no access log");
            }
        }
    });
    Ok(())
}
