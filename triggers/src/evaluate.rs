//! What one event or one deadline does: the way through the tree of triggers, from a leaf to the root.

use crate::bucket::Bucket;
use crate::composite::{self, Composite};
use crate::event_trigger::{EventTrigger, Posture};
use crate::firing::{Firing, TriggerChange};
use crate::limits::FUTURE_SKEW_MICROS;
use crate::trigger::Trigger;
use crate::{proactive, reactive};
use pavlov_events::{Event, Ids, Timestamp, Uuid};
use std::sync::Arc;

/// Where one automation's triggers keep what they count.
pub trait TriggerStates {
    /// The bucket of one event trigger and one bucketing key.
    fn bucket(&self, trigger: Uuid, key: &[String]) -> Option<&Bucket>;
    /// Keeps a bucket; its `due` replaces an earlier one.
    fn put_bucket(&mut self, trigger: Uuid, key: &[String], bucket: Bucket);
    /// Forgets a bucket and its deadline.
    fn remove_bucket(&mut self, trigger: Uuid, key: &[String]);
    /// What a composite holds of its children.
    fn composite(&self, trigger: Uuid) -> Option<&Composite>;
    /// Keeps what a composite holds; its `due` replaces an earlier one.
    fn put_composite(&mut self, trigger: Uuid, composite: Composite);
    /// Forgets what a composite holds, and its deadline.
    fn remove_composite(&mut self, trigger: Uuid);
}

/// What is known of the record being applied. Spans are microseconds.
#[derive(Debug)]
pub struct Context<'a> {
    /// The record's time.
    pub now: Timestamp,
    /// The record's source of ids.
    pub ids: &'a mut Ids,
    /// An absence is never due sooner than this after it was armed; one second unless set otherwise.
    pub settle_micros: i64,
    /// An absence is never due before this, because we heard nothing for a while before it.
    pub deaf_until: Option<Timestamp>,
    /// How long we heard nothing.
    pub deaf_micros: i64,
}

impl Context<'_> {
    /// The instant at which an event counts: when it occurred, or now if its clock is too far ahead.
    pub(crate) fn counted_at(&self, event: &Event) -> Timestamp {
        let ahead = event.occurred > self.now.plus_micros(FUTURE_SKEW_MICROS);
        if ahead { self.now } else { event.occurred }
    }
}

/// A firing on its way up, with the identity of what caused it: the event's id, or for an absence its own.
/// One cause fires a composite at most once and is at most one step of a sequence.
pub(crate) struct Told {
    pub(crate) firing: Firing,
    pub(crate) cause: Uuid,
}

/// An automation became active: opens the windows that need no event, those of Proactive triggers with
/// neither `after` nor `for_each`. Windows that are open stay as they are.
pub fn arm(trigger: &Trigger, states: &mut dyn TriggerStates, ctx: &mut Context<'_>) {
    for leaf in trigger.leaves() {
        if leaf.posture() == Posture::Proactive {
            proactive::arm(leaf, states, ctx);
        }
    }
}

/// One event that [`EventTrigger::covers`] said yes to for the leaf of this number. Returns what it made
/// the root trigger fire; composites on the way are evaluated too. At most one firing comes of it.
pub fn on_event(
    trigger: &Trigger,
    leaf: usize,
    event: &Arc<Event>,
    states: &mut dyn TriggerStates,
    ctx: &mut Context<'_>,
) -> Vec<Firing> {
    let told = deliver(trigger, leaf, states, ctx, &mut |leaf, states, ctx| {
        let firing = match leaf.posture() {
            Posture::Reactive => reactive::on_event(leaf, event, states, ctx),
            Posture::Proactive => proactive::on_event(leaf, event, states, ctx),
        };
        firing.map(|firing| Told { firing, cause: event.id })
    });
    told.into_iter().map(|told| told.firing).collect()
}

/// The deadline of a bucket is over: an absence fires, or memory is freed. Called too early, it only sets
/// the deadline right; for a trigger that is gone, it does nothing.
pub fn on_bucket_deadline(
    trigger: &Trigger,
    bucket_trigger: Uuid,
    key: &[String],
    states: &mut dyn TriggerStates,
    ctx: &mut Context<'_>,
) -> Vec<Firing> {
    let Some(leaf) = trigger.leaves().iter().position(|leaf| leaf.id == bucket_trigger) else {
        return Vec::new();
    };
    let told = deliver(trigger, leaf, states, ctx, &mut |leaf, states, ctx| {
        let firing = match leaf.posture() {
            Posture::Reactive => {
                reactive::on_deadline(leaf, key, states, ctx);
                None
            }
            Posture::Proactive => proactive::on_deadline(leaf, key, states, ctx),
        };
        firing.map(|firing| Told { cause: firing.id, firing })
    });
    told.into_iter().map(|told| told.firing).collect()
}

/// The deadline of a composite is over: firings of its children that can be part of nothing any more are
/// forgotten.
pub fn on_composite_deadline(
    trigger: &Trigger,
    composite_trigger: Uuid,
    states: &mut dyn TriggerStates,
    ctx: &mut Context<'_>,
) {
    if let Some(node) = trigger.find(composite_trigger) {
        composite::on_deadline(node, states, ctx);
    }
}

type Evaluate<'a> = dyn FnMut(&EventTrigger, &mut dyn TriggerStates, &mut Context<'_>) -> Option<Told> + 'a;

/// Walks down to a leaf, evaluates it there, and carries its firing up through the composites.
fn deliver(
    node: &Trigger,
    leaf: usize,
    states: &mut dyn TriggerStates,
    ctx: &mut Context<'_>,
    evaluate: &mut Evaluate<'_>,
) -> Option<Told> {
    if let Trigger::Event(event_trigger) = node {
        return evaluate(event_trigger, states, ctx);
    }
    let mut first = 0;
    for (index, child) in node.children().iter().enumerate() {
        let behind = first + child.leaf_count();
        if leaf < behind {
            let told = deliver(child, leaf - first, states, ctx, evaluate)?;
            // The end of an absence says nothing to a composite, as in Prefect, where it is never told.
            let triggered = told.firing.change == TriggerChange::Triggered;
            return if triggered { composite::on_child(node, index, told, states, ctx) } else { None };
        }
        first = behind;
    }
    None
}
