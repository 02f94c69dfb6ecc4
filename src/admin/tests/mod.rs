//! The service as a whole, before a scripted supervisor.

mod answers;
mod bodies;
mod dashboard;
mod refusals;
mod script;
