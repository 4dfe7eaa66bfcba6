//! [`Entry`]: one effect that was promised, from its first attempt to its end.
//!
//! `running → (waiting → running)* → gone | dead`, and for kinds that may not be repeated
//! `running → started → gone | dead | held`. A success is a fact whichever attempt it came from; a failure
//! counts only for the attempt that the ledger is waiting for (DESIGN section 2).

use crate::settings::Settings;
use pavlov_actions::TriggeredAction;
use pavlov_events::{Ids, Resource, Timestamp, Uuid};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Where an effect stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Standing {
    /// The current attempt is to be made, or under way.
    Running,
    /// An attempt that may not be repeated is under way; its end is still to come.
    Started,
    /// The next attempt is due then.
    Waiting {
        /// When.
        due: Timestamp,
    },
    /// Nobody knows whether it happened; a person decides.
    Held {
        /// Since when.
        since: Timestamp,
        /// Why it is not tried again by itself.
        reason: String,
    },
    /// Given up.
    Dead {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: String,
    },
}

/// One effect of one firing.
///
/// Shape: `{"action": {…}, "attempt": 2, "depth": 0, "created": "…", "standing": {"state": "waiting", "due": "…"}, "last_reason": "…"}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// What is to be done; its id is the entry's and the effect's idempotency key.
    pub action: Arc<TriggeredAction>,
    /// The event that told of the promise; the event of its end follows it.
    pub triggered_event: Uuid,
    /// The current or last attempt, from 1.
    pub attempt: u32,
    /// How many automations caused one another to get here.
    pub depth: u32,
    /// When the effect was promised.
    pub created: Timestamp,
    /// Where it stands.
    pub standing: Standing,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reason: Option<String>,
}

/// How one attempt went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Which effect.
    pub entry: Uuid,
    /// Which attempt.
    pub attempt: u32,
    /// The epoch of the leader that made it.
    pub epoch: u64,
    /// What happened.
    pub report: Report,
}

/// What happened in an attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// An attempt that may not be repeated begins.
    Started,
    /// It is done.
    Done {
        /// What the executed event tells.
        payload: Value,
        /// Resources of the executed event.
        related: Vec<Resource>,
    },
    /// It failed.
    Failed {
        /// Whether another attempt may succeed.
        retry: bool,
        /// What the receiver asked for, in microseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_micros: Option<i64>,
        /// Why, for a person.
        reason: String,
        /// What the failed event tells.
        payload: Value,
        /// Resources of the failed event.
        related: Vec<Resource>,
    },
    /// An attempt that may not be repeated was found begun and not ended after a restart.
    Unknown,
}

impl Entry {
    /// A new promise whose first attempt is to be made now.
    pub fn new(action: Arc<TriggeredAction>, triggered_event: Uuid, depth: u32, created: Timestamp) -> Self {
        Self {
            action,
            triggered_event,
            attempt: 1,
            depth,
            created,
            standing: Standing::Running,
            last_reason: None,
        }
    }

    /// When this entry needs the machine next.
    pub fn due(&self) -> Option<Timestamp> {
        match self.standing {
            Standing::Waiting { due } => Some(due),
            _ => None,
        }
    }

    /// Whether it rests until a person decides.
    pub fn is_letter(&self) -> bool {
        matches!(self.standing, Standing::Held { .. } | Standing::Dead { .. })
    }
}

/// When to try again after `attempt` failed: doubling, spread over the upper half by jitter, and never
/// before the receiver allows it.
pub fn backoff_micros(
    attempt: u32,
    retry_after_micros: Option<i64>,
    settings: &Settings,
    ids: &mut Ids,
) -> i64 {
    let doubled =
        settings.retry_delay_micros.saturating_mul(1i64.checked_shl(attempt - 1).unwrap_or(i64::MAX));
    let most = doubled.clamp(1, settings.retry_delay_max_micros.max(1));
    let spread = (most as f64 * (0.5 + 0.5 * ids.next_fraction())) as i64;
    spread.max(retry_after_micros.unwrap_or(0))
}
