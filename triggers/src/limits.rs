//! Limits on what one trigger may hold and how long its memory lasts. Spans are microseconds.

/// Triggers of one automation, composites and their children together. Prefect has no limit; real ones
/// hold fewer than ten.
pub const TRIGGERS_MAX: usize = 1_000;
/// Levels of nested triggers. Prefect has no limit.
pub const NESTING_MAX: usize = 32;

/// How much earlier than a key's first event another one may have occurred and still count, and how long
/// memory is kept after its last use. The number is Prefect's look-back for events out of order, 15 minutes.
pub const LOOKBACK_MICROS: i64 = 15 * 60 * 1_000_000;
/// An event that says it will occur later than this from now is counted as occurring now. Five minutes is
/// what most protocols allow two clocks to differ (Kerberos, TLS tickets, cloud request signing).
pub const FUTURE_SKEW_MICROS: i64 = 5 * 60 * 1_000_000;
/// How long an absence that was told waits for its end (the Resolved firing) before it is forgotten: 30 days.
pub const ALARM_MICROS: i64 = 30 * 86_400 * 1_000_000;
/// Expected events a key remembers for start events that arrive after them.
pub const HEARD_MAX: usize = 64;
/// Firings a composite keeps of each child, the latest by event time.
pub const KEPT_PER_CHILD: usize = 8;
