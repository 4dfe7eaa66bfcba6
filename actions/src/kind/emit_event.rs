//! `emit-event`: tells an event of one's own.

use crate::shape;
use pavlov_events::Reader;
use pavlov_events::limits::{EVENT_NAME_CHARS_MAX, RELATED_MAX};
use serde_json::{Map, Value};

/// Tells an event. Its name, labels and payload are templates.
///
/// ```json
/// {"type": "emit-event", "event": "host.quarantined", "resource": {"prefect.resource.id": "{{ event.resource.id }}"},
///  "related": [{"prefect.resource.id": "team.sre", "prefect.resource.role": "owner"}],
///  "payload": {"attempts": "{{ event.payload.attempts }}"}}
/// ```
///
/// The event's id is computed from the triggered action's, so a repeated attempt tells the same event.
#[derive(Clone, Debug, PartialEq)]
pub struct EmitEvent {
    /// Template of the event's name.
    pub event: String,
    /// Labels of the resource, with `prefect.resource.id`.
    pub resource: Vec<(String, String)>,
    /// Labels of each related resource, with id and role.
    pub related: Vec<Vec<(String, String)>>,
    /// The payload; a string that is one template alone keeps the type of its value.
    pub payload: Map<String, Value>,
}

impl EmitEvent {
    const FIELDS: [&str; 4] = ["event", "resource", "related", "payload"];

    /// Reads the fields.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        super::forbid_others(reader, &Self::FIELDS);
        let event = reader.required("event", |r| {
            let name = shape::non_empty_template(r, "event")?;
            if name.chars().count() > EVENT_NAME_CHARS_MAX {
                r.value_error(format_args!("Event name must be at most {EVENT_NAME_CHARS_MAX} characters"));
                return None;
            }
            Some(name)
        });
        let resource = reader.required("resource", |r| read_labels(r, false));
        let related = reader.nullable("related", |list| {
            let related = list.list(|r| read_labels(r, true))?;
            if related.len() > RELATED_MAX {
                list.value_error(format_args!("The maximum number of related resources is {RELATED_MAX}"));
                return None;
            }
            Some(related)
        });
        let payload = reader.nullable("payload", |r| {
            r.dict()?;
            shape::templated_json(r, "payload")?.as_object().cloned()
        });
        Some(Self {
            event: event?,
            resource: resource?,
            related: related?.unwrap_or_default(),
            payload: payload?.unwrap_or_default(),
        })
    }

    /// Adds the fields.
    pub fn write(&self, out: &mut Map<String, Value>) {
        out.insert("event".into(), self.event.as_str().into());
        out.insert("resource".into(), shape::object(&self.resource));
        out.insert("related".into(), self.related.iter().map(|labels| shape::object(labels)).collect());
        out.insert("payload".into(), self.payload.clone().into());
    }
}

fn read_labels(reader: &mut Reader<'_>, related: bool) -> Option<Vec<(String, String)>> {
    let labels = shape::template_map(reader, "labels")?;
    let has = |label: &str| labels.iter().any(|(name, value)| name == label && !value.is_empty());
    if !has("prefect.resource.id") {
        reader.value_error("Resources must include the prefect.resource.id label");
        return None;
    }
    if related && !has("prefect.resource.role") {
        reader.value_error("Related Resources must include the prefect.resource.role label");
        return None;
    }
    Some(labels)
}
