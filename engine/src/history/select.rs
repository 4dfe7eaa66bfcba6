//! Which rows of a segment meet a filter: first by its index, then, for what that does not know (labels,
//! text), by the events themselves.

use super::error::Error;
use super::segment::{FETCH_BYTES, Frames, SCAN_BYTES, Segment};
use super::source::{Column, Numbers, Related, Rows, Source, Words, sorted};
use pavlov_events::filter::{NameFilter, RelatedFilter, ResourceFilter};
use pavlov_events::pattern::{Glob, ResourceSpecification};
use pavlov_events::{Event, EventFilter, resource};

/// The rows of `segment`, of its first `rows`, that meet `filter`, in ascending order.
pub(super) fn matching(segment: &Segment, filter: &EventFilter, rows: u32) -> Result<Rows, Error> {
    let (span, count) = segment.span()?;
    let (since, until) = (filter.since.micros(), filter.until.micros());
    if rows == 0 || count == 0 || span.occurred_last < since || until < span.occurred_first {
        return Ok(Rows::These(Vec::new()));
    }
    let inside = since <= span.occurred_first && span.occurred_last <= until;
    let bodies = needs_bodies(filter);
    let (rows, offsets) = segment.with(|source| {
        let mut rows = indexed(source, filter, rows)?;
        if !inside && !rows.is_empty() {
            let occurred = source.occurred(&rows)?;
            rows = rows.keep(&occurred, |micros| (since..=until).contains(&micros));
        }
        let offsets = if bodies { source.column(Column::Offset, &rows)? } else { Vec::new() };
        Ok((rows, offsets))
    })?;
    if bodies { checked(segment, filter, rows, &offsets) } else { Ok(rows) }
}

/// Whether the index cannot answer the filter alone.
fn needs_bodies(filter: &EventFilter) -> bool {
    let asks = |labels: &Option<ResourceSpecification>| labels.as_ref().is_some_and(|l| !l.is_empty());
    filter.text.is_some()
        || asks(&filter.resource.labels)
        || filter.related.iter().any(|related| asks(&related.labels))
        || filter.any_resource.iter().any(|any| asks(&any.labels))
}

/// The rows of the first `count` that meet all conditions the index knows, the time aside.
fn indexed(source: &dyn Source, filter: &EventFilter, count: u32) -> Result<Rows, Error> {
    let mut rows = Rows::First(count);
    if !filter.ids.is_empty() {
        rows = rows.intersect(source.rows_with_ids(&filter.ids)?);
    }
    if let Some(resources) = resources(source, &filter.resource)? {
        rows = rows.intersect(source.rows_of(&resources)?);
    }
    for related in filter.related.iter().filter(|related| !related.is_empty()) {
        if rows.is_empty() {
            return Ok(rows);
        }
        rows = rows.intersect(related_rows(source, related)?);
    }
    for any in &filter.any_resource {
        if rows.is_empty() {
            return Ok(rows);
        }
        if let Some(resources) = resources(source, any)? {
            let mut others = source.rows_of(&resources)?;
            others.extend(source.related(Some(&resources))?.into_iter().map(|related| related.row));
            rows = rows.intersect(sorted(others));
        }
    }
    if !filter.event.is_empty() && !rows.is_empty() {
        let names = names(source, &filter.event)?;
        if names.is_empty() {
            return Ok(Rows::These(Vec::new()));
        }
        let column = source.column(Column::Name, &rows)?;
        rows = rows.keep(&column, |name| names.contains(name));
    }
    Ok(rows)
}

/// Numbers of the resources with the right id; `None` when any id will do.
fn resources(source: &dyn Source, filter: &ResourceFilter) -> Result<Option<Numbers>, Error> {
    if !filter.id.is_empty() {
        let starts = |id: &str| filter.id_prefix.iter().any(|prefix| id.starts_with(prefix.as_str()));
        let ids = filter.id.iter().map(String::as_str);
        let ids: Vec<&str> = ids.filter(|id| filter.id_prefix.is_empty() || starts(id)).collect();
        return source.find(Words::Resources, &ids).map(Some);
    }
    if !filter.id_prefix.is_empty() {
        return source.starting(Words::Resources, &filter.id_prefix).map(Some);
    }
    labelled(source, filter.labels.as_ref())
}

