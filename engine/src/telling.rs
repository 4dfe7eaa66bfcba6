//! The machine's own events. Prefect's have their shapes in [`pavlov_actions::outcome_event`]; what Prefect
//! has no event for is `pavlov.*`, and its shapes are here.

use crate::ledger::Entry;
use pavlov_actions::{TriggeredAction, outcome_event};
use pavlov_events::{Event, Faults, Resource, Timestamp, Uuid};
use serde_json::{Value, json};

/// Characters of a reason that an event carries.
const REASON_CHARS_MAX: usize = 1_000;

/// An event that was refused by the machine: `pavlov.event.refused`.
pub fn refused(id: Uuid, now: Timestamp, source: &str, reason: &str) -> Event {
    let mut event = Event::new(id, now, "pavlov.event.refused", Resource::new("pavlov.machine"));
    event.payload = json!({"source": source, "reason": shortened(reason)}).to_string().into();
    event
}

/// Faults in one line.
pub fn faults_as_text(faults: &Faults) -> String {
    let all: Vec<String> = faults.iter().take(10).map(ToString::to_string).collect();
    all.join("; ")
}

/// An attempt failed and another one follows: `pavlov.automation.action.retrying`.
pub fn action_retrying(id: Uuid, now: Timestamp, entry: &Entry, reason: &str, due: Timestamp) -> Event {
    let details = json!({"attempt": entry.attempt, "reason": shortened(reason), "next_attempt": due});
    linked(id, now, "pavlov.automation.action.retrying", &entry.action, details)
}

/// An attempt's end is unknown, and a person has to decide: `pavlov.automation.action.held`.
pub fn action_held(id: Uuid, now: Timestamp, entry: &Entry, reason: &str) -> Event {
    let details = json!({"attempt": entry.attempt, "reason": reason});
    linked(id, now, "pavlov.automation.action.held", &entry.action, details)
}

/// A letter begins again: `pavlov.automation.action.redriven`.
pub fn action_redriven(id: Uuid, now: Timestamp, entry: &Entry) -> Event {
    linked(
        id,
        now,
        "pavlov.automation.action.redriven",
        &entry.action,
        json!({"last_reason": entry.last_reason}),
    )
}

/// A letter was given up: `pavlov.automation.action.discarded`.
pub fn action_discarded(id: Uuid, now: Timestamp, entry: &Entry) -> Event {
    linked(
        id,
        now,
        "pavlov.automation.action.discarded",
        &entry.action,
        json!({"last_reason": entry.last_reason}),
    )
}

/// The oldest dead letters went, because there were too many: `pavlov.dead-letters.dropped`.
pub fn letters_dropped(id: Uuid, now: Timestamp, count: usize) -> Event {
    let mut event = Event::new(id, now, "pavlov.dead-letters.dropped", Resource::new("pavlov.ledger"));
    event.payload = json!({"count": count}).to_string().into();
    event
}

/// The end of the log was lost and it goes on under a new id: `pavlov.log.lost`.
pub fn log_lost(id: Uuid, now: Timestamp, after: u64, until: u64) -> Event {
    let mut event = Event::new(id, now, "pavlov.log.lost", Resource::new("pavlov.log"));
    event.payload = json!({"last_position_kept": after, "last_position_lost": until}).to_string().into();
    event
}

/// A change of a block: Prefect's event with what only the machine knows.
pub fn block_changed(id: Uuid, now: Timestamp, told: pavlov_orchestrator::apply::Told) -> Event {
    let mut event = Event::new(id, now, told.event, told.resource);
    event.related = told.related;
    event.payload = told.payload.to_string().into();
    event
}

fn linked(id: Uuid, now: Timestamp, name: &str, action: &TriggeredAction, details: Value) -> Event {
    outcome_event::action(id, now, name, action, (details, Vec::new()))
}

/// At most [`REASON_CHARS_MAX`] characters.
pub fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_owned(),
    }
}
