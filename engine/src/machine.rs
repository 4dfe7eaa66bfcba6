//! START READING HERE: one event's way, from the record that brings it to the effects that it causes.
//!
//! [`Machine::apply`] takes the next record of the log and changes the state; what has to be done outside is
//! returned as data. It reads no clock, draws no random number and touches nothing outside, so the same log
//! gives the same state, the same firings and the same ids, on every replica and at every replay.
//!
//! The sentence, word by word: a *record* brings an **event** ([`Machine::apply`]), which is told once
//! ([`Machine::tell`]) and evaluated against the triggers that may be interested ([`Machine::evaluate`]);
//! a **firing** ([`Machine::fire`]) makes derived events, which are told in the same way, and promises
//! **actions**, which are entries of the ledger until their outcome comes back as a record.

mod commands;
mod outcomes;
#[cfg(test)]
mod tests;
mod ticks;

use crate::command::Answer;
use crate::ledger::Entry;
use crate::record::{Body, Claim, Record};
use crate::rules::Rules;
use crate::settings::Settings;
use crate::state::{Meta, State, counts};
use crate::telling;
use crate::waiting::WaitingEvent;
use pavlov_actions::{Automation, Kind, TriggeredAction, outcome_event};
use pavlov_events::event::Defaults;
use pavlov_events::{Event, Ids, Resource, Timestamp, Uuid};
use pavlov_triggers::{Context, Firing, TriggerChange};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;

/// Where a record lies in the log.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its position.
    pub position: u64,
    /// The log's time.
    pub time: Timestamp,
    /// The checksum of its bytes.
    pub checksum: u32,
}

/// What applying one record gave.
#[derive(Debug, Default)]
pub struct Applied {
    /// What its sender is told.
    pub reply: Option<Reply>,
    /// All events that became facts, in machine order.
    pub events: Vec<Arc<Event>>,
    /// Attempts to be made now, by entry of the ledger.
    pub starts: Vec<Uuid>,
}

/// What the sender of a record is told.
#[derive(Clone, Debug)]
pub enum Reply {
    /// To events.
    Received(Receipt),
    /// To a command.
    Answered(Answer),
    /// To everything else: it was applied.
    Noted,
    /// To an outcome that begins an attempt which may not be repeated: go on, or do not.
    Begin(bool),
}

/// How a record's events were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// New events.
    pub accepted: u64,
    /// Events whose id was seen before; nothing was done with them.
    pub duplicates: u64,
}

/// What the machine counted since it was made. No state: only for people who watch.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Records applied.
    pub records: u64,
    /// Records skipped because their origin had sent them before or out of order.
    pub skipped: u64,
    /// Events told from outside.
    pub events: u64,
    /// Events made by the machine.
    pub derived: u64,
    /// Repeated events.
    pub duplicates: u64,
    /// Malformed events on NATS.
    pub refused: u64,
    /// Firings.
    pub firings: u64,
    /// Events that waited for the one they follow.
    pub waited: u64,
    /// Events that waited in vain.
    pub waited_in_vain: u64,
    /// Events that were not evaluated because automations had caused one another too often.
    pub too_deep: u64,
    /// Effects that came to their end, well.
    pub actions_executed: u64,
    /// Effects that were given up.
    pub actions_failed: u64,
    /// Attempts that failed and are repeated.
    pub actions_retried: u64,
    /// Deadlines that fired.
    pub deadlines: u64,
    /// How late the latest of them was.
    pub deadline_late_micros_max: i64,
}

/// An event that became a fact and is still to be evaluated.
struct Told {
    event: Arc<Event>,
    depth: u32,
}

/// The machine: the state and what is computed from it.
pub struct Machine {
    /// Everything the machine knows.
    pub state: State,
    /// What it counted.
    pub counts: Counts,
    rules: Rules,
    ids: Ids,
    applied: Applied,
    told: VecDeque<Told>,
    /// The time of the record before this one.
    heard_last: Option<Timestamp>,
}

impl Machine {
    /// A machine that goes on from a state.
    pub fn new(state: State) -> Self {
        let ids = Ids::new(state.meta.log, state.meta.position, state.meta.time);
        let rules = Rules::of(state.automations.values());
        let (applied, told) = (Applied::default(), VecDeque::new());
        Self { state, counts: Counts::default(), rules, ids, applied, told, heard_last: None }
    }

    /// Applies the next record of the log, completely.
    pub fn apply(&mut self, place: Place, record: Record) -> Applied {
        self.arrive(place);
        let known = self.state.origins.get(&record.origin).map_or(0, |origin| origin.number);
        if record.number != known + 1 {
            self.counts.skipped += 1;
            return Applied::default();
        }
        self.state.advance_origin(record.origin, record.number);
        match record.body {
            Body::Events(events) => self.receive(events),
            Body::Command(command) => self.command(*command),
            Body::Outcome(outcome) => self.outcome(*outcome),
            Body::Tick(tick) => self.tick(tick),
            Body::Claim(claim) => self.claim(claim),
        }
        self.evaluate_told();
        std::mem::take(&mut self.applied)
    }

