//! CloudEvents 1.0 as events: how the attributes of the one become the parts of the other.
//!
//! | CloudEvents | event |
//! |---|---|
//! | `type` | the name |
//! | `source`, `subject` | the resource: its id is `source`, or `source/subject`; both are labels as well |
//! | `id` | the id, if it is a UUID; else UUIDv5 of (source, id), so that a repeated one is the same event |
//! | `time` | `occurred`; without one, the time of arrival |
//! | `data` | the payload; what is no object lies under `data`, bytes under `data_base64` |
//! | `dataschema`, `datacontenttype` and extensions | labels of the resource |
//!
//! Faults name the attribute. HTTP itself (headers, content modes) is the server's matter.

use crate::event::{Event, too_deep};
use crate::limits::{EVENT_NAME_CHARS_MAX, LABELS_PER_RESOURCE_MAX, PAYLOAD_DEPTH_MAX};
use crate::read::{Loc, Reader};
use crate::resource::Resource;
use crate::time::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Labels of the attributes that have no place of their own start with this.
const LABEL_PREFIX: &str = "cloudevents.";
/// Attributes that are no extensions.
const KNOWN: [&str; 10] = [
    "specversion",
    "type",
    "source",
    "subject",
    "id",
    "time",
    "datacontenttype",
    "dataschema",
    "data",
    "data_base64",
];

/// Reads one event in structured form. `now` is the time of an event without one.
///
/// ```json
/// {"specversion": "1.0", "type": "com.example.deployed", "source": "/ci/main", "subject": "api",
///  "id": "A234-1234", "time": "2026-11-20T20:04:21Z", "data": {"version": "1.2"}, "team": "sre"}
/// ```
pub fn read(reader: &mut Reader<'_>, now: Timestamp) -> Option<Event> {
    let attributes = reader.object()?;
    let before = reader.fault_count();
    reader.required("specversion", |r| {
        let version = r.string()?;
        if version != "1.0" {
            r.value_error("specversion must be '1.0'");
        }
        Some(())
    });
    let name = reader.required("type", read_type);
    let source = reader.required("source", non_empty);
    let subject = reader.nullable("subject", non_empty);
    let id = reader.required("id", non_empty);
    let time = reader.nullable("time", |r| {
        // Attributes are strings, whatever a Unix time would mean.
        r.string()?;
        r.timestamp()
    });
    let payload = read_data(reader, attributes);
    let labels = read_labels(reader, attributes);
    if reader.fault_count() > before {
        return None;
    }
    let (source, subject, id) = (source?, subject?, id?);
    let resource_id = match &subject {
        Some(subject) => format!("{}/{subject}", source.trim_end_matches('/')),
        None => source.clone(),
    };
    let event_id = Uuid::try_parse(&id).unwrap_or_else(|_| id_of(&source, &id));
    let mut resource = Resource::new(resource_id);
    let mut put = |name: &str, value: String| {
        resource.set(format!("{LABEL_PREFIX}{name}").into(), value.into());
    };
    put("source", source);
    subject.into_iter().for_each(|subject| put("subject", subject));
    if event_id.to_string() != id {
        put("id", id);
    }
    for (label, value) in labels? {
        resource.set(label.into(), value.into());
    }
    let mut event = Event::new(event_id, time?.unwrap_or(now), name?, resource);
    event.payload = payload?.into();
    Some(event)
}

/// Reads a batch: a list of events in structured form.
pub fn read_batch(reader: &mut Reader<'_>, now: Timestamp) -> Option<Vec<Event>> {
    reader.list(|item| read(item, now))
}

/// The id of an event whose own is no UUID.
pub fn id_of(source: &str, id: &str) -> Uuid {
    Uuid::new_v5(&Uuid::new_v5(&Uuid::NAMESPACE_URL, source.as_bytes()), id.as_bytes())
}

fn non_empty(reader: &mut Reader<'_>) -> Option<String> {
    let text = reader.string()?;
    if text.is_empty() {
        reader.value_error("the attribute must not be empty");
        return None;
    }
    Some(text)
}

fn read_type(reader: &mut Reader<'_>) -> Option<String> {
    let name = non_empty(reader)?;
    if name.chars().count() > EVENT_NAME_CHARS_MAX {
        reader.value_error(format_args!("type must be at most {EVENT_NAME_CHARS_MAX} characters"));
        return None;
    }
    Some(name)
}

