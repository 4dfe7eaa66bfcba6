//! `pause-automation` and `resume-automation`: switch an automation of this server off and on.
//!
//! ```json
//! {"type": "pause-automation", "source": "selected", "automation_id": "0199a5c0-0000-7000-8000-000000000000"}
//! ```

use super::target::{Target, TargetKind};
use crate::attempt::{Attempt, Reason};
use crate::perform::Deed;
use pavlov_events::Resource;
use serde_json::json;

/// Appends the command; its key is the triggered action's id, so a repeated try changes nothing.
pub(crate) async fn act(target: Target, deed: &Deed<'_>) -> Attempt {
    let kind = deed.action.action.type_name();
    let id = match target.resolve(TargetKind::Automation, deed.action.event.as_deref()) {
        Ok(id) => id,
        Err(words) => return Attempt::failed(Reason::NotFound, words),
    };
    let related = vec![Resource::related("target", format!("prefect.automation.{id}"))];
    let asked = deed.world.command(kind, json!({"automation_id": id}), &deed.key()).await;
    let attempt = match asked {
        Ok(_) => Attempt::done(json!({"status_code": 204})),
        Err(refusal) => {
            let words =
                format!("Unexpected status from '{kind}' action: {} ({})", refusal.status, refusal.detail);
            let reason = if refusal.status == 404 { Reason::NotFound } else { Reason::Refused };
            let attempt = match refusal.retry {
                true => Attempt::retry(reason, words, None),
                false => Attempt::failed(reason, words),
            };
            attempt.with_payload(json!({"status_code": refusal.status}))
        }
    };
    attempt.with_related(related)
}