    /// Applies a message that an outside program published: one event as JSON, checked here.
    pub fn apply_outside(&mut self, place: Place, subject: &str, bytes: &[u8]) -> Applied {
        self.arrive(place);
        let defaults = Defaults { id: self.ids.next_uuid(), occurred: place.time };
        match std::str::from_utf8(bytes) {
            Ok(text) => match Event::parse(text, Some(defaults)) {
                Ok(event) => self.receive(vec![event]),
                Err(faults) => self.refuse(subject, telling::faults_as_text(&faults)),
            },
            Err(error) => self.refuse(subject, error.to_string()),
        }
        self.evaluate_told();
        std::mem::take(&mut self.applied)
    }

    /// Passes over a record that cannot be applied; its sender is told nothing but that.
    pub fn pass_over(&mut self, place: Place, origin: Option<(Uuid, u64)>, reason: &str) -> Applied {
        self.arrive(place);
        self.applied = Applied::default();
        self.told.clear();
        if let Some((origin, number)) = origin {
            self.state.advance_origin(origin, number);
        }
        self.refuse("the log", reason.to_owned());
        self.evaluate_told();
        std::mem::take(&mut self.applied)
    }

    fn arrive(&mut self, place: Place) {
        let meta = &mut self.state.meta;
        self.heard_last = (meta.position > 0).then_some(meta.time);
        meta.position = place.position;
        meta.checksum = place.checksum;
        meta.time = meta.time.max(place.time);
        self.ids = Ids::new(meta.log, place.position, meta.time);
        self.counts.records += 1;
    }

    /// Takes events from outside: each one becomes a fact once.
    fn receive(&mut self, events: Vec<Event>) {
        let mut receipt = Receipt::default();
        for mut event in events {
            #[cfg(test)]
            assert_ne!(&*event.event, PANIC_EVENT, "asked for by a test");
            if !self.state.note_event(event.id) {
                receipt.duplicates += 1;
                continue;
            }
            receipt.accepted += 1;
            event.received = self.state.meta.time;
            self.tell(Arc::new(event), 0);
            // Derived events follow their cause, before the record's next event.
            self.evaluate_told();
        }
        self.counts.events += receipt.accepted;
        self.counts.duplicates += receipt.duplicates;
        self.applied.reply = Some(Reply::Received(receipt));
    }

    fn refuse(&mut self, source: &str, reason: String) {
        self.counts.refused += 1;
        let event = telling::refused(self.ids.next_uuid(), self.state.meta.time, source, &reason);
        self.derive(event, 0);
    }

    /// Makes an event of the machine's own a fact.
    fn derive(&mut self, mut event: Event, depth: u32) -> Arc<Event> {
        event.received = self.state.meta.time;
        self.state.note_event(event.id);
        self.counts.derived += 1;
        let event = Arc::new(event);
        self.tell(Arc::clone(&event), depth);
        event
    }

    /// An event becomes a fact: history, streams, and, unless it has to wait, evaluation.
    fn tell(&mut self, event: Arc<Event>, depth: u32) {
        self.applied.events.push(Arc::clone(&event));
        if depth > self.state.settings.cascade_depth_max {
            self.counts.too_deep += 1;
            return;
        }
        match self.waits_for(&event) {
            Some(chain) => {
                self.counts.waited += 1;
                let until = self.state.meta.time.plus_micros(self.state.settings.follow_wait_micros);
                self.state.put_waiting(WaitingEvent { event, until, depth, chain });
            }
            None => self.told.push_back(Told { event, depth }),
        }
    }

    /// Whether an event follows one that was not evaluated yet, and how long that chain is then.
    fn waits_for(&self, event: &Event) -> Option<u32> {
        let leader = event.follows.filter(|leader| *leader != event.id)?;
        let settings = &self.state.settings;
        let chain = match self.state.waiting.get(leader) {
            Some(waiting) => waiting.chain + 1,
            None if self.state.seen.contains(leader) => return None,
            // A leader so old that its memory may be gone is not waited for.
            None if self.state.meta.time.since(event.occurred) > settings.follow_wait_micros => return None,
            None => 1,
        };
        (chain <= settings.follow_depth_max).then_some(chain)
    }

    /// Evaluates what became a fact, in order, until nothing new is caused.
    fn evaluate_told(&mut self) {
        while let Some(Told { event, depth }) = self.told.pop_front() {
            self.evaluate(&event, depth);
            for follower in self.state.waiting.followers_of(event.id) {
                if let Some(waiting) = self.state.take_waiting(follower) {
                    self.told.push_back(Told { event: waiting.event, depth: waiting.depth });
                }
            }
        }
    }

