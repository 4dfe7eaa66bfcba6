//! `http-request`: an HTTP request described in the action itself.

use crate::attempt::{Attempt, answer_payload};
use crate::options::OnUnknown;
use crate::perform::Deed;
use crate::shape::{self, put_or_null};
use crate::template::TemplateError;
use pavlov_events::Reader;
use pavlov_notifier::outbound::Care;
use pavlov_notifier::{Answer, Error, http};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value};

/// Makes one HTTP request. Address, headers and body are templates.
///
/// ```json
/// {"type": "http-request", "method": "POST", "url": "https://api.example.org/hosts/{{ event.resource.id }}",
///  "headers": {"X-Team": "sre"}, "json": {"count": "{{ event.payload.count }}"}, "body": null,
///  "success_statuses": null, "idempotency_header": null}
/// ```
///
/// With `idempotency_header` the request may be repeated after a crash, else it is not (DESIGN section 2).
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRequest {
    /// The method. Default: GET without a body, POST with one.
    pub method: &'static str,
    /// Template of the address, `http` or `https`.
    pub url: String,
    /// Headers, their values are templates.
    pub headers: Vec<(String, String)>,
    /// A JSON body; a string that is one template alone keeps the type of its value.
    pub json: Option<Value>,
    /// A text body, instead of `json`.
    pub body: Option<String>,
    /// The statuses that count as done. Default: 200 to 299.
    pub success_statuses: Option<Vec<u16>>,
    /// The header that carries the triggered action's id.
    pub idempotency_header: Option<String>,
}

const METHODS: [(&str, &str); 7] = [
    ("GET", "GET"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
    ("HEAD", "HEAD"),
    ("OPTIONS", "OPTIONS"),
];

impl HttpRequest {
    const FIELDS: [&str; 7] =
        ["method", "url", "headers", "json", "body", "success_statuses", "idempotency_header"];

    /// Reads the fields.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        super::forbid_others(reader, &Self::FIELDS);
        let method = reader.nullable("method", |r| r.literal(&METHODS));
        let url = reader.required("url", read_url);
        let headers = reader.nullable("headers", read_headers);
        let json = reader.nullable("json", |r| shape::templated_json(r, "json"));
        let body = reader.nullable("body", |r| shape::template(r, "body"));
        let statuses = reader.nullable("success_statuses", |list| list.list(|r| r.integer_within(100, 599)));
        let header = reader.nullable("idempotency_header", read_header_name);
        let (json, body) = (json?, body?);
        if json.is_some() && body.is_some() {
            reader.value_error("json and body exclude each other");
            return None;
        }
        let without_body = json.is_none() && body.is_none();
        Some(Self {
            method: method?.unwrap_or(if without_body { "GET" } else { "POST" }),
            url: url?,
            headers: headers?.unwrap_or_default(),
            json,
            body,
            success_statuses: statuses?.map(|list| list.into_iter().map(|status| status as u16).collect()),
            idempotency_header: header?,
        })
    }

    /// Adds the fields.
    pub fn write(&self, out: &mut Map<String, Value>) {
        out.insert("method".into(), self.method.into());
        out.insert("url".into(), self.url.as_str().into());
        out.insert("headers".into(), shape::object(&self.headers));
        put_or_null(out, "json", &self.json);
        put_or_null(out, "body", &self.body);
        put_or_null(out, "success_statuses", &self.success_statuses);
        put_or_null(out, "idempotency_header", &self.idempotency_header);
    }
}

/// A request with its templates filled in.
struct Filled {
    url: String,
    headers: Vec<(String, String)>,
    json: Option<Value>,
    body: Option<String>,
}

