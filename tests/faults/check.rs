//! The promises, checked against what the writers and the receiver know.

use crate::load::{Fate, Sent};
use crate::receiver::Received;
use crate::stored::{Firing, firings, is, is_sent, occurred, resource, text};
use crate::world::{CALLED, COUNTED, PAIRED, THIRDS, WATCHED, WITHIN_MICROS};
use pavlov_events::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Faults that are shown.
const SHOWN: usize = 20;

/// The time between a kill and the next readiness.
pub struct Down {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// What is compared.
pub struct Findings<'a> {
    pub sent: &'a [&'a Sent],
    /// In the machine's order.
    pub stored: &'a [Value],
    /// The same, as a client read it.
    pub read: &'a [Value],
    /// Of an undisturbed run of the same events in the same order.
    pub undisturbed: &'a [Value],
    pub received: &'a Received,
    pub downs: &'a [Down],
}

/// Fails with everything that is wrong.
pub fn all(findings: &Findings<'_>) {
    let mut faults = Vec::new();
    stored_once(findings, &mut faults);
    counts_alike(findings, &mut faults);
    requests_made(findings, &mut faults);
    absences_told(findings, &mut faults);
    let shown = &faults[..faults.len().min(SHOWN)];
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), shown.join("\n"));
}

/// Every acknowledged event is there once and as it was sent, and nothing else is there.
fn stored_once(findings: &Findings<'_>, faults: &mut Vec<String>) {
    let mut stored = HashMap::new();
    for event in findings.stored {
        if stored.insert(text(event, "/id"), event).is_some() {
            faults.push(format!("twice in the history: {event}"));
        }
    }
    let read: HashSet<String> = findings.read.iter().map(|event| text(event, "/id")).collect();
    if read.len() != findings.read.len() || read.len() != stored.len() {
        let (pages, different) = (findings.read.len(), read.len());
        faults
            .push(format!("{pages} events on pages, {different} of them different, {} stored", stored.len()));
    }
    let mut sent = HashMap::new();
    for request in findings.sent {
        let there = request.events.iter().filter(|event| stored.contains_key(&text(event, "/id"))).count();
        if request.fate == Fate::Acknowledged && there != request.events.len() {
            faults.push(format!(
                "acknowledged {}, stored {there}: {}",
                request.events.len(),
                request.events[0]
            ));
        }
        sent.extend(request.events.iter().map(|event| (text(event, "/id"), event)));
    }
    for (id, event) in stored.iter().filter(|(_, event)| is_sent(event)) {
        let same = |sent: &&Value| {
            ["event", "occurred", "resource", "payload"].iter().all(|field| sent[*field] == event[*field])
        };
        if !sent.get(id).is_some_and(same) {
            faults.push(format!("not stored as it was sent: {event}"));
        }
        if !read.contains(id) {
            faults.push(format!("stored and on no page: {event}"));
        }
    }
}

/// The Reactive automations fired as often, for the same keys, by the same events as without any crash.
fn counts_alike(findings: &Findings<'_>, faults: &mut Vec<String>) {
    let mut ids = HashSet::new();
    for automation in [COUNTED, THIRDS, PAIRED, CALLED] {
        let mut difference: BTreeMap<Firing, i64> = BTreeMap::new();
        for (firing, event) in firings(findings.stored, automation) {
            *difference.entry(firing).or_default() += 1;
            if !ids.insert(text(event, "/payload/firing")) {
                faults.push(format!("a firing told twice: {event}"));
            }
        }
        let undisturbed = firings(findings.undisturbed, automation);
        if undisturbed.is_empty() {
            faults.push(format!("{automation} never fired, so it shows nothing"));
        }
        for (firing, _) in undisturbed {
            *difference.entry(firing).or_default() -= 1;
        }
        for (firing, count) in difference.into_iter().filter(|(_, count)| *count != 0) {
            faults.push(format!("fired {count:+} times against the undisturbed run: {firing:?}"));
        }
    }
}

/// Every firing reached the receiver, and the receiver heard of no firing that there never was.
fn requests_made(findings: &Findings<'_>, faults: &mut Vec<String>) {
    let told: HashSet<(String, String)> = firings(findings.stored, CALLED)
        .into_iter()
        .map(|(firing, event)| (text(event, "/payload/firing"), firing.event))
        .collect();
    for lost in told.iter().filter(|firing| !findings.received.contains_key(*firing)) {
        faults.push(format!("never received: firing and event {lost:?}"));
    }
    for unfounded in findings.received.keys().filter(|firing| !told.contains(*firing)) {
        faults.push(format!("received, and there is no such firing: {unfounded:?}"));
    }
}

/// Every start without an answer in time was told once, not too early, and it says how late.
fn absences_told(findings: &Findings<'_>, faults: &mut Vec<String>) {
    let answered: HashMap<String, Timestamp> = findings
        .stored
        .iter()
        .filter(|event| is(event, "fault.answered"))
        .map(|event| (resource(event), occurred(event)))
        .collect();
    let mut told: HashMap<String, Vec<&Value>> = HashMap::new();
    for (firing, event) in firings(findings.stored, WATCHED) {
        told.entry(firing.event).or_default().push(event);
    }
    let mut overdue = 0;
    for start in findings.stored.iter().filter(|event| is(event, "fault.started")) {
        let due = occurred(start).plus_micros(WITHIN_MICROS);
        let absent = answered.get(&resource(start)).is_none_or(|at| *at >= due);
        let told = told.remove(&text(start, "/id")).unwrap_or_default();
        if told.len() != usize::from(absent) {
            faults.push(format!("absence {absent}, told {} times: {start}", told.len()));
        }
        for firing in told {
            let missed = findings.downs.iter().any(|down| down.from < due && due < down.until);
            overdue += u32::from(missed);
            faults.extend(lateness(firing, due, missed));
        }
    }
    faults.extend(told.into_keys().map(|id| format!("an absence of something never stored: {id}")));
    if overdue == 0 && !findings.downs.is_empty() {
        faults.push("no absence fell due while the server was down: the test tested nothing".to_owned());
    }
}

/// What is wrong with what a firing says of its lateness.
fn lateness(firing: &Value, due: Timestamp, missed: bool) -> Option<String> {
    let micros = |name: &str| firing["payload"][name].as_i64();
    let late = occurred(firing).since(due);
    let right = late >= 0 && micros("late_micros") == Some(late) && micros("deaf_micros") > Some(-1);
    let deaf = !missed || micros("deaf_micros") > Some(0);
    (!right || !deaf).then(|| format!("late by {late}, due while down: {missed}, and it says: {firing}"))
}
