//! Effects that are not done: the ledger's entries, and the dead or held letters that wait for a person.

use super::page;
use super::status::standing_word;
use crate::body;
use crate::door::Door;
use crate::query;
use crate::reply::{self, Answer, Failure};
use axum::extract::{Request, State};
use axum::http::Uri;
use pavlov_engine::Command;
use pavlov_engine::ledger::{Entry, Standing};
use pavlov_events::{Reader, Uuid};
use serde_json::{Value, json};
use std::sync::Arc;

/// Entries of one answer, if the caller says nothing, and at most.
const ENTRIES: i64 = 200;
const ENTRIES_MAX: i64 = 1_000;
const STANDINGS: [(&str, &str); 5] = [
    ("running", "running"),
    ("started", "started"),
    ("waiting", "waiting"),
    ("held", "held"),
    ("dead", "dead"),
];

/// `GET /api/pavlov/actions?standing=&limit=&offset=`: `{"actions": […], "total": n}`, the oldest first.
pub async fn actions(State(door): State<Arc<Door>>, uri: Uri) -> Answer {
    let standing = query::read(&uri, "standing", |r| page::word(r, &STANDINGS))?;
    let chosen = |entry: &Entry| standing.is_none_or(|word| standing_word(&entry.standing) == word);
    list(&door, &uri, "actions", chosen)
}

/// `GET /api/pavlov/dead-letters`: entries that were given up or are held for a person.
pub async fn dead_letters(State(door): State<Arc<Door>>, uri: Uri) -> Answer {
    list(&door, &uri, "dead_letters", Entry::is_letter)
}

/// `POST /api/pavlov/dead-letters/redrive` with `{"ids": […]}` or `{"all": true}`: tries them again from
/// their first attempt; `{"redriven": n}`.
pub async fn redrive(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let ids = match choice(request).await? {
        Choice::These(ids) if ids.is_empty() => return Ok(reply::ok(&json!({"redriven": 0}))),
        Choice::These(ids) => ids,
        Choice::All => Vec::new(),
    };
    carry_out(&door, Command::Redrive { ids }).await
}

/// `POST /api/pavlov/dead-letters/discard` with `{"ids": […]}` or `{"all": true}`: gives them up;
/// `{"discarded": n}`.
pub async fn discard(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let ids = match choice(request).await? {
        Choice::These(ids) => ids,
        Choice::All => door.engine.read(|state| {
            state.ledger.iter().filter(|(_, entry)| entry.is_letter()).map(|(id, _)| *id).collect()
        }),
    };
    carry_out(&door, Command::Discard { ids }).await
}

/// An entry as this API shows it.
pub fn shown(entry: &Entry) -> Value {
    let action = &entry.action;
    let (since, reason, due) = match &entry.standing {
        Standing::Held { since, reason } | Standing::Dead { since, reason } => {
            (Some(since), Some(reason), None)
        }
        Standing::Waiting { due } => (None, entry.last_reason.as_ref(), Some(due)),
        Standing::Running | Standing::Started => (None, entry.last_reason.as_ref(), None),
    };
    json!({
        "id": action.id,
        "standing": standing_word(&entry.standing),
        "attempt": entry.attempt,
        "created": entry.created,
        "since": since,
        "next_attempt": due,
        "reason": reason,
        "target": action.action.target(),
        "automation": {"id": action.automation.id, "name": action.automation.name},
        "firing": action.triggered_event_id,
        "action_index": action.index,
        "action": action.action.to_value(),
    })
}

enum Choice {
    These(Vec<Uuid>),
    All,
}

async fn choice(request: Request) -> Result<Choice, Failure> {
    let body = body::required_json(request).await?;
    page::read(&body, |r| {
        r.object()?;
        let ids = r.nullable("ids", |r| r.list(|r| r.uuid()));
        let all = r.optional("all", |r| r.boolean());
        r.forbid_others(&["ids", "all"]);
        match (ids?, all?.unwrap_or(false)) {
            (Some(ids), false) => Some(Choice::These(ids)),
            (None, true) => Some(Choice::All),
            _ => {
                r.value_error("either ids, a list, or all, which is true, must be given");
                None
            }
        }
    })
}

async fn carry_out(door: &Door, command: Command) -> Answer {
    let answer = door.engine.command(command).await?;
    Ok(reply::ok(&answer.map_err(|refusal| reply::refused(&refusal))?))
}

fn list(door: &Door, uri: &Uri, name: &str, chosen: impl Fn(&Entry) -> bool) -> Answer {
    let limit =
        query::read(uri, "limit", |r: &mut Reader<'_>| r.integer_within(0, ENTRIES_MAX))?.unwrap_or(ENTRIES);
    let offset = query::read(uri, "offset", |r: &mut Reader<'_>| r.integer_at_least(0))?.unwrap_or(0);
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let (entries, total) = door.engine.read(|state| {
        let all = || state.ledger.values().filter(|entry| chosen(entry));
        let page: Vec<Entry> = all().skip(offset).take(limit as usize).cloned().collect();
        (page, all().count())
    });
    let entries: Vec<Value> = entries.iter().map(shown).collect();
    Ok(reply::ok(&json!({name: entries, "total": total})))
}
