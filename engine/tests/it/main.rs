//! A whole engine in a temporary directory, without HTTP: what stays true when it stops, dies and starts.

mod nats;
mod restart;
