//! `POST /api/events`: events in. The way of a good request is short: one UTF-8 check, one parse, submit.

use super::cloud_events;
use crate::body;
use crate::door::{Door, RefusedInput};
use crate::query;
use crate::reply::{self, Answer, Failure};
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use pavlov_engine::{Receipt, SubmitError};
use pavlov_events::limits::EVENT_BYTES_MAX;
use pavlov_events::{Event, Fault, Faults, Loc};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const ROUTE: &str = "POST /api/events";
/// Refused events of one partial request that are told one by one; the rest is only counted and answered.
const TOLD_MAX: usize = 20;

/// The route: 204, or 422 with every fault. With `?partial=1` the good events are stored and the answer is
/// 200 with `{"accepted": n, "duplicates": n, "refused": [{"index": i, "faults": […]}]}`. CloudEvents are
/// taken too, by their content type or headers.
pub async fn create(State(door): State<Arc<Door>>, request: Request) -> Answer {
    if let Some(mode) = cloud_events::mode(request.headers()) {
        return cloud_events::take(&door, mode, request, ROUTE).await;
    }
    let partial = request.uri().query().is_some() && query::flag(request.uri(), "partial")?;
    let is_json = body::is_json(request.headers());
    let bytes = body::read(request).await?;
    if bytes.is_empty() || !is_json {
        return Err(no_list(&door, &bytes).await);
    }
    let text = match body::utf8(&bytes) {
        Ok(text) => text,
        Err(failure) => {
            let faults = vec![fault("the body is not UTF-8".into())];
            refuse(&door, ROUTE, &faults, &bytes).await;
            return Err(failure);
        }
    };
    if partial {
        return store_good_ones(&door, text).await;
    }
    match Event::parse_list(text) {
        Ok(events) => {
            store(&door, events, ROUTE, &bytes).await?;
            Ok(reply::no_content())
        }
        Err(faults) => {
            refuse(&door, ROUTE, &faults, &bytes).await;
            Err(refusal(&faults, text))
        }
    }
}

/// Submits events; one that is too large is told as refused.
pub async fn store(
    door: &Door,
    events: Vec<Event>,
    route: &'static str,
    given: &Bytes,
) -> Result<Receipt, Failure> {
    match door.engine.submit_events(events).await {
        Ok(receipt) => Ok(receipt),
        Err(error) => {
            if let SubmitError::TooLarge { .. } = &error {
                refuse(door, route, &vec![fault(error.to_string())], given).await;
            }
            Err(error.into())
        }
    }
}

/// Counts, logs and tells a refused request.
pub async fn refuse(door: &Door, route: &'static str, faults: &Faults, given: &[u8]) {
    let indexes: BTreeSet<usize> = faults.iter().filter_map(index_of).collect();
    let events = indexes.len().max(1) as u64;
    door.refuse_and_tell(RefusedInput { door: "http", source: route, events, faults, given }).await;
}

/// 422 with the body as it came: its own JSON, or a string if it was none.
pub fn refusal(faults: &Faults, text: &str) -> Failure {
    let malformed = faults.iter().any(|fault| fault.kind == "json_invalid");
    let shown = if malformed { Value::from(text).to_string() } else { text.to_owned() };
    reply::faults(faults, &shown).into()
}

/// The index of the event that a fault is about.
fn index_of(fault: &Fault) -> Option<usize> {
    match fault.loc.get(1) {
        Some(Loc::Index(index)) if fault.kind != "json_invalid" => Some(*index),
        _ => None,
    }
}

/// A body that is there but no JSON, or not there.
async fn no_list(door: &Door, bytes: &Bytes) -> Failure {
    let input = if bytes.is_empty() { Value::Null } else { String::from_utf8_lossy(bytes).into() };
    let shown = input.to_string();
    let (kind, msg) = if bytes.is_empty() {
        ("missing", "Field required")
    } else {
        ("list_type", "Input should be a valid list")
    };
    let faults =
        vec![Fault { kind, loc: vec![Loc::Field("body".into())], msg: msg.into(), input, ctx: None }];
    refuse(door, ROUTE, &faults, bytes).await;
    reply::faults(&faults, &shown).into()
}

/// Stores the good events of a list and answers what is wrong with the others.
async fn store_good_ones(door: &Door, text: &str) -> Result<Response, Failure> {
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else {
        let faults =
            Event::parse_list(text).err().unwrap_or_else(|| vec![fault("the body is no list".into())]);
        refuse(door, ROUTE, &faults, text.as_bytes()).await;
        return Err(refusal(&faults, text));
    };
    let (mut good, mut refused, mut told) = (Vec::with_capacity(items.len()), Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        match read_one(item.get(), index) {
            Ok(event) => good.push(event),
            Err(faults) => {
                let given = item.get().as_bytes();
                let input = RefusedInput { door: "http", source: ROUTE, events: 1, faults: &faults, given };
                if told.len() < TOLD_MAX {
                    told.push(door.refuse(&input));
                } else {
                    door.engine.count_refused(1);
                }
                refused.push(json!({"index": index, "faults": faults}));
            }
        }
    }
    let receipt = door.engine.submit_events(good).await?;
    // These are told apart from the sender's, whose count they would change.
    if let Err(error) = door.engine.submit_events(told).await {
        tracing::debug!(%error, "refusals could not be told as events");
    }
    Ok(reply::ok(&json!({
        "accepted": receipt.accepted, "duplicates": receipt.duplicates, "refused": refused,
    })))
}

fn read_one(text: &str, index: usize) -> Result<Event, Faults> {
    // The engine measures events without their escapes and adds a margin; a text below this always fits.
    let read = if text.len() + 256 > EVENT_BYTES_MAX {
        Err(vec![fault(format!("the event has {} bytes, at most {EVENT_BYTES_MAX} are allowed", text.len()))])
    } else {
        Event::parse(text, None)
    };
    read.map_err(|mut faults| {
        faults.iter_mut().for_each(|fault| fault.loc.insert(1, Loc::Index(index)));
        faults
    })
}

fn fault(msg: String) -> Fault {
    Fault { kind: "value_error", loc: vec![Loc::Field("body".into())], msg, input: Value::Null, ctx: None }
}
