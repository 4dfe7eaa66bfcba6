//! [`Settings`]: what decisions of the machine read. They are state: the same log gives the same firings.

use serde::{Deserialize, Serialize};

/// Values that change what the machine decides. Spans are in the unit of their name.
///
/// Shape: `{"settle_micros": 1000000, "grace_micros": 30000000, …}`; a missing field has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// An absence is never due sooner than this after it was armed.
    pub settle_micros: i64,
    /// An absence is never due sooner than this after a gap in which nothing could be heard.
    pub grace_micros: i64,
    /// Attempts at one action, the first included.
    pub attempts_max: u32,
    /// Pause before the second attempt; it doubles with each further one.
    pub retry_delay_micros: i64,
    /// Longest pause between two attempts.
    pub retry_delay_max_micros: i64,
    /// How long an event waits for the one that it follows.
    pub follow_wait_micros: i64,
    /// How many events may wait in one chain of followers.
    pub follow_depth_max: u32,
    /// How many automations may cause one another before an event is no longer evaluated.
    pub cascade_depth_max: u32,
    /// Dead letters that are kept; the oldest go first.
    pub dead_letters_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            settle_micros: 1_000_000,
            grace_micros: 30_000_000,
            // 1 + 2 + 4 + 8 + 16 + 32 s: about a minute of trying, as long as a deploy of a receiver takes.
            attempts_max: 7,
            retry_delay_micros: 1_000_000,
            retry_delay_max_micros: 300_000_000,
            // Prefect's PRECEDING_EVENT_LOOKBACK and MAX_DEPTH_OF_PRECEDING_EVENT.
            follow_wait_micros: 900_000_000,
            follow_depth_max: 20,
            cascade_depth_max: 16,
            dead_letters_max: 10_000,
        }
    }
}
