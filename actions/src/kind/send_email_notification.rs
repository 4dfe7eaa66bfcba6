//! `send-email-notification`: an e-mail over SMTP.

use crate::shape::{self, put_or_null};
use pavlov_events::Reader;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Most receivers of one message, `to` and `cc` together.
const RECEIVERS_MAX: usize = 100;

/// Sends an e-mail. Receivers, subject and both bodies are templates.
///
/// ```json
/// {"type": "send-email-notification", "to": ["sre@example.org"], "cc": [], "subject": "{{ automation.name }}",
///  "body": "{{ event.event }}", "html": null, "server": null, "block_document_id": null}
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SendEmailNotification {
    /// Receivers, at least one, each `name@host` or `Name <name@host>`.
    pub to: Vec<String>,
    /// Receivers of a copy.
    pub cc: Vec<String>,
    /// The subject; line breaks become spaces.
    pub subject: String,
    /// The plain text.
    pub body: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// The name of a mail server in the settings; none = the first one.
    pub server: Option<String>,
    /// A block document of type `email-server-credentials` with the mail server, instead of `server`.
    pub block_document_id: Option<Uuid>,
}

impl SendEmailNotification {
    const FIELDS: [&str; 7] = ["to", "cc", "subject", "body", "html", "server", "block_document_id"];

    /// Reads the fields.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        super::forbid_others(reader, &Self::FIELDS);
        let to = reader.required("to", |r| read_receivers(r, "to"));
        let cc = reader.nullable("cc", |r| read_receivers(r, "cc"));
        let subject = reader.required("subject", |r| shape::template(r, "subject"));
        let body = reader.required("body", |r| shape::template(r, "body"));
        let html = reader.nullable("html", |r| shape::template(r, "html"));
        let server = reader.nullable("server", |r| r.string());
        let block = reader.nullable("block_document_id", |r| r.uuid());
        let mail = Self {
            to: to?,
            cc: cc?.unwrap_or_default(),
            subject: subject?,
            body: body?,
            html: html?,
            server: server?,
            block_document_id: block?,
        };
        if mail.to.is_empty() {
            reader.value_error("to needs at least one receiver");
        } else if mail.to.len() + mail.cc.len() > RECEIVERS_MAX {
            reader.value_error(format_args!("at most {RECEIVERS_MAX} receivers are allowed"));
        } else if mail.server.is_some() && mail.block_document_id.is_some() {
            reader.value_error("server and block_document_id exclude each other");
        } else {
            return Some(mail);
        }
        None
    }

    /// Adds the fields.
    pub fn write(&self, out: &mut Map<String, Value>) {
        out.insert("to".into(), self.to.clone().into());
        out.insert("cc".into(), self.cc.clone().into());
        out.insert("subject".into(), self.subject.as_str().into());
        out.insert("body".into(), self.body.as_str().into());
        put_or_null(out, "html", &self.html);
        put_or_null(out, "server", &self.server);
        put_or_null(out, "block_document_id", &self.block_document_id.map(|id| id.to_string()));
    }
}

/// A list, or one receiver alone.
fn read_receivers(reader: &mut Reader<'_>, field: &str) -> Option<Vec<String>> {
    match reader.value() {
        Value::String(_) => Some(vec![shape::non_empty_template(reader, field)?]),
        _ => reader.list(|item| shape::non_empty_template(item, field)),
    }
}
