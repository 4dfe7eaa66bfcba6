//! Which automations are asked for, in Prefect's shape.

use super::page::word;
use pavlov_actions::Automation;
use pavlov_events::{Reader, Timestamp, Uuid};
use std::cmp::Reverse;
use std::sync::Arc;

/// Conditions; missing ones hold.
///
/// Shape: `{"operator": "and_", "id": {"any_": […]}, "name": {"any_": […]}, "created": {"before_": "…"},
/// "tags": {"operator": "and_", "all_": […], "any_": […], "is_null_": false}}`.
#[derive(Debug, Default)]
pub struct AutomationFilter {
    /// One condition is enough.
    any_condition: bool,
    ids: Option<Vec<Uuid>>,
    names: Option<Vec<String>>,
    created_before: Option<Timestamp>,
    tags: Option<TagFilter>,
}

#[derive(Debug, Default)]
struct TagFilter {
    any_condition: bool,
    all: Option<Vec<String>>,
    any: Option<Vec<String>>,
    is_null: Option<bool>,
}

/// The order of automations; equal ones are in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The newest first.
    CreatedDescending,
    /// The last changed first.
    UpdatedDescending,
    /// By name.
    NameAscending,
    /// By name, backwards.
    NameDescending,
}

impl Sort {
    /// Reads Prefect's word.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        word(
            reader,
            &[
                ("CREATED_DESC", Self::CreatedDescending),
                ("UPDATED_DESC", Self::UpdatedDescending),
                ("NAME_ASC", Self::NameAscending),
                ("NAME_DESC", Self::NameDescending),
            ],
        )
    }

    /// Puts automations in order.
    pub fn order(self, all: &mut [Arc<Automation>]) {
        match self {
            Self::CreatedDescending => all.sort_by_key(|one| Reverse(one.created)),
            Self::UpdatedDescending => all.sort_by_key(|one| Reverse(one.updated)),
            Self::NameAscending => all.sort_by(|a, b| a.name.cmp(&b.name)),
            Self::NameDescending => all.sort_by(|a, b| b.name.cmp(&a.name)),
        }
    }
}

impl AutomationFilter {
    /// Reads a filter; unknown fields are refused.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.object()?;
        let any_condition = operator(reader);
        let ids = part(reader, "id", "any_", |r| r.list(|r| r.uuid()));
        let names = part(reader, "name", "any_", |r| r.list(|r| r.string()));
        let created_before = part(reader, "created", "before_", |r| r.timestamp());
        let tags = reader.nullable("tags", TagFilter::read);
        reader.forbid_others(&["operator", "id", "name", "created", "tags"]);
        Some(Self {
            any_condition: any_condition?,
            ids: ids?,
            names: names?,
            created_before: created_before?,
            tags: tags?,
        })
    }

    /// Whether an automation meets the conditions.
    pub fn includes(&self, automation: &Automation) -> bool {
        let conditions = [
            self.ids.as_ref().map(|ids| ids.contains(&automation.id)),
            self.names.as_ref().map(|names| names.contains(&automation.name)),
            self.created_before.map(|before| automation.created <= before),
            self.tags.as_ref().map(|tags| tags.includes(&automation.tags)),
        ];
        holds(self.any_condition, conditions)
    }
}

impl TagFilter {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.object()?;
        let any_condition = operator(reader);
        let all = reader.nullable("all_", |r| r.list(|r| r.string()));
        let any = reader.nullable("any_", |r| r.list(|r| r.string()));
        let is_null = reader.nullable("is_null_", |r| r.boolean());
        reader.forbid_others(&["operator", "all_", "any_", "is_null_"]);
        Some(Self { any_condition: any_condition?, all: all?, any: any?, is_null: is_null? })
    }

    fn includes(&self, tags: &[String]) -> bool {
        let conditions = [
            self.all.as_ref().map(|all| all.iter().all(|tag| tags.contains(tag))),
            self.any.as_ref().map(|any| any.iter().any(|tag| tags.contains(tag))),
            self.is_null.map(|is_null| tags.is_empty() == is_null),
        ];
        holds(self.any_condition, conditions)
    }
}

/// Conditions that were not given are left out; without any, everything is included.
fn holds<const N: usize>(any: bool, conditions: [Option<bool>; N]) -> bool {
    let mut given = conditions.into_iter().flatten().peekable();
    if any && given.peek().is_some() { given.any(|holds| holds) } else { given.all(|holds| holds) }
}

/// A part with one field: `Some(None)` when either is missing or null.
fn part<T>(
    reader: &mut Reader<'_>,
    name: &str,
    field: &str,
    read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
) -> Option<Option<T>> {
    let part = reader.nullable(name, |r| {
        r.object()?;
        let value = r.nullable(field, read);
        r.forbid_others(&[field]);
        value
    });
    part.map(Option::flatten)
}

fn operator(reader: &mut Reader<'_>) -> Option<bool> {
    let read = reader.optional("operator", |r| word(r, &[("and_", false), ("or_", true)]));
    read.map(|any| any.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pavlov_events::Faults;
    use serde_json::{Value, json};

    fn automation() -> Automation {
        let body = json!({"name": "b", "tags": ["x", "y"], "actions": [],
            "trigger": {"type": "event", "posture": "Reactive", "threshold": 1, "within": 0}});
        let mut faults = Faults::new();
        Automation::read_create(&mut Reader::new(&body, "body", &mut faults), &mut || Uuid::from_u128(3))
            .unwrap_or_else(|| panic!("{faults:?}"))
    }

    #[test]
    fn conditions_are_put_together_as_the_operator_says() {
        let automation = automation();
        let id = automation.id;
        for (filter, expected) in [
            (json!({}), true),
            (json!({"name": {"any_": ["a"]}}), false),
            (json!({"name": {"any_": ["a", "b"]}, "id": {"any_": [id]}}), true),
            (json!({"operator": "or_", "name": {"any_": ["a"]}, "id": {"any_": [id]}}), true),
            (json!({"operator": "or_"}), true),
            (json!({"tags": {"all_": ["x", "z"]}}), false),
            (json!({"tags": {"any_": ["x", "z"]}}), true),
            (json!({"tags": {"is_null_": true}}), false),
            (json!({"created": {"before_": "1970-01-01T00:00:01Z"}}), true),
        ] {
            let mut faults = Faults::new();
            let read = AutomationFilter::read(&mut Reader::new(&filter, "body", &mut faults));
            assert_eq!(read.expect("valid").includes(&automation), expected, "{filter}");
        }
    }

    #[test]
    fn faults_name_the_field() {
        let filter: Value = json!({"name": {"any_": "k"}, "q": 1, "operator": "xor_"});
        let mut faults = Faults::new();
        AutomationFilter::read(&mut Reader::new(&filter, "body", &mut faults));
        let places: Vec<&str> = faults.iter().map(|fault| fault.kind).collect();
        assert_eq!(places, ["enum", "list_type", "extra_forbidden"]);
    }
}
