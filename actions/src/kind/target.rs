//! [`Target`]: the object of ours that an action works on.

use pavlov_events::{Event, Reader};
use serde_json::{Map, Value};
use uuid::Uuid;

/// What an action is done to: a selected object, or the one that the triggering event is about.
///
/// Shape, for a deployment: `{"source": "selected", "deployment_id": "0199…"}` or
/// `{"source": "inferred", "deployment_id": null}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The object with this id.
    Selected(Uuid),
    /// The first resource of the right kind of the triggering event.
    Inferred,
}

/// Which kind of object a [`Target`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A deployment.
    Deployment,
    /// A work pool.
    WorkPool,
    /// A work queue.
    WorkQueue,
    /// An automation.
    Automation,
}

impl TargetKind {
    /// The field that holds the id.
    pub fn field(self) -> &'static str {
        match self {
            Self::Deployment => "deployment_id",
            Self::WorkPool => "work_pool_id",
            Self::WorkQueue => "work_queue_id",
            Self::Automation => "automation_id",
        }
    }

    /// How the ids of such resources start, without the dot.
    pub fn resource_prefix(self) -> &'static str {
        match self {
            Self::Deployment => "prefect.deployment",
            Self::WorkPool => "prefect.work-pool",
            Self::WorkQueue => "prefect.work-queue",
            Self::Automation => "prefect.automation",
        }
    }

    /// The words for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::WorkPool => "work pool",
            Self::WorkQueue => "work queue",
            Self::Automation => "automation",
        }
    }
}

/// The two fields as read, before the rule that binds them is checked.
pub(crate) struct Parts {
    selected: bool,
    id: Option<Uuid>,
}

impl Parts {
    /// Reads `source` and the id.
    pub(crate) fn read(reader: &mut Reader<'_>, kind: TargetKind) -> Option<Self> {
        let source = reader.optional("source", |r| r.literal(&[("selected", true), ("inferred", false)]));
        let id = reader.nullable(kind.field(), |r| r.uuid());
        Some(Self { selected: source?.unwrap_or(true), id: id? })
    }

    /// The target, or a fault when the id is missing or one too many.
    pub(crate) fn finish(self, reader: &mut Reader<'_>, kind: TargetKind) -> Option<Target> {
        match (self.selected, self.id) {
            (true, Some(id)) => Some(Target::Selected(id)),
            (false, None) => Some(Target::Inferred),
            (true, None) => {
                reader.value_error(format_args!("{} is required", kind.field()));
                None
            }
            (false, Some(_)) => {
                reader.value_error(format_args!("{} is not allowed", kind.field()));
                None
            }
        }
    }
}

impl Target {
    /// Reads `source` and the id of an action that has no other fields.
    pub fn read(reader: &mut Reader<'_>, kind: TargetKind) -> Option<Self> {
        Parts::read(reader, kind)?.finish(reader, kind)
    }

    /// Adds `source` and the id.
    pub fn write(&self, kind: TargetKind, out: &mut Map<String, Value>) {
        let (source, id) = match self {
            Self::Selected(id) => ("selected", Value::from(id.to_string())),
            Self::Inferred => ("inferred", Value::Null),
        };
        out.insert("source".into(), source.into());
        out.insert(kind.field().into(), id);
    }

    /// The id of the object, for one firing's event. The error says why none could be inferred.
    pub fn resolve(&self, kind: TargetKind, event: Option<&Event>) -> Result<Uuid, String> {
        match (self, event) {
            (Self::Selected(id), _) => Ok(*id),
            (Self::Inferred, None) => Err(format!("No event to infer the {}", kind.words())),
            (Self::Inferred, Some(event)) => id_of_first(event, kind.resource_prefix())
                .ok_or_else(|| format!("No {} could be inferred", kind.words())),
        }
    }
}

/// The id of the first resource of an event whose id is `<prefix>.<id>`.
pub fn id_of_first(event: &Event, prefix: &str) -> Option<Uuid> {
    let of_kind =
        |id: &str| id.rsplit_once('.').filter(|(kind, _)| *kind == prefix).map(|(_, id)| id.to_owned());
    let id = event.involved_resources().find_map(|resource| of_kind(resource.id()))?;
    Uuid::try_parse(&id).ok()
}
