//! Runs a case: requests as a client sends them, answered by the crate's functions as a server would.

pub mod names;
pub mod server;
