//! Actions performed against real listeners, programs and a world that remembers what it was asked.

mod commands;
mod requests;
mod world;
