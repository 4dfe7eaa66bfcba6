//! WebSocket routes, on frames of our own reading.
//!
//! Read [`frame`] (bytes ↔ messages), then [`socket`] (a connection), [`handshake`], and the two routes:
//! [`events_in`] and [`events_out`]. A library would answer each ping by itself, as soon as it is read; here
//! the pong is the acknowledgement, so it must wait until what was sent before is durable.

pub mod events_in;
pub mod events_out;
pub mod frame;
pub mod handshake;
pub mod socket;
