//! [`Error`]: what can be wrong with a stored declaration or firing. Users' faults are `Faults`.

use pavlov_events::Fault;

/// Why stored JSON could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A stored trigger does not hold what a trigger must hold.
    #[error("read a stored trigger: {}", first(.faults))]
    StoredTrigger {
        /// All faults, in the order of the declaration.
        faults: Vec<Fault>,
    },
    /// A stored firing lacks a field or has one of the wrong kind.
    #[error("read a stored firing: field {field}: {given}")]
    StoredFiring {
        /// The field's name.
        field: &'static str,
        /// What was there instead, as JSON.
        given: String,
    },
}

fn first(faults: &[Fault]) -> String {
    faults.first().map_or_else(String::new, |fault| {
        let way: Vec<String> = fault
            .loc
            .iter()
            .map(|step| match step {
                pavlov_events::Loc::Field(name) => name.clone(),
                pavlov_events::Loc::Index(index) => index.to_string(),
            })
            .collect();
        format!("{}: {}", way.join("."), fault.msg)
    })
}
