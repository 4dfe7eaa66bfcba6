//! [`Automation`]: a trigger and what is done when it fires.

use crate::action::{Action, Kind};
use crate::kind::Target;
use pavlov_events::pattern::ResourceSpecification;
use pavlov_events::{Faults, Reader, Timestamp, Uuid};
use pavlov_triggers::{Posture, Trigger};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// A declared automation, in Prefect's shape.
///
/// ```json
/// {"name": "page on failure", "description": "", "enabled": true, "tags": ["sre"],
///  "trigger": {"type": "event", "…": "…"}, "actions": [{"type": "do-nothing"}],
///  "actions_on_trigger": [], "actions_on_resolve": [],
///  "id": "0199a5c0-…", "created": "2026-11-20T20:04:21Z", "updated": "2026-11-20T20:04:21Z"}
/// ```
/// The stored form has `owner_resource` as well.
#[derive(Clone, Debug, PartialEq)]
pub struct Automation {
    /// Its id.
    pub id: Uuid,
    /// When it was made.
    pub created: Timestamp,
    /// When its definition last changed.
    pub updated: Timestamp,
    /// Its name, for people; two may share one.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// Free tags.
    pub tags: Vec<String>,
    /// When it fires.
    pub trigger: Trigger,
    /// What is done when it fires.
    pub actions: Vec<Action>,
    /// What is also done when it goes into the triggered state.
    pub actions_on_trigger: Vec<Action>,
    /// What is done when it leaves it.
    pub actions_on_resolve: Vec<Action>,
    /// The resource that it belongs to, and goes with.
    pub owner_resource: Option<String>,
}

/// The fields that a definition may have.
const FIELDS: [&str; 8] = [
    "name",
    "description",
    "enabled",
    "tags",
    "trigger",
    "actions",
    "actions_on_trigger",
    "actions_on_resolve",
];

impl Automation {
    /// Reads the body of a creation. `ids` gives the automation's id and those of its triggers; the times
    /// are set when it is created.
    pub fn read_create(reader: &mut Reader<'_>, ids: &mut dyn FnMut() -> Uuid) -> Option<Self> {
        reader.object()?;
        let owner = reader.nullable("owner_resource", |r| r.string());
        let read = Self::read(reader, ids);
        let known: Vec<&str> = FIELDS.into_iter().chain(["owner_resource"]).collect();
        reader.forbid_others(&known);
        Some(Self { owner_resource: owner?, ..read? })
    }

    /// Reads the body of a replacement.
    pub fn read_update(reader: &mut Reader<'_>, ids: &mut dyn FnMut() -> Uuid) -> Option<Self> {
        reader.object()?;
        let read = Self::read(reader, ids);
        reader.forbid_others(&FIELDS);
        read
    }

    /// Reads the body of a partial change: whether it is to be enabled.
    pub fn read_patch(reader: &mut Reader<'_>) -> Option<bool> {
        reader.object()?;
        let enabled = reader.optional("enabled", |r| r.boolean());
        reader.forbid_others(&["enabled"]);
        Some(enabled?.unwrap_or(true))
    }

