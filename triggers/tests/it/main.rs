//! One test binary: the specification's cases, and properties that hold for every trigger.

mod cases;
mod properties;
mod support;
