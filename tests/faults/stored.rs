//! What a server holds in the end: over its API, and in the machine's order from its files.

use crate::client::Client;
use crate::server::HISTORY_SEGMENT_BYTES;
use pavlov_engine::history::{History, Options};
use pavlov_events::Timestamp;
use serde_json::{Value, json};
use std::path::Path;

/// `prefect.automation.triggered`, as far as it must not depend on crashes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Firing {
    pub automation: String,
    pub labels: String,
    pub event: String,
}

/// Every event of a server, the newest first, page by page as a client reads them.
pub fn read_all(client: &mut Client) -> Vec<Value> {
    let mut page = client.json("POST", "/api/events/filter", &json!({"limit": 50}));
    let mut events = Vec::new();
    loop {
        events.extend(page["events"].as_array().expect("a list").iter().cloned());
        let Some(next) = page["next_page"].as_str() else { break };
        let path = &next[next.find("/api/").expect("an address of the API")..].to_owned();
        page = client.json("GET", path, &Value::Null);
    }
    assert_eq!(page["total"].as_u64(), Some(events.len() as u64), "the pages hold as many as they count");
    events
}

/// Every event in the machine's order, of a server that no longer runs.
pub fn in_order(home: &Path) -> Vec<Value> {
    let options = Options { segment_bytes: HISTORY_SEGMENT_BYTES };
    let (_writer, reader) = History::open(&home.join("data/history"), options, None).expect("readable");
    let (mut events, mut cursor) = (Vec::new(), None);
    loop {
        let part = reader.after(cursor, 1_000).expect("readable");
        let Some((last, _)) = part.last() else { return events };
        cursor = Some(*last);
        events.extend(part.iter().map(|(_, body)| serde_json::from_slice::<Value>(body).expect("JSON")));
    }
}

pub fn text(event: &Value, pointer: &str) -> String {
    event
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{pointer} of {event}"))
        .to_owned()
}

pub fn resource(event: &Value) -> String {
    text(event, "/resource/prefect.resource.id")
}

pub fn occurred(event: &Value) -> Timestamp {
    Timestamp::parse(&text(event, "/occurred")).expect("a time")
}

pub fn is(event: &Value, name: &str) -> bool {
    event["event"] == name
}

/// Whether one of the writers sent it.
pub fn is_sent(event: &Value) -> bool {
    event["event"].as_str().is_some_and(|name| name.starts_with("fault."))
}

/// The firings of one automation, with their events.
pub fn firings<'a>(events: &'a [Value], automation: &str) -> Vec<(Firing, &'a Value)> {
    let fired = |event: &&Value| {
        is(event, "prefect.automation.triggered")
            && event["resource"]["prefect.resource.name"].as_str() == Some(automation)
    };
    let firing = |event: &'a Value| {
        let labels = event["payload"]["triggering_labels"].to_string();
        let id = text(event, "/payload/triggering_event/id");
        (Firing { automation: automation.to_owned(), labels, event: id }, event)
    };
    events.iter().filter(fired).map(firing).collect()
}
