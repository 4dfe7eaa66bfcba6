//! [`Options`]: what every action may say about how it is attempted.

use pavlov_events::Reader;
use serde_json::{Map, Number, Value};

/// Longest time one attempt may be given, an hour: longer work belongs into a run, not into an action.
const TIMEOUT_SECONDS_MAX: f64 = 3_600.0;
/// Most retries of one action; with the longest delay that is more than three months.
const RETRIES_MAX: i64 = 100;
/// Longest first delay before a retry, a day.
const RETRY_DELAY_SECONDS_MAX: f64 = 86_400.0;

/// The fields of ours that every kind of action takes; Prefect's clients never send them.
///
/// ```json
/// {"timeout_seconds": 10, "retries": 5, "retry_delay_seconds": 1.5, "on_unknown": "retry"}
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// How long one attempt may take, above 0 up to 3,600 seconds. Default: the kind's own.
    pub timeout_seconds: Option<f64>,
    /// How often a failed attempt that may succeed later is made again, up to 100. Default: the server's.
    pub retries: Option<u32>,
    /// The delay before the first retry, up to 86,400 seconds; later ones grow from it.
    pub retry_delay_seconds: Option<f64>,
    /// What becomes of an attempt whose end nobody saw. Default: the kind's own.
    pub on_unknown: Option<OnUnknown>,
}

/// What becomes of an attempt that was started and whose end nobody saw, because the server died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// It waits for a person.
    Hold,
    /// It is made again: better twice than never.
    Retry,
}

impl Options {
    /// The names of the fields.
    pub const FIELDS: [&str; 4] = ["timeout_seconds", "retries", "retry_delay_seconds", "on_unknown"];

    /// Attempts in all, the first included; none = the server's default.
    pub fn attempts_max(&self) -> Option<u32> {
        self.retries.map(|retries| retries.saturating_add(1))
    }

    /// The delay before the first retry in microseconds; none = the server's default.
    pub fn retry_delay_micros(&self) -> Option<i64> {
        self.retry_delay_seconds.map(|seconds| (seconds * 1e6) as i64)
    }

    /// What becomes of an attempt that may not be repeated and whose end nobody saw.
    pub fn on_unknown(&self) -> OnUnknown {
        self.on_unknown.unwrap_or(OnUnknown::Hold)
    }

    /// Reads the fields of an action.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let timeout_seconds =
            reader.nullable("timeout_seconds", |r| seconds(r, f64::MIN_POSITIVE, TIMEOUT_SECONDS_MAX));
        let retries = reader.nullable("retries", |r| r.integer_within(0, RETRIES_MAX));
        let retry_delay_seconds =
            reader.nullable("retry_delay_seconds", |r| seconds(r, 0.0, RETRY_DELAY_SECONDS_MAX));
        let words = [("hold", OnUnknown::Hold), ("retry", OnUnknown::Retry)];
        let on_unknown = reader.nullable("on_unknown", |r| r.literal(&words));
        Some(Self {
            timeout_seconds: timeout_seconds?,
            retries: retries?.map(|count| count as u32),
            retry_delay_seconds: retry_delay_seconds?,
            on_unknown: on_unknown?,
        })
    }

    /// Adds the fields that are set.
    pub fn write(&self, out: &mut Map<String, Value>) {
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                out.insert(name.into(), value);
            }
        };
        let number = |seconds: f64| Number::from_f64(seconds).map(Value::Number);
        add("timeout_seconds", self.timeout_seconds.and_then(number));
        add("retries", self.retries.map(Value::from));
        add("retry_delay_seconds", self.retry_delay_seconds.and_then(number));
        let word = |on: OnUnknown| Value::from(if on == OnUnknown::Hold { "hold" } else { "retry" });
        add("on_unknown", self.on_unknown.map(word));
    }
}

fn seconds(reader: &mut Reader<'_>, least: f64, most: f64) -> Option<f64> {
    let value = reader.number()?;
    if !(least..=most).contains(&value) {
        let above = if least > 0.0 { "above 0 and" } else { "at least 0 and" };
        reader.value_error(format_args!("Input should be {above} at most {most} seconds"));
        return None;
    }
    Some(value)
}