    /// Asks every trigger that is interested.
    fn evaluate(&mut self, event: &Arc<Event>, depth: u32) {
        let interested = self.rules.interested(event);
        for &(slot, leaf) in &interested {
            let Some(rule) = self.rules.get(slot) else { continue };
            let automation = Arc::clone(&rule.automation);
            let mut ctx = context(&self.state.meta, &self.state.settings, &mut self.ids);
            let mut states =
                counts(&mut self.state.counting, &mut self.state.deadlines, &mut self.state.dirty);
            let firings =
                pavlov_triggers::on_event(&automation.trigger, leaf as usize, event, &mut states, &mut ctx);
            for firing in firings {
                self.fire(&automation, firing, depth);
            }
        }
        self.rules.give_back(interested);
    }

    /// A trigger fired: say so, and promise the actions.
    fn fire(&mut self, automation: &Arc<Automation>, firing: Firing, depth: u32) {
        self.counts.firings += 1;
        let firing = Arc::new(firing);
        let now = self.state.meta.time;
        let said = outcome_event::fired(self.ids.next_uuid(), now, automation, &firing);
        let said = self.derive(said, depth + 1);
        let on_change = match firing.change {
            TriggerChange::Triggered => &automation.actions_on_trigger,
            TriggerChange::Resolved => &automation.actions_on_resolve,
        };
        let always: &[_] = if firing.change == TriggerChange::Triggered { &automation.actions } else { &[] };
        let planned = (always.iter().map(|action| (action, firing.event.clone())))
            .chain(on_change.iter().map(|action| (action, Some(Arc::clone(&said)))));
        for (index, (action, event)) in planned.enumerate() {
            let triggered = Arc::new(TriggeredAction {
                id: self.ids.next_uuid(),
                automation: Arc::clone(automation),
                firing: Arc::clone(&firing),
                action: action.clone(),
                index,
                triggered: now,
                event,
                triggered_event_id: said.id,
            });
            self.promise(triggered, depth + 1);
        }
    }

    /// An action is promised: it is in the ledger until its outcome is known.
    fn promise(&mut self, action: Arc<TriggeredAction>, depth: u32) {
        let now = self.state.meta.time;
        let details = (Value::Null, Vec::new());
        let mut event = outcome_event::action(
            self.ids.next_uuid(),
            now,
            "prefect.automation.action.triggered",
            &action,
            details,
        );
        event.follows = outcome_event::cause_to_follow(&action);
        let told = self.derive(event, depth).id;
        let entry = Entry::new(action, told, depth, now);
        if entry.action.action.kind == Kind::DoNothing {
            self.executed(&entry, Value::Null, Vec::new());
            return;
        }
        self.applied.starts.push(entry.action.id);
        self.state.put_entry(entry);
    }

    /// Says that an action is done.
    fn executed(&mut self, entry: &Entry, details: Value, related: Vec<Resource>) {
        self.counts.actions_executed += 1;
        let (id, now) = (self.ids.next_uuid(), self.state.meta.time);
        let mut event = outcome_event::action(
            id,
            now,
            "prefect.automation.action.executed",
            &entry.action,
            (details, related),
        );
        event.follows = Some(entry.triggered_event);
        self.derive(event, entry.depth);
    }

    /// A replica takes the lead, after a start at the latest. What fell due while nobody listened gets its
    /// grace, and what was under way is begun again.
    fn claim(&mut self, claim: Claim) {
        if claim.epoch != self.state.meta.epoch + 1 {
            return;
        }
        let meta = &mut self.state.meta;
        meta.epoch = claim.epoch;
        if let Some(last) = self.heard_last.filter(|last| meta.time > *last) {
            meta.deaf_micros = meta.time.since(last);
            meta.deaf_until = meta.time.plus_micros(self.state.settings.grace_micros);
        }
        if let Some(lost) = claim.lost {
            self.state.meta.log = lost.new_log;
            let event = telling::log_lost(self.ids.next_uuid(), self.state.meta.time, lost.after, lost.until);
            self.derive(event, 0);
        }
        self.install_system_blocks();
        self.resume_effects();
    }

    /// How many triggers no index helps.
    pub fn residual_len(&self) -> usize {
        self.rules.residual_len()
    }

    /// Passes over a copy of a record that was applied before.
    pub fn skip(&mut self, place: Place) {
        self.arrive(place);
        self.counts.skipped += 1;
    }

    /// The slot of an automation follows its definition.
    fn rules_changed(&mut self, automation: &Arc<Automation>) {
        self.rules.remove(automation.id);
        if automation.enabled {
            self.rules.insert(Arc::clone(automation));
        }
    }
}

/// The event that makes the machine fail in tests.
#[cfg(test)]
pub(crate) const PANIC_EVENT: &str = "pavlov.test.panic";

/// What the triggers crate is told about the record.
fn context<'a>(meta: &Meta, settings: &Settings, ids: &'a mut Ids) -> Context<'a> {
    Context {
        now: meta.time,
        ids,
        settle_micros: settings.settle_micros,
        deaf_until: Some(meta.deaf_until),
        deaf_micros: meta.deaf_micros,
    }
}
