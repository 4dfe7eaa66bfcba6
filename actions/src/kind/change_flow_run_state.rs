//! `change-flow-run-state`: gives the flow run of the event another state.

use crate::shape::put_or_null;
use pavlov_events::Reader;
use serde_json::{Map, Value, json};

/// The state types of Prefect, in its order.
const STATE_TYPES: [&str; 9] = [
    "SCHEDULED",
    "PENDING",
    "RUNNING",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "CRASHED",
    "PAUSED",
    "CANCELLING",
];

/// Gives the flow run that the event is about another state.
///
/// ```json
/// {"type": "change-flow-run-state", "name": null, "state": "FAILED", "message": "stuck", "force": false}
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeFlowRunState {
    /// The state's name; none = the type's own.
    pub name: Option<String>,
    /// The state's type, one of Prefect's nine.
    pub state: &'static str,
    /// The message; none = one that names the automation.
    pub message: Option<String>,
    /// Whether the rules between states are left aside.
    pub force: bool,
}

impl ChangeFlowRunState {
    /// Reads the fields.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let name = reader.nullable("name", |r| r.string());
        let state = reader.required("state", read_state);
        let message = reader.nullable("message", |r| r.string());
        let force = reader.optional("force", |r| r.boolean());
        Some(Self { name: name?, state: state?, message: message?, force: force?.unwrap_or(false) })
    }

    /// Adds the fields.
    pub fn write(&self, out: &mut Map<String, Value>) {
        put_or_null(out, "name", &self.name);
        out.insert("state".into(), self.state.into());
        put_or_null(out, "message", &self.message);
        out.insert("force".into(), self.force.into());
    }
}

fn read_state(reader: &mut Reader<'_>) -> Option<&'static str> {
    let found = reader.value().as_str().and_then(|text| STATE_TYPES.iter().find(|word| **word == text));
    if found.is_none() {
        let quoted = STATE_TYPES.map(|word| format!("'{word}'"));
        let (last, rest) = quoted.split_last().expect("nine words");
        let expected = format!("{} or {last}", rest.join(", "));
        reader.fault("enum", format!("Input should be {expected}"), Some(json!({"expected": expected})));
    }
    found.copied()
}
