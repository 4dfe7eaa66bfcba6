//! [`EventFilter`]: how stored and streamed events are asked for, in Prefect's shape.

use crate::event::Event;
use crate::pattern::ResourceSpecification;
use crate::read::Reader;
use crate::resource::Resource;
use crate::time::Timestamp;
use serde_json::Value;
use uuid::Uuid;

/// Default look-back of a filter without `occurred.since`.
const LOOK_BACK_DAYS: i64 = 180;
/// Characters of a text query.
const TEXT_CHARS_MAX: usize = 200;

/// All parts must hold; within one list one element must.
///
/// ```json
/// {"occurred": {"since": "…", "until": "…"}, "event": {"name": ["a"], "prefix": ["b."]},
///  "resource": {"id": ["host.a"], "id_prefix": ["host."], "labels": {"team": "sre"}},
///  "related": {"role": ["flow"]}, "any_resource": {"id": ["x"]}, "id": {"id": ["…"]},
///  "text": {"query": "error -debug"}, "order": "DESC"}
/// ```
#[derive(Clone, Debug)]
pub struct EventFilter {
    /// Earliest `occurred`, included.
    pub since: Timestamp,
    /// Latest `occurred`, included.
    pub until: Timestamp,
    /// Conditions on the event's name.
    pub event: NameFilter,
    /// Conditions on the primary resource.
    pub resource: ResourceFilter,
    /// Conditions on related resources; each must be met by one of them.
    pub related: Vec<RelatedFilter>,
    /// Conditions on any resource; each must be met by one of them.
    pub any_resource: Vec<ResourceFilter>,
    /// Ids, empty for any.
    pub ids: Vec<Uuid>,
    /// Words in the event's text.
    pub text: Option<TextFilter>,
    /// Oldest first, instead of newest first.
    pub ascending: bool,
}

/// Conditions on the event's name; an empty list is no condition.
#[derive(Clone, Debug, Default)]
pub struct NameFilter {
    /// One of these starts the name.
    pub prefix: Vec<String>,
    /// None of these starts the name.
    pub exclude_prefix: Vec<String>,
    /// The name is one of these.
    pub name: Vec<String>,
    /// The name is none of these.
    pub exclude_name: Vec<String>,
}

/// Conditions on one resource; an empty list is no condition.
#[derive(Clone, Debug, Default)]
pub struct ResourceFilter {
    /// The id is one of these.
    pub id: Vec<String>,
    /// One of these starts the id.
    pub id_prefix: Vec<String>,
    /// The resource has these labels.
    pub labels: Option<ResourceSpecification>,
    /// Only the newest event of each resource.
    pub distinct: bool,
}

/// Conditions on one related resource; an empty list is no condition.
#[derive(Clone, Debug, Default)]
pub struct RelatedFilter {
    /// The id is one of these.
    pub id: Vec<String>,
    /// The role is one of these.
    pub role: Vec<String>,
    /// (id, role) is one of these.
    pub resources_in_roles: Vec<(String, String)>,
    /// The resource has these labels.
    pub labels: Option<ResourceSpecification>,
}

/// Words to look for, without regard to case.
#[derive(Clone, Debug, Default)]
pub struct TextFilter {
    /// One of these must appear, if there are any.
    pub include: Vec<String>,
    /// None of these may appear (`-word`).
    pub exclude: Vec<String>,
    /// All of these must appear (`+word`).
    pub required: Vec<String>,
}

impl EventFilter {
    /// The filter without conditions: the last 180 days until `now`.
    pub fn everything(now: Timestamp) -> Self {
        Self {
            since: now.plus_seconds(-LOOK_BACK_DAYS * 86_400),
            until: now,
            event: NameFilter::default(),
            resource: ResourceFilter::default(),
            related: Vec::new(),
            any_resource: Vec::new(),
            ids: Vec::new(),
            text: None,
            ascending: false,
        }
    }

    /// Reads a filter; unknown fields are refused, as the genuine server does.
    pub fn read(reader: &mut Reader<'_>, now: Timestamp) -> Option<Self> {
        reader.object()?;
        let before = reader.fault_count();
        let mut filter = Self::everything(now);
        reader.optional("occurred", |r| read_occurred(r, &mut filter));
        if let Some(Some(event)) = reader.nullable("event", read_name) {
            filter.event = event;
        }
        if let Some(Some(resource)) = reader.nullable("resource", |r| read_resource(r, true)) {
            filter.resource = resource;
        }
        if let Some(Some(related)) = reader.nullable("related", |r| one_or_more(r, read_related)) {
            filter.related = related;
        }
        if let Some(Some(any)) =
            reader.nullable("any_resource", |r| one_or_more(r, |r| read_resource(r, false)))
        {
            filter.any_resource = any;
        }
        if let Some(Some(ids)) = reader.optional("id", read_ids) {
            filter.ids = ids;
        }
        if let Some(text) = reader.nullable("text", read_text) {
            filter.text = text;
        }
        if let Some(Some(ascending)) =
            reader.optional("order", |r| r.literal(&[("ASC", true), ("DESC", false)]))
        {
            filter.ascending = ascending;
        }
        reader.forbid_others(&[
            "occurred",
            "event",
            "resource",
            "related",
            "any_resource",
            "id",
            "text",
            "order",
        ]);
        (reader.fault_count() == before).then_some(filter)
    }

