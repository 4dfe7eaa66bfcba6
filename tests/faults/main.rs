//! The server is killed at random moments, under load, and must lose nothing and do nothing twice.
//!
//! Two tests against the real binary: `kill -9` (what was written stays), and a power cut (of what was not
//! synced, everything, the end or a mixture is lost). Both go on with the same data for several rounds and
//! then compare everything with an undisturbed run of the same input.
//!
//! `PAVLOV_BIN` is the binary, `PAVLOV_FAULT_ROUNDS` the number of rounds, and `PAVLOV_FAULT_SEED`, printed
//! by every run, repeats the load and the moments (not the scheduling of the threads).

mod check;
mod client;
mod crash;
mod dice;
mod disk;
mod load;
mod power;
mod receiver;
mod server;
mod stored;
mod world;
