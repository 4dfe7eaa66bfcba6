//! `/api/block_documents/…`, Prefect's routes. Secrets are masked unless they are asked for.

use super::blocks::{carry_out, created, documents, include_secrets, parse, refused};
use super::page;
use crate::body;
use crate::door::Door;
use crate::query;
use crate::reply::{self, Answer};
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use pavlov_orchestrator::block::{BlockCommand, parse as read};
use std::sync::Arc;

/// `POST /api/block_documents/`: 201.
pub async fn create(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let body = body::required_json(request).await?;
    let command = parse(&body, read::create_document(&body))?;
    Ok(created(&carry_out(&door, command).await?))
}

/// `GET /api/block_documents/{id}`.
pub async fn read(State(door): State<Arc<Door>>, Path(id): Path<String>, uri: Uri) -> Answer {
    let (id, secrets) = (query::id(&id)?, include_secrets(&uri)?);
    let found = door.engine.read(|state| state.blocks.read_document(id, secrets));
    documents(&door, found.map_err(refused)?, secrets)
}

/// `PATCH /api/block_documents/{id}`: 204. A masked secret that comes back keeps the old one.
pub async fn update(State(door): State<Arc<Door>>, Path(id): Path<String>, request: Request) -> Answer {
    let id = query::id(&id)?;
    let body = body::required_json(request).await?;
    let command = parse(&body, read::update_document(id, &body))?;
    carry_out(&door, command).await?;
    Ok(reply::no_content())
}

/// `DELETE /api/block_documents/{id}`: 204.
pub async fn delete(State(door): State<Arc<Door>>, Path(id): Path<String>) -> Answer {
    let id = query::id(&id)?;
    carry_out(&door, BlockCommand::DeleteDocument { id }).await?;
    Ok(reply::no_content())
}

/// `POST /api/block_documents/filter`.
pub async fn filter(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let names =
        ["limit", "block_documents", "block_types", "block_schemas", "include_secrets", "sort", "offset"];
    let body = body::parts_json(request, &names).await?;
    let limit = page::limit(&body)?;
    let query = parse(&body, read::document_query(&body))?;
    let found = door.engine.read(|state| state.blocks.read_documents(&query, limit));
    documents(&door, found, query.include_secrets)
}

/// `POST /api/block_documents/count`.
pub async fn count(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let body = body::parts_json(request, &["block_documents", "block_types", "block_schemas"]).await?;
    let query = parse(&body, read::document_count(&body))?;
    Ok(reply::ok(&door.engine.read(|state| state.blocks.count_documents(&query))))
}
