//! The events that tell of firings and actions, shaped as Prefect's.

use crate::automation::Automation;
use crate::triggered_action::TriggeredAction;
use pavlov_events::{Event, Resource, Timestamp, Uuid};
use pavlov_triggers::{Firing, Trigger, TriggerChange};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Events further apart than this are not linked by `follows`, so that nobody waits for the earlier one
/// (Prefect's tight timing, 5 minutes).
const FOLLOWS_MICROS_MAX: i64 = 300_000_000;

/// A larger cause is only linked, not repeated in the payload of its firing.
const CAUSE_BYTES_MAX: usize = 400_000;

/// `prefect.automation.triggered` or `prefect.automation.resolved`.
pub fn fired(id: Uuid, now: Timestamp, automation: &Automation, firing: &Firing) -> Event {
    let name = match firing.change {
        TriggerChange::Triggered => "prefect.automation.triggered",
        TriggerChange::Resolved => "prefect.automation.resolved",
    };
    let mut resource = automation_resource(automation);
    if let Trigger::Event(trigger) = &automation.trigger {
        resource.set("prefect.posture".into(), trigger.posture().as_str().into());
    }
    let mut event = Event::new(id, now, name, resource);
    if let Some(cause) = &firing.event {
        event.related.push(event_resource(cause.id, "triggering-event"));
    }
    event.payload = fired_payload(firing).into();
    event
}

/// `prefect.automation.action.<what>`: `triggered` when the action is promised, then `executed` or `failed`.
/// `details` joins the payload; `related` comes before the links to the causes.
pub fn action(
    id: Uuid,
    now: Timestamp,
    what: &str,
    action: &TriggeredAction,
    (details, related): (Value, Vec<Resource>),
) -> Event {
    let automation = &action.automation;
    let mut resource =
        automation_resource(automation).with("prefect.trigger-type", automation.trigger.type_name());
    if let Trigger::Event(trigger) = &automation.trigger {
        resource.set("prefect.posture".into(), trigger.posture().as_str().into());
    }
    let mut event = Event::new(id, now, what, resource);
    event.related = related;
    event.related.push(event_resource(action.triggered_event_id, "automation-triggered-event"));
    if let Some(cause) = &action.event {
        event.related.push(event_resource(cause.id, "triggering-event"));
    }
    event.related.truncate(pavlov_events::limits::RELATED_MAX);
    let mut payload = Map::new();
    payload.insert("action_index".into(), action.index.into());
    payload.insert("action_type".into(), action.action.type_name().into());
    payload.insert("invocation".into(), action.id.to_string().into());
    if let Value::Object(details) = details {
        payload.extend(details);
    }
    event.payload = Value::Object(payload).to_string().into();
    event
}

/// The event that an action's `triggered` event follows: its cause, if it lies close enough in time.
pub fn cause_to_follow(action: &TriggeredAction) -> Option<Uuid> {
    let cause = action.event.as_ref()?;
    (action.triggered.since(cause.occurred).abs() < FOLLOWS_MICROS_MAX).then_some(cause.id)
}

/// `prefect.automation.created`, `.updated` or `.deleted`.
pub fn automation_changed(id: Uuid, now: Timestamp, what: &str, automation: &Automation) -> Event {
    let name = format!("prefect.automation.{what}");
    let mut event = Event::new(id, now, name, automation_resource(automation));
    event.payload = automation.to_value().to_string().into();
    event
}

fn automation_resource(automation: &Automation) -> Resource {
    Resource::new(format!("prefect.automation.{}", automation.id))
        .with("prefect.resource.name", automation.name.as_str())
}

fn event_resource(id: Uuid, role: &str) -> Resource {
    Resource::related(role, format!("prefect.event.{id}"))
}

/// Written by hand, because the triggering event's text is at hand and a firing must be cheap. After
/// Prefect's two fields come ours.
fn fired_payload(firing: &Firing) -> String {
    let labels: Map<String, Value> =
        firing.labels.iter().map(|(label, value)| (label.clone(), json!(value))).collect();
    let cause =
        firing.event.as_ref().map(|event| event.to_json()).filter(|json| json.len() <= CAUSE_BYTES_MAX);
    let cause = cause.unwrap_or_else(|| "null".to_owned());
    let mut payload = String::with_capacity(cause.len() + 256);
    let labels = Value::Object(labels);
    write!(
        payload,
        "{{\"triggering_labels\":{labels},\"triggering_event\":{cause},\"firing\":\"{}\",\"reason\":\"{}\"",
        firing.id,
        firing.reason.as_str()
    )
    .expect("writing to a string does not fail");
    if firing.late_micros > 0 || firing.deaf_micros > 0 {
        write!(payload, ",\"late_micros\":{},\"deaf_micros\":{}", firing.late_micros, firing.deaf_micros)
            .expect("writing to a string does not fail");
    }
    payload.push('}');
    payload
}
