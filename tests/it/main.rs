//! Tests of the whole system: the server as a process, real peers, and rules about the tree itself.

mod api;
mod flow;
mod nats;
mod tidy;
