//! Calls through `docker-api` that end in time, with errors that tell an engine that is away from
//! one that refuses.

use std::future::Future;
use std::time::{Duration, Instant};

use docker_api::{Docker, Error};
use http::StatusCode;
use serde_json::Value;
use tokio::time::timeout;

use super::calls::counted;
use super::raw::{self, CallError};
use super::{CALL_TIMEOUT, HEAVY_TIMEOUT, Host};

/// An engine that is called. Connects anew for each call; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    host: Host,
    docker: Docker,
}

impl Engine {
    /// The engine at `host`; nothing is sent yet.
    ///
    /// # Errors
    /// If the address is none for `docker-api`.
    pub fn new(host: &Host) -> Result<Self, CallError> {
        let docker = match host {
            Host::Unix(path) => Docker::unix(path),
            Host::Tcp(address) => Docker::tcp(address).map_err(|error| CallError::away(host, &error))?,
        };
        Ok(Self { host: host.clone(), docker })
    }

    /// Where it is.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What to make calls with; each goes through [`Engine::call`].
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Awaits a call of `docker-api`, for at most [`CALL_TIMEOUT`].
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<T>(&self, call: impl Future<Output = docker_api::Result<T>>) -> Result<T, CallError> {
        let began = Instant::now();
        let answer = timeout(CALL_TIMEOUT, call).await.map_err(|_| self.silent(CALL_TIMEOUT));
        counted(began, answer.and_then(|answer| answer.map_err(|error| self.error(error))))
    }

    /// Awaits a call that may take long on a busy engine, for at most [`HEAVY_TIMEOUT`]. That it
    /// takes longer says nothing of the engine: pings tell whether it hangs.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn heavy<T>(&self, call: impl Future<Output = docker_api::Result<T>>) -> Result<T, CallError> {
        let began = Instant::now();
        let answer = timeout(HEAVY_TIMEOUT, call).await.map_err(|_| too_slow());
        counted(began, answer.and_then(|answer| answer.map_err(|error| self.error(error))))
    }

    /// `POST path` with a body that `docker-api` has no words for.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        let began = Instant::now();
        let answer = timeout(CALL_TIMEOUT, raw::post(&self.host, path, body)).await;
        counted(began, answer.unwrap_or_else(|_| Err(self.silent(CALL_TIMEOUT))))
    }

    /// The same for what may take long, as [`Engine::heavy`].
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn heavy_post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        let began = Instant::now();
        let answer = timeout(HEAVY_TIMEOUT, raw::post(&self.host, path, body)).await;
        counted(began, answer.unwrap_or_else(|_| Err(too_slow())))
    }

    /// `GET path` whose answer `docker-api` has no words for.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get(&self, path: &str) -> Result<Value, CallError> {
        let began = Instant::now();
        let answer = timeout(CALL_TIMEOUT, raw::get(&self.host, path)).await;
        counted(began, answer.unwrap_or_else(|_| Err(self.silent(CALL_TIMEOUT))))
    }

    /// Whether it answers at all.
    ///
    /// # Errors
    /// If not, within `limit`.
    pub async fn ping(&self, limit: Duration) -> Result<(), CallError> {
        let answer = async {
            match self.docker.ping().await {
                // A header is missing, which says more of `docker-api` than of the engine.
                Ok(_) | Err(Error::InvalidResponse(_)) => Ok(()),
                Err(error) => Err(error),
            }
        };
        let began = Instant::now();
        let answer = timeout(limit, answer).await.map_err(|_| self.silent(limit));
        counted(began, answer.and_then(|answer| answer.map_err(|error| self.error(error))))
    }

    /// An error of `docker-api` in our terms.
    pub fn error(&self, error: Error) -> CallError {
        match error {
            Error::Fault { code, message } => {
                let status = StatusCode::from_u16(code.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
                CallError::answered(&self.host, status, message)
            }
            Error::SerdeJsonError(error) => {
                CallError::Failed(format!("the engine's answer cannot be read: {error}"))
            }
            other => CallError::away(&self.host, &other),
        }
    }

    fn silent(&self, limit: Duration) -> CallError {
        let limit = humantime::format_duration(limit);
        CallError::away(&self.host, &format_args!("no answer within {limit}"))
    }
}

fn too_slow() -> CallError {
    let limit = humantime::format_duration(HEAVY_TIMEOUT);
    CallError::Failed(format!("the engine did not get it done within {limit}; it may be overloaded"))
}
