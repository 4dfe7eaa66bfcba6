//! What a client asks first: is it there, is it ready, which version.

use crate::door::Door;
use crate::query;
use crate::reply::{self, Answer};
use crate::version::{API_VERSION, PAVLOV_VERSION, PREFECT_VERSION};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

/// `GET /api/health`: `true`, or 503 once the engine has stopped by itself.
pub async fn health(State(door): State<Arc<Door>>) -> Response {
    match &door.engine.progress().borrow().failure {
        None => reply::ok(&true),
        Some(reason) => reply::exception(StatusCode::SERVICE_UNAVAILABLE, reason.as_str()),
    }
}

/// `GET /api/ready`: whether everything acknowledged earlier is in force again and records are stored.
pub async fn ready(State(door): State<Arc<Door>>) -> Response {
    let (ready, failed) = {
        let progress = door.engine.progress();
        let progress = progress.borrow();
        (progress.ready, progress.failure.is_some())
    };
    let message = match (ready, failed, door.engine.log_status().healthy) {
        (true, false, true) => return reply::ok(&json!({"message": "OK"})),
        (_, true, _) => "The engine has stopped",
        (false, ..) => "The log is being read",
        _ => "The log stores no records just now",
    };
    reply::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"message": message}))
}

/// `GET /api/hello`.
pub async fn hello() -> Response {
    reply::ok(&"👋")
}

/// `GET /api/version`: the version of Prefect's API.
pub async fn api_version() -> Response {
    reply::ok(&API_VERSION)
}

/// `GET /api/admin/version`: the Prefect version whose behaviour is kept.
pub async fn prefect_version() -> Response {
    reply::ok(&PREFECT_VERSION)
}

/// `GET /api/pavlov/version`: our own.
pub async fn pavlov_version() -> Response {
    reply::ok(&PAVLOV_VERSION)
}

/// `GET /api/csrf-token`: clients take exactly this answer as leave to go on without tokens.
pub async fn csrf_token(uri: Uri) -> Answer {
    query::required(&uri, "client")?;
    Ok(reply::detail(StatusCode::UNPROCESSABLE_ENTITY, "CSRF protection is disabled."))
}
