//! Prefect's custom webhook block: a request described field by field, with `{{ name }}` placeholders.

use super::Message;
use crate::error::Error;
use crate::http::{self, Answer};
use crate::outbound::{Care, Outbound};
use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Map, Value};
use std::time::Duration;

/// A request with placeholders for `subject`, `body`, `name` and the block's own secrets.
///
/// ```json
/// {"name": "pager", "url": "https://pager.example.org/{{team}}", "method": "POST", "params": null,
///  "json_data": {"text": "{{subject}}\n{{body}}"}, "form_data": null, "headers": {"X-Token": "{{token}}"},
///  "cookies": null, "timeout": 10, "allow_private_urls": true, "secrets": {"team": "sre", "token": "…"}}
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CustomWebhook {
    name: String,
    method: Method,
    url: String,
    params: Map<String, Value>,
    json_data: Option<Value>,
    form_data: Option<Value>,
    headers: Map<String, Value>,
    cookies: Map<String, Value>,
    timeout: Duration,
    allow_private_urls: bool,
    secrets: Map<String, Value>,
}

impl CustomWebhook {
    /// Reads a block document's data of type `custom-webhook`. Fails on what the genuine block refuses: both
    /// kinds of data, or a placeholder that nothing fills.
    pub fn read(data: &Value) -> Result<Self, Error> {
        let text = |field: &str| data.get(field).and_then(Value::as_str).map(str::to_owned);
        let map = |field: &str| data.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
        let some = |field: &str| data.get(field).filter(|value| !value.is_null()).cloned();
        let method = text("method").unwrap_or_else(|| "POST".into());
        if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
            return Err(Error::misconfigured(format!("the custom-webhook block has the method '{method}'")));
        }
        let seconds = data.get("timeout").and_then(Value::as_f64).unwrap_or(10.0);
        let webhook = Self {
            name: text("name").unwrap_or_default(),
            method: Method::from_bytes(method.as_bytes()).expect("one of five methods"),
            url: text("url").ok_or_else(|| Error::misconfigured("the custom-webhook block has no url"))?,
            params: map("params"),
            json_data: some("json_data"),
            form_data: some("form_data"),
            headers: map("headers"),
            cookies: map("cookies"),
            timeout: Duration::try_from_secs_f64(seconds).unwrap_or(http::TIMEOUT),
            allow_private_urls: data.get("allow_private_urls").and_then(Value::as_bool).unwrap_or(true),
            secrets: map("secrets"),
        };
        if webhook.json_data.is_some() && webhook.form_data.is_some() {
            return Err(Error::misconfigured("both `Form Data` and `JSON Data` provided"));
        }
        Ok(webhook)
    }

    /// Sends a message within the block's own timeout, or `timeout` if that is shorter.
    pub async fn send(
        &self,
        message: &Message,
        outbound: &Outbound,
        timeout: Duration,
    ) -> Result<Answer, Error> {
        let care = Care { verify: true, private: self.allow_private_urls };
        let fill = |value: &Value| self.filled(value, message);
        let mut url = outbound.url(&as_text(&fill(&Value::from(self.url.as_str()))?), care)?;
        if !self.params.is_empty() {
            append_query(&mut url, &self.params, &fill)?;
        }
        let mut request = outbound.client(care)?.request(self.method.clone(), url);
        request = request.header("Idempotency-Key", &message.id);
        for (name, value) in &self.headers {
            request = request.header(header_name(name)?, header_value(&as_text(&fill(value)?))?);
        }
        if !self.cookies.is_empty() {
            let mut pairs = Vec::new();
            for (name, value) in &self.cookies {
                pairs.push(format!("{name}={}", as_text(&fill(value)?)));
            }
            request = request.header(COOKIE, header_value(&pairs.join("; "))?);
        }
        request = match (&self.json_data, &self.form_data) {
            (Some(data), _) => request.json(&fill(data)?),
            (None, Some(Value::Object(fields))) => {
                let mut form = Url::parse("form:").expect("a url without a query");
                append_query(&mut form, fields, &fill)?;
                let body = form.query().unwrap_or_default().to_owned();
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
            }
            (None, Some(data)) => request.body(as_text(&fill(data)?)),
            (None, None) => request,
        };
        http::verdict(http::ask(request, self.timeout.min(timeout)).await?)
    }

    /// A value with every placeholder filled in.
    fn filled(&self, value: &Value, message: &Message) -> Result<Value, Error> {
        Ok(match value {
            Value::String(text) => Value::String(self.filled_text(text, message)?),
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.filled(item, message)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let mut out = Map::with_capacity(fields.len());
                for (name, value) in fields {
                    out.insert(name.clone(), self.filled(value, message)?);
                }
                Value::Object(out)
            }
            other => other.clone(),
        })
    }

    fn filled_text(&self, text: &str, message: &Message) -> Result<String, Error> {
        let (mut out, mut rest) = (String::with_capacity(text.len()), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((key, after)) = after.split_once("}}") else { break };
            out.push_str(before);
            match key.trim() {
                "subject" => out.push_str(&message.subject),
                "body" => out.push_str(&message.body),
                "name" => out.push_str(&self.name),
                key => match self.secrets.get(key) {
                    Some(secret) => out.push_str(&as_text(secret)),
                    None => {
                        let detail =
                            format!("the placeholder '{key}' of the custom-webhook block has no value");
                        return Err(Error::misconfigured(detail));
                    }
                },
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn append_query(
    url: &mut Url,
    fields: &Map<String, Value>,
    fill: &dyn Fn(&Value) -> Result<Value, Error>,
) -> Result<(), Error> {
    for (name, value) in fields {
        let value = as_text(&fill(value)?);
        url.query_pairs_mut().append_pair(name, &value);
    }
    Ok(())
}

fn header_name(name: &str) -> Result<HeaderName, Error> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Error::misconfigured(format!("'{name}' is no header's name")))
}

fn header_value(value: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(value).map_err(|_| Error::misconfigured("a header's value holds a line break"))
}
