//! The command line: one file per group of commands.
//!
//! Read [`args`] first: the whole language and what runs for each word of it. All commands but `server`,
//! `state`, `check` and `completion` are clients of the API ([`client`]), so they also work from elsewhere.

pub mod actions;
pub mod args;
pub mod automations;
pub mod blocks;
pub mod check;
pub mod client;
pub mod completion;
pub mod dead_letters;
pub mod declarations;
pub mod error;
pub mod events;
pub mod events_send;
pub mod events_tail;
pub mod examples;
pub mod firings;
pub mod locate;
pub mod notify;
pub mod output;
pub mod progress;
pub mod server;
pub mod server_start;
pub mod state;
pub mod status;
#[cfg(test)]
pub mod testing;
pub mod units;

pub use args::Cli;
pub use error::CliError;