    /// Whether an event meets every condition (`distinct` and `order` aside, which concern a whole page).
    pub fn includes(&self, event: &Event) -> bool {
        (self.since..=self.until).contains(&event.occurred) && self.includes_at_any_time(event)
    }

    /// As [`Self::includes`], whenever the event occurred: live streams have no end.
    pub fn includes_at_any_time(&self, event: &Event) -> bool {
        self.event.includes(&event.event)
            && self.resource.includes(&event.resource)
            && self.related.iter().all(|f| f.is_empty() || event.related.iter().any(|r| f.includes(r)))
            && self.any_resource.iter().all(|f| event.involved_resources().any(|r| f.includes(r)))
            && (self.ids.is_empty() || self.ids.contains(&event.id))
            && self.text.as_ref().is_none_or(|text| text.includes(event))
    }
}

impl NameFilter {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        [&self.prefix, &self.exclude_prefix, &self.name, &self.exclude_name]
            .iter()
            .all(|list| list.is_empty())
    }

    /// Whether a name meets the conditions.
    pub fn includes(&self, name: &str) -> bool {
        let starts = |prefixes: &[String]| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
        let is = |names: &[String]| names.iter().any(|other| other == name);
        (self.prefix.is_empty() || starts(&self.prefix))
            && !starts(&self.exclude_prefix)
            && (self.name.is_empty() || is(&self.name))
            && !is(&self.exclude_name)
    }
}

impl ResourceFilter {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.id.is_empty() && self.id_prefix.is_empty() && self.labels.is_none()
    }

    /// Whether a resource meets the conditions.
    pub fn includes(&self, resource: &Resource) -> bool {
        let id = resource.id();
        (self.id.is_empty() || self.id.iter().any(|other| other == id))
            && (self.id_prefix.is_empty()
                || self.id_prefix.iter().any(|prefix| id.starts_with(prefix.as_str())))
            && self.labels.as_ref().is_none_or(|labels| labels.matches(resource))
    }
}

impl RelatedFilter {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.id.is_empty()
            && self.role.is_empty()
            && self.resources_in_roles.is_empty()
            && self.labels.is_none()
    }

    /// Whether a related resource meets the conditions.
    pub fn includes(&self, resource: &Resource) -> bool {
        let (id, role) = (resource.id(), resource.role());
        (self.id.is_empty() || self.id.iter().any(|other| other == id))
            && (self.role.is_empty() || self.role.iter().any(|other| other == role))
            && (self.resources_in_roles.is_empty()
                || self.resources_in_roles.iter().any(|(other, in_role)| other == id && in_role == role))
            && self.labels.as_ref().is_none_or(|labels| labels.matches(resource))
    }
}

impl TextFilter {
    /// Reads a query: words or `"quoted phrases"`, `-word` or `!word` excludes, `+word` requires.
    pub fn new(query: &str) -> Self {
        let mut filter = Self::default();
        let mut chars = query.chars().peekable();
        while let Some(&c) = chars.peek() {
            if c.is_whitespace() {
                chars.next();
                continue;
            }
            let list = match c {
                '-' | '!' => &mut filter.exclude,
                '+' => &mut filter.required,
                _ => &mut filter.include,
            };
            if matches!(c, '-' | '!' | '+') {
                chars.next();
            }
            let quoted = chars.next_if_eq(&'"').is_some();
            let mut term = String::new();
            while let Some(c) = chars.next_if(|&c| if quoted { c != '"' } else { !c.is_whitespace() }) {
                term.push(if c == '\\' && quoted { chars.next().unwrap_or('\\') } else { c });
            }
            chars.next();
            if !term.is_empty() {
                list.push(term.to_lowercase());
            }
        }
        filter
    }

    /// Whether an event's name, label values and payload meet the query.
    pub fn includes(&self, event: &Event) -> bool {
        let mut text = event.event.to_lowercase();
        for (_, value) in event.involved_resources().flat_map(Resource::labels) {
            text.push(' ');
            text.push_str(&value.to_lowercase());
        }
        text.push(' ');
        text.push_str(&event.payload.to_lowercase());
        (self.include.is_empty() || self.include.iter().any(|term| text.contains(term.as_str())))
            && !self.exclude.iter().any(|term| text.contains(term.as_str()))
            && self.required.iter().all(|term| text.contains(term.as_str()))
    }
}

fn strings(reader: &mut Reader<'_>, name: &str) -> Vec<String> {
    reader.nullable(name, |r| r.list(|r| r.string())).flatten().unwrap_or_default()
}

