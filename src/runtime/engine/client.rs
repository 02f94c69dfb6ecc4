//! Calls of the engine with time limits, and errors that tell an unreachable engine from a refusal.

use std::future::Future;
use std::time::{Duration, Instant};

use docker_api::{Docker, Error};
use http::StatusCode;
use serde_json::Value;
use tokio::time::timeout;

use super::call_stats::counted;
use super::{CALL_TIMEOUT, CallError, HEAVY_TIMEOUT, Host, raw};

/// A client of the engine's API. Opens a connection for each call; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    host: Host,
    docker: Docker,
}

impl Engine {
    /// A client of the engine at `host`. Sends nothing yet.
    ///
    /// # Errors
    /// `docker-api` does not accept the address.
    pub fn new(host: &Host) -> Result<Self, CallError> {
        let docker = match host {
            Host::Unix(path) => Docker::unix(path),
            Host::Tcp(address) => {
                Docker::tcp(address).map_err(|error| CallError::unreachable(host, &error))?
            }
        };
        Ok(Self { host: host.clone(), docker })
    }

    /// The address of the engine.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The client of `docker-api`; each of its calls goes through [`Engine::call`] or
    /// [`Engine::heavy`].
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Awaits a call of `docker-api`, for at most [`CALL_TIMEOUT`].
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<T>(&self, call: impl Future<Output = docker_api::Result<T>>) -> Result<T, CallError> {
        let began = Instant::now();
        let response = timeout(CALL_TIMEOUT, call).await.map_err(|_| self.timed_out(CALL_TIMEOUT));
        counted(began, response.and_then(|response| response.map_err(|error| self.error(error))))
    }

    /// Awaits a call that may take long on a busy engine, for at most [`HEAVY_TIMEOUT`]. A call that
    /// takes longer does not mean that the engine hangs; pings show that.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn heavy<T>(&self, call: impl Future<Output = docker_api::Result<T>>) -> Result<T, CallError> {
        let began = Instant::now();
        let response = timeout(HEAVY_TIMEOUT, call).await.map_err(|_| too_slow());
        counted(began, response.and_then(|response| response.map_err(|error| self.error(error))))
    }

    /// Sends `POST path` with a body that `docker-api` cannot make, within [`CALL_TIMEOUT`].
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        let began = Instant::now();
        let response = timeout(CALL_TIMEOUT, raw::post(&self.host, path, body)).await;
        counted(began, response.unwrap_or_else(|_| Err(self.timed_out(CALL_TIMEOUT))))
    }

    /// As [`Engine::post`], within [`HEAVY_TIMEOUT`].
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn heavy_post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        let began = Instant::now();
        let response = timeout(HEAVY_TIMEOUT, raw::post(&self.host, path, body)).await;
        counted(began, response.unwrap_or_else(|_| Err(too_slow())))
    }

    /// Sends `GET path`, whose response `docker-api` cannot read, within [`CALL_TIMEOUT`].
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get(&self, path: &str) -> Result<Value, CallError> {
        let began = Instant::now();
        let response = timeout(CALL_TIMEOUT, raw::get(&self.host, path)).await;
        counted(began, response.unwrap_or_else(|_| Err(self.timed_out(CALL_TIMEOUT))))
    }

    /// Checks that the engine responds.
    ///
    /// # Errors
    /// It does not within `limit`.
    pub async fn ping(&self, limit: Duration) -> Result<(), CallError> {
        let response = async {
            match self.docker.ping().await {
                // `docker-api` misses a header that some engines do not send.
                Ok(_) | Err(Error::InvalidResponse(_)) => Ok(()),
                Err(error) => Err(error),
            }
        };
        let began = Instant::now();
        let response = timeout(limit, response).await.map_err(|_| self.timed_out(limit));
        counted(began, response.and_then(|response| response.map_err(|error| self.error(error))))
    }

    /// An error of `docker-api` as a [`CallError`].
    pub fn error(&self, error: Error) -> CallError {
        match error {
            Error::Fault { code, message } => {
                let status = StatusCode::from_u16(code.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
                CallError::from_response(&self.host, status, message)
            }
            Error::SerdeJsonError(error) => {
                CallError::Failed(format!("the engine's answer cannot be read: {error}"))
            }
            other => CallError::unreachable(&self.host, &other),
        }
    }

    fn timed_out(&self, limit: Duration) -> CallError {
        let limit = humantime::format_duration(limit);
        CallError::unreachable(&self.host, &format_args!("no answer within {limit}"))
    }
}

fn too_slow() -> CallError {
    let limit = humantime::format_duration(HEAVY_TIMEOUT);
    CallError::Failed(format!("the engine did not get it done within {limit}; it may be overloaded"))
}
