//! [`Attempt`]: how one try at an action went.

use crate::template::TemplateError;
use pavlov_events::Resource;
use serde_json::{Value, json};
use std::time::Duration;

/// How one try at an action went, and what the outcome event tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Whether it is done, may succeed later, or never will.
    pub verdict: Verdict,
    /// Why not, from the closed list; none when it is done.
    pub reason: Option<Reason>,
    /// An object with what the outcome event's payload holds besides the genuine common fields, such as
    /// `status_code`. The reason is not in it.
    pub payload: Value,
    /// Resources of the outcome event, such as the block that was used.
    pub related: Vec<Resource>,
}

/// What becomes of an action after a try.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// Another try may succeed.
    Retry {
        /// When the receiver wants it.
        after: Option<Duration>,
        /// Why this one did not, for a person.
        reason: String,
    },
    /// No other try will succeed.
    Final {
        /// Why, for a person.
        reason: String,
    },
}

/// The closed list of reasons; also a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A delivery failed.
    Delivery(pavlov_notifier::Reason),
    /// A template yields nothing.
    Template,
    /// What the action names is not there.
    NotFound,
    /// The server refuses what was asked for.
    Refused,
    /// The kind of action or block is not offered.
    Unsupported,
    /// A program ended with a failure.
    ProgramFailed,
}

impl Reason {
    /// The label, such as `timed-out`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivery(reason) => reason.as_str(),
            Self::Template => "template",
            Self::NotFound => "not-found",
            Self::Refused => "refused",
            Self::Unsupported => "unsupported",
            Self::ProgramFailed => "program-failed",
        }
    }
}

impl Attempt {
    /// It is done.
    pub fn done(payload: Value) -> Self {
        Self { verdict: Verdict::Done, reason: None, payload, related: Vec::new() }
    }

    /// It failed for good.
    pub fn failed(reason: Reason, words: impl Into<String>) -> Self {
        let verdict = Verdict::Final { reason: words.into() };
        Self { verdict, reason: Some(reason), payload: json!({}), related: Vec::new() }
    }

    /// It failed, and another try may succeed.
    pub fn retry(reason: Reason, words: impl Into<String>, after: Option<Duration>) -> Self {
        let verdict = Verdict::Retry { after, reason: words.into() };
        Self { verdict, reason: Some(reason), payload: json!({}), related: Vec::new() }
    }

    /// A delivery failed; `what` says which, such as `Webhook call`.
    pub fn undelivered(what: &str, error: &pavlov_notifier::Error) -> Self {
        let (reason, words) = (Reason::Delivery(error.reason), format!("{what} failed: {}", error.detail));
        let attempt = match error.reason.may_pass() {
            true => Self::retry(reason, words, error.retry_after),
            false => Self::failed(reason, words),
        };
        attempt.with_payload(error.answer.as_ref().map_or_else(|| json!({}), answer_payload))
    }

    /// The same with what the outcome event's payload holds.
    #[must_use]
    pub fn with_payload(self, payload: Value) -> Self {
        Self { payload, ..self }
    }

    /// The same with resources of the outcome event.
    #[must_use]
    pub fn with_related(self, related: Vec<Resource>) -> Self {
        Self { related, ..self }
    }
}

impl From<TemplateError> for Attempt {
    fn from(error: TemplateError) -> Self {
        Self::failed(Reason::Template, format!("Template rendering failed: {error}"))
            .with_payload(template_payload(&error))
    }
}

/// What an outcome event tells of a template that failed; the names are Prefect's.
pub(crate) fn template_payload(error: &TemplateError) -> Value {
    json!({"template_error": error.long(), "template_source": error.source_text})
}

/// Characters of an answer's body that an outcome event holds, Prefect's.
const SHOWN_CHARS_MAX: usize = 1_000;

/// What an outcome event tells of an answer; the names are Prefect's.
pub(crate) fn answer_payload(answer: &pavlov_notifier::Answer) -> Value {
    let noise = ["via", "traceparent"];
    let internal = ["x-forwarded", "x-b3", "x-cloud-trace", "x-envoy", "x-prefect"];
    let shown = answer.headers.iter().filter(|(name, _)| {
        !noise.contains(&name.as_str()) && !internal.iter().any(|prefix| name.starts_with(prefix))
    });
    let headers: serde_json::Map<String, Value> =
        shown.map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    json!({"status_code": answer.status, "response_body": shortened(&answer.body), "response_headers": headers})
}

/// The beginning and the end of a long text, and how much lies between.
fn shortened(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= SHOWN_CHARS_MAX {
        return text.to_owned();
    }
    let half = SHOWN_CHARS_MAX / 2;
    let (start, end) = (&letters[..half], &letters[letters.len() - half..]);
    let omitted = letters.len() - 2 * half;
    let (start, end): (String, String) = (start.iter().collect(), end.iter().collect());
    format!("{start}...{omitted} additional characters...{end}")
}
