//! CloudEvents 1.0 over HTTP, in its three modes: structured (`application/cloudevents+json`), batched
//! (`application/cloudevents-batch+json`) and binary (attributes in `ce-*` headers, the body is the data).
//! What becomes of an attribute is written in [`pavlov_events::cloudevents`].

use super::events::{refusal, refuse, store};
use crate::body;
use crate::door::Door;
use crate::query::percent_decoded;
use crate::reply::{self, Answer, Failure};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pavlov_engine::clock;
use pavlov_events::{Event, Fault, Faults, Loc, Reader, cloudevents};
use serde_json::{Map, Value};
use std::sync::Arc;

const ROUTE: &str = "POST /api/cloudevents";
/// Headers with attributes start with this.
const PREFIX: &str = "ce-";

/// How a request carries CloudEvents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One, as a JSON object.
    Structured,
    /// A list of them.
    Batched,
    /// One, its attributes in headers.
    Binary,
}

/// The route: 204, or 422 naming each attribute at fault. Without a content type of CloudEvents, a list is a
/// batch and an object is one event.
pub async fn create(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let mode = mode(request.headers()).unwrap_or(Mode::Structured);
    take(&door, mode, request, ROUTE).await
}

/// The mode of a request that carries CloudEvents.
pub fn mode(headers: &HeaderMap) -> Option<Mode> {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/cloudevents+json") {
        Some(Mode::Structured)
    } else if media.eq_ignore_ascii_case("application/cloudevents-batch+json") {
        Some(Mode::Batched)
    } else {
        headers.contains_key("ce-specversion").then_some(Mode::Binary)
    }
}

/// Reads and stores the events of a request.
pub async fn take(door: &Door, mode: Mode, request: Request, route: &'static str) -> Answer {
    let headers = request.headers().clone();
    let bytes = body::read(request).await?;
    let mut faults = Faults::new();
    let events = match mode {
        Mode::Binary => read_binary(&headers, &bytes, &mut faults).map(|event| vec![event]),
        Mode::Structured | Mode::Batched => read_json(mode, &bytes, &mut faults)?,
    };
    match events.filter(|_| faults.is_empty()) {
        Some(events) => {
            store(door, events, route, &bytes).await?;
            Ok(reply::no_content())
        }
        None => {
            refuse(door, route, &faults, &bytes).await;
            let text = String::from_utf8_lossy(&bytes);
            let shown = if mode == Mode::Binary { Value::from(text).to_string() } else { text.into_owned() };
            Err(if mode == Mode::Binary {
                reply::faults(&faults, &shown).into()
            } else {
                refusal(&faults, &shown)
            })
        }
    }
}

fn read_json(mode: Mode, bytes: &Bytes, faults: &mut Faults) -> Result<Option<Vec<Event>>, Failure> {
    let text = body::utf8(bytes)?;
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            faults
                .push(Fault { kind: "json_invalid", ..fault("body", format!("JSON decode error: {error}")) });
            return Ok(None);
        }
    };
    let now = clock::now();
    let mut reader = Reader::new(&value, "body", faults);
    Ok(if mode == Mode::Batched || value.is_array() {
        cloudevents::read_batch(&mut reader, now)
    } else {
        cloudevents::read(&mut reader, now).map(|event| vec![event])
    })
}

/// Puts headers and body together as if they had been sent in structured form.
fn read_binary(headers: &HeaderMap, bytes: &Bytes, faults: &mut Faults) -> Option<Event> {
    let mut attributes = Map::new();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
        match std::str::from_utf8(value.as_bytes()) {
            // Values are percent-encoded where they are not printable ASCII.
            Ok(text) => drop(attributes.insert(attribute.to_owned(), percent_decoded(text).into())),
            Err(_) => faults.push(fault(name.as_str(), "the header is not UTF-8".into())),
        }
    }
    if let Some(media) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) {
        attributes.insert("datacontenttype".into(), media.into());
    }
    if !bytes.is_empty() {
        match (std::str::from_utf8(bytes), body::is_json(headers)) {
            (Ok(text), true) => match serde_json::from_str(text) {
                Ok(data) => drop(attributes.insert("data".into(), data)),
                Err(error) => faults.push(fault("data", format!("JSON decode error: {error}"))),
            },
            (Ok(text), false) => drop(attributes.insert("data".into(), text.into())),
            (Err(_), _) => drop(attributes.insert("data_base64".into(), STANDARD.encode(bytes).into())),
        }
    }
    cloudevents::read(&mut Reader::new(&Value::Object(attributes), "header", faults), clock::now())
}

fn fault(place: &str, msg: String) -> Fault {
    Fault { kind: "value_error", loc: vec![Loc::Field(place.into())], msg, input: Value::Null, ctx: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn the_mode_is_told_by_content_type_or_headers() {
        for (pairs, expected) in [
            (&[("content-type", "application/cloudevents+json; charset=utf-8")][..], Some(Mode::Structured)),
            (&[("content-type", "application/cloudevents-batch+json")], Some(Mode::Batched)),
            (&[("content-type", "application/json"), ("ce-specversion", "1.0")], Some(Mode::Binary)),
            (&[("content-type", "application/json")], None),
            (&[], None),
        ] {
            assert_eq!(mode(&headers(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn binary_events_take_their_attributes_from_headers_and_any_body() {
        let base = [
            ("ce-specversion", "1.0"),
            ("ce-type", "t"),
            ("ce-source", "s%20%C3%A9"),
            ("ce-id", "1"),
            ("ce-team", "sre"),
        ];
        for (media, body, payload) in [
            ("application/json", &b"{\"a\":1}"[..], r#"{"a":1}"#),
            ("text/plain", b"hello", r#"{"data":"hello"}"#),
            ("image/png", b"\xff\x00", r#"{"data_base64":"/wA="}"#),
            ("application/json", b"", "{}"),
        ] {
            let mut all = base.to_vec();
            all.push(("content-type", media));
            let mut faults = Faults::new();
            let event = read_binary(&headers(&all), &Bytes::from_static(body), &mut faults).expect("valid");
            assert_eq!((&*event.payload, event.resource.id()), (payload, "s é"));
            assert_eq!(event.resource.get("team"), Some("sre"));
        }
        let mut faults = Faults::new();
        assert!(read_binary(&headers(&base[..2]), &Bytes::from_static(b"x"), &mut faults).is_none());
        let places: Vec<String> = faults.iter().map(|fault| fault.to_string()).collect();
        assert!(places.iter().any(|place| place.starts_with("header.source: ")), "{places:?}");
    }
}