fn read_data(reader: &mut Reader<'_>, attributes: &Map<String, Value>) -> Option<String> {
    let payload = match (attributes.get("data"), attributes.get("data_base64")) {
        (Some(_), Some(value)) => {
            reader
                .at(Loc::Field("data_base64".into()), value)
                .value_error("only one of data and data_base64 may be given");
            return None;
        }
        (Some(Value::Null), None) | (None, None) => "{}".to_owned(),
        (Some(data @ Value::Object(_)), None) => data.to_string(),
        (Some(data), None) => json!({"data": data}).to_string(),
        (None, Some(value)) => {
            let text = reader.at(Loc::Field("data_base64".into()), value).string()?;
            json!({"data_base64": text}).to_string()
        }
    };
    if too_deep(&payload) {
        reader.value_error(format_args!("data may be at most {PAYLOAD_DEPTH_MAX} levels deep"));
        return None;
    }
    Some(payload)
}

/// Extensions under their own names, the rest of the standard's under ours.
fn read_labels(reader: &mut Reader<'_>, attributes: &Map<String, Value>) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    for (name, value) in attributes {
        let label = match name.as_str() {
            "datacontenttype" | "dataschema" => format!("{LABEL_PREFIX}{name}"),
            known if KNOWN.contains(&known) => continue,
            _ => name.clone(),
        };
        let mut attribute = reader.at(Loc::Field(name.clone()), value);
        if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            attribute.value_error("attribute names are lower-case letters and digits");
            continue;
        }
        match value {
            Value::String(text) => labels.push((label, text.clone())),
            Value::Bool(_) | Value::Number(_) => labels.push((label, value.to_string())),
            Value::Null => {}
            Value::Array(_) | Value::Object(_) => {
                attribute.value_error("an extension attribute is a string, a number or a boolean");
            }
        }
    }
    // Room for the id and the three labels of the standard's own.
    if labels.len() + 4 > LABELS_PER_RESOURCE_MAX {
        reader.value_error(format_args!(
            "The maximum number of labels per resource is {LABELS_PER_RESOURCE_MAX}"
        ));
        return None;
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Faults;

    fn parse(value: &Value) -> Result<Event, Vec<String>> {
        let mut faults = Faults::new();
        let now = Timestamp::from_micros(7);
        match read(&mut Reader::new(value, "body", &mut faults), now) {
            Some(event) if faults.is_empty() => Ok(event),
            _ => Err(faults.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn every_attribute_has_its_place() {
        let event =
            parse(&json!({"specversion": "1.0", "type": "com.example.deployed", "source": "/ci/main/",
            "subject": "api", "id": "A234", "time": "2026-11-20T20:04:21Z", "data": {"version": [1]},
            "datacontenttype": "application/json", "team": "sre", "severity": 3, "urgent": true}))
            .expect("valid");
        assert_eq!((&*event.event, event.resource.id()), ("com.example.deployed", "/ci/main/api"));
        assert_eq!(event.id, id_of("/ci/main/", "A234"));
        assert_eq!(event.occurred.to_string(), "2026-11-20T20:04:21Z");
        assert_eq!(&*event.payload, r#"{"version":[1]}"#);
        for (label, value) in [
            ("cloudevents.source", "/ci/main/"),
            ("cloudevents.subject", "api"),
            ("cloudevents.id", "A234"),
            ("cloudevents.datacontenttype", "application/json"),
            ("team", "sre"),
            ("severity", "3"),
            ("urgent", "true"),
        ] {
            assert_eq!(event.resource.get(label), Some(value), "{label}");
        }
    }

    #[test]
    fn what_may_be_missing_has_its_default_and_any_data_is_a_payload() {
        let id = "0199a5c0-0000-7000-8000-000000000000";
        let base = json!({"specversion": "1.0", "type": "t", "source": "s", "id": id});
        for (field, data, payload) in [
            ("data", json!(null), "{}"),
            ("data", json!("text"), r#"{"data":"text"}"#),
            ("data", json!([1]), r#"{"data":[1]}"#),
            ("data_base64", json!("AAEC"), r#"{"data_base64":"AAEC"}"#),
        ] {
            let mut value = base.clone();
            value[field] = data;
            let event = parse(&value).expect("valid");
            assert_eq!(&*event.payload, payload);
            assert_eq!((event.id.to_string(), event.occurred), (id.to_owned(), Timestamp::from_micros(7)));
            assert_eq!(event.resource.get("cloudevents.id"), None);
        }
    }

    #[test]
    fn faults_name_the_attribute() {
        let faults = parse(&json!({"specversion": "0.3", "type": "", "source": 3, "time": 12, "Bad": "x",
            "nested": {}, "data": 1, "data_base64": "x"}))
        .expect_err("bad");
        let places: Vec<&str> = faults.iter().map(|fault| fault.split(": ").next().unwrap_or("")).collect();
        assert_eq!(
            places,
            [
                "body.specversion",
                "body.type",
                "body.source",
                "body.id",
                "body.time",
                "body.data_base64",
                "body.Bad",
                "body.nested"
            ]
        );
    }
}
