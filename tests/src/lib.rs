//! What the tests of the whole system share: the server as a process, clients that speak to it, and peers that
//! are real, so that they can also fail for real.
//!
//! Read [`peers::server`] first, then a test such as `it/flow.rs`. Everything blocks: a test reads as a list of
//! what a person would do. Nothing here knows the crates of the server, only its process and its protocols.

pub mod client;
pub mod peers;
pub mod shapes;
pub mod websocket;