    /// Reads what [`Self::to_stored`] wrote, by this or an earlier version.
    pub fn from_stored(value: &Value) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let reader = &mut Reader::new(value, "automation", &mut faults);
        let mut unused = Uuid::nil;
        let read = Self::read(reader, &mut unused);
        let id = reader.required("id", |r| r.uuid());
        let created = reader.required("created", |r| r.timestamp());
        let updated = reader.required("updated", |r| r.timestamp());
        let owner_resource = reader.nullable("owner_resource", |r| r.string());
        let trigger = reader.required("trigger", |r| match Trigger::from_stored(r.value()) {
            Ok(trigger) => Some(trigger),
            Err(error) => {
                r.value_error(error);
                None
            }
        });
        let whole = || {
            Some(Self {
                id: id?,
                created: created?,
                updated: updated?,
                owner_resource: owner_resource?,
                trigger: trigger?,
                ..read?
            })
        };
        whole().ok_or(faults)
    }

    /// The automation as the API shows it.
    pub fn to_value(&self) -> Value {
        let list = |actions: &[Action]| Value::from_iter(actions.iter().map(Action::to_value));
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| drop(out.insert(name.into(), value));
        put("name", self.name.as_str().into());
        put("description", self.description.as_str().into());
        put("enabled", self.enabled.into());
        put("tags", self.tags.clone().into());
        put("trigger", self.trigger.to_value());
        put("actions", list(&self.actions));
        put("actions_on_trigger", list(&self.actions_on_trigger));
        put("actions_on_resolve", list(&self.actions_on_resolve));
        put("id", self.id.to_string().into());
        put("created", self.created.to_string().into());
        put("updated", self.updated.to_string().into());
        Value::Object(out)
    }

    /// The automation as the log and the state hold it.
    pub fn to_stored(&self) -> Value {
        let mut value = self.to_value();
        if let (Some(owner), Some(object)) = (&self.owner_resource, value.as_object_mut()) {
            object.insert("owner_resource".into(), owner.as_str().into());
        }
        value
    }

    /// Why this automation would set itself off for ever, if it surely would: a deployment run at each
    /// event that every run of a deployment makes.
    pub fn loop_reason(&self) -> Option<&'static str> {
        let Trigger::Event(trigger) = &self.trigger else { return None };
        let of_every_run = |name: &str| {
            let each = ["prefect.flow-run.Scheduled", "prefect.flow-run.Pending", "prefect.flow-run.Running"];
            name == "prefect.flow-run.*" || each.contains(&name)
        };
        if !self.enabled || trigger.posture() != Posture::Reactive || !trigger.expect().any(of_every_run) {
            return None;
        }
        let of_all_runs = |labels: &ResourceSpecification| all_of_kind(labels, "prefect.flow-run.*");
        let related = trigger.match_related();
        let unfiltered =
            of_all_runs(trigger.match_resource()) && (related.is_empty() || related.iter().any(of_all_runs));
        self.actions.iter().find_map(|action| match &action.kind {
            Kind::RunDeployment(run) if run.target == Target::Inferred => Some(
                "Running an inferred deployment from a flow run state change event will lead to an infinite \
                 loop of flow runs. Please choose a specific deployment and add filtering labels to the \
                 match or match_related of this automation's trigger.",
            ),
            Kind::RunDeployment(_) if unfiltered => Some(
                "Running a selected deployment from a flow run state change event may lead to an infinite \
                 loop of flow runs. Please add filtering labels to match or match_related, so that runs of \
                 the selected deployment do not trigger this automation.",
            ),
            _ => None,
        })
    }

    fn read(reader: &mut Reader<'_>, ids: &mut dyn FnMut() -> Uuid) -> Option<Self> {
        let before = reader.fault_count();
        let id = ids();
        let name = reader.required("name", |r| r.string());
        let description = reader.optional("description", |r| r.string());
        let enabled = reader.optional("enabled", |r| r.boolean());
        let tags = reader.optional("tags", |r| r.list(|tag| tag.string()));
        let trigger = reader.required("trigger", |r| Trigger::read(r, ids));
        let actions = reader.required("actions", read_actions);
        let actions_on_trigger = reader.optional("actions_on_trigger", read_actions);
        let actions_on_resolve = reader.optional("actions_on_resolve", read_actions);
        if reader.fault_count() > before {
            return None;
        }
        let never = Timestamp::default();
        let automation = Self {
            id,
            created: never,
            updated: never,
            name: name?,
            description: description?.unwrap_or_default(),
            enabled: enabled?.unwrap_or(true),
            tags: tags?.unwrap_or_default(),
            trigger: trigger?,
            actions: actions?,
            actions_on_trigger: actions_on_trigger?.unwrap_or_default(),
            actions_on_resolve: actions_on_resolve?.unwrap_or_default(),
            owner_resource: None,
        };
        if let Some(reason) = automation.loop_reason() {
            reader.value_error(reason);
            return None;
        }
        Some(automation)
    }
}

impl Serialize for Automation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_stored().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Automation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_stored(&value).map_err(|faults| serde::de::Error::custom(first_of(&faults)))
    }
}

/// The first fault in words.
fn first_of(faults: &Faults) -> String {
    faults.first().map_or_else(String::new, ToString::to_string)
}

fn read_actions(reader: &mut Reader<'_>) -> Option<Vec<Action>> {
    reader.list(Action::read)
}

/// Whether labels let through every resource whose id has this form.
fn all_of_kind(labels: &ResourceSpecification, id_glob: &str) -> bool {
    let shown = labels.to_value();
    let Some(object) = shown.as_object() else { return true };
    let ids = match (object.len(), object.get(pavlov_events::resource::ID)) {
        (0, _) => return true,
        (1, Some(ids)) => ids,
        _ => return false,
    };
    ids == id_glob || ids.as_array().is_some_and(|ids| ids.iter().any(|id| id == id_glob))
}
