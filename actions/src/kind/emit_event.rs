//! `emit-event`: tells an event of one's own.

use crate::attempt::{Attempt, Reason};
use crate::perform::Deed;
use crate::shape;
use crate::template::TemplateError;
use pavlov_events::event::Defaults;
use pavlov_events::limits::{EVENT_NAME_CHARS_MAX, RELATED_MAX};
use pavlov_events::{Event, Reader, Uuid};
use serde_json::{Map, Value, json};

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

impl EmitEvent {
    /// Renders the event and tells it.
    pub(crate) async fn act(&self, deed: &Deed<'_>) -> Attempt {
        let event = match self.fill(deed) {
            Ok(event) => event,
            Err(error) => return error.into(),
        };
        // The same try yields the same id, and an event that is known by its id is told once.
        let id = Uuid::new_v5(&deed.action.id, b"emit-event");
        let defaults = Defaults { id, occurred: deed.world.now() };
        let event = match Event::parse(&event.to_string(), Some(defaults)) {
            Ok(event) => event,
            Err(faults) => {
                let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
                return Attempt::failed(Reason::Refused, format!("the event is none: {}", words.join("; ")));
            }
        };
        match deed.world.emit(event).await {
            Ok(()) => Attempt::done(json!({"emitted_event": id})),
            Err(refusal) if refusal.retry => Attempt::retry(Reason::Refused, refusal.detail, None),
            Err(refusal) => Attempt::failed(Reason::Refused, refusal.detail),
        }
    }

    fn fill(&self, deed: &Deed<'_>) -> Result<Value, TemplateError> {
        let labels = |labels: &[(String, String)]| Ok(shape::object(&deed.render_pairs("labels", labels)?));
        let related = self.related.iter().map(|related| labels(related)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({
            "event": deed.render("event", &self.event)?,
            "resource": labels(&self.resource)?,
            "related": related,
            "payload": deed.render_json("payload", &Value::Object(self.payload.clone()))?,
            "follows": deed.action.event.as_ref().map(|event| event.id),
        }))
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