impl HttpRequest {
    /// Renders the request and makes it.
    pub(crate) async fn act(&self, deed: &Deed<'_>) -> Attempt {
        let filled = match self.fill(deed) {
            Ok(filled) => filled,
            Err(error) => return error.into(),
        };
        let asked = match self.request(deed, filled) {
            Ok(request) => http::ask(request, deed.request_timeout()).await,
            Err(error) => Err(error),
        };
        match asked.and_then(|answer| self.verdict(answer)) {
            Ok(answer) => Attempt::done(answer_payload(&answer)),
            Err(error) if self.may_be_done(deed, &error) => {
                let words = format!(
                    "{}; it may have been done, and without idempotency_header it is not repeated",
                    error.detail
                );
                Attempt::undelivered("HTTP request", &Error::new(pavlov_notifier::Reason::Rejected, words))
            }
            Err(error) => Attempt::undelivered("HTTP request", &error),
        }
    }

    /// Whether a repetition does no harm: a method that may be repeated, or a key by which the receiver
    /// knows it.
    pub fn is_repeatable(&self) -> bool {
        self.idempotency_header.is_some() || !matches!(self.method, "POST" | "PATCH")
    }

    /// Whether the receiver may have done what it did not answer.
    fn may_be_done(&self, deed: &Deed<'_>, error: &Error) -> bool {
        let unanswered = error.answer.is_none() && error.reason == pavlov_notifier::Reason::TimedOut;
        let allowed = deed.action.action.options.on_unknown == Some(OnUnknown::Retry);
        unanswered && !self.is_repeatable() && !allowed
    }

    fn fill(&self, deed: &Deed<'_>) -> Result<Filled, TemplateError> {
        Ok(Filled {
            url: deed.render("url", &self.url)?,
            headers: deed.render_pairs("headers", &self.headers)?,
            json: self.json.as_ref().map(|json| deed.render_json("json", json)).transpose()?,
            body: self.body.as_ref().map(|body| deed.render("body", body)).transpose()?,
        })
    }

    fn request(&self, deed: &Deed<'_>, filled: Filled) -> Result<RequestBuilder, Error> {
        let (outbound, care) = (deed.world.outbound(), Care::default());
        let method = Method::from_bytes(self.method.as_bytes()).expect("one of seven methods");
        let mut request = outbound.client(care)?.request(method, outbound.url(&filled.url, care)?);
        if let Some(name) = &self.idempotency_header {
            request = request.header(name, deed.key());
        }
        request = match (&filled.json, filled.body) {
            (Some(json), _) => request.json(json),
            (None, Some(body)) => request.body(body),
            (None, None) => request,
        };
        for (name, value) in &filled.headers {
            let parsed = (HeaderName::from_bytes(name.as_bytes()).ok(), HeaderValue::from_str(value).ok());
            let (Some(name), Some(value)) = parsed else {
                return Err(Error::misconfigured(format!("the header '{name}' cannot be sent")));
            };
            request = request.header(name, value);
        }
        Ok(request)
    }

    fn verdict(&self, answer: Answer) -> Result<Answer, Error> {
        match &self.success_statuses {
            Some(statuses) if statuses.contains(&answer.status) => Ok(answer),
            Some(_) if (200..300).contains(&answer.status) => {
                let detail = format!("answered {}, which is none of success_statuses", answer.status);
                let mut error = Error::new(pavlov_notifier::Reason::Rejected, detail);
                error.answer = Some(answer);
                Err(error)
            }
            _ => http::verdict(answer),
        }
    }
}

fn read_url(reader: &mut Reader<'_>) -> Option<String> {
    let url = shape::non_empty_template(reader, "url")?;
    let fixed = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
    if !fixed && !url.starts_with("{{") {
        reader.value_error("url should start with 'http://' or 'https://' or be a template");
        return None;
    }
    Some(url)
}

fn read_headers(reader: &mut Reader<'_>) -> Option<Vec<(String, String)>> {
    let headers = shape::template_map(reader, "headers")?;
    for (name, _) in &headers {
        if !is_header_name(name) {
            reader.value_error(format_args!("'{name}' is no name of a header"));
            return None;
        }
    }
    Some(headers)
}

fn read_header_name(reader: &mut Reader<'_>) -> Option<String> {
    let name = reader.string()?;
    if !is_header_name(&name) {
        reader.value_error(format_args!("'{name}' is no name of a header"));
        return None;
    }
    Some(name)
}

fn is_header_name(name: &str) -> bool {
    reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
}