fn read_occurred(reader: &mut Reader<'_>, filter: &mut EventFilter) -> Option<()> {
    reader.object()?;
    if let Some(Some(since)) = reader.optional("since", |r| r.timestamp()) {
        filter.since = since;
    }
    if let Some(Some(until)) = reader.optional("until", |r| r.timestamp()) {
        filter.until = until;
    }
    reader.forbid_others(&["since", "until"]);
    Some(())
}

fn read_name(reader: &mut Reader<'_>) -> Option<NameFilter> {
    reader.object()?;
    let filter = NameFilter {
        prefix: strings(reader, "prefix"),
        exclude_prefix: strings(reader, "exclude_prefix"),
        name: strings(reader, "name"),
        exclude_name: strings(reader, "exclude_name"),
    };
    reader.forbid_others(&["prefix", "exclude_prefix", "name", "exclude_name"]);
    Some(filter)
}

fn read_resource(reader: &mut Reader<'_>, primary: bool) -> Option<ResourceFilter> {
    reader.object()?;
    let filter = ResourceFilter {
        id: strings(reader, "id"),
        id_prefix: strings(reader, "id_prefix"),
        labels: reader.nullable("labels", ResourceSpecification::read).flatten(),
        distinct: primary && reader.optional("distinct", |r| r.boolean()).flatten().unwrap_or(false),
    };
    let known: &[&str] =
        if primary { &["id", "id_prefix", "labels", "distinct"] } else { &["id", "id_prefix", "labels"] };
    reader.forbid_others(known);
    Some(filter)
}

fn read_related(reader: &mut Reader<'_>) -> Option<RelatedFilter> {
    reader.object()?;
    let filter = RelatedFilter {
        id: strings(reader, "id"),
        role: strings(reader, "role"),
        resources_in_roles: reader
            .nullable("resources_in_roles", |r| r.list(read_pair))
            .flatten()
            .unwrap_or_default(),
        labels: reader.nullable("labels", ResourceSpecification::read).flatten(),
    };
    reader.forbid_others(&["id", "role", "resources_in_roles", "labels"]);
    Some(filter)
}

fn read_pair(reader: &mut Reader<'_>) -> Option<(String, String)> {
    match reader.list(|r| r.string())?.as_slice() {
        [id, role] => Some((id.clone(), role.clone())),
        _ => {
            reader.fault(
                "tuple_type",
                "Input should be a valid tuple of two items: resource id and role",
                None,
            );
            None
        }
    }
}

fn read_ids(reader: &mut Reader<'_>) -> Option<Vec<Uuid>> {
    reader.object()?;
    let ids = reader.nullable("id", |r| r.list(|r| r.uuid()))?.unwrap_or_default();
    reader.forbid_others(&["id"]);
    Some(ids)
}

fn read_text(reader: &mut Reader<'_>) -> Option<TextFilter> {
    reader.object()?;
    let query = reader.required("query", |r| r.string())?;
    reader.forbid_others(&["query"]);
    if query.chars().count() > TEXT_CHARS_MAX {
        reader.fault(
            "string_too_long",
            format!("String should have at most {TEXT_CHARS_MAX} characters"),
            None,
        );
        return None;
    }
    Some(TextFilter::new(&query))
}

fn one_or_more<T>(
    reader: &mut Reader<'_>,
    mut read: impl FnMut(&mut Reader<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    match reader.value() {
        Value::Array(_) => reader.list(read),
        _ => read(reader).map(|one| vec![one]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Faults;
    use serde_json::json;

    fn filter(value: Value) -> EventFilter {
        let mut faults = Faults::new();
        let now = Timestamp::parse("2026-11-20").expect("a date");
        let read = EventFilter::read(&mut Reader::new(&value, "filter", &mut faults), now);
        read.unwrap_or_else(|| panic!("{faults:?}"))
    }

    #[test]
    fn conditions_are_all_needed_and_lists_are_choices() {
        let occurred = Timestamp::parse("2026-11-19").expect("a date");
        let mut event =
            Event::new(Uuid::nil(), occurred, "job.failed", Resource::new("host.a").with("team", "sre"));
        event.related.push(Resource::related("flow", "prefect.flow.1"));
        event.payload = r#"{"why":"Disk full"}"#.into();
        for (value, expected) in [
            (json!({}), true),
            (json!({"event": {"name": ["x", "job.failed"]}}), true),
            (json!({"event": {"exclude_prefix": ["job."]}}), false),
            (json!({"resource": {"id_prefix": ["host."], "labels": {"team": ["sr*"]}}}), true),
            (json!({"related": [{"role": ["flow"]}, {"id": ["nobody"]}]}), false),
            (json!({"any_resource": {"id": ["prefect.flow.1"]}}), true),
            (json!({"text": {"query": "disk -empty"}}), true),
            (json!({"text": {"query": "+\"disk full\" +tape"}}), false),
            (json!({"occurred": {"since": "2026-11-19T00:00:01Z"}}), false),
        ] {
            assert_eq!(filter(value.clone()).includes(&event), expected, "{value}");
        }
    }
}
