//! [`EventTrigger`]: expected events that come, or that do not come.

use crate::names::{self, NamePattern};
use pavlov_events::pattern::ResourceSpecification;
use pavlov_events::{Event, Reader, Uuid};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Ten seconds, the shortest window of an absence, in microseconds (Prefect's number).
const PROACTIVE_WITHIN_MICROS_MIN: i64 = 10_000_000;

/// Whether a trigger waits for expected events or for their absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Posture {
    /// Fires when expected events come.
    Reactive,
    /// Fires when they do not come.
    Proactive,
}

impl Posture {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reactive => "Reactive",
            Self::Proactive => "Proactive",
        }
    }
}

/// Fires on the presence or the absence of events, as Prefect declares it.
///
/// ```json
/// {"type": "event", "id": "0199a5c0-0000-7000-8000-000000000000", "match": {"prefect.resource.id": "host.*"},
///  "match_related": {}, "after": [], "expect": ["host.down"], "for_each": ["prefect.resource.id"],
///  "posture": "Reactive", "threshold": 3, "within": 60.0}
/// ```
///
/// `within` is in seconds, 0 or more, for Proactive 10 or more (0 becomes 10); `threshold` is 1 when left
/// out; only `posture` must be given.
#[derive(Clone, Debug, PartialEq)]
pub struct EventTrigger {
    pub(crate) id: Uuid,
    match_resource: ResourceSpecification,
    match_related: Vec<ResourceSpecification>,
    related_is_list: bool,
    after: Vec<NamePattern>,
    expect: Vec<NamePattern>,
    for_each: Vec<Box<str>>,
    for_each_sorted: Vec<Box<str>>,
    posture: Posture,
    threshold: i64,
    within_micros: i64,
}

impl EventTrigger {
    /// Reads the fields of an object that was found to be an event trigger; notes every fault.
    pub(crate) fn read(reader: &mut Reader<'_>, id: Uuid) -> Option<Self> {
        let object = reader.object()?;
        let before = reader.fault_count();
        if object.get("within").is_some_and(Value::is_null) {
            reader.value_error("`within` should be a valid timedelta");
            return None;
        }
        let proactive = object.get("posture").and_then(Value::as_str) == Some("Proactive");
        if proactive && is_short_for_proactive(object.get("within")) {
            reader.value_error("`within` for Proactive triggers must be greater than or equal to 10 seconds");
            return None;
        }
        let match_resource = reader.optional("match", ResourceSpecification::read);
        let related_is_list = object.get("match_related").is_some_and(Value::is_array);
        let match_related = reader.optional("match_related", |r| match related_is_list {
            true => r.list(ResourceSpecification::read),
            false => ResourceSpecification::read(r).map(|one| vec![one]),
        });
        let after = reader.optional("after", words);
        let expect = reader.optional("expect", words);
        let for_each = reader.optional("for_each", words);
        let posture = reader.required("posture", read_posture);
        let threshold = reader.optional("threshold", |r| r.integer());
        let within = reader.optional("within", |r| read_within(r, proactive));
        if reader.fault_count() > before {
            return None;
        }
        let for_each: Vec<Box<str>> = for_each?.unwrap_or_default().into_iter().map(Into::into).collect();
        let mut for_each_sorted = for_each.clone();
        for_each_sorted.sort();
        let patterns = |words: Vec<String>| words.iter().map(|text| NamePattern::new(text)).collect();
        let floor = if proactive { PROACTIVE_WITHIN_MICROS_MIN } else { 0 };
        Some(Self {
            id,
            match_resource: match_resource?.unwrap_or_else(anything),
            match_related: match_related?.unwrap_or_else(|| vec![anything()]),
            related_is_list,
            after: patterns(after?.unwrap_or_default()),
            expect: patterns(expect?.unwrap_or_default()),
            for_each,
            for_each_sorted,
            posture: posture?,
            threshold: threshold?.unwrap_or(1),
            within_micros: within?.unwrap_or(0).max(floor),
        })
    }

    /// The declaration as JSON, in Prefect's field order.
    pub fn to_value(&self) -> Value {
        let related = match (&self.match_related[..], self.related_is_list) {
            ([one], false) => one.to_value(),
            (list, _) => list.iter().map(ResourceSpecification::to_value).collect(),
        };
        json!({
            "type": "event",
            "id": self.id,
            "match": self.match_resource.to_value(),
            "match_related": related,
            "after": self.after().collect::<Vec<_>>(),
            "expect": self.expect().collect::<Vec<_>>(),
            "for_each": self.for_each,
            "posture": self.posture.as_str(),
            "threshold": self.threshold,
            "within": self.within_micros as f64 / 1e6,
        })
    }

    /// The trigger's own id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// What the resource of an event must be.
    pub fn match_resource(&self) -> &ResourceSpecification {
        &self.match_resource
    }

    /// What must be found among the related resources, each by one of them.
    pub fn match_related(&self) -> &[ResourceSpecification] {
        &self.match_related
    }

