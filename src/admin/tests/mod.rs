//! The service as a whole, before a scripted supervisor.

mod bodies;
mod dashboard;
mod log;
mod deploys;
mod refusals;
mod responses;
mod script;
