//! [`Trigger`]: the declared condition of an automation, a tree of event triggers.

use crate::Error;
use crate::event_trigger::{EventTrigger, span_micros};
use crate::limits::{NESTING_MAX, TRIGGERS_MAX};
use pavlov_events::{Fault, Reader, Uuid};
use serde_json::{Value, json};

/// A condition, valid by construction.
///
/// JSON shapes: see [`EventTrigger`], [`Compound`], [`Sequence`]; `type` tells them apart. Without a `type`,
/// an object with `triggers` is a compound (if it has `require`) or a sequence, any other an event trigger.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// Events that come or do not come.
    Event(EventTrigger),
    /// Some or all of several triggers.
    Compound(Compound),
    /// Several triggers, one after the other.
    Sequence(Sequence),
}

/// How many children of a [`Compound`] must fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Require {
    /// One of them.
    Any,
    /// Each of them.
    All,
    /// This many different ones; at least 1, at most the number of children.
    Number(usize),
}

/// Fires when enough of its children fired close to each other.
///
/// ```json
/// {"type": "compound", "id": "0199a5c0-0000-7000-8000-000000000000", "triggers": [], "within": 60.0,
///  "require": "all"}
/// ```
///
/// `within` is in seconds between the first and the last child; it must be given, `null` is no limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Compound {
    pub(crate) id: Uuid,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) within_micros: Option<i64>,
    pub(crate) require: Require,
}

/// Fires when all its children fired in their order, by the time their events occurred.
///
/// ```json
/// {"type": "sequence", "id": "0199a5c0-0000-7000-8000-000000000000", "triggers": [], "within": null}
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    pub(crate) id: Uuid,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) within_micros: Option<i64>,
}

impl Compound {
    /// How many different children must fire; 0 when there are none, and then it never fires.
    pub fn expected_firings(&self) -> usize {
        match self.require {
            Require::Any => self.triggers.len().min(1),
            Require::All => self.triggers.len(),
            Require::Number(number) => number,
        }
    }
}

impl Trigger {
    /// Reads a declaration and notes every fault of the kind of trigger its `type` names. Ids that the
    /// sender gave are checked and then replaced: `ids` is asked once for each trigger, parents first.
    pub fn read(reader: &mut Reader<'_>, ids: &mut dyn FnMut() -> Uuid) -> Option<Self> {
        read_tree(reader, &mut |_| ids())
    }

    /// Reads what [`Self::to_value`] wrote; ids are kept.
    pub fn from_stored(value: &Value) -> Result<Self, Error> {
        let mut faults: Vec<Fault> = Vec::new();
        let mut reader = Reader::new(value, "trigger", &mut faults);
        let read = read_tree(&mut reader, &mut |given| given.unwrap_or_default());
        read.filter(|_| faults.is_empty()).ok_or(Error::StoredTrigger { faults })
    }

    /// The declaration as JSON, in Prefect's field order and forms (spans as seconds, sets as lists).
    pub fn to_value(&self) -> Value {
        let seconds = |micros: Option<i64>| micros.map(|micros| micros as f64 / 1e6);
        let children = |triggers: &[Trigger]| triggers.iter().map(Self::to_value).collect::<Value>();
        match self {
            Self::Event(event) => event.to_value(),
            Self::Compound(compound) => json!({
                "type": "compound",
                "id": compound.id,
                "triggers": children(&compound.triggers),
                "within": seconds(compound.within_micros),
                "require": match compound.require {
                    Require::Any => json!("any"),
                    Require::All => json!("all"),
                    Require::Number(number) => json!(number),
                },
            }),
            Self::Sequence(sequence) => json!({
                "type": "sequence",
                "id": sequence.id,
                "triggers": children(&sequence.triggers),
                "within": seconds(sequence.within_micros),
            }),
        }
    }

    /// The tag in JSON.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Event(_) => "event",
            Self::Compound(_) => "compound",
            Self::Sequence(_) => "sequence",
        }
    }

    /// The trigger's own id.
    pub fn id(&self) -> Uuid {
        match self {
            Self::Event(event) => event.id,
            Self::Compound(compound) => compound.id,
            Self::Sequence(sequence) => sequence.id,
        }
    }

    /// The children of a composite, in their order; none for an event trigger.
    pub fn children(&self) -> &[Trigger] {
        match self {
            Self::Event(_) => &[],
            Self::Compound(compound) => &compound.triggers,
            Self::Sequence(sequence) => &sequence.triggers,
        }
    }

    /// All event triggers, from left to right. A leaf's number is its index here.
    pub fn leaves(&self) -> Vec<&EventTrigger> {
        let mut leaves = Vec::new();
        self.collect_leaves(&mut leaves);
        leaves
    }

    /// How many event triggers there are.
    pub fn leaf_count(&self) -> usize {
        match self {
            Self::Event(_) => 1,
            _ => self.children().iter().map(Self::leaf_count).sum(),
        }
    }

    /// This trigger or the one with this id below it.
    pub fn find(&self, id: Uuid) -> Option<&Trigger> {
        if self.id() == id { Some(self) } else { self.children().iter().find_map(|child| child.find(id)) }
    }

    fn collect_leaves<'a>(&'a self, leaves: &mut Vec<&'a EventTrigger>) {
        match self {
            Self::Event(event) => leaves.push(event),
            _ => self.children().iter().for_each(|child| child.collect_leaves(leaves)),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Event,
    Compound,
    Sequence,
}

