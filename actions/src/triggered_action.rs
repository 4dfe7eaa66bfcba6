//! [`TriggeredAction`]: one action of one firing, with everything that performing it needs.

use crate::action::Action;
use crate::automation::Automation;
use pavlov_events::{Event, Timestamp, Uuid};
use pavlov_triggers::Firing;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::sync::Arc;

/// One action of one firing. It carries the automation as it was and the event, so that it can be performed
/// whatever has changed since.
///
/// Shape: `{"id": "…", "automation": {…}, "firing": {…}, "action": {…}, "index": 0, "triggered": "…",
/// "event": {…}, "triggered_event_id": "…"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggeredAction {
    /// Computed from the record that caused it; the idempotency key of what it does outside.
    pub id: Uuid,
    /// The automation as it was.
    pub automation: Arc<Automation>,
    /// The firing that asked for the action.
    pub firing: Arc<Firing>,
    /// What is to be done.
    pub action: Action,
    /// Its place among the actions of the firing, from 0.
    pub index: usize,
    /// When it was asked for.
    pub triggered: Timestamp,
    /// The event that set it off, if there was one: for `actions_on_trigger` and `actions_on_resolve` the
    /// automation's own event.
    pub event: Option<Arc<Event>>,
    /// The id of `prefect.automation.triggered` or `.resolved`.
    pub triggered_event_id: Uuid,
}

impl TriggeredAction {
    /// Prefect's key, by which it recognises a repeated run of a deployment.
    pub fn idempotency_key(&self) -> String {
        format!("automation {}, action {}, invocation {}", self.automation.id, self.index, self.id)
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_stored(&value).map_err(|faults| {
            serde::de::Error::custom(faults.first().map_or_else(String::new, ToString::to_string))
        })
    }
}
