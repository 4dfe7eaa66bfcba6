//! `send-notification`: a message to people through a notification block.

use crate::shape;
use pavlov_events::Reader;
use serde_json::{Map, Value};
use uuid::Uuid;

/// The subject of a message that has none, Prefect's.
const SUBJECT: &str = "Prefect automated notification";

/// Sends a message through a notification block.
///
/// ```json
/// {"type": "send-notification", "block_document_id": "0199a5c0-0000-7000-8000-000000000000",
///  "subject": "Prefect automated notification", "body": "{{ event.resource.name }} failed"}
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SendNotification {
    /// The block document with the channel's settings.
    pub block_document_id: Uuid,
    /// Template of the subject.
    pub subject: String,
    /// Template of the text.
    pub body: String,
}

impl SendNotification {
    /// Reads the fields.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let block_document_id = reader.required("block_document_id", |r| r.uuid());
        let subject = reader.optional("subject", |r| shape::template(r, "subject"));
        let body = reader.required("body", |r| shape::template(r, "body"));
        let subject = subject?.unwrap_or_else(|| SUBJECT.into());
        Some(Self { block_document_id: block_document_id?, subject, body: body? })
    }

    /// Adds the fields.
    pub fn write(&self, out: &mut Map<String, Value>) {
        out.insert("block_document_id".into(), self.block_document_id.to_string().into());
        out.insert("subject".into(), self.subject.as_str().into());
        out.insert("body".into(), self.body.as_str().into());
    }
}
