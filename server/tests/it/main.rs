//! The API over a real engine in a temporary directory, asked through real connections.

mod automations;
mod blocks;
mod cloud_events;
mod events;
mod ours;
mod routing;
mod sockets;
mod support;
