//! [`Command`]: every change that somebody can ask for.

use pavlov_events::{Event, Uuid};
use pavlov_orchestrator::block::BlockCommand;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// A change, checked at the door as far as it can be without the state.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// A new automation. `automation` is its stored form; its id is fixed already.
    CreateAutomation {
        /// The stored form ([`pavlov_actions::Automation`]).
        automation: Value,
    },
    /// Everything of an automation but its id and creation anew.
    UpdateAutomation {
        /// Which.
        id: Uuid,
        /// The stored form.
        automation: Value,
    },
    /// Switches an automation on or off.
    EnableAutomation {
        /// Which.
        id: Uuid,
        /// On or off.
        enabled: bool,
    },
    /// Removes an automation and what it counts.
    DeleteAutomation {
        /// Which.
        id: Uuid,
    },
    /// Removes all automations that a resource owns.
    DeleteAutomationsOwnedBy {
        /// The owner's resource id.
        resource: String,
    },
    /// A change of block types, schemas or documents.
    Block {
        /// The change.
        command: BlockCommand,
    },
    /// Tells an event from inside, as the action emit-event does.
    Emit {
        /// The event.
        event: Arc<Event>,
    },
    /// Tries dead or held letters again, from their first attempt.
    Redrive {
        /// Which; empty for all.
        ids: Vec<Uuid>,
    },
    /// Gives dead or held letters up.
    Discard {
        /// Which.
        ids: Vec<Uuid>,
    },
    /// Sets what decisions read ([`crate::settings::Settings`]).
    Configure {
        /// The new values.
        settings: crate::settings::Settings,
    },
}

pub use pavlov_orchestrator::error::{Refusal, RefusalKind};

/// What the machine says to a command: the answer's body, or why not.
pub type Answer = Result<Value, Refusal>;
