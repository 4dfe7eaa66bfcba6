//! Outcomes: how attempts at effects went, and what becomes of the effects.

use super::{Machine, Reply};
use crate::ledger::{Entry, Outcome, Report, Standing, backoff_micros};
use crate::telling;
use pavlov_actions::{OnUnknown, outcome_event};
use pavlov_events::{Resource, Uuid};
use serde_json::Value;

/// What the failed event of an attempt tells.
struct Failure {
    reason: String,
    payload: Value,
    related: Vec<Resource>,
}

impl Machine {
    /// Takes in how an attempt went.
    pub(super) fn outcome(&mut self, outcome: Outcome) {
        let current = self.state.ledger.get(&outcome.entry).is_some_and(|entry| {
            entry.attempt == outcome.attempt && outcome.epoch == self.state.meta.epoch && !entry.is_letter()
        });
        match outcome.report {
            Report::Started => self.begin(outcome.entry, current),
            Report::Done { payload, related } => {
                if let Some(entry) = self.state.remove_entry(outcome.entry) {
                    self.executed(&entry, payload, related);
                }
            }
            Report::Failed { retry, retry_after_micros, reason, payload, related } if current => {
                let failure = Failure { reason, payload, related };
                if retry && self.may_retry(outcome.entry) {
                    self.retry(outcome.entry, retry_after_micros, failure);
                } else {
                    self.give_up(outcome.entry, failure);
                }
            }
            Report::Unknown if current => self.unknown(outcome.entry),
            Report::Failed { .. } | Report::Unknown => {}
        }
    }

    fn begin(&mut self, id: Uuid, current: bool) {
        let entry = self.state.ledger.get(&id).filter(|entry| current && entry.standing == Standing::Running);
        let begun = entry.map(|entry| Entry { standing: Standing::Started, ..entry.clone() });
        self.applied.reply = Some(Reply::Begin(begun.is_some()));
        if let Some(entry) = begun {
            self.state.put_entry(entry);
        }
    }

    fn may_retry(&self, id: Uuid) -> bool {
        self.state.ledger.get(&id).is_some_and(|entry| {
            let retries = entry.action.action.options.retries;
            let most = retries.map_or(self.state.settings.attempts_max, |retries| retries + 1);
            entry.attempt < most
        })
    }

    fn retry(&mut self, id: Uuid, retry_after_micros: Option<i64>, failure: Failure) {
        let Some(mut entry) = self.state.ledger.get(&id).cloned() else { return };
        let mut settings = self.state.settings.clone();
        if let Some(seconds) = entry.action.action.options.retry_delay_seconds {
            settings.retry_delay_micros = (seconds * 1e6) as i64;
        }
        let wait = backoff_micros(entry.attempt, retry_after_micros, &settings, &mut self.ids);
        let now = self.state.meta.time;
        let due = now.plus_micros(wait);
        entry.standing = Standing::Waiting { due };
        entry.last_reason = Some(failure.reason.clone());
        self.counts.actions_retried += 1;
        let event = telling::action_retrying(self.ids.next_uuid(), now, &entry, &failure.reason, due);
        self.derive(event, entry.depth);
        self.state.put_entry(entry);
    }

    /// The effect becomes a dead letter, and everybody may know.
    fn give_up(&mut self, id: Uuid, failure: Failure) {
        let Some(mut entry) = self.state.ledger.get(&id).cloned() else { return };
        let now = self.state.meta.time;
        self.counts.actions_failed += 1;
        entry.standing = Standing::Dead { since: now, reason: failure.reason.clone() };
        entry.last_reason = Some(failure.reason.clone());
        let mut details = serde_json::Map::new();
        details.insert("reason".into(), telling::shortened(&failure.reason).into());
        if let Value::Object(more) = failure.payload {
            details.extend(more);
        }
        let (details, id) = ((Value::Object(details), failure.related), self.ids.next_uuid());
        let mut event =
            outcome_event::action(id, now, "prefect.automation.action.failed", &entry.action, details);
        event.follows = Some(entry.triggered_event);
        let depth = entry.depth;
        self.state.put_entry(entry);
        self.derive(event, depth);
        self.bound_letters();
    }

    /// An attempt that may not be repeated began before a restart, and nobody knows its end.
    fn unknown(&mut self, id: Uuid) {
        let Some(mut entry) = self.state.ledger.get(&id).cloned() else { return };
        let now = self.state.meta.time;
        if entry.action.action.options.on_unknown == Some(OnUnknown::Retry) {
            entry.standing = Standing::Running;
            entry.attempt += 1;
            self.applied.starts.push(id);
            self.state.put_entry(entry);
            return;
        }
        let reason = "it was begun before a restart, and its end is unknown; redrive it or discard it";
        entry.standing = Standing::Held { since: now, reason: reason.into() };
        let event = telling::action_held(self.ids.next_uuid(), now, &entry, reason);
        let depth = entry.depth;
        self.state.put_entry(entry);
        self.derive(event, depth);
    }

    /// After a claim: attempts that were under way are made again, or found unknown.
    pub(super) fn resume_effects(&mut self) {
        let under_way: Vec<(Uuid, bool)> = self
            .state
            .ledger
            .iter()
            .filter_map(|(id, entry)| match entry.standing {
                Standing::Running => Some((*id, false)),
                Standing::Started => Some((*id, true)),
                _ => None,
            })
            .collect();
        for (id, started) in under_way {
            if started {
                self.unknown(id);
            } else {
                self.applied.starts.push(id);
            }
        }
    }

    /// Keeps the newest letters; the oldest dead ones go, and it is said.
    fn bound_letters(&mut self) {
        let most = self.state.settings.dead_letters_max;
        if self.state.ledger.len() <= most {
            return;
        }
        let mut dead: Vec<(pavlov_events::Timestamp, Uuid)> = self
            .state
            .ledger
            .iter()
            .filter_map(|(id, entry)| match entry.standing {
                Standing::Dead { since, .. } => Some((since, *id)),
                _ => None,
            })
            .collect();
        // One tenth goes at once, so that this walk is rare.
        if dead.len() > most {
            dead.sort_unstable();
            let gone = dead.len() - most + most / 10;
            for (_, id) in dead.into_iter().take(gone) {
                self.state.remove_entry(id);
            }
            let event = telling::letters_dropped(self.ids.next_uuid(), self.state.meta.time, gone);
            self.derive(event, 0);
        }
    }
}
