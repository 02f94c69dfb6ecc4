//! The service as a whole, before a scripted supervisor.

mod bodies;
mod dashboard;
mod deploys;
mod log;
mod refusals;
mod responses;
mod script;
