//! Request and response between two processes, by every means: what they are measured with.

pub mod latency;
pub mod payload;
pub mod probe;
pub mod setup;
pub mod usage;
