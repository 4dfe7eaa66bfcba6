//! `send-email-notification`: an e-mail over SMTP.

use crate::attempt::{Attempt, Reason};
use crate::perform::Deed;
use crate::shape::{self, put_or_null};
use crate::template::TemplateError;
use crate::{block, notice};
use pavlov_events::{Reader, Resource};
use pavlov_notifier::Error;
use pavlov_notifier::channel::email::Security;
use pavlov_notifier::channel::{Mail, MailServer};
use serde_json::{Map, Value, json};
use std::time::Duration;
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

/// How long one mail may take: servers greet slowly on purpose.
const TIMEOUT: Duration = Duration::from_secs(30);

impl SendEmailNotification {
    /// Renders the mail and hands it to the server.
    pub(crate) async fn act(&self, deed: &Deed<'_>) -> Attempt {
        let (server, related) = match self.server(deed) {
            Ok(found) => found,
            Err(attempt) => return *attempt,
        };
        let receivers = |field: &str, list: &[String]| -> Result<Vec<String>, TemplateError> {
            let all = list.iter().map(|text| deed.render(field, text)).collect::<Result<Vec<_>, _>>()?;
            // One template may yield several receivers.
            Ok(all.iter().flat_map(|text| text.split([',', ';'])).map(|one| one.trim().to_owned()).collect())
        };
        let (to, cc) = match (receivers("to", &self.to), receivers("cc", &self.cc)) {
            (Ok(to), Ok(cc)) => (to, cc),
            (Err(error), _) | (_, Err(error)) => return Attempt::from(error).with_related(related),
        };
        let notice = notice::render(deed, &self.subject, &self.body, self.html.as_deref());
        let mail =
            Mail { to, cc, subject: notice.subject, text: notice.body, html: notice.html, id: deed.key() };
        let sent =
            deed.world.mailers().send(&mail, &server, deed.world.outbound(), deed.timeout(TIMEOUT)).await;
        let attempt = match sent {
            Ok(()) => Attempt::done(notice.failed.unwrap_or_else(|| json!({}))),
            Err(error) => {
                let log = error.to_string();
                Attempt::undelivered("E-mail", &error).with_payload(json!({"notification_log": log}))
            }
        };
        attempt.with_related(related)
    }

    fn server(&self, deed: &Deed<'_>) -> Result<(MailServer, Vec<Resource>), Box<Attempt>> {
        let Some(id) = self.block_document_id else {
            let missing = || match &self.server {
                Some(name) => format!("the settings name no mail server '{name}'"),
                None => "the settings name no mail server".to_owned(),
            };
            let found = deed.world.mail_server(self.server.as_deref());
            let found = found.ok_or_else(|| Box::new(Attempt::failed(Reason::NotFound, missing())))?;
            return Ok((found, Vec::new()));
        };
        let block = block::read(deed, id)?;
        if block.slug != "email-server-credentials" {
            return Err(Box::new(block.unsupported(&["email-server-credentials"])));
        }
        match of_block(&block.data) {
            Ok(server) => Ok((server, block.related)),
            Err(error) => Err(Box::new(Attempt::undelivered("E-mail", &error).with_related(block.related))),
        }
    }
}

/// The server of a block of type `email-server-credentials`; the user name is the sender.
fn of_block(data: &Value) -> Result<MailServer, Error> {
    let text = |field: &str| data.get(field).and_then(Value::as_str).map(str::to_owned);
    let missing =
        |field: &str| Error::misconfigured(format!("the email-server-credentials block has no {field}"));
    let (security, port) =
        match text("smtp_type").unwrap_or_else(|| "SSL".into()).to_ascii_uppercase().as_str() {
            "SSL" => (Security::Tls, 465),
            "STARTTLS" => (Security::StartTls, 587),
            "INSECURE" => (Security::None, 25),
            other => {
                return Err(Error::misconfigured(format!(
                    "the smtp_type '{other}' is not SSL, STARTTLS or INSECURE"
                )));
            }
        };
    let given = data.get("smtp_port").and_then(Value::as_u64);
    let user = text("username");
    let host = text("smtp_server").ok_or_else(|| missing("smtp_server"))?;
    Ok(MailServer {
        // The block names well-known servers by these words.
        host: match host.to_ascii_uppercase().as_str() {
            "AOL" => "smtp.aol.com".into(),
            "ATT" => "smtp.mail.att.net".into(),
            "COMCAST" => "smtp.comcast.net".into(),
            "GMAIL" => "smtp.gmail.com".into(),
            "ICLOUD" => "smtp.mail.me.com".into(),
            "OUTLOOK" => "smtp-mail.outlook.com".into(),
            "YAHOO" => "smtp.mail.yahoo.com".into(),
            _ => host,
        },
        port: given.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).unwrap_or(port),
        security,
        verify: data.get("verify").and_then(Value::as_bool).unwrap_or(true),
        from: text("from").or_else(|| user.clone()).ok_or_else(|| missing("username"))?,
        credentials: user.zip(text("password")),
        guarded: true,
    })
}

/// A list, or one receiver alone.
fn read_receivers(reader: &mut Reader<'_>, field: &str) -> Option<Vec<String>> {
    match reader.value() {
        Value::String(_) => Some(vec![shape::non_empty_template(reader, field)?]),
        _ => reader.list(|item| shape::non_empty_template(item, field)),
    }
}
