//! [`Firing`]: one instance of a trigger firing.

use crate::Error;
use crate::event_trigger::EventTrigger;
use crate::trigger::Trigger;
use pavlov_events::{Event, Timestamp, Uuid};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// What a firing says about its trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TriggerChange {
    /// The condition holds.
    Triggered,
    /// What was absent has come.
    Resolved,
}

impl TriggerChange {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Triggered => "Triggered",
            Self::Resolved => "Resolved",
        }
    }
}

/// Why a trigger fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Enough expected events came.
    ThresholdMet,
    /// Too few expected events came until the deadline.
    Absence,
    /// What was absent has come.
    Resolved,
    /// One child of a compound fired, and one is enough.
    AnyChild,
    /// As many children of a compound fired as it requires.
    EnoughChildren,
    /// All children of a compound fired.
    AllChildren,
    /// All children of a sequence fired in their order.
    SequenceComplete,
}

impl Reason {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ThresholdMet => "threshold-met",
            Self::Absence => "absence",
            Self::Resolved => "resolved",
            Self::AnyChild => "any-child",
            Self::EnoughChildren => "enough-children",
            Self::AllChildren => "all-children",
            Self::SequenceComplete => "sequence-complete",
        }
    }
}

/// One instance of a trigger firing.
///
/// Two JSON shapes: the serde shape is for our own state, [`Self::to_value`] is Prefect's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Firing {
    /// Computed from the record that caused it.
    pub id: Uuid,
    /// The trigger that fired.
    pub trigger: Uuid,
    /// Whether the condition began to hold or ended.
    pub change: TriggerChange,
    /// When we found out: the time of the record.
    pub triggered: Timestamp,
    /// When it came true: the time of the event that did it, for an absence the end of its window, for a
    /// composite the latest of its children. Composites order and measure their children by it.
    pub occurred: Timestamp,
    /// Each `for_each` label with its value, sorted by label; empty for composites.
    pub labels: Vec<(String, String)>,
    /// The event that did it, or for an absence the last one seen.
    #[serde(with = "stored_event")]
    pub event: Option<Arc<Event>>,
    /// For a composite, the firings of its children.
    pub firings: Vec<Firing>,
    /// For an absence, how long after its deadline it was found, in microseconds.
    pub late_micros: i64,
    /// For an absence, how long we heard nothing at all around its window, in microseconds.
    pub deaf_micros: i64,
    /// Why it fired.
    pub reason: Reason,
}

impl Firing {
    /// A firing of an event trigger at the record's time; what else is known is set by the caller.
    pub(crate) fn of_leaf(trigger: &EventTrigger, key: &[String], reason: Reason, id: Uuid) -> Self {
        let labels = trigger.for_each_sorted().iter().map(|label| label.to_string()).zip(key.iter().cloned());
        let change =
            if reason == Reason::Resolved { TriggerChange::Resolved } else { TriggerChange::Triggered };
        Self {
            id,
            trigger: trigger.id,
            change,
            triggered: Timestamp::default(),
            occurred: Timestamp::default(),
            labels: labels.collect(),
            event: None,
            firings: Vec::new(),
            late_micros: 0,
            deaf_micros: 0,
            reason,
        }
    }

    /// This firing and all below it, parents first.
    pub fn all_firings(&self) -> Vec<&Firing> {
        let mut all = vec![self];
        for child in &self.firings {
            all.extend(child.all_firings());
        }
        all
    }

    /// Every event of this firing and of those below it.
    pub fn all_events(&self) -> Vec<&Arc<Event>> {
        self.all_firings().into_iter().filter_map(|firing| firing.event.as_ref()).collect()
    }

    /// The firing in Prefect's shape, and after its fields ours: `occurred`, `reason`, `late_micros`,
    /// `deaf_micros`. `root` is the automation's trigger: a firing shows the declaration that fired.
    pub fn to_value(&self, root: &Trigger) -> Value {
        let trigger = root.find(self.trigger).map_or_else(|| json!({"id": self.trigger}), Trigger::to_value);
        let labels = self.labels.iter().map(|(label, value)| (label.clone(), json!(value)));
        json!({
            "id": self.id,
            "trigger": trigger,
            "trigger_states": [self.change.as_str()],
            "triggered": self.triggered,
            "triggering_labels": labels.collect::<serde_json::Map<_, _>>(),
            "triggering_firings": self.firings.iter().map(|child| child.to_value(root)).collect::<Vec<_>>(),
            "triggering_event": self.event.as_ref().map(|event| event.to_value()),
            "triggering_value": null,
            "occurred": self.occurred,
            "reason": self.reason.as_str(),
            "late_micros": self.late_micros,
            "deaf_micros": self.deaf_micros,
        })
    }

    /// Reads what [`Self::to_value`] wrote.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let event = match get(value, "triggering_event")? {
            Value::Null => None,
            event => Some(Arc::new(
                Event::from_stored(&event.to_string()).map_err(|_| wrong("triggering_event", event))?,
            )),
        };
        let labels = get(value, "triggering_labels")?
            .as_object()
            .ok_or_else(|| wrong("triggering_labels", value))?
            .iter()
            .map(|(label, value)| (label.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        let children = get(value, "triggering_firings")?;
        let children = children.as_array().ok_or_else(|| wrong("triggering_firings", children))?;
        let trigger = value.pointer("/trigger/id").ok_or_else(|| wrong("trigger", value))?;
        let change = value.pointer("/trigger_states/0").ok_or_else(|| wrong("trigger_states", value))?;
        Ok(Self {
            id: read(get(value, "id")?, "id")?,
            trigger: read(trigger, "trigger")?,
            change: read(change, "trigger_states")?,
            triggered: read(get(value, "triggered")?, "triggered")?,
            occurred: read(get(value, "occurred")?, "occurred")?,
            labels,
            event,
            firings: children.iter().map(Self::from_value).collect::<Result<_, _>>()?,
            late_micros: read(get(value, "late_micros")?, "late_micros")?,
            deaf_micros: read(get(value, "deaf_micros")?, "deaf_micros")?,
            reason: read(get(value, "reason")?, "reason")?,
        })
    }
}

fn get<'a>(value: &'a Value, field: &'static str) -> Result<&'a Value, Error> {
    value.get(field).ok_or_else(|| wrong(field, value))
}

fn read<T: serde::de::DeserializeOwned>(value: &Value, field: &'static str) -> Result<T, Error> {
    T::deserialize(value).map_err(|_| wrong(field, value))
}

fn wrong(field: &'static str, given: &Value) -> Error {
    Error::StoredFiring { field, given: given.to_string() }
}

/// An event inside our own state: its JSON as it is, or `null`.
pub(crate) mod stored_event {
    use pavlov_events::Event;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
    use serde_json::value::RawValue;
    use std::sync::Arc;

    pub(crate) fn serialize<S: Serializer>(
        event: &Option<Arc<Event>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let raw = event.as_ref().map(|event| RawValue::from_string(event.to_json())).transpose();
        raw.map_err(S::Error::custom)?.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<Event>>, D::Error> {
        let raw = Option::<Box<RawValue>>::deserialize(deserializer)?;
        raw.map(|raw| Event::from_stored(raw.get()).map(Arc::new)).transpose().map_err(D::Error::custom)
    }
}
