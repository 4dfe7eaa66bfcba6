//! `/api/block_schemas/…` and `/api/block_capabilities/`, Prefect's routes.

use super::blocks::{carry_out, created, parse, refused};
use super::page;
use crate::body;
use crate::door::Door;
use crate::query;
use crate::reply::{self, Answer};
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use pavlov_orchestrator::block::{BlockCommand, parse as read};
use std::sync::Arc;

/// `POST /api/block_schemas/`: 201, or 200 with the one that is there already.
pub async fn create(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let body = body::required_json(request).await?;
    let command = parse(&body, read::create_schema(&body))?;
    let told = carry_out(&door, command).await?;
    Ok(if told.changed { created(&told) } else { reply::ok(&told.body) })
}

/// `GET /api/block_schemas/{id}`.
pub async fn read(State(door): State<Arc<Door>>, Path(id): Path<String>) -> Answer {
    let id = query::id(&id)?;
    Ok(reply::ok(&door.engine.read(|state| state.blocks.read_schema(id)).map_err(refused)?))
}

/// `GET /api/block_schemas/checksum/{checksum}`, with `?version=` of that version alone.
pub async fn read_by_checksum(
    State(door): State<Arc<Door>>,
    Path(checksum): Path<String>,
    uri: Uri,
) -> Answer {
    let version = query::get(&uri, "version");
    let found = door.engine.read(|state| state.blocks.read_schema_by_checksum(&checksum, version.as_deref()));
    Ok(reply::ok(&found.map_err(refused)?))
}

/// `DELETE /api/block_schemas/{id}`: 204.
pub async fn delete(State(door): State<Arc<Door>>, Path(id): Path<String>) -> Answer {
    let id = query::id(&id)?;
    carry_out(&door, BlockCommand::DeleteSchema { id }).await?;
    Ok(reply::no_content())
}

/// `POST /api/block_schemas/filter`.
pub async fn filter(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let body = body::parts_json(request, &["limit", "block_schemas", "offset"]).await?;
    let limit = page::limit(&body)?;
    let query = parse(&body, read::schema_query(&body))?;
    Ok(reply::ok(&door.engine.read(|state| state.blocks.read_schemas(&query, limit))))
}

/// `GET /api/block_capabilities/`.
pub async fn capabilities(State(door): State<Arc<Door>>) -> Answer {
    Ok(reply::ok(&door.engine.read(|state| state.blocks.read_capabilities())))
}
