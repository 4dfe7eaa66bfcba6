//! What a template sees: `automation`, `event`, `labels`, `firing`, `firings`, `events`, with the
//! attributes that Prefect's objects have.

use crate::automation::Automation;
use crate::datetime::DateTime;
use crate::labels::{LabelDiver, ResourceView};
use crate::triggered_action::TriggeredAction;
use minijinja::value::{Enumerator, Object, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use pavlov_events::{Event, Timestamp};
use pavlov_triggers::Firing;
use serde_json::Value as Json;
use std::sync::{Arc, OnceLock};

/// The names in scope of one triggered action's templates.
#[derive(Clone, Debug)]
pub struct Scope {
    values: Arc<Values>,
}

#[derive(Debug)]
struct Values {
    told: Told,
    event: Option<Arc<Event>>,
    labels: Vec<(String, String)>,
    ui_url: Option<String>,
    now: Timestamp,
    made: Made,
}

/// Where automation and firing come from; their JSON is made when a template asks for it.
#[derive(Clone, Debug)]
enum Told {
    Json(Json, Json),
    Action(Arc<Automation>, Arc<Firing>),
}

impl Told {
    fn automation(&self) -> Json {
        match self {
            Self::Json(automation, _) => automation.clone(),
            Self::Action(automation, _) => automation.to_value(),
        }
    }

    fn firing(&self) -> Json {
        match self {
            Self::Json(_, firing) => firing.clone(),
            Self::Action(automation, firing) => firing.to_value(&automation.trigger),
        }
    }
}

/// Each is made when a template first asks for it.
#[derive(Debug, Default)]
struct Made {
    automation: OnceLock<Value>,
    firing: OnceLock<Value>,
    event: OnceLock<Value>,
    extra: Vec<(String, Value)>,
}

impl Scope {
    /// The scope of one firing. `automation` and `firing` are Prefect's JSON; `now` is what "ago" is
    /// counted from.
    pub fn new(automation: Json, firing: Json, event: Option<Arc<Event>>, now: Timestamp) -> Self {
        let labels = firing.get("triggering_labels").and_then(Json::as_object);
        let labels = labels.into_iter().flatten();
        let labels =
            labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
        Self::made(Told::Json(automation, firing), event, labels, now)
    }

    /// The scope of a triggered action.
    pub fn of(action: &TriggeredAction, now: Timestamp) -> Self {
        let told = Told::Action(Arc::clone(&action.automation), Arc::clone(&action.firing));
        Self::made(told, action.event.clone(), action.firing.labels.clone(), now)
    }

    fn made(told: Told, event: Option<Arc<Event>>, labels: Vec<(String, String)>, now: Timestamp) -> Self {
        Self { values: Arc::new(Values { told, event, labels, ui_url: None, now, made: Made::default() }) }
    }

    /// The same with the address of the web pages, which `ui_url` makes links of.
    #[must_use]
    pub fn with_ui_url(self, ui_url: Option<String>) -> Self {
        self.changed(|values| values.ui_url = ui_url)
    }

    /// The same with one more name.
    #[must_use]
    pub fn with(self, name: &str, value: &Json) -> Self {
        let value = from_json(value);
        self.changed(|values| values.made.extra.push((name.to_owned(), value)))
    }

    fn changed(mut self, change: impl FnOnce(&mut Values)) -> Self {
        match Arc::get_mut(&mut self.values) {
            Some(values) => change(values),
            None => {
                let old = &self.values;
                let mut values = Values {
                    told: old.told.clone(),
                    event: old.event.clone(),
                    labels: old.labels.clone(),
                    ui_url: old.ui_url.clone(),
                    now: old.now,
                    made: Made { extra: old.made.extra.clone(), ..Made::default() },
                };
                change(&mut values);
                self.values = Arc::new(values);
            }
        }
        self
    }

    /// The root of a template's names.
    pub(crate) fn value(&self) -> Value {
        Value::from_dyn_object(self.values.clone())
    }
}

/// The name under which filters find the address of the web pages; no template can write it.
pub(crate) const UI_URL: &str = "@ui_url";
/// The name under which filters find the present.
pub(crate) const NOW: &str = "@now";

impl Object for Values {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let made = &self.made;
        let event =
            || made.event.get_or_init(|| self.event.as_ref().map_or(Value::from(()), EventView::value));
        let firing = || made.firing.get_or_init(|| firing_value(&self.told.firing()));
        match key {
            "automation" => Some(
                made.automation.get_or_init(|| Model::value("automation", &self.told.automation())).clone(),
            ),
            "event" => Some(event().clone()),
            "labels" => Some(LabelDiver::value(self.labels.clone())),
            "firing" => Some(firing().clone()),
            "firings" => Some(Value::from(all_firings(firing()))),
            "events" => {
                let events =
                    all_firings(firing()).into_iter().filter_map(|f| f.get_attr("triggering_event").ok());
                Some(events.filter(|event| !event.is_none()).collect())
            }
            UI_URL => self.ui_url.as_deref().map(Value::from),
            NOW => Some(Value::from_object(DateTime(self.now))),
            _ => made.extra.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()),
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }
}

