//! The sentence running: order, durability, time.

pub mod history;
