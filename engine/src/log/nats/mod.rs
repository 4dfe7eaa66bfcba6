//! The log on NATS JetStream: one stream, `<PREFIX>_LOG`.
//!
//! | subject | who publishes |
//! |---|---|
//! | `<prefix>.log` | Pavlov alone (the NATS user's permissions must say so) |
//! | `<prefix>.in.>` | other programs: plain event JSON |
//!
//! Two tasks on a runtime of their own: `publisher` keeps up to 1,024 records in flight, in the order of their
//! numbers, and after any trouble sends everything again that has not been seen to come back; `follower` reads the
//! stream from a position. Sending too much is harmless (the machine takes only the next number of an origin),
//! reordering or leaving out would not be. Before either goes on after trouble, `stream` checks version, stream
//! configuration, log id and that the last message delivered is still the one at its place.
//!
//! Times are the server's. They may step back when the server's clock does; the machine takes the largest so far.

mod follower;
mod health;
mod link;
mod nats_log;
mod options;
mod publisher;
mod shared;
mod stream;
#[cfg(test)]
mod tests;

pub use nats_log::NatsLog;
pub use options::Options;
