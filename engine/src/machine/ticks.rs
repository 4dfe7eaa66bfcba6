//! Ticks: deadlines fire in them, and nowhere else.

use super::{Machine, Told, context};
use crate::deadlines::Due;
use crate::ledger::Standing;
use crate::record::Tick;
use crate::state::counts;
use pavlov_events::Uuid;

/// Deadlines of one tick. More of them are fired by the next one, so that one record does a bounded amount
/// of work.
const PER_TICK_MAX: usize = 1_000;

impl Machine {
    /// Fires what is due by the record's time, in order of due time.
    pub(super) fn tick(&mut self, tick: Tick) {
        if tick.epoch != self.state.meta.epoch {
            return;
        }
        let now = self.state.meta.time;
        for _ in 0..PER_TICK_MAX {
            let Some((due, what)) = self.state.deadlines.due(now) else { break };
            self.counts.deadlines += 1;
            self.counts.deadline_late_micros_max = self.counts.deadline_late_micros_max.max(now.since(due));
            self.fire_deadline(&what);
            self.evaluate_told();
            // Whoever handled it has moved it; one that is still there would come back for ever.
            self.state.deadlines.replace(Some(due), None, what);
        }
    }

    fn fire_deadline(&mut self, what: &Due) {
        match what {
            Due::Waiting(event) => self.wait_no_longer(*event),
            Due::Bucket(trigger, key) => self.bucket_is_due(*trigger, key),
            Due::Composite(trigger) => self.composite_is_due(*trigger),
            Due::Ledger(entry) => self.attempt_is_due(*entry),
        }
    }

    /// The event that this one follows never came; it is evaluated without it.
    fn wait_no_longer(&mut self, event: Uuid) {
        let Some(waiting) = self.state.take_waiting(event) else { return };
        self.counts.waited_in_vain += 1;
        self.told.push_back(Told { event: waiting.event, depth: waiting.depth });
    }

    fn bucket_is_due(&mut self, trigger: Uuid, key: &[String]) {
        let Some(automation) = self.rules.owner(trigger).cloned() else {
            self.state.forget_trigger(trigger);
            return;
        };
        let mut ctx = context(&self.state.meta, &self.state.settings, &mut self.ids);
        let mut states = counts(&mut self.state.counting, &mut self.state.deadlines, &mut self.state.dirty);
        let firings =
            pavlov_triggers::on_bucket_deadline(&automation.trigger, trigger, key, &mut states, &mut ctx);
        for firing in firings {
            self.fire(&automation, firing, 0);
        }
    }

    fn composite_is_due(&mut self, trigger: Uuid) {
        let Some(automation) = self.rules.owner(trigger).cloned() else {
            self.state.forget_trigger(trigger);
            return;
        };
        let mut ctx = context(&self.state.meta, &self.state.settings, &mut self.ids);
        let mut states = counts(&mut self.state.counting, &mut self.state.deadlines, &mut self.state.dirty);
        pavlov_triggers::on_composite_deadline(&automation.trigger, trigger, &mut states, &mut ctx);
    }

    fn attempt_is_due(&mut self, id: Uuid) {
        let Some(mut entry) = self.state.ledger.get(&id).cloned() else { return };
        entry.standing = Standing::Running;
        entry.attempt += 1;
        self.state.put_entry(entry);
        self.applied.starts.push(id);
    }
}
