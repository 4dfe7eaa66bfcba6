//! Messages to people, and requests to the outside: channels, one file each, and the guard on every
//! outbound connection.
//!
//! Read [`outbound`] (what may be connected to), [`http`] (one bounded request and its verdict), then a file
//! of [`channel`]. The crate knows nothing of triggers and keeps no state but its connections.

pub mod channel;
pub mod error;
pub mod http;
pub mod network;
pub mod outbound;

pub use channel::Message;
pub use error::{Error, Reason};
pub use http::Answer;
pub use network::Network;
pub use outbound::Outbound;
