//! [`first_mismatch`]: why an event does not concern a trigger, with the values.

use crate::event_trigger::EventTrigger;
use pavlov_events::pattern::ResourceSpecification;
use pavlov_events::{Event, Resource};
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// The first condition of a trigger that an event fails.
///
/// ```json
/// {"field": "match", "label": "color", "wanted": ["red"], "given": "blue"}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mismatch {
    /// The field of the trigger: `expect`, `match` or `match_related`.
    pub field: &'static str,
    /// For a list of `match_related`, which element (from 0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// The label that fails; absent for an event name, and when no related resource has all labels at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What the trigger wants: event names, the label's values, or a whole specification.
    pub wanted: Value,
    /// What the event has: its name, the label's value (`null` if missing), or its related resources.
    pub given: Value,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field)?;
        if let Some(index) = self.index {
            write!(f, "[{index}]")?;
        }
        if let Some(label) = &self.label {
            write!(f, " {label}")?;
        }
        write!(f, ": wanted {}, the event has {}", self.wanted, self.given)
    }
}

/// The first condition, in the order name, resource, related resources, that keeps an event from being
/// covered; `None` exactly when [`EventTrigger::covers`] says yes.
pub fn first_mismatch(trigger: &EventTrigger, event: &Event) -> Option<Mismatch> {
    if !trigger.covers_name(&event.event) {
        let wanted = trigger.expect().chain(trigger.after()).collect();
        let given = Value::from(&*event.event);
        return Some(Mismatch { field: "expect", index: None, label: None, wanted, given });
    }
    let resource = trigger.match_resource();
    if !resource.includes([&event.resource]) {
        return label_mismatch("match", None, resource, &event.resource);
    }
    let many = trigger.match_related().len() > 1;
    let (index, specification) =
        trigger.match_related().iter().enumerate().find(|(_, one)| !one.includes(&event.related))?;
    let index = many.then_some(index);
    if let [only] = &event.related[..] {
        return label_mismatch("match_related", index, specification, only);
    }
    let given = event.related.iter().map(shown).collect();
    let wanted = specification.to_value();
    Some(Mismatch { field: "match_related", index, label: None, wanted, given })
}

fn label_mismatch(
    field: &'static str,
    index: Option<usize>,
    specification: &ResourceSpecification,
    resource: &Resource,
) -> Option<Mismatch> {
    let (label, _) = specification.labels().find(|(label, patterns)| {
        let value = resource.get(label);
        !patterns.iter().any(|pattern| pattern.matches(value))
    })?;
    let wanted = specification.to_value().get(label).cloned().unwrap_or_default();
    let given = resource.get(label).map_or(Value::Null, Value::from);
    Some(Mismatch { field, index, label: Some(label.to_owned()), wanted, given })
}

fn shown(resource: &Resource) -> Value {
    resource.labels().map(|(label, value)| (label.to_owned(), Value::from(value))).collect()
}
