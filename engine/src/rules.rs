//! [`Rules`]: the enabled automations in the form that evaluating an event needs.

use pavlov_actions::Automation;
use pavlov_events::{Event, Uuid};
use pavlov_triggers::{EventTrigger, Index, Trigger};
use std::collections::HashMap;
use std::sync::Arc;

/// One enabled automation.
#[derive(Debug)]
pub struct Rule {
    /// The automation.
    pub automation: Arc<Automation>,
    /// Its event triggers, by leaf number.
    pub leaves: Vec<EventTrigger>,
}

/// All enabled automations and the index over their triggers. No state: computed from it.
#[derive(Debug, Default)]
pub struct Rules {
    slots: Vec<Option<Rule>>,
    free: Vec<u32>,
    of_automation: HashMap<Uuid, u32>,
    of_trigger: HashMap<Uuid, u32>,
    index: Index,
    buffer: Vec<(u32, u32)>,
}

impl Rules {
    /// The rules of these automations; disabled ones are left out.
    pub fn of<'a>(automations: impl Iterator<Item = &'a Arc<Automation>>) -> Self {
        let mut rules = Self::default();
        for automation in automations.filter(|automation| automation.enabled) {
            rules.insert(Arc::clone(automation));
        }
        rules
    }

    /// Adds an automation that is not among the rules.
    pub fn insert(&mut self, automation: Arc<Automation>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        let leaves: Vec<EventTrigger> = automation.trigger.leaves().into_iter().cloned().collect();
        for (leaf, trigger) in leaves.iter().enumerate() {
            self.index.insert(slot, leaf as u32, trigger);
        }
        for trigger in automation.trigger.all() {
            self.of_trigger.insert(trigger.id(), slot);
        }
        self.of_automation.insert(automation.id, slot);
        self.slots[slot as usize] = Some(Rule { automation, leaves });
    }

    /// Removes an automation, if it is there.
    pub fn remove(&mut self, automation: Uuid) {
        let Some(slot) = self.of_automation.remove(&automation) else { return };
        let Some(rule) = self.slots[slot as usize].take() else { return };
        for (leaf, trigger) in rule.leaves.iter().enumerate() {
            self.index.remove(slot, leaf as u32, trigger);
        }
        for trigger in rule.automation.trigger.all() {
            self.of_trigger.remove(&trigger.id());
        }
        self.free.push(slot);
    }

    /// The rule of a slot.
    pub fn get(&self, slot: u32) -> Option<&Rule> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// The automation that a trigger belongs to.
    pub fn owner(&self, trigger: Uuid) -> Option<&Arc<Automation>> {
        Some(&self.get(*self.of_trigger.get(&trigger)?)?.automation)
    }

    /// Slots and leaves whose trigger covers an event, by id of the automation: slots depend on the order in
    /// which automations came and went, and a verdict must not. The buffer comes back with
    /// [`Self::give_back`].
    pub fn interested(&mut self, event: &Event) -> Vec<(u32, u32)> {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.index.candidates(event, &mut buffer);
        buffer.retain(|(slot, leaf)| {
            self.get(*slot).is_some_and(|rule| rule.leaves[*leaf as usize].covers(event))
        });
        buffer.sort_unstable_by_key(|(slot, leaf)| (self.get(*slot).map(|rule| rule.automation.id), *leaf));
        buffer
    }

    /// Returns the buffer of [`Self::interested`] for the next event.
    pub fn give_back(&mut self, buffer: Vec<(u32, u32)>) {
        self.buffer = buffer;
    }

    /// Triggers that no condition can index, and which every event is therefore compared with.
    pub fn residual_len(&self) -> usize {
        self.index.residual_len()
    }
}

/// All triggers of a definition, the composite ones included.
pub trait AllTriggers {
    /// This trigger and all below it.
    fn all(&self) -> Vec<&Trigger>;
}

impl AllTriggers for Trigger {
    fn all(&self) -> Vec<&Trigger> {
        std::iter::once(self).chain(self.children().iter().flat_map(AllTriggers::all)).collect()
    }
}