    /// The event names that open a window, as written.
    pub fn after(&self) -> impl ExactSizeIterator<Item = &str> {
        self.after.iter().map(|pattern| &*pattern.text)
    }

    /// The event names that count, as written; none means every name.
    pub fn expect(&self) -> impl ExactSizeIterator<Item = &str> {
        self.expect.iter().map(|pattern| &*pattern.text)
    }

    /// The labels that split counting, sorted, as the bucketing key is.
    pub fn for_each_sorted(&self) -> &[Box<str>] {
        &self.for_each_sorted
    }

    /// Presence or absence.
    pub fn posture(&self) -> Posture {
        self.posture
    }

    /// How many expected events make it fire, or keep it silent.
    pub fn threshold(&self) -> i64 {
        self.threshold
    }

    /// The length of a window in microseconds; 0 is no window.
    pub fn within_micros(&self) -> i64 {
        self.within_micros
    }

    /// Whether an event concerns this trigger: its name, its resource and its related resources fit.
    pub fn covers(&self, event: &Event) -> bool {
        self.covers_name(&event.event)
            && self.match_resource.includes([&event.resource])
            && self.match_related.iter().all(|related| related.includes(&event.related))
    }

    /// Whether an event of this name may concern the trigger. With an `expect`, that are its names and those
    /// of `after`; without one, every name that is not empty.
    pub fn covers_name(&self, name: &str) -> bool {
        if self.expect.is_empty() { !name.is_empty() } else { names::fit(self.names(), name) }
    }

    /// Whether an event of this name opens a window.
    pub fn starts_after(&self, name: &str) -> bool {
        self.after.iter().any(|pattern| pattern.role.matches(Some(name)))
    }

    /// Whether an event of this name counts.
    pub fn expects(&self, name: &str) -> bool {
        self.expect.is_empty() || self.expect.iter().any(|pattern| pattern.role.matches(Some(name)))
    }

    /// The values of the `for_each` labels, in the order of the sorted labels; a missing label is `""`.
    pub fn bucketing_key(&self, event: &Event) -> Vec<String> {
        self.for_each_sorted.iter().map(|label| event.find_label(label).unwrap_or_default().into()).collect()
    }

    /// The patterns of `expect` and `after` together.
    pub(crate) fn names(&self) -> impl Iterator<Item = &NamePattern> + Clone {
        self.expect.iter().chain(&self.after)
    }

    /// Whether the trigger needs no start event to count.
    pub(crate) fn counts_from_the_start(&self) -> bool {
        self.after.is_empty()
    }
}

/// The specification `{}`, equal to one that was read.
fn anything() -> ResourceSpecification {
    let (empty, mut faults) = (json!({}), Vec::new());
    ResourceSpecification::read(&mut Reader::new(&empty, "match", &mut faults)).unwrap_or_default()
}

fn words(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    if !reader.value().is_array() {
        reader.fault("set_type", "Input should be a valid set", None);
        return None;
    }
    let mut kept: Vec<String> = Vec::new();
    for word in reader.list(|item| item.string())? {
        if !kept.contains(&word) {
            kept.push(word);
        }
    }
    Some(kept)
}

fn read_posture(reader: &mut Reader<'_>) -> Option<Posture> {
    let words = [("Reactive", Posture::Reactive), ("Proactive", Posture::Proactive)];
    let found = words.iter().find(|(word, _)| reader.value().as_str() == Some(word));
    if found.is_none() {
        let expected = "Posture.Reactive or Posture.Proactive";
        let msg = format!("Input should be {expected}");
        reader.fault("literal_error", msg, Some(json!({"expected": expected})));
    }
    found.map(|(_, posture)| *posture)
}

fn read_within(reader: &mut Reader<'_>, proactive: bool) -> Option<i64> {
    if proactive && is_nothing(reader.value()) {
        return Some(0);
    }
    let micros = span_micros(reader)?;
    if micros < 0 {
        let msg = "Input should be greater than or equal to 0 seconds";
        reader.fault("greater_than_equal", msg, Some(json!({"ge": 0.0})));
        return None;
    }
    Some(micros)
}

/// A span as pydantic takes it: a bare number only as a number, not as a text.
pub(crate) fn span_micros(reader: &mut Reader<'_>) -> Option<i64> {
    match reader.value() {
        Value::Bool(value) => Some(if *value { 1_000_000 } else { 0 }),
        Value::String(text) if text.trim().parse::<f64>().is_ok() => {
            let msg = "Input should be a valid timedelta, give seconds as a number or a span like PT1M";
            reader.fault("time_delta_parsing", msg, None);
            None
        }
        _ => reader.duration_micros(),
    }
}

/// Whether Python finds the value false; a Proactive window of that kind becomes the shortest one.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn is_short_for_proactive(within: Option<&Value>) -> bool {
    let Some(value) = within.filter(|value| !is_nothing(value)) else { return false };
    let mut unused = Vec::new();
    let micros = span_micros(&mut Reader::new(value, "within", &mut unused));
    micros.is_some_and(|micros| micros != 0 && micros < PROACTIVE_WITHIN_MICROS_MIN)
}
