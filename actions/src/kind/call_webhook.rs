//! `call-webhook`: an HTTP request described by a webhook block.

use crate::shape;
use pavlov_events::Reader;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Calls the webhook of a block.
///
/// ```json
/// {"type": "call-webhook", "block_document_id": "0199a5c0-0000-7000-8000-000000000000",
///  "payload": "{\"host\": {{ event.resource.id | tojson }}}"}
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CallWebhook {
    /// The block document with address, method and headers.
    pub block_document_id: Uuid,
    /// Template of the request's body; a JSON value given instead is kept as its indented text.
    pub payload: String,
}

impl CallWebhook {
    /// Reads the fields.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let block_document_id = reader.required("block_document_id", |r| r.uuid());
        let payload = reader.optional("payload", read_payload);
        Some(Self { block_document_id: block_document_id?, payload: payload?.unwrap_or_default() })
    }

    /// Adds the fields.
    pub fn write(&self, out: &mut Map<String, Value>) {
        out.insert("block_document_id".into(), self.block_document_id.to_string().into());
        out.insert("payload".into(), self.payload.as_str().into());
    }
}

fn read_payload(reader: &mut Reader<'_>) -> Option<String> {
    let text = match reader.value() {
        Value::String(_) | Value::Null => reader.string()?,
        other => serde_json::to_string_pretty(other).expect("a JSON value is written to memory"),
    };
    shape::checked(reader, "payload", text)
}
