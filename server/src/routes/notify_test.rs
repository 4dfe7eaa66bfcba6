//! `POST /api/pavlov/notify/test`: performs a notifying action once, now, so that a person sees whether it
//! arrives before a night depends on it. Nothing is stored and nothing is retried.

use super::page;
use crate::body;
use crate::door::{Door, new_id};
use crate::reply::{self, Answer};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use pavlov_actions::{Action, Automation, Kind, TriggeredAction, Verdict, act};
use pavlov_engine::clock;
use pavlov_events::{Event, Faults, Reader, Resource};
use pavlov_triggers::firing::{Firing, Reason};
use pavlov_triggers::{Trigger, TriggerChange};
use serde_json::json;
use std::sync::Arc;

/// The route. The body is an action of the type send-notification, send-email-notification or call-webhook;
/// answers 200 with `{"delivered": true, …}`, or 502 with `{"delivered": false, "reason": …}`.
pub async fn send(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let body = body::required_json(request).await?;
    let action = page::read(&body, |r| {
        let action = Action::read(r)?;
        let notifies = matches!(
            action.kind,
            Kind::SendNotification(_) | Kind::SendEmailNotification(_) | Kind::CallWebhook(_)
        );
        if !notifies {
            r.value_error("only send-notification, send-email-notification and call-webhook can be tried");
            return None;
        }
        Some(action)
    })?;
    let triggered = triggered(action);
    let attempt = act(&triggered, &door.world.for_action(0)).await;
    let (status, reason, retry) = match &attempt.verdict {
        Verdict::Done => (StatusCode::OK, None, false),
        Verdict::Retry { reason, .. } => (StatusCode::BAD_GATEWAY, Some(reason), true),
        Verdict::Final { reason } => (StatusCode::BAD_GATEWAY, Some(reason), false),
    };
    let kind = attempt.reason.map(|reason| reason.as_str());
    Ok(reply::json(
        status,
        &json!({
            "delivered": status == StatusCode::OK, "reason": reason, "kind": kind,
            "would_be_retried": retry, "payload": attempt.payload,
        }),
    ))
}

/// The action as if an automation of its own had fired on an event of its own.
fn triggered(action: Action) -> TriggeredAction {
    let now = clock::now();
    let trigger = json!({"type": "event", "expect": ["pavlov.notify.test"], "posture": "Reactive",
        "threshold": 1, "within": 0});
    let mut faults = Faults::new();
    let trigger = Trigger::read(&mut Reader::new(&trigger, "trigger", &mut faults), &mut new_id)
        .expect("the definition above is valid");
    let event =
        Arc::new(Event::new(new_id(), now, "pavlov.notify.test", Resource::new("pavlov.notify.test")));
    let firing = Firing {
        id: new_id(),
        trigger: trigger.id(),
        change: TriggerChange::Triggered,
        triggered: now,
        occurred: now,
        labels: Vec::new(),
        event: Some(Arc::clone(&event)),
        firings: Vec::new(),
        late_micros: 0,
        deaf_micros: 0,
        reason: Reason::ThresholdMet,
    };
    let automation = Automation {
        id: new_id(),
        created: now,
        updated: now,
        name: "Test notification".into(),
        description: "Sent by a person to see whether it arrives.".into(),
        enabled: true,
        tags: Vec::new(),
        trigger,
        actions: vec![action.clone()],
        actions_on_trigger: Vec::new(),
        actions_on_resolve: Vec::new(),
        owner_resource: None,
    };
    TriggeredAction {
        id: new_id(),
        automation: Arc::new(automation),
        firing: Arc::new(firing),
        action,
        index: 0,
        triggered: now,
        event: Some(event),
        triggered_event_id: new_id(),
    }
}
