//! The Proactive posture: fires when a window ends in which too few expected events came.
//! Semantics: `docs/spec/triggers.md`, sections TRG-4x to TRG-6x.

use crate::bucket::{Alarm, Bucket, Restart, Window};
use crate::evaluate::{Context, TriggerStates};
use crate::event_trigger::EventTrigger;
use crate::firing::{Firing, Reason};
use crate::limits::{ALARM_MICROS, HEARD_MAX, LOOKBACK_MICROS};
use pavlov_events::{Event, Timestamp};
use std::sync::Arc;

/// Opens the window of a trigger that waits for no event, unless it is open.
pub(crate) fn arm(trigger: &EventTrigger, states: &mut dyn TriggerStates, ctx: &mut Context<'_>) {
    let waits_for_events = !trigger.counts_from_the_start() || !trigger.for_each_sorted().is_empty();
    if waits_for_events || trigger.threshold() < 1 || states.bucket(trigger.id, &[]).is_some() {
        return;
    }
    let window = Window::open(ctx.now, ctx.now.plus_micros(trigger.within_micros()), ctx.now);
    save(trigger, &[], Bucket { window: Some(window), ..Bucket::default() }, (states, ctx));
}

pub(crate) fn on_event(
    trigger: &EventTrigger,
    event: &Arc<Event>,
    states: &mut dyn TriggerStates,
    ctx: &mut Context<'_>,
) -> Option<Firing> {
    let (expects, starts) = (trigger.expects(&event.event), trigger.starts_after(&event.event));
    // With a threshold below 1 nothing can be absent.
    if trigger.threshold() < 1 || !(expects || starts) {
        return None;
    }
    let key = trigger.bucketing_key(event);
    let mut bucket = states.bucket(trigger.id, &key).cloned().unwrap_or_default();
    let at = ctx.counted_at(event);
    let resolved = if trigger.counts_from_the_start() {
        heard_from_the_start(trigger, &mut bucket, at, (event, ctx.now))?
    } else {
        let resolved = expects && heard_after(trigger, &mut bucket, at, (event, ctx.now));
        if starts {
            started(trigger, &mut bucket, at, (event, ctx.now));
        }
        resolved
    };
    save(trigger, &key, bucket, (states, ctx));
    resolved.then(|| {
        let mut firing = Firing::of_leaf(trigger, &key, Reason::Resolved, ctx.ids.next_uuid());
        firing.triggered = ctx.now;
        firing.occurred = at;
        firing.event = Some(event.clone());
        firing
    })
}

pub(crate) fn on_deadline(
    trigger: &EventTrigger,
    key: &[String],
    states: &mut dyn TriggerStates,
    ctx: &mut Context<'_>,
) -> Option<Firing> {
    let mut bucket = states.bucket(trigger.id, key)?.clone();
    let mut firing = None;
    if let Some(window) = bucket.window
        && window_due(&window, ctx) <= ctx.now
    {
        bucket.window = None;
        if window.count + window.beyond < trigger.threshold() {
            firing = Some(absence(trigger, key, &window, (bucket.last_event.clone(), &mut *ctx)));
            bucket.alarm = Some(Alarm { since: window.start, told: ctx.now, count: window.count });
        }
        if trigger.counts_from_the_start() {
            bucket.window = Some(next_window(trigger, &window, ctx.now));
        }
    }
    if bucket.window.is_none() && forget_heard_at(&bucket) <= ctx.now {
        bucket.heard.clear();
    }
    bucket.alarm = bucket.alarm.filter(|alarm| alarm.told.plus_micros(ALARM_MICROS) > ctx.now);
    save(trigger, key, bucket, (states, ctx));
    firing
}

/// An expected event of a trigger without `after`: `Some(true)` when it ends an absence that was told,
/// `None` when it is too old to have an effect.
fn heard_from_the_start(
    trigger: &EventTrigger,
    bucket: &mut Bucket,
    at: Timestamp,
    (event, now): (&Arc<Event>, Timestamp),
) -> Option<bool> {
    let window = bucket.window.get_or_insert_with(|| {
        Window::open(at.plus_micros(-LOOKBACK_MICROS), at.plus_micros(trigger.within_micros()), now)
    });
    let enough = if at < window.start {
        // Too late for its own window; it still shows that the absence was none.
        let alarm = bucket.alarm.as_mut().filter(|alarm| at >= alarm.since)?;
        alarm.count += 1;
        alarm.count >= trigger.threshold()
    } else {
        *(if at < window.end { &mut window.count } else { &mut window.beyond }) += 1;
        window.count + window.beyond >= trigger.threshold()
    };
    bucket.touched = now;
    bucket.last_event = Some(event.clone());
    Some(enough && bucket.alarm.take().is_some())
}

