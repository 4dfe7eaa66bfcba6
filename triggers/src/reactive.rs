//! The Reactive posture: fires as soon as enough expected events came, then is quiet until its window ends.
//! Semantics: `docs/spec/triggers.md`, sections TRG-2x and TRG-3x.

use crate::bucket::{Bucket, Window};
use crate::evaluate::{Context, TriggerStates};
use crate::event_trigger::EventTrigger;
use crate::firing::{Firing, Reason};
use crate::limits::LOOKBACK_MICROS;
use pavlov_events::{Event, Timestamp};
use std::sync::Arc;

/// What a window becomes when an event was counted.
enum Counted {
    /// The event has no effect at all.
    Ignored,
    /// Not enough yet (or no window is open).
    Waiting(Option<Window>),
    /// Enough; what is left is quiet until this window begins.
    Fired(Option<Window>),
}

pub(crate) fn on_event(
    trigger: &EventTrigger,
    event: &Arc<Event>,
    states: &mut dyn TriggerStates,
    ctx: &mut Context<'_>,
) -> Option<Firing> {
    let key = trigger.bucketing_key(event);
    let bucket = states.bucket(trigger.id, &key);
    let (window, due) = bucket.map_or((None, None), |bucket| (bucket.window, bucket.due));
    let at = ctx.counted_at(event);
    let counted = match trigger.counts_from_the_start() {
        true if !trigger.expects(&event.event) => Counted::Ignored,
        true => count(trigger, window, at, ctx.now),
        false => count_after(trigger, window, at, (event, ctx.now)),
    };
    let (fired, window) = match counted {
        Counted::Ignored => return None,
        Counted::Waiting(window) => (false, window),
        Counted::Fired(window) => (true, window),
    };
    match window {
        Some(open) => {
            // A deadline only frees memory here, so it is set once and put right when it is called.
            let due = due.or(Some(free_at(&open, ctx.now)));
            let bucket = Bucket { due, window, touched: ctx.now, ..Bucket::default() };
            states.put_bucket(trigger.id, &key, bucket);
        }
        None if due.is_some() => states.remove_bucket(trigger.id, &key),
        None => {}
    }
    fired.then(|| {
        let mut firing = Firing::of_leaf(trigger, &key, Reason::ThresholdMet, ctx.ids.next_uuid());
        firing.triggered = ctx.now;
        firing.occurred = at;
        firing.event = Some(event.clone());
        firing
    })
}

/// Nothing happens at a Reactive deadline but that a window which is over is forgotten.
pub(crate) fn on_deadline(
    trigger: &EventTrigger,
    key: &[String],
    states: &mut dyn TriggerStates,
    ctx: &mut Context<'_>,
) {
    let Some(bucket) = states.bucket(trigger.id, key) else { return };
    let free_at = bucket.window.map_or(bucket.touched, |window| free_at(&window, bucket.touched));
    if free_at > ctx.now {
        let bucket = Bucket { due: Some(free_at), ..bucket.clone() };
        states.put_bucket(trigger.id, key, bucket);
    } else {
        states.remove_bucket(trigger.id, key);
    }
}

/// An expected event of a trigger without `after`.
fn count(trigger: &EventTrigger, window: Option<Window>, at: Timestamp, now: Timestamp) -> Counted {
    let within = trigger.within_micros();
    let mut window = match window {
        Some(window) if at < window.start => return Counted::Ignored,
        Some(window) if within > 0 && at >= window.end => Window::open(at, at.plus_micros(within), now),
        Some(window) => window,
        // The first window of a key reaches back, for events that arrive out of order.
        None => Window::open(at.plus_micros(-LOOKBACK_MICROS), at.plus_micros(within), now),
    };
    window.count += 1;
    if window.count < trigger.threshold() {
        return Counted::Waiting(Some(window));
    }
    let quiet = (within > 0).then(|| Window::open(window.end, window.end.plus_micros(within), now));
    Counted::Fired(quiet)
}

/// An event of a trigger with `after`: it may count in the open window, and it may open one.
fn count_after(
    trigger: &EventTrigger,
    window: Option<Window>,
    at: Timestamp,
    (event, now): (&Event, Timestamp),
) -> Counted {
    let within = trigger.within_micros();
    let over = |window: &Window| within > 0 && at >= window.end;
    let mut window = window.filter(|window| !over(window));
    if trigger.expects(&event.event)
        && let Some(open) = window.as_mut().filter(|open| at >= open.start)
    {
        open.count += 1;
        if open.count >= trigger.threshold() {
            return Counted::Fired(None);
        }
    }
    // A start event that opens a window does not count in it; one that finds a window in which nothing
    // was counted yet opens it anew.
    if trigger.starts_after(&event.event) && window.is_none_or(|open| open.count == 0 && at > open.start) {
        window = Some(Window::open(at, at.plus_micros(within), now));
    }
    Counted::Waiting(window)
}

/// When a window can be forgotten: when events that are late by as much as the look-back cannot count in it.
fn free_at(window: &Window, touched: Timestamp) -> Timestamp {
    window.end.max(touched).plus_micros(LOOKBACK_MICROS)
}
