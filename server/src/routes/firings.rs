//! Firings, as the history tells them: the events `prefect.automation.triggered` and `.resolved`, and what
//! became of their actions. A firing is named by the id of its event.

use super::event_pages::{decode_token, encode_token};
use super::letters;
use crate::door::{Door, blocking};
use crate::query;
use crate::reply::{self, Answer, Failure};
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use pavlov_engine::clock;
use pavlov_engine::history::{self, Token};
use pavlov_events::filter::RelatedFilter;
use pavlov_events::{EventFilter, Uuid};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Firings of a page, if the caller says nothing, and at most.
const FIRINGS: i64 = 50;
const FIRINGS_MAX: i64 = 200;
/// Events about the actions of one firing that are looked at; an automation has a handful of actions.
const ACTION_EVENTS_MAX: usize = 1_000;
const NAMES: [&str; 2] = ["prefect.automation.triggered", "prefect.automation.resolved"];
const ACTION_PREFIXES: [&str; 2] = ["prefect.automation.action.", "pavlov.automation.action."];

/// `GET /api/pavlov/firings?automation=&limit=&page-token=`: `{"firings": […], "total": n, "next": token}`,
/// the newest first.
pub async fn list(State(door): State<Arc<Door>>, uri: Uri) -> Answer {
    let limit = query::read(&uri, "limit", |r| r.integer_within(0, FIRINGS_MAX))?.unwrap_or(FIRINGS);
    let automation = query::read(&uri, "automation", |r| r.uuid())?;
    let token: Option<Token> = query::get(&uri, "page-token").map(|text| decode_token(&text)).transpose()?;
    let reader = door.engine.history().clone();
    let mut filter = EventFilter::everything(clock::now());
    filter.event.name = NAMES.map(str::to_owned).to_vec();
    filter.resource.id = automation.map(|id| format!("prefect.automation.{id}")).into_iter().collect();
    let page = blocking(move || match token {
        Some(token) => reader.query_next(&token),
        None => reader.query(&filter, limit as usize),
    })
    .await
    .map_err(unreadable)?;
    let firings: Vec<Value> = page.events.iter().filter_map(|text| Some(shown(&parsed(text)?))).collect();
    let next = page.next.as_ref().map(encode_token);
    Ok(reply::ok(&json!({"firings": firings, "total": page.total, "next": next})))
}

/// `GET /api/pavlov/firings/{id}`: one firing with its actions.
pub async fn read(State(door): State<Arc<Door>>, Path(id): Path<String>) -> Answer {
    let id = query::id(&id)?;
    let reader = door.engine.history().clone();
    let (found, told) =
        blocking(move || Ok((reader.get(id)?, action_events(&reader, id)?))).await.map_err(unreadable)?;
    let event = found
        .as_ref()
        .and_then(parsed)
        .filter(|event| event["event"].as_str().is_some_and(|name| NAMES.contains(&name)));
    let Some(event) = event else {
        return Ok(reply::detail(StatusCode::NOT_FOUND, format!("Firing {id} not found")));
    };
    let mut firing = shown(&event);
    let mut actions = actions_of(&told);
    let waiting = door.engine.read(|state| {
        let mine = state.ledger.values().filter(|entry| entry.action.triggered_event_id == id);
        mine.cloned().collect::<Vec<_>>()
    });
    for entry in &waiting {
        if let Some(action) = actions.get_mut(&entry.action.id.to_string()) {
            action["standing"] = letters::shown(entry);
        }
    }
    firing["actions"] = Value::from_iter(actions.into_iter().map(|(_, action)| action));
    Ok(reply::ok(&firing))
}

/// Events about the actions of a firing, the oldest first.
fn action_events(reader: &history::Reader, firing: Uuid) -> Result<Vec<Value>, history::Error> {
    let mut filter = EventFilter::everything(clock::now());
    filter.event.prefix = ACTION_PREFIXES.map(str::to_owned).to_vec();
    filter.related = vec![RelatedFilter {
        resources_in_roles: vec![(format!("prefect.event.{firing}"), "automation-triggered-event".into())],
        ..RelatedFilter::default()
    }];
    filter.ascending = true;
    let page = reader.query(&filter, ACTION_EVENTS_MAX)?;
    Ok(page.events.iter().filter_map(parsed).collect())
}

/// One object for each action: what was told of it, and its end if it has one.
fn actions_of(told: &[Value]) -> Map<String, Value> {
    let mut actions = Map::new();
    for event in told {
        let payload = &event["payload"];
        let Some(id) = payload["invocation"].as_str() else { continue };
        let action = actions.entry(id).or_insert_with(|| {
            json!({
                "id": id, "action_index": payload["action_index"], "action_type": payload["action_type"],
                "result": "pending", "told": [],
            })
        });
        let what = event["event"].as_str().and_then(|name| name.rsplit('.').next()).unwrap_or_default();
        if matches!(what, "executed" | "failed" | "discarded") {
            action["result"] = what.into();
            action["reason"] = payload["reason"].clone();
        } else if what == "redriven" {
            action["result"] = "pending".into();
        }
        if let Some(told) = action["told"].as_array_mut() {
            told.push(json!({"event": event["event"], "id": event["id"], "occurred": event["occurred"],
                "payload": payload}));
        }
    }
    actions
}

fn shown(event: &Value) -> Value {
    let (resource, payload) = (&event["resource"], &event["payload"]);
    let id = resource["prefect.resource.id"].as_str().and_then(|id| id.strip_prefix("prefect.automation."));
    json!({
        "id": event["id"],
        "change": event["event"].as_str().and_then(|name| name.rsplit('.').next()),
        "occurred": event["occurred"],
        "automation": {"id": id, "name": resource["prefect.resource.name"]},
        "labels": payload["triggering_labels"],
        "reason": payload["reason"],
        "late_micros": payload["late_micros"].as_i64().unwrap_or(0),
        "deaf_micros": payload["deaf_micros"].as_i64().unwrap_or(0),
        "triggering_event": payload["triggering_event"],
        "firing": payload["firing"],
    })
}

fn parsed(text: &bytes::Bytes) -> Option<Value> {
    serde_json::from_slice(text).ok()
}

fn unreadable(error: history::Error) -> Failure {
    reply::internal("read the history", &error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_put_together_from_what_was_told_of_it() {
        let event = |name: &str, payload: Value| json!({"event": name, "id": "e", "payload": payload});
        let actions = actions_of(&[
            event(
                "prefect.automation.action.triggered",
                json!({"invocation": "a", "action_index": 0, "action_type": "do-nothing"}),
            ),
            event(
                "prefect.automation.action.triggered",
                json!({"invocation": "b", "action_index": 1, "action_type": "call-webhook"}),
            ),
            event("prefect.automation.action.executed", json!({"invocation": "a"})),
            event("prefect.automation.action.failed", json!({"invocation": "b", "reason": "404"})),
            event("pavlov.automation.action.redriven", json!({"invocation": "b"})),
        ]);
        assert_eq!(
            (&actions["a"]["result"], &actions["b"]["result"]),
            (&json!("executed"), &json!("pending"))
        );
        assert_eq!(actions["b"]["told"].as_array().map(Vec::len), Some(3));
    }
}
