//! **ringherd**: a load balancer that owns the replicas behind it.
//!
//! # The tour
//! One request: a worker of the data plane ([`proxy`]) accepts a connection, reads the head,
//! loads the current [`cluster::Snapshot`] once, hashes the request's key onto a slot of the
//! [`ring`], takes the slot's owner (or the next healthy one in the key's preference order),
//! and streams request and response between the two connections.
//!
//! One change of membership: the admin service ([`admin`]) sends a request to the supervisor
//! ([`control`]), the single writer. It asks the [`runtime`] for a replica, waits for its first
//! good heartbeat, has a new ring built and publishes a new snapshot. Nothing holds a snapshot for
//! long; a replica that is removed is drained before it is stopped.
//!
//! [`serve`] is the composition root and the only module that knows all the others.
//! `proxy` and `control` never import each other: they meet in [`cluster`].

// In reading order: the mathematics, what both planes share, the two planes with what they stand on, and how a
// user reaches them.
pub mod names;

pub mod ring;

pub mod cluster;

pub mod routes;

pub mod listen;

pub mod tls;

pub mod http_client;

pub mod proxy;

pub mod runtime;

pub mod control;

pub mod admin;

pub mod replica;

pub mod config;

pub mod telemetry;

pub mod client;

#[cfg(feature = "tools")]
pub mod experiment;

pub mod cli;

pub mod serve;
