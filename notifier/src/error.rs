//! Why a delivery did not succeed: a short closed reason, and whether another attempt may.

use crate::http::Answer;
use std::time::Duration;

/// The closed list of reasons; also a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The receiver understood and refused.
    Rejected,
    /// The receiver asked for fewer requests.
    RateLimited,
    /// Nobody answered, or only to say that the service does not work.
    Unreachable,
    /// The answer did not come in time.
    TimedOut,
    /// What we were told to do cannot be done: a bad address, a refused network, missing settings.
    Misconfigured,
}

impl Reason {
    /// The label, such as `rate-limited`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::RateLimited => "rate-limited",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed-out",
            Self::Misconfigured => "misconfigured",
        }
    }

    /// Whether the same attempt may succeed later.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unreachable | Self::TimedOut)
    }
}

/// A delivery that did not succeed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{detail}")]
#[non_exhaustive]
pub struct Error {
    /// Which kind of failure.
    pub reason: Reason,
    /// What happened, for a person; holds no address with its secrets.
    pub detail: String,
    /// When the receiver wants the next attempt.
    pub retry_after: Option<Duration>,
    /// What the receiver answered, if it did.
    pub answer: Option<Answer>,
}

impl Error {
    /// A failure without an answer.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), retry_after: None, answer: None }
    }

    /// Settings or an address that cannot be used.
    pub fn misconfigured(detail: impl Into<String>) -> Self {
        Self::new(Reason::Misconfigured, detail)
    }
}
