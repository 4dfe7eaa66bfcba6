//! Serving HTTP: placeholder until the routes are merged.
