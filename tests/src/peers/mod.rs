//! Real peers. They are found through the environment, which `tests/run` sets; a peer that is not there fails
//! the test that needs it.

pub mod http;
pub mod nats;
pub mod python;
pub mod server;
pub mod smtp;
pub mod wait;
