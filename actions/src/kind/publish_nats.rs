//! `publish-nats`: a message on a NATS subject.

use crate::shape;
use pavlov_events::Reader;
use serde_json::{Map, Value};

/// Publishes one message. Subject, payload and headers are templates.
///
/// ```json
/// {"type": "publish-nats", "subject": "ops.restart.{{ event.resource.id }}",
///  "payload": {"reason": "{{ event.event }}"}, "headers": {}}
/// ```
///
/// The header `Nats-Msg-Id` carries the triggered action's id, so a stream keeps a repeated message once.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishNats {
    /// Template of the subject; what it yields may hold no wildcard and no space.
    pub subject: String,
    /// A string is sent as text, any other JSON value as JSON.
    pub payload: Value,
    /// Headers, their values are templates.
    pub headers: Vec<(String, String)>,
}

impl PublishNats {
    const FIELDS: [&str; 3] = ["subject", "payload", "headers"];

    /// Reads the fields.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        super::forbid_others(reader, &Self::FIELDS);
        let subject = reader.required("subject", |r| shape::non_empty_template(r, "subject"));
        let payload = reader.optional("payload", |r| shape::templated_json(r, "payload"));
        let headers = reader.nullable("headers", |r| shape::template_map(r, "headers"));
        Some(Self {
            subject: subject?,
            payload: payload?.unwrap_or_else(|| "".into()),
            headers: headers?.unwrap_or_default(),
        })
    }

    /// Adds the fields.
    pub fn write(&self, out: &mut Map<String, Value>) {
        out.insert("subject".into(), self.subject.as_str().into());
        out.insert("payload".into(), self.payload.clone());
        out.insert("headers".into(), shape::object(&self.headers));
    }
}
