//! One file per kind of action: its shape, its deed, its docs. The closed list is [`crate::action::Kind`].

pub mod call_webhook;
pub mod change_flow_run_state;
pub mod emit_event;
pub mod http_request;
pub mod pause_automation;
pub mod publish_nats;
pub mod run_command;
pub mod run_deployment;
pub mod send_email_notification;
pub mod send_notification;
pub mod target;

pub use call_webhook::CallWebhook;
pub use change_flow_run_state::ChangeFlowRunState;
pub use emit_event::EmitEvent;
pub use http_request::HttpRequest;
pub use publish_nats::PublishNats;
pub use run_command::RunCommand;
pub use run_deployment::RunDeployment;
pub use send_email_notification::SendEmailNotification;
pub use send_notification::SendNotification;
pub use target::{Target, TargetKind};

use crate::options::Options;
use pavlov_events::Reader;

/// Notes each field that a kind of ours does not have; Prefect's kinds ignore such fields.
fn forbid_others(reader: &mut Reader<'_>, fields: &[&str]) {
    let known: Vec<&str> = ["type"].iter().chain(fields).chain(&Options::FIELDS).copied().collect();
    reader.forbid_others(&known);
}
