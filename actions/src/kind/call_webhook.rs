//! `call-webhook`: an HTTP request described by a webhook block.

use crate::attempt::{Attempt, answer_payload};
use crate::perform::Deed;
use crate::{block, shape};
use pavlov_events::Reader;
use pavlov_notifier::outbound::Care;
use pavlov_notifier::{Answer, Error, http};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
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

impl CallWebhook {
    /// Renders the payload and makes the request that the block describes.
    pub(crate) async fn act(&self, deed: &Deed<'_>) -> Attempt {
        let block = match block::read(deed, self.block_document_id) {
            Ok(block) => block,
            Err(attempt) => return *attempt,
        };
        if block.slug != "webhook" {
            return block.unsupported(&["webhook"]);
        }
        let payload = match deed.render("payload", &self.payload) {
            Ok(payload) => payload,
            Err(error) => return Attempt::from(error).with_related(block.related),
        };
        let attempt = match call(deed, &block.data, payload).await {
            Ok(answer) => Attempt::done(answer_payload(&answer)),
            Err(error) => Attempt::undelivered("Webhook call", &error),
        };
        attempt.with_related(block.related)
    }
}

/// The request of a block of type `webhook`: `method`, `url`, `headers`, `allow_private_urls`, `verify`.
async fn call(deed: &Deed<'_>, data: &Value, payload: String) -> Result<Answer, Error> {
    let yes = |field: &str| data.get(field).and_then(Value::as_bool).unwrap_or(true);
    let care = Care { verify: yes("verify"), private: yes("allow_private_urls") };
    let url = data.get("url").and_then(Value::as_str);
    let url = url.ok_or_else(|| Error::misconfigured("the webhook block has no url"))?;
    let method = data.get("method").and_then(Value::as_str).unwrap_or("POST");
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| Error::misconfigured(format!("the webhook block has the method '{method}'")))?;
    let mut headers = HeaderMap::new();
    headers.insert("idempotency-key", HeaderValue::from_str(&deed.key()).expect("an id is plain text"));
    for (name, value) in data.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let parsed = value.as_str().and_then(|value| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
        });
        let refused =
            || Error::misconfigured(format!("the header '{name}' of the webhook block cannot be sent"));
        let (name, value) = parsed.ok_or_else(refused)?;
        headers.insert(name, value);
    }
    // The genuine server leaves the type out; receivers of JSON then see bytes.
    if !headers.contains_key(CONTENT_TYPE) && serde_json::from_str::<serde::de::IgnoredAny>(&payload).is_ok()
    {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let outbound = deed.world.outbound();
    let request =
        outbound.client(care)?.request(method, outbound.url(url, care)?).headers(headers).body(payload);
    http::verdict(http::ask(request, deed.request_timeout()).await?)
}

fn read_payload(reader: &mut Reader<'_>) -> Option<String> {
    let text = match reader.value() {
        Value::String(_) | Value::Null => reader.string()?,
        other => serde_json::to_string_pretty(other).expect("a JSON value is written to memory"),
    };
    shape::checked(reader, "payload", text)
}
