//! The HTTP side of Pavlov: Prefect's REST and WebSocket API, our own routes, and the command line.
//!
//! Read [`mod@router`] first (every route and its handler), then [`routes`] (one file a subject),
//! [`websocket`] (events in and out), [`reply`] (the only place that turns refusals into status codes) and
//! [`mod@serve`] (connections and their limits). Nothing is decided here: a handler reads a request, asks the
//! engine, and writes down what it said.

pub mod body;
pub mod door;
pub mod query;
pub mod reply;
pub mod router;
pub mod routes;
pub mod serve;
pub mod version;
pub mod websocket;

pub use door::Door;
pub use router::router;
pub use serve::{ServeOptions, serve};