fn all_firings(firing: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    if firing.is_none() || firing.is_undefined() {
        return all;
    }
    all.push(firing.clone());
    if let Ok(children) = firing.get_attr("triggering_firings").and_then(|list| list.try_iter()) {
        for child in children {
            all.extend(all_firings(&child));
        }
    }
    all
}

/// An object with fields, such as an automation: printed and enumerated like a dictionary.
#[derive(Debug)]
pub(crate) struct Model {
    /// What it is, such as `automation`.
    pub(crate) kind: &'static str,
    fields: Value,
}

impl Model {
    fn value(kind: &'static str, json: &Json) -> Value {
        match json.as_object() {
            Some(fields) => {
                let fields = fields.iter().map(|(name, value)| {
                    let time = ["created", "updated", "triggered"].contains(&name.as_str());
                    (name.as_str(), if time { time_or_text(value) } else { from_json(value) })
                });
                Value::from_object(Self { kind, fields: Value::from_pairs(fields) })
            }
            None => Value::from(()),
        }
    }
}

impl Object for Model {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.fields.as_object()?.get_value_by_str(key)
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.fields.as_object()?.get_value(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.fields.as_object().map_or(Enumerator::Empty, |fields| fields.enumerate())
    }
}

fn time_or_text(value: &Json) -> Value {
    match value.as_str().and_then(Timestamp::parse) {
        Some(time) => Value::from_object(DateTime(time)),
        None => from_json(value),
    }
}

fn firing_value(json: &Json) -> Value {
    let Some(fields) = json.as_object() else { return Value::from(()) };
    let fields = fields.iter().map(|(name, value)| {
        let value = match (name.as_str(), value) {
            ("triggered", value) => time_or_text(value),
            ("triggering_firings", Json::Array(firings)) => firings.iter().map(firing_value).collect(),
            ("triggering_event", Json::Object(_)) => match serde_json::from_value::<Event>(value.clone()) {
                Ok(event) => EventView::value(&Arc::new(event)),
                Err(_) => from_json(value),
            },
            (_, value) => from_json(value),
        };
        (name.as_str(), value)
    });
    Value::from_object(Model { kind: "firing", fields: Value::from_pairs(fields) })
}

/// An event, as Prefect's `ReceivedEvent`.
#[derive(Debug)]
pub(crate) struct EventView {
    pub(crate) event: Arc<Event>,
    payload: OnceLock<Value>,
}

const EVENT_FIELDS: [&str; 8] =
    ["occurred", "event", "resource", "related", "payload", "id", "follows", "received"];

impl EventView {
    pub(crate) fn value(event: &Arc<Event>) -> Value {
        Value::from_object(Self { event: event.clone(), payload: OnceLock::new() })
    }

    fn payload(&self) -> Value {
        let read =
            || serde_json::from_str::<Json>(&self.event.payload).map_or(Value::UNDEFINED, |p| from_json(&p));
        self.payload.get_or_init(read).clone()
    }
}

impl Object for EventView {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let event = &self.event;
        let related = || event.related.iter().map(ResourceView::value);
        Some(match key {
            "id" => Value::from(event.id.to_string()),
            "follows" => event.follows.map_or(Value::from(()), |id| Value::from(id.to_string())),
            "occurred" => Value::from_object(DateTime(event.occurred)),
            "received" => Value::from_object(DateTime(event.received)),
            "event" => Value::from(&*event.event),
            "resource" => ResourceView::value(&event.resource),
            "related" => related().collect(),
            "payload" => self.payload(),
            "involved_resources" => event.involved_resources().map(ResourceView::value).collect(),
            // The first resource of a role is the one that counts.
            "resource_in_role" => {
                Value::from_pairs(event.related.iter().rev().map(|r| (r.role(), ResourceView::value(r))))
            }
            "resources_in_role" => {
                let with = |role: &str| -> Value {
                    event.related.iter().filter(|r| r.role() == role).map(ResourceView::value).collect()
                };
                Value::from_pairs(event.related.iter().map(|r| (r.role(), with(r.role()))))
            }
            _ => return None,
        })
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Iter(Box::new(EVENT_FIELDS.into_iter().map(Value::from)))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(EVENT_FIELDS.len())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "find_resource_label" => {
                let (label,): (&str,) = from_args(args)?;
                Ok(self.event.find_label(label).map_or(Value::from(()), Value::from))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// A JSON value for templates; objects keep their order.
pub(crate) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(from_json).collect(),
        Json::Object(fields) => {
            Value::from_pairs(fields.iter().map(|(name, value)| (name.as_str(), from_json(value))))
        }
    }
}
