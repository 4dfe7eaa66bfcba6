//! [`Waiting`]: events that came before the one they follow. They are stored and streamed at once; only
//! their evaluation waits.

use pavlov_events::{Event, Timestamp, Uuid};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One event that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WaitingEvent {
    /// The event; its `follows` names whom it waits for.
    pub event: Arc<Event>,
    /// When it waits no longer.
    pub until: Timestamp,
    /// How many automations caused one another to get here.
    pub depth: u32,
    /// How many events wait in its chain, itself included.
    pub chain: u32,
}

/// All events that wait, by their own id and by the id they wait for.
#[derive(Debug, Default)]
pub struct Waiting {
    events: BTreeMap<Uuid, WaitingEvent>,
    followers: HashMap<Uuid, Vec<Uuid>>,
}

impl Waiting {
    /// Adds an event. One without a leader is not added.
    pub fn put(&mut self, waiting: WaitingEvent) {
        if let Some(leader) = waiting.event.follows {
            self.followers.entry(leader).or_default().push(waiting.event.id);
            self.events.insert(waiting.event.id, waiting);
        }
    }

    /// Takes one event out.
    pub fn take(&mut self, id: Uuid) -> Option<WaitingEvent> {
        let waiting = self.events.remove(&id)?;
        if let Some(leader) = waiting.event.follows
            && let Some(others) = self.followers.get_mut(&leader)
        {
            others.retain(|other| *other != id);
            if others.is_empty() {
                self.followers.remove(&leader);
            }
        }
        Some(waiting)
    }

    /// One event that waits.
    pub fn get(&self, id: Uuid) -> Option<&WaitingEvent> {
        self.events.get(&id)
    }

    /// The events that wait for this one, earliest occurrence first.
    pub fn followers_of(&self, leader: Uuid) -> Vec<Uuid> {
        let mut ids = self.followers.get(&leader).cloned().unwrap_or_default();
        ids.sort_by_key(|id| (self.events.get(id).map(|waiting| waiting.event.occurred), *id));
        ids
    }

    /// The ids of all events that wait.
    pub fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.events.keys().copied()
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}
