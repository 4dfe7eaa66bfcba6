//! [`Event`]: a fact about a resource at a time.

use crate::limits::{EVENT_NAME_CHARS_MAX, LABELS_PER_RESOURCE_MAX, PAYLOAD_DEPTH_MAX, RELATED_MAX};
use crate::read::{Fault, Faults, Loc, Reader};
use crate::resource::{ID, ROLE, Resource};
use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use uuid::Uuid;

/// A fact about a [`Resource`], told by somebody, as Prefect shapes it.
///
/// ```json
/// {"occurred": "2026-11-20T20:04:21Z", "event": "backup.finished",
///  "resource": {"prefect.resource.id": "host.a"},
///  "related": [{"prefect.resource.id": "site.north", "prefect.resource.role": "site"}],
///  "payload": {"bytes": 12}, "id": "0199a5c0-0000-7000-8000-000000000000", "follows": null,
///  "received": "2026-11-20T20:04:21.004Z"}
/// ```
///
/// An `Event` is valid by construction: every way to make one checks the limits of [`crate::limits`].
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The sender's id; an event with an id seen before is the same event.
    pub id: Uuid,
    /// When it happened, by the sender's clock. Windows are counted in this time.
    pub occurred: Timestamp,
    /// When we learnt of it: the time of its record in the log.
    pub received: Timestamp,
    /// What happened: dotted, past tense, at most 1,024 characters.
    pub event: Box<str>,
    /// What it happened to.
    pub resource: Resource,
    /// Others that are involved, each with a role; at most 100.
    pub related: Vec<Resource>,
    /// Free data: the JSON text of an object.
    pub payload: Box<str>,
    /// The id of the event before this one.
    pub follows: Option<Uuid>,
}

/// What an event of a sender that leaves out `id` or `occurred` gets.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// The id of an event without one.
    pub id: Uuid,
    /// The time of an event without one.
    pub occurred: Timestamp,
}

impl Event {
    /// An event of our own making, with an empty payload.
    pub fn new(id: Uuid, occurred: Timestamp, event: impl Into<Box<str>>, resource: Resource) -> Self {
        Self {
            id,
            occurred,
            received: occurred,
            event: event.into(),
            resource,
            related: Vec::new(),
            payload: "{}".into(),
            follows: None,
        }
    }