/// An expected event of a trigger with `after`; true when it ends an absence that was told.
fn heard_after(
    trigger: &EventTrigger,
    bucket: &mut Bucket,
    at: Timestamp,
    (event, now): (&Arc<Event>, Timestamp),
) -> bool {
    let threshold = trigger.threshold();
    bucket.touched = now;
    let place = bucket.heard.partition_point(|heard| *heard <= at);
    bucket.heard.insert(place, at);
    if bucket.heard.len() > HEARD_MAX.min(usize::try_from(threshold).unwrap_or(HEARD_MAX)) {
        bucket.heard.remove(0);
    }
    // An absence is told only while it lasts: an expected event counts until the deadline was called,
    // also when it occurred after the end of the window.
    if let Some(window) = bucket.window.as_mut().filter(|window| at >= window.start) {
        window.count += 1;
        if let Some(restart) = window.restart.as_mut().filter(|restart| at >= restart.at) {
            restart.count += 1;
        }
        bucket.last_event = Some(event.clone());
        if window.count >= threshold {
            // What started since must be answered too.
            bucket.window = window.restart.and_then(|restart| unanswered(trigger, restart, now));
        }
    }
    let resolved = bucket.alarm.as_mut().filter(|alarm| at >= alarm.since).is_some_and(|alarm| {
        alarm.count += 1;
        alarm.count >= threshold
    });
    if resolved {
        bucket.alarm = None;
    }
    resolved
}

/// A start event: opens a window unless one is open or it was answered by what arrived before it.
fn started(
    trigger: &EventTrigger,
    bucket: &mut Bucket,
    at: Timestamp,
    (event, now): (&Arc<Event>, Timestamp),
) {
    let after = bucket.heard.iter().filter(|heard| **heard > at).count();
    let start = Restart { at, count: i64::try_from(after).unwrap_or(i64::MAX) };
    match &mut bucket.window {
        Some(window) if at > window.start => {
            if window.restart.is_none_or(|restart| at > restart.at) {
                window.restart = Some(start);
            }
            bucket.last_event = Some(event.clone());
        }
        // An earlier start does not move a window that is open.
        Some(_) => {}
        None => {
            bucket.window = unanswered(trigger, start, now);
            bucket.last_event = Some(event.clone());
        }
    }
}

/// The window of a start event, unless enough expected events are known to have come after it.
fn unanswered(trigger: &EventTrigger, start: Restart, now: Timestamp) -> Option<Window> {
    let end = start.at.plus_micros(trigger.within_micros());
    let window = Window { count: start.count, ..Window::open(start.at, end, now) };
    (start.count < trigger.threshold()).then_some(window)
}

fn absence(
    trigger: &EventTrigger,
    key: &[String],
    window: &Window,
    (last_event, ctx): (Option<Arc<Event>>, &mut Context<'_>),
) -> Firing {
    let mut firing = Firing::of_leaf(trigger, key, Reason::Absence, ctx.ids.next_uuid());
    firing.triggered = ctx.now;
    firing.occurred = window.end;
    firing.event = last_event;
    // Late against the deadline that was promised, which knew nothing of our being deaf.
    firing.late_micros = ctx.now.since(settled(window, ctx));
    firing.deaf_micros =
        if ctx.deaf_until.is_some_and(|until| window.start < until) { ctx.deaf_micros } else { 0 };
    firing
}

/// Windows without a start event follow each other without a gap; those that went by unwatched are left out.
fn next_window(trigger: &EventTrigger, last: &Window, now: Timestamp) -> Window {
    let within = trigger.within_micros();
    let end = last.end.plus_micros(within);
    if end <= now {
        return Window::open(now, now.plus_micros(within), now);
    }
    let mut next = Window::open(last.end, end, now);
    next.count = last.beyond;
    next
}

fn settled(window: &Window, ctx: &Context<'_>) -> Timestamp {
    window.end.max(window.armed.plus_micros(ctx.settle_micros))
}

fn window_due(window: &Window, ctx: &Context<'_>) -> Timestamp {
    let settled = settled(window, ctx);
    ctx.deaf_until.map_or(settled, |until| settled.max(until))
}

fn forget_heard_at(bucket: &Bucket) -> Timestamp {
    bucket.touched.plus_micros(LOOKBACK_MICROS)
}

/// Keeps the bucket with its next deadline, or forgets it when nothing is left in it.
fn save(
    trigger: &EventTrigger,
    key: &[String],
    mut bucket: Bucket,
    (states, ctx): (&mut dyn TriggerStates, &Context<'_>),
) {
    let window = bucket.window.as_ref().map(|window| window_due(window, ctx));
    let heard = (window.is_none() && !bucket.heard.is_empty()).then(|| forget_heard_at(&bucket));
    let alarm = bucket.alarm.as_ref().map(|alarm| alarm.told.plus_micros(ALARM_MICROS));
    if window.is_none() {
        bucket.last_event = None;
    }
    bucket.due = [window, heard, alarm].into_iter().flatten().min();
    if bucket.due.is_some() {
        states.put_bucket(trigger.id, key, bucket);
    } else if states.bucket(trigger.id, key).is_some() {
        states.remove_bucket(trigger.id, key);
    }
}
