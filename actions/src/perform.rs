//! [`act`]: one try at a triggered action.

use crate::action::Kind;
use crate::attempt::{Attempt, Reason};
use crate::kind::TargetKind;
use crate::scope::Scope;
use crate::template::{self, TemplateError};
use crate::triggered_action::TriggeredAction;
use crate::world::World;
use pavlov_events::Resource;
use serde_json::{Value, json};
use std::time::Duration;

/// How long one try may take when neither the action nor its kind says so.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a deed works with.
pub(crate) struct Deed<'a> {
    /// The action with its firing and its event.
    pub(crate) action: &'a TriggeredAction,
    /// The server.
    pub(crate) world: &'a dyn World,
    /// What its templates see.
    pub(crate) scope: Scope,
}

impl Deed<'_> {
    /// The action's own timeout, or the kind's.
    pub(crate) fn timeout(&self, default: Duration) -> Duration {
        let seconds = self.action.action.options.timeout_seconds;
        seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(default)
    }

    /// As [`Self::timeout`] with what suits a request.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.timeout(TIMEOUT)
    }

    /// The text that a template yields; `field` is how its errors call it.
    pub(crate) fn render(&self, field: &str, text: &str) -> Result<String, TemplateError> {
        template::render(field, text, &self.scope)
    }

    /// A JSON value with its templates filled in.
    pub(crate) fn render_json(&self, field: &str, value: &Value) -> Result<Value, TemplateError> {
        template::render_json(field, value, &self.scope)
    }

    /// Pairs with their values filled in.
    pub(crate) fn render_pairs(
        &self,
        field: &str,
        pairs: &[(String, String)],
    ) -> Result<Vec<(String, String)>, TemplateError> {
        pairs.iter().map(|(name, text)| Ok((name.clone(), self.render(field, text)?))).collect()
    }

    /// The idempotency key of what is done outside.
    pub(crate) fn key(&self) -> String {
        self.action.id.to_string()
    }
}

/// Makes one try at an action. It ends within the action's timeout, and a repeated try uses the same
/// idempotency key.
pub async fn act(action: &TriggeredAction, world: &dyn World) -> Attempt {
    let scope = Scope::of(action, world.now()).with_ui_url(world.ui_url());
    let deed = Deed { action, world, scope };
    match &action.action.kind {
        Kind::DoNothing => Attempt::done(json!({})),
        Kind::SendNotification(kind) => kind.act(&deed).await,
        Kind::CallWebhook(kind) => kind.act(&deed).await,
        Kind::SendEmailNotification(kind) => kind.act(&deed).await,
        Kind::HttpRequest(kind) => kind.act(&deed).await,
        Kind::EmitEvent(kind) => kind.act(&deed).await,
        Kind::PublishNats(kind) => kind.act(&deed).await,
        Kind::RunCommand(kind) => kind.act(&deed).await,
        Kind::PauseAutomation(target) | Kind::ResumeAutomation(target) => {
            crate::kind::pause_automation::act(*target, &deed).await
        }
        Kind::RunDeployment(kind) => on_object(&deed, kind.target, TargetKind::Deployment),
        Kind::PauseDeployment(target) | Kind::ResumeDeployment(target) => {
            on_object(&deed, *target, TargetKind::Deployment)
        }
        Kind::PauseWorkPool(target) | Kind::ResumeWorkPool(target) => {
            on_object(&deed, *target, TargetKind::WorkPool)
        }
        Kind::PauseWorkQueue(target) | Kind::ResumeWorkQueue(target) => {
            on_object(&deed, *target, TargetKind::WorkQueue)
        }
        Kind::CancelFlowRun
        | Kind::SuspendFlowRun
        | Kind::ResumeFlowRun
        | Kind::DeleteFlowRun
        | Kind::ChangeFlowRunState(_) => needs_orchestrator(&deed),
    }
}

/// An action on a deployment, pool or queue: says what it would work on, and that it cannot yet.
fn on_object(deed: &Deed<'_>, target: crate::kind::Target, kind: TargetKind) -> Attempt {
    match target.resolve(kind, deed.action.event.as_deref()) {
        Ok(id) => {
            let id = format!("{}.{id}", kind.resource_prefix());
            needs_orchestrator(deed).with_related(vec![Resource::related("target", id)])
        }
        Err(words) => Attempt::failed(Reason::NotFound, words),
    }
}

fn needs_orchestrator(deed: &Deed<'_>) -> Attempt {
    let name = deed.action.action.type_name();
    let words = format!("'{name}' needs the orchestrator, which this server does not offer yet");
    Attempt::failed(Reason::Unsupported, words)
}