    /// Reads one event of `text`, with all faults if it is none. `received` is set to `occurred` until
    /// the log knows better. With `defaults`, `id` and `occurred` may be left out.
    pub fn parse(text: &str, defaults: Option<Defaults>) -> Result<Self, Faults> {
        if let Some(event) = serde_json::from_str::<Wire<'_>>(text).ok().and_then(Wire::admitted) {
            return Ok(event);
        }
        let mut faults = Faults::new();
        match serde_json::from_str::<Value>(text) {
            Ok(value) => {
                let event = Self::read(&mut Reader::new(&value, "body", &mut faults), defaults);
                event.filter(|_| faults.is_empty()).ok_or(faults)
            }
            Err(error) => Err(vec![not_json(&error)]),
        }
    }

    /// Reads the body of a request with a list of events: all of them, or every fault with its index.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Faults> {
        if let Ok(wires) = serde_json::from_str::<Vec<Wire<'_>>>(text)
            && let Some(events) = wires.into_iter().map(Wire::admitted).collect()
        {
            return Ok(events);
        }
        let mut faults = Faults::new();
        match serde_json::from_str::<Value>(text) {
            Ok(value) => {
                let events = Reader::new(&value, "body", &mut faults).list(|item| Self::read(item, None));
                events.filter(|_| faults.is_empty()).ok_or(faults)
            }
            Err(error) => Err(vec![not_json(&error)]),
        }
    }

    /// Reads an event of a parsed value and notes every fault.
    pub fn read(reader: &mut Reader<'_>, defaults: Option<Defaults>) -> Option<Self> {
        reader.object()?;
        let before = reader.fault_count();
        let occurred = match defaults {
            Some(defaults) => reader.nullable("occurred", |r| r.timestamp())?.or(Some(defaults.occurred)),
            None => reader.required("occurred", |r| r.timestamp()),
        };
        let event = reader.required("event", read_name);
        let resource = reader.required("resource", |r| read_resource(r, false));
        let related = reader.optional("related", read_related);
        let payload = reader.optional("payload", read_payload);
        let id = match defaults {
            Some(defaults) => reader.nullable("id", |r| r.uuid())?.or(Some(defaults.id)),
            None => reader.required("id", |r| r.uuid()),
        };
        let follows = reader.nullable("follows", |r| r.uuid());
        if reader.fault_count() > before {
            return None;
        }
        let occurred = occurred?;
        Some(Self {
            id: id?,
            occurred,
            received: occurred,
            event: event?.into(),
            resource: resource?,
            related: related?.unwrap_or_default(),
            payload: payload?.map_or_else(|| "{}".into(), Into::into),
            follows: follows?,
        })
    }

    /// Reads an event that was written by [`Self::write_json`], with or without `received`.
    pub fn from_stored(text: &str) -> Result<Self, serde_json::Error> {
        let wire: Wire<'_> = serde_json::from_str(text)?;
        wire.checked().ok_or_else(|| serde::de::Error::custom("a stored event is not valid"))
    }

    /// Appends the event as JSON, in Prefect's field order; `received` last, if wanted.
    pub fn write_json(&self, out: &mut Vec<u8>, with_received: bool) {
        out.extend_from_slice(b"{\"occurred\":\"");
        self.occurred.write(out);
        out.extend_from_slice(b"\",\"event\":");
        write_string(out, &self.event);
        out.extend_from_slice(b",\"resource\":");
        write_resource(out, &self.resource);
        out.extend_from_slice(b",\"related\":[");
        for (index, related) in self.related.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_resource(out, related);
        }
        out.extend_from_slice(b"],\"payload\":");
        out.extend_from_slice(self.payload.as_bytes());
        out.extend_from_slice(b",\"id\":\"");
        write_uuid(out, self.id);
        out.extend_from_slice(b"\",\"follows\":");
        match self.follows {
            Some(id) => {
                out.push(b'"');
                write_uuid(out, id);
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
        if with_received {
            out.extend_from_slice(b",\"received\":\"");
            self.received.write(out);
            out.push(b'"');
        }
        out.push(b'}');
    }

    /// The event as JSON text with `received`.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(512);
        self.write_json(&mut out, true);
        String::from_utf8(out).expect("labels, names and payloads are text, and the rest is ASCII")
    }

    /// The event as a JSON value with `received`.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.to_json()).expect("write_json writes JSON")
    }

    /// The primary resource, then the related ones.
    pub fn involved_resources(&self) -> impl Iterator<Item = &Resource> {
        std::iter::once(&self.resource).chain(&self.related)
    }

    /// A label of the resource, or with `related:<role>:<label>` of the first related resource in that role
    /// that has the label's role (Prefect's `find_resource_label`).
    pub fn find_label(&self, label: &str) -> Option<&str> {
        let Some((directive, name)) = label.rsplit_once(':') else { return self.resource.get(label) };
        match directive
            .strip_prefix("related")
            .and_then(|rest| rest.strip_prefix(':').or(rest.is_empty().then_some("")))
        {
            Some(role) => match self.related.iter().find(|related| related.role() == role) {
                Some(related) => related.get(name),
                None => self.resource.get(label),
            },
            None => self.resource.get(label),
        }
    }
}

impl Serialize for Event {
    /// The stored form, its payload's text unchanged. Only for `serde_json`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_json()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    /// The stored form. Only for `serde_json`, and not inside internally tagged enums.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_stored(raw.get()).map_err(serde::de::Error::custom)
    }
}

/// The hot way in: one pass, borrowed where it can be; anything unusual takes the slow way.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    occurred: Cow<'a, str>,
    event: Box<str>,
    resource: Resource,
    #[serde(default)]
    related: Vec<Resource>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    follows: Option<Cow<'a, str>>,
    #[serde(default)]
    received: Option<Timestamp>,
}

