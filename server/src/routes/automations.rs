//! `/api/automations/…`, Prefect's routes. A change is in force when it is answered.

use super::automation_filter::{AutomationFilter, Sort};
use super::page;
use crate::body;
use crate::door::{Door, new_id};
use crate::query;
use crate::reply::{self, Answer, Failure};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use pavlov_actions::kind::Target;
use pavlov_actions::{Automation, Kind};
use pavlov_engine::{Command, Refusal, RefusalKind};
use pavlov_events::{Fault, Loc, Uuid};
use serde_json::{Value, json};
use std::sync::Arc;

/// `POST /api/automations/`: 201 with the automation.
pub async fn create(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let body = body::required_json(request).await?;
    let automation = page::read(&body, |r| Automation::read_create(r, &mut new_id))?;
    let created =
        carry_out(&door, Command::CreateAutomation { automation: automation.to_stored() }, &body).await?;
    Ok(reply::json(StatusCode::CREATED, &created))
}

/// `GET /api/automations/{id}`.
pub async fn read(State(door): State<Arc<Door>>, Path(id): Path<String>) -> Answer {
    let id = query::id(&id)?;
    let found = door.engine.read(|state| state.automations.get(&id).cloned());
    Ok(match found {
        Some(automation) => reply::ok(&automation.to_value()),
        None => reply::exception(StatusCode::NOT_FOUND, "Automation not found"),
    })
}

/// `PUT /api/automations/{id}`: 204.
pub async fn update(State(door): State<Arc<Door>>, Path(id): Path<String>, request: Request) -> Answer {
    let id = query::id(&id)?;
    let body = body::required_json(request).await?;
    let automation = page::read(&body, |r| Automation::read_update(r, &mut new_id))?;
    carry_out(&door, Command::UpdateAutomation { id, automation: automation.to_stored() }, &body).await?;
    Ok(reply::no_content())
}

/// `PATCH /api/automations/{id}` with `{"enabled": …}`: 204.
pub async fn patch(State(door): State<Arc<Door>>, Path(id): Path<String>, request: Request) -> Answer {
    let id = query::id(&id)?;
    let body = body::required_json(request).await?;
    let enabled = page::read(&body, Automation::read_patch)?;
    carry_out(&door, Command::EnableAutomation { id, enabled }, &body).await?;
    Ok(reply::no_content())
}

/// `DELETE /api/automations/{id}`: 204.
pub async fn delete(State(door): State<Arc<Door>>, Path(id): Path<String>) -> Answer {
    let id = query::id(&id)?;
    carry_out(&door, Command::DeleteAutomation { id }, &Value::Null).await?;
    Ok(reply::no_content())
}

/// `POST /api/automations/filter` with `{"sort", "limit", "offset", "automations"}`, all of which may be missing.
pub async fn filter(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let body = body::parts_json(request, &["limit", "sort", "offset", "automations"]).await?;
    let limit = page::limit(&body)?;
    // As FastAPI reads parts with a default: null counts as missing.
    let (sort, offset, filter) = page::read(&body, |r| {
        r.nullable("limit", |r| r.integer());
        let sort = r.nullable("sort", Sort::read);
        let offset = r.nullable("offset", |r| r.integer_at_least(0));
        let filter = r.nullable("automations", AutomationFilter::read);
        Some((sort?.unwrap_or(Sort::NameAscending), offset?.unwrap_or(0), filter?.unwrap_or_default()))
    })?;
    let mut found = matching(&door, |automation| filter.includes(automation));
    sort.order(&mut found);
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    Ok(listed(found.iter().skip(offset).take(limit)))
}

/// `POST /api/automations/count` with `{"automations": {…}}`, which may be missing.
pub async fn count(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let body = body::parts_json(request, &["automations"]).await?;
    let filter =
        page::read(&body, |r| r.nullable("automations", AutomationFilter::read))?.unwrap_or_default();
    Ok(reply::ok(&matching(&door, |automation| filter.includes(automation)).len()))
}

/// `GET /api/automations/related-to/{resource_id}`: those that the resource owns, and those that run it.
pub async fn related_to(State(door): State<Arc<Door>>, Path(resource): Path<String>) -> Answer {
    let deployment = resource.strip_prefix("prefect.deployment.").and_then(|id| Uuid::try_parse(id).ok());
    let found = matching(&door, |automation| {
        let owned = automation.owner_resource.as_ref() == Some(&resource);
        owned || deployment.is_some_and(|id| runs_deployment(automation, id))
    });
    Ok(listed(found.iter()))
}

/// `DELETE /api/automations/owned-by/{resource_id}`: 202.
pub async fn delete_owned_by(State(door): State<Arc<Door>>, Path(resource): Path<String>) -> Answer {
    carry_out(&door, Command::DeleteAutomationsOwnedBy { resource }, &Value::Null).await?;
    Ok(reply::json(StatusCode::ACCEPTED, &Value::Null))
}

fn matching(door: &Door, includes: impl Fn(&Automation) -> bool) -> Vec<Arc<Automation>> {
    door.engine.read(|state| state.automations.values().filter(|one| includes(one)).cloned().collect())
}

fn listed<'a>(automations: impl Iterator<Item = &'a Arc<Automation>>) -> axum::response::Response {
    reply::ok(&Value::from_iter(automations.map(|automation| automation.to_value())))
}

fn runs_deployment(automation: &Automation, id: Uuid) -> bool {
    automation.actions.iter().any(|action| match &action.kind {
        Kind::RunDeployment(run) => run.target == Target::Selected(id),
        _ => false,
    })
}

async fn carry_out(door: &Door, command: Command, body: &Value) -> Result<Value, Failure> {
    door.engine.command(command).await?.map_err(|refusal| refused(refusal, body))
}

/// 404 in Prefect's own shape; what makes no sense is a fault of the whole body.
fn refused(refusal: Refusal, body: &Value) -> Failure {
    match refusal.kind {
        RefusalKind::NotFound => reply::exception(StatusCode::NOT_FOUND, refusal.detail).into(),
        RefusalKind::Invalid => {
            let fault = Fault {
                kind: "value_error",
                loc: vec![Loc::Field("body".into())],
                msg: format!("Value error, {}", refusal.detail),
                input: body.clone(),
                ctx: Some(json!({"error": {}})),
            };
            reply::faults(&vec![fault], &body.to_string()).into()
        }
        _ => reply::refused(&refusal),
    }
}
