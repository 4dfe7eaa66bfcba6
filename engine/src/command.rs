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

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The family, from which a status code can be made.
    pub kind: RefusalKind,
    /// What is wrong, for a person.
    pub detail: String,
}

/// Families of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// What the command names is not there.
    NotFound,
    /// It contradicts what is there.
    Conflict,
    /// It is not allowed, whoever asks.
    Forbidden,
    /// It makes no sense.
    Invalid,
}

impl Refusal {
    /// What the command names is not there.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self { kind: RefusalKind::NotFound, detail: detail.into() }
    }

    /// It makes no sense.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Invalid, detail: detail.into() }
    }
}

/// What the machine says to a command: the answer's body, or why not.
pub type Answer = Result<Value, Refusal>;
