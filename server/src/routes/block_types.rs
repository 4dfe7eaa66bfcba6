//! `/api/block_types/…`, Prefect's routes.

use super::blocks::{self, carry_out, created, include_secrets, parse, refused};
use super::page;
use crate::body;
use crate::door::Door;
use crate::query;
use crate::reply::{self, Answer};
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use pavlov_orchestrator::block::{BlockCommand, parse as read};
use serde_json::Value;
use std::sync::Arc;

/// `POST /api/block_types/`: 201.
pub async fn create(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let body = body::required_json(request).await?;
    let command = parse(&body, read::create_type(&body))?;
    Ok(created(&carry_out(&door, command).await?))
}

/// `GET /api/block_types/{id}`.
pub async fn read(State(door): State<Arc<Door>>, Path(id): Path<String>) -> Answer {
    let id = query::id(&id)?;
    Ok(reply::ok(&door.engine.read(|state| state.blocks.read_type(id)).map_err(refused)?))
}

/// `GET /api/block_types/slug/{slug}`.
pub async fn read_by_slug(State(door): State<Arc<Door>>, Path(slug): Path<String>) -> Answer {
    Ok(reply::ok(&door.engine.read(|state| state.blocks.read_type_by_slug(&slug)).map_err(refused)?))
}

/// `PATCH /api/block_types/{id}`: 204.
pub async fn update(State(door): State<Arc<Door>>, Path(id): Path<String>, request: Request) -> Answer {
    let id = query::id(&id)?;
    let body = body::required_json(request).await?;
    let command = parse(&body, read::update_type(id, &body))?;
    carry_out(&door, command).await?;
    Ok(reply::no_content())
}

/// `DELETE /api/block_types/{id}`: 204.
pub async fn delete(State(door): State<Arc<Door>>, Path(id): Path<String>) -> Answer {
    let id = query::id(&id)?;
    carry_out(&door, BlockCommand::DeleteType { id }).await?;
    Ok(reply::no_content())
}

/// `POST /api/block_types/filter`.
pub async fn filter(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let body = body::parts_json(request, &["limit", "block_types", "block_schemas", "offset"]).await?;
    let limit = page::limit(&body)?;
    let query = parse(&body, read::type_query(&body))?;
    Ok(reply::ok(&door.engine.read(|state| state.blocks.read_types(&query, limit))))
}

/// `GET /api/block_types/slug/{slug}/block_documents`.
pub async fn documents(State(door): State<Arc<Door>>, Path(slug): Path<String>, uri: Uri) -> Answer {
    let secrets = include_secrets(&uri)?;
    let found = door.engine.read(|state| state.blocks.read_documents_of_type(&slug, secrets));
    blocks::documents(&door, found.map_err(refused)?, secrets)
}

/// `GET /api/block_types/slug/{slug}/block_documents/name/{block_document_name}`.
pub async fn document(
    State(door): State<Arc<Door>>,
    Path((slug, name)): Path<(String, String)>,
    uri: Uri,
) -> Answer {
    let secrets = include_secrets(&uri)?;
    let found = door.engine.read(|state| state.blocks.read_document_by_name(&slug, &name, secrets));
    blocks::documents(&door, found.map_err(refused)?, secrets)
}

/// `POST /api/block_types/install_system_block_types`: puts back what was removed of the protected types.
pub async fn install(State(door): State<Arc<Door>>) -> Answer {
    carry_out(&door, BlockCommand::InstallSystemTypes { protected_only: true }).await?;
    Ok(reply::ok(&Value::Null))
}
