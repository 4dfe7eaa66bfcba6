//! `send-notification`: a message to people through a notification block.

use crate::attempt::Attempt;
use crate::perform::Deed;
use crate::{block, notice, shape};
use pavlov_events::Reader;
use pavlov_notifier::Message;
use pavlov_notifier::channel::{CustomWebhook, SlackWebhook};
use serde_json::{Map, Value, json};
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

/// The block types that work in this version.
const CHANNELS: [&str; 2] = ["slack-webhook", "custom-webhook"];

impl SendNotification {
    /// Renders the message and sends it through the block's channel.
    pub(crate) async fn act(&self, deed: &Deed<'_>) -> Attempt {
        let block = match block::read(deed, self.block_document_id) {
            Ok(block) => block,
            Err(attempt) => return *attempt,
        };
        let notice = notice::render(deed, &self.subject, &self.body, None);
        let message = Message { subject: notice.subject, body: notice.body, id: deed.key() };
        let (outbound, timeout) = (deed.world.outbound(), deed.request_timeout());
        let sent = match block.slug.as_str() {
            "slack-webhook" => match SlackWebhook::read(&block.data) {
                Ok(channel) => channel.send(&message, outbound, timeout).await,
                Err(error) => Err(error),
            },
            "custom-webhook" => match CustomWebhook::read(&block.data) {
                Ok(channel) => channel.send(&message, outbound, timeout).await,
                Err(error) => Err(error),
            },
            _ => return block.unsupported(&CHANNELS),
        };
        let attempt = match sent {
            Ok(_) => Attempt::done(notice.failed.unwrap_or_else(|| json!({}))),
            Err(error) => {
                let log = error.to_string();
                Attempt::undelivered("Notification", &error).with_payload(json!({"notification_log": log}))
            }
        };
        attempt.with_related(block.related)
    }
}
