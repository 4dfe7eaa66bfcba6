//! [`Token`]: what asks for the next page.

use super::error::Error;
use super::page::Key;
use super::reader::PAGE_EVENTS_MAX;
use pavlov_events::filter::{NameFilter, RelatedFilter, ResourceFilter, TextFilter};
use pavlov_events::pattern::ResourceSpecification;
use pavlov_events::{EventFilter, Faults, Timestamp, Uuid};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a query goes on: its filter, page size and total, the last event given out, and which events there
/// were at the first page, so that later ones do not shift the pages.
///
/// Opaque to clients: [`Self::encode`] gives a text that [`Self::decode`] takes back.
#[derive(Clone, Debug)]
pub struct Token {
    pub(super) filter: EventFilter,
    pub(super) limit: usize,
    /// Counted for the first page.
    pub(super) total: Option<u64>,
    /// Events ever written when the first page was asked for.
    pub(super) bound: u64,
    /// The last event of the page before.
    pub(super) after: Option<Key>,
    /// Events of all pages before, as if none had been removed meanwhile.
    pub(super) sent: u64,
}

impl Token {
    /// The token as JSON text.
    pub fn encode(&self) -> String {
        let stored = StoredToken {
            version: VERSION,
            filter: StoredFilter::of(&self.filter),
            limit: self.limit,
            total: self.total,
            bound: self.bound,
            after: self.after,
            sent: self.sent,
        };
        serde_json::to_string(&stored).expect("a token is plain data")
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`Error::BadToken`] for anything else.
    pub fn decode(text: &str) -> Result<Self, Error> {
        let bad = |reason: String| Error::BadToken { reason };
        let stored: StoredToken = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if stored.version != VERSION {
            return Err(bad(format!("version {} is not {VERSION}", stored.version)));
        }
        if stored.limit > PAGE_EVENTS_MAX || stored.total.is_none() {
            return Err(bad(format!("a page has at most {PAGE_EVENTS_MAX} events and a total")));
        }
        Ok(Self {
            filter: stored.filter.read().map_err(|faults| bad(format!("labels: {faults:?}")))?,
            limit: stored.limit,
            total: stored.total,
            bound: stored.bound,
            after: stored.after,
            sent: stored.sent,
        })
    }
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredToken {
    version: u32,
    filter: StoredFilter,
    limit: usize,
    total: Option<u64>,
    bound: u64,
    after: Option<Key>,
    sent: u64,
}

/// A filter as it was understood, not as it was written: times are fixed and queries are split.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFilter {
    since: Timestamp,
    until: Timestamp,
    event: StoredNames,
    resource: StoredResource,
    related: Vec<StoredRelated>,
    any_resource: Vec<StoredResource>,
    ids: Vec<Uuid>,
    text: Option<StoredText>,
    ascending: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredNames {
    prefix: Vec<String>,
    exclude_prefix: Vec<String>,
    name: Vec<String>,
    exclude_name: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredResource {
    id: Vec<String>,
    id_prefix: Vec<String>,
    labels: Option<Value>,
    distinct: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRelated {
    id: Vec<String>,
    role: Vec<String>,
    resources_in_roles: Vec<(String, String)>,
    labels: Option<Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredText {
    include: Vec<String>,
    exclude: Vec<String>,
    required: Vec<String>,
}

impl StoredFilter {
    fn of(filter: &EventFilter) -> Self {
        let EventFilter { since, until, event, resource, related, any_resource, ids, text, ascending } =
            filter.clone();
        let NameFilter { prefix, exclude_prefix, name, exclude_name } = event;
        Self {
            since,
            until,
            event: StoredNames { prefix, exclude_prefix, name, exclude_name },
            resource: StoredResource::of(resource),
            related: related.into_iter().map(StoredRelated::of).collect(),
            any_resource: any_resource.into_iter().map(StoredResource::of).collect(),
            ids,
            text: text.map(|TextFilter { include, exclude, required }| StoredText {
                include,
                exclude,
                required,
            }),
            ascending,
        }
    }

    fn read(self) -> Result<EventFilter, Faults> {
        let Self { since, until, event, resource, related, any_resource, ids, text, ascending } = self;
        let StoredNames { prefix, exclude_prefix, name, exclude_name } = event;
        Ok(EventFilter {
            since,
            until,
            event: NameFilter { prefix, exclude_prefix, name, exclude_name },
            resource: resource.read()?,
            related: related.into_iter().map(StoredRelated::read).collect::<Result<_, _>>()?,
            any_resource: any_resource.into_iter().map(StoredResource::read).collect::<Result<_, _>>()?,
            ids,
            text: text.map(|StoredText { include, exclude, required }| TextFilter {
                include,
                exclude,
                required,
            }),
            ascending,
        })
    }
}

impl StoredResource {
    fn of(filter: ResourceFilter) -> Self {
        let ResourceFilter { id, id_prefix, labels, distinct } = filter;
        Self { id, id_prefix, labels: labels.map(|labels| labels.to_value()), distinct }
    }

    fn read(self) -> Result<ResourceFilter, Faults> {
        let Self { id, id_prefix, labels, distinct } = self;
        Ok(ResourceFilter { id, id_prefix, labels: read_labels(labels)?, distinct })
    }
}

impl StoredRelated {
    fn of(filter: RelatedFilter) -> Self {
        let RelatedFilter { id, role, resources_in_roles, labels } = filter;
        Self { id, role, resources_in_roles, labels: labels.map(|labels| labels.to_value()) }
    }

    fn read(self) -> Result<RelatedFilter, Faults> {
        let Self { id, role, resources_in_roles, labels } = self;
        Ok(RelatedFilter { id, role, resources_in_roles, labels: read_labels(labels)? })
    }
}

fn read_labels(labels: Option<Value>) -> Result<Option<ResourceSpecification>, Faults> {
    let Some(value) = labels else { return Ok(None) };
    let mut faults = Faults::new();
    let read = ResourceSpecification::read(&mut pavlov_events::Reader::new(&value, "labels", &mut faults));
    if faults.is_empty() { Ok(read) } else { Err(faults) }
}
