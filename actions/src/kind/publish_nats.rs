//! `publish-nats`: a message on a NATS subject.

use crate::attempt::{Attempt, Reason};
use crate::perform::Deed;
use crate::shape;
use crate::template::TemplateError;
use crate::world::NatsMessage;
use pavlov_events::Reader;
use serde_json::{Map, Value, json};

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

impl PublishNats {
    /// Renders the message and publishes it.
    pub(crate) async fn act(&self, deed: &Deed<'_>) -> Attempt {
        let message = match self.fill(deed) {
            Ok(message) => message,
            Err(error) => return error.into(),
        };
        if let Some(why) = subject_fault(&message.subject) {
            let words = format!("the subject '{}' {why}", message.subject);
            return Attempt::failed(Reason::Refused, words);
        }
        if message.headers.iter().any(|(name, value)| format!("{name}{value}").contains(['\r', '\n'])) {
            return Attempt::failed(Reason::Refused, "a header holds a line break");
        }
        let subject = message.subject.clone();
        match deed.world.publish_nats(message).await {
            Ok(()) => Attempt::done(json!({"subject": subject})),
            Err(refusal) if refusal.retry => Attempt::retry(Reason::Refused, refusal.detail, None),
            Err(refusal) => Attempt::failed(Reason::Refused, refusal.detail),
        }
    }

    fn fill(&self, deed: &Deed<'_>) -> Result<NatsMessage, TemplateError> {
        let payload = match &self.payload {
            Value::String(text) => deed.render("payload", text)?,
            json => deed.render_json("payload", json)?.to_string(),
        };
        let mut headers = deed.render_pairs("headers", &self.headers)?;
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Nats-Msg-Id")) {
            headers.push(("Nats-Msg-Id".into(), deed.key()));
        }
        Ok(NatsMessage {
            subject: deed.render("subject", &self.subject)?,
            headers,
            payload: payload.into_bytes(),
        })
    }
}

/// Why nothing can be published on a subject.
fn subject_fault(subject: &str) -> Option<&'static str> {
    if subject.is_empty() || subject.split('.').any(str::is_empty) {
        Some("has an empty part")
    } else if subject.contains(|c: char| c.is_whitespace() || c.is_control()) {
        Some("holds a space")
    } else if subject.contains(['*', '>']) {
        Some("holds a wildcard")
    } else {
        None
    }
}