impl Wire<'_> {
    /// As [`Self::checked`], for what comes in from outside.
    fn admitted(self) -> Option<Event> {
        self.checked().filter(|event| !too_deep(&event.payload))
    }

    fn checked(self) -> Option<Event> {
        let occurred = Timestamp::parse(&self.occurred)?;
        let follows = match self.follows {
            Some(id) => Some(Uuid::try_parse(&id).ok()?),
            None => None,
        };
        let payload = match self.payload {
            Some(raw) if raw.get().starts_with('{') => raw.get().into(),
            Some(_) => return None,
            None => "{}".into(),
        };
        let named = self.event.len() <= EVENT_NAME_CHARS_MAX && self.related.len() <= RELATED_MAX;
        let labelled = resource_fault(&self.resource, false).is_none()
            && self.related.iter().all(|related| resource_fault(related, true).is_none());
        (named && labelled).then_some(())?;
        let id = Uuid::try_parse(&self.id).ok()?;
        let (event, resource, related) = (self.event, self.resource, self.related);
        let received = self.received.unwrap_or(occurred);
        Some(Event { id, occurred, received, event, resource, related, payload, follows })
    }
}

fn not_json(error: &serde_json::Error) -> Fault {
    Fault {
        kind: "json_invalid",
        loc: vec![Loc::Field("body".into()), Loc::Index(error.column())],
        msg: "JSON decode error".into(),
        input: Value::Object(serde_json::Map::new()),
        ctx: Some(serde_json::json!({"error": error.to_string()})),
    }
}

fn read_name(reader: &mut Reader<'_>) -> Option<String> {
    let name = reader.string()?;
    if name.chars().count() > EVENT_NAME_CHARS_MAX {
        reader.value_error(format_args!("Event name must be at most {EVENT_NAME_CHARS_MAX} characters"));
        return None;
    }
    Some(name)
}

fn read_payload(reader: &mut Reader<'_>) -> Option<String> {
    reader.dict()?;
    let text = reader.value().to_string();
    if too_deep(&text) {
        reader.value_error(format_args!("Payloads may be at most {PAYLOAD_DEPTH_MAX} levels deep"));
        return None;
    }
    Some(text)
}

/// Whether a JSON text has more levels than a payload may have.
pub(crate) fn too_deep(json: &str) -> bool {
    // Each level takes an opening and a closing mark.
    if json.len() <= 2 * PAYLOAD_DEPTH_MAX {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        if depth > PAYLOAD_DEPTH_MAX {
            return true;
        }
    }
    false
}

fn read_related(reader: &mut Reader<'_>) -> Option<Vec<Resource>> {
    let related = reader.list(|item| read_resource(item, true))?;
    if related.len() > RELATED_MAX {
        reader.value_error(format_args!("The maximum number of related resources is {RELATED_MAX}"));
        return None;
    }
    Some(related)
}

fn read_resource(reader: &mut Reader<'_>, related: bool) -> Option<Resource> {
    let before = reader.fault_count();
    let mut resource = Resource::default();
    for (label, value) in reader.dict()? {
        if let Some(text) = reader.at(Loc::Field(label.clone()), value).string() {
            resource.set(label.as_str().into(), text.into());
        }
    }
    if reader.fault_count() > before {
        return None;
    }
    if let Some(fault) = resource_fault(&resource, related) {
        reader.value_error(fault);
        return None;
    }
    Some(resource)
}

fn resource_fault(resource: &Resource, related: bool) -> Option<String> {
    if resource.len() > LABELS_PER_RESOURCE_MAX {
        return Some(format!("The maximum number of labels per resource is {LABELS_PER_RESOURCE_MAX}"));
    }
    let fault = match (resource.get(ID), resource.get(ROLE)) {
        (None, _) => "Resources must include the prefect.resource.id label",
        (Some(""), _) => "The prefect.resource.id label must be non-empty",
        (_, None) if related => "Related Resources must include the prefect.resource.role label",
        (_, Some("")) if related => "The prefect.resource.role label must be non-empty",
        _ => return None,
    };
    Some(fault.to_owned())
}

