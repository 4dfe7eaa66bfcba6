//! The `humanize_*` filters, as the Python package `humanize` in English.

mod number;
mod time;

use minijinja::Environment;

/// Adds the filters to an environment.
pub(crate) fn install(env: &mut Environment<'static>) {
    number::install(env);
    time::install(env);
}