/// Numbers of the resources whose id label has a value that the labels ask for; `None` when they do not ask,
/// or in a way that only the events can answer.
fn labelled(source: &dyn Source, labels: Option<&ResourceSpecification>) -> Result<Option<Numbers>, Error> {
    let asked = labels.and_then(|labels| labels.labels().find(|(label, _)| *label == resource::ID));
    let Some((_, patterns)) = asked else { return Ok(None) };
    let (mut ids, mut prefixes) = (Vec::new(), Vec::new());
    for pattern in patterns {
        match &pattern.glob {
            Glob::Exact(id) if !pattern.negated => ids.push(&**id),
            Glob::Prefix(prefix) if !pattern.negated => prefixes.push(prefix.to_string()),
            _ => return Ok(None),
        }
    }
    let exact = source.find(Words::Resources, &ids)?;
    let starting = source.starting(Words::Resources, &prefixes)?;
    Ok(Some(exact.ranges().iter().chain(starting.ranges()).cloned().collect()))
}

/// Rows with a related resource of the right id and role.
fn related_rows(source: &dyn Source, filter: &RelatedFilter) -> Result<Vec<u32>, Error> {
    let pairs = &filter.resources_in_roles;
    let one = |words, text: &str| Ok(source.find(words, &[text])?.iter().next());
    let mut in_roles = Vec::with_capacity(pairs.len());
    for (id, role) in pairs {
        if let (Some(id), Some(role)) = (one(Words::Resources, id)?, one(Words::Roles, role)?) {
            in_roles.push((id, role));
        }
    }
    let find = |words, list: &[String]| {
        let texts: Vec<&str> = list.iter().map(String::as_str).collect();
        source.find(words, &texts)
    };
    let resources = match (filter.id.is_empty(), pairs.is_empty()) {
        (false, _) => Some(find(Words::Resources, &filter.id)?),
        (true, false) => Some(in_roles.iter().map(|(id, _)| *id).collect()),
        (true, true) => labelled(source, filter.labels.as_ref())?,
    };
    let roles = if filter.role.is_empty() { None } else { Some(find(Words::Roles, &filter.role)?) };
    let fits = |related: &Related| {
        roles.as_ref().is_none_or(|roles| roles.contains(related.role))
            && (pairs.is_empty() || in_roles.contains(&(related.resource, related.role)))
    };
    let related = source.related(resources.as_ref())?;
    Ok(sorted(related.into_iter().filter(fits).map(|related| related.row).collect()))
}

/// Numbers of the names that meet the conditions.
fn names(source: &dyn Source, filter: &NameFilter) -> Result<Numbers, Error> {
    if !filter.name.is_empty() {
        let names: Vec<&str> =
            filter.name.iter().map(String::as_str).filter(|name| filter.includes(name)).collect();
        return source.find(Words::Names, &names);
    }
    let any = [String::new()];
    let prefixes = if filter.prefix.is_empty() { &any[..] } else { &filter.prefix };
    let numbers = source.starting(Words::Names, prefixes)?;
    if filter.exclude_prefix.is_empty() && filter.exclude_name.is_empty() {
        return Ok(numbers);
    }
    let texts = source.texts(Words::Names, &numbers)?;
    Ok(numbers.iter().zip(texts).filter(|(_, name)| filter.includes(name)).map(|(n, _)| n).collect())
}

/// The rows whose events meet the whole filter.
fn checked(segment: &Segment, filter: &EventFilter, rows: Rows, offsets: &[u32]) -> Result<Rows, Error> {
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { return Ok(rows) };
    let sparse = (last - first) as usize / offsets.len() > SCAN_BYTES;
    let mut frames = Frames::new(segment, if sparse { FETCH_BYTES } else { SCAN_BYTES });
    let mut kept = Vec::new();
    for (row, offset) in rows.iter().zip(offsets) {
        let (_, body) = frames.body(u64::from(*offset))?;
        let event = std::str::from_utf8(&body).ok().and_then(|text| Event::from_stored(text).ok());
        let event = event.ok_or_else(|| Error::corrupt(&segment.path, u64::from(*offset), "not an event"))?;
        if filter.includes(&event) {
            kept.push(row);
        }
    }
    Ok(Rows::These(kept))
}
