//! [`Refusal`]: a command that was not accepted, and [`Error`]: our own faults.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a command was refused or a read found nothing. Nothing was changed.
///
/// Shape: `{"kind": "not-found", "detail": "block type not found"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Refusal {
    /// Which sort of refusal, from a closed list.
    pub kind: RefusalKind,
    /// What was given and what is wrong with it, for a person.
    pub detail: String,
}

/// The closed list of sorts of refusals; also used as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// What the command is about does not exist (a server answers 404).
    NotFound,
    /// It clashes with what is there, or names something that is not (409).
    Conflict,
    /// It is not allowed, whoever asks (403).
    Forbidden,
    /// It makes no sense by itself (400).
    Invalid,
}

/// A fault of ours or of what was stored, never of the caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A stored row cannot be read.
    #[error("read stored row {key}: {source}")]
    Row {
        /// The row's key.
        key: String,
        /// What the reader said.
        source: serde_json::Error,
    },
    /// A row key that names no kind of row known here.
    #[error("read row key {key:?}")]
    Key {
        /// The key as it was stored.
        key: String,
    },
    /// An encrypted value cannot be decrypted: the key is another one, or the value was changed.
    #[error("decrypt a secret value (is it the same encryption key as when it was stored?)")]
    Decrypt,
}

impl Refusal {
    /// What the command is about does not exist.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self { kind: RefusalKind::NotFound, detail: detail.into() }
    }

    /// It clashes with what is there.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Conflict, detail: detail.into() }
    }

    /// It is not allowed.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Forbidden, detail: detail.into() }
    }

    /// It makes no sense.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Invalid, detail: detail.into() }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::Forbidden => "forbidden",
            Self::Invalid => "invalid",
        })
    }
}
