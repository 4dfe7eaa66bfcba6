//! The filters and functions that Prefect adds: links to its pages, ids in text, a bounded `range`.

use crate::labels::ResourceView;
use crate::limits::RANGE_MAX;
use crate::python::fault;
use crate::scope::{EventView, Model, NOW, UI_URL};
use crate::{datetime::DateTime, humanize, text_filters};
use minijinja::value::Rest;
use minijinja::{Environment, Error, State, Value};
use uuid::Uuid;

/// Pages by kind of object; the last part of a resource's id is the object's.
const PAGES: [(&str, &str); 10] = [
    ("flow", "flows/flow/"),
    ("flow-run", "runs/flow-run/"),
    ("task-run", "runs/task-run/"),
    ("block", "blocks/block/"),
    ("block-document", "blocks/block/"),
    ("work-pool", "work-pools/work-pool/"),
    ("work-queue", "work-queues/work-queue/"),
    ("concurrency-limit", "concurrency-limits/concurrency-limit/"),
    ("deployment", "deployments/deployment/"),
    ("automation", "automations/automation/"),
];

/// Adds everything to an environment.
pub(crate) fn install(env: &mut Environment<'static>) {
    text_filters::install(env);
    humanize::install(env);
    env.add_filter("ui_url", |state: &State, value: &Value| ui_url(state, value));
    env.add_filter("ui_resource_events_url", |state: &State, value: &Value| events_url(state, value));
    env.add_filter("flow_run_id", |text: &Value| flow_run_id(text));
    env.add_function("range", range);
    env.remove_global("debug");
}

/// The present, as the scope has it.
pub(crate) fn now(state: &State<'_, '_>) -> Option<DateTime> {
    state.lookup(NOW)?.downcast_object_ref::<DateTime>().copied()
}

fn base(state: &State<'_, '_>) -> Option<String> {
    let url = state.lookup(UI_URL)?;
    Some(format!("{}/", url.as_str()?.trim_end_matches('/')))
}

/// The page of an object, or none for what has no page.
fn ui_url(state: &State<'_, '_>, value: &Value) -> Value {
    let page = || {
        if let Some(view) = value.downcast_object_ref::<EventView>() {
            let day = DateTime(view.event.occurred).strftime("%Y-%m-%d").ok()?;
            return Some(format!("events/event/{day}/{}", view.event.id));
        }
        let (kind, id) = match value.downcast_object_ref::<ResourceView>() {
            Some(resource) => {
                let (kind, id) = resource.0.id().rsplit_once('.')?;
                (kind.strip_prefix("prefect.")?.to_owned(), id.to_owned())
            }
            None => {
                let model = value.downcast_object_ref::<Model>()?;
                (model.kind.to_owned(), value.get_attr("id").ok()?.as_str()?.to_owned())
            }
        };
        let (_, path) = PAGES.iter().find(|(name, _)| *name == kind)?;
        Some(format!("{path}{id}"))
    };
    match (base(state), page()) {
        (Some(base), Some(page)) => Value::from(base + &page),
        _ => Value::from(()),
    }
}

/// The page with the events of an object.
fn events_url(state: &State<'_, '_>, value: &Value) -> Value {
    let id = match value.downcast_object_ref::<ResourceView>() {
        Some(resource) => Some(resource.0.id().to_owned()),
        None => value.downcast_object_ref::<Model>().and_then(|model| {
            let id = value.get_attr("id").ok()?;
            (model.kind != "firing").then_some(format!("prefect.{}.{}", model.kind, id.as_str()?))
        }),
    };
    match (base(state), id) {
        (Some(base), Some(id)) => Value::from(format!("{base}events?resource={id}")),
        _ => Value::from(()),
    }
}

/// The id of the first flow run that a text links to.
fn flow_run_id(text: &Value) -> Value {
    const MARK: &str = "flow-run/";
    let text = text.as_str().unwrap_or_default();
    let ids = text.match_indices(MARK).filter_map(|(at, _)| {
        let id = text.get(at + MARK.len()..at + MARK.len() + 36)?;
        let plain = id.bytes().all(|byte| !byte.is_ascii_uppercase());
        (plain && Uuid::try_parse(id).is_ok()).then_some(id)
    });
    ids.into_iter().next().map_or(Value::from(()), Value::from)
}

fn range(args: Rest<i64>) -> Result<Value, Error> {
    let (from, to, step) = match args.0[..] {
        [to] => (0, to, 1),
        [from, to] => (from, to, 1),
        [from, to, step] => (from, to, step),
        _ => return Err(fault("range takes one to three numbers")),
    };
    if step == 0 {
        return Err(fault("range() arg 3 must not be zero"));
    }
    let mut items = Vec::new();
    let mut at = from;
    while (step > 0 && at < to) || (step < 0 && at > to) {
        if items.len() == RANGE_MAX {
            return Err(fault(format!(
                "Range too big. The sandbox blocks ranges larger than MAX_TEMPLATE_RANGE={RANGE_MAX}."
            )));
        }
        items.push(at);
        at = at.saturating_add(step);
    }
    Ok(Value::from(items))
}