/// What reading a tree carries along: who gives ids, how deep it is and how many were read.
struct Growth<'a> {
    id_of: &'a mut dyn FnMut(Option<Uuid>) -> Uuid,
    depth: usize,
    count: usize,
}

fn read_tree(reader: &mut Reader<'_>, id_of: &mut dyn FnMut(Option<Uuid>) -> Uuid) -> Option<Trigger> {
    read_node(reader, &mut Growth { id_of, depth: 0, count: 0 })
}

fn read_node(reader: &mut Reader<'_>, growth: &mut Growth<'_>) -> Option<Trigger> {
    let object = reader.object()?;
    growth.count += 1;
    if growth.count > TRIGGERS_MAX || growth.depth >= NESTING_MAX {
        reader.value_error(format_args!(
            "an automation holds at most {TRIGGERS_MAX} triggers, nested at most {NESTING_MAX} deep"
        ));
        return None;
    }
    let composite = object.contains_key("triggers");
    let kind = match object.contains_key("type") {
        true => reader.required("type", |r| {
            let words = [("event", Kind::Event), ("compound", Kind::Compound), ("sequence", Kind::Sequence)];
            r.literal(&words)
        })?,
        false if composite && object.contains_key("require") => Kind::Compound,
        false if composite => Kind::Sequence,
        false => Kind::Event,
    };
    let arm = match kind {
        Kind::Event => "EventTrigger",
        Kind::Compound => "CompoundTrigger",
        Kind::Sequence => "SequenceTrigger",
    };
    let mut arm = reader.arm(arm);
    let before = arm.fault_count();
    let given = arm.optional("id", |r| r.uuid()).flatten();
    let id = (growth.id_of)(given);
    let read = match kind {
        Kind::Event => EventTrigger::read(&mut arm, id).map(Trigger::Event),
        Kind::Compound | Kind::Sequence => read_composite(&mut arm, growth, id, kind),
    };
    read.filter(|_| arm.fault_count() == before)
}

fn read_composite(reader: &mut Reader<'_>, growth: &mut Growth<'_>, id: Uuid, kind: Kind) -> Option<Trigger> {
    let before = reader.fault_count();
    growth.depth += 1;
    let triggers = reader.required("triggers", |r| r.list(|child| read_node(child, growth)));
    growth.depth -= 1;
    let within = reader.required("within", |r| match r.value() {
        Value::Null => Some(None),
        _ => span_micros(r).map(Some),
    });
    if let Kind::Sequence = kind {
        return Some(Trigger::Sequence(Sequence { id, triggers: triggers?, within_micros: within? }));
    }
    let require = reader.required("require", read_require);
    let (triggers, within_micros, require) = (triggers?, within?, require?);
    if reader.fault_count() > before {
        return None;
    }
    let require = match require {
        Required::Any => Require::Any,
        Required::All => Require::All,
        Required::Number(number) if number < 1 => {
            reader.value_error("require must be at least 1");
            return None;
        }
        Required::Number(number) => match usize::try_from(number) {
            Ok(number) if number <= triggers.len() => Require::Number(number),
            _ => {
                reader.value_error("require must be less than or equal to the number of triggers");
                return None;
            }
        },
    };
    Some(Trigger::Compound(Compound { id, triggers, within_micros, require }))
}

enum Required {
    Any,
    All,
    Number(i64),
}

/// A word or a number; neither is two faults, one for each, as pydantic tells it.
fn read_require(reader: &mut Reader<'_>) -> Option<Required> {
    match reader.value().as_str() {
        Some("any") => return Some(Required::Any),
        Some("all") => return Some(Required::All),
        _ => {}
    }
    if let Some(number) = reader.arm("int").integer() {
        return Some(Required::Number(number));
    }
    reader.arm("literal['any','all']").literal(&[("any", ()), ("all", ())]);
    None
}
