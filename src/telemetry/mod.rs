//! What is told about the work: logs. Knows no other module.

pub mod logs;