fn write_resource(out: &mut Vec<u8>, resource: &Resource) {
    out.push(b'{');
    for (index, (label, value)) in resource.labels().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, label);
        out.push(b':');
        write_string(out, value);
    }
    out.push(b'}');
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing to memory does not fail");
}

fn write_uuid(out: &mut Vec<u8>, id: Uuid) {
    let mut buffer = Uuid::encode_buffer();
    out.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"occurred":"2026-11-20T20:04:21Z","event":"a.b","resource":{"prefect.resource.id":"x","n":"é\n"},"related":[{"prefect.resource.id":"y","prefect.resource.role":"flow"}],"payload":{"a":[1,2.5]},"id":"0199a5c0-0000-7000-8000-000000000000","follows":null,"received":"2026-11-20T20:04:21.000001Z"}"#;

    #[test]
    fn what_is_written_is_read_again() {
        let event = Event::from_stored(EVENT).expect("valid");
        assert_eq!(event.to_json(), EVENT);
        assert_eq!(Event::from_stored(&event.to_json()).expect("valid"), event);
    }

    #[test]
    fn every_fault_of_every_event_is_named() {
        let text = r#"[{"event":"a","occurred":"2026-11-20T00:00:00","resource":{"prefect.resource.id":"x","n":3},"id":"nope"},
            {"event":5,"occurred":12,"resource":{},"related":[{"prefect.resource.id":"q"}],"payload":[],"id":"0199a5c0-0000-7000-8000-000000000000","follows":"zz","extra":1}]"#;
        let faults = Event::parse_list(text).expect_err("two bad events");
        let seen: Vec<String> = faults
            .iter()
            .map(|f| format!("{} {}", serde_json::to_string(&f.loc).expect("plain"), f.kind))
            .collect();
        assert_eq!(
            seen,
            [
                r#"["body",0,"resource","n"] string_type"#,
                r#"["body",0,"id"] uuid_parsing"#,
                r#"["body",1,"event"] string_type"#,
                r#"["body",1,"resource"] value_error"#,
                r#"["body",1,"related",0] value_error"#,
                r#"["body",1,"payload"] dict_type"#,
                r#"["body",1,"follows"] uuid_parsing"#,
            ]
        );
    }

    #[test]
    fn unusual_but_valid_events_take_the_slow_way() {
        let text = r#"{"event":"a","occurred":1700000000,"resource":{"prefect.resource.id":"x"},"id":"0199A5C000007000800000000000000A"}"#;
        let event = Event::parse(text, None).expect("valid");
        assert_eq!(event.occurred.to_string(), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn payloads_may_be_deep_but_not_bottomless() {
        let with = |depth: usize| {
            let payload = format!("{}1{}", r#"{"a\"[[":"#.repeat(depth), "}".repeat(depth));
            let text = format!(
                r#"[{{"event":"n","occurred":"2026-11-20","resource":{{"prefect.resource.id":"x"}},"payload":{payload},"id":"0199a5c0-0000-7000-8000-000000000000"}}]"#
            );
            Event::parse_list(&text)
        };
        assert!(with(PAYLOAD_DEPTH_MAX).is_ok());
        for depth in [PAYLOAD_DEPTH_MAX + 1, 200, 100_000] {
            assert!(with(depth).is_err(), "{depth}");
        }
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let with = |related: usize, name: usize| {
            let one = r#"{"prefect.resource.id":"y","prefect.resource.role":"r"}"#;
            let related = vec![one; related].join(",");
            let name = "n".repeat(name);
            let text = format!(
                r#"{{"event":"{name}","occurred":"2026-11-20","resource":{{"prefect.resource.id":"x"}},"related":[{related}],"id":"0199a5c0-0000-7000-8000-000000000000"}}"#
            );
            Event::parse(&text, None).is_ok()
        };
        assert!(with(RELATED_MAX, EVENT_NAME_CHARS_MAX));
        assert!(!with(RELATED_MAX + 1, 1) && !with(0, EVENT_NAME_CHARS_MAX + 1));
    }
}
