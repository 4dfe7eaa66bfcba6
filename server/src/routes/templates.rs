//! `POST /api/templates/validate`: the body is the template, as a JSON string.

use crate::body;
use crate::reply::{self, Answer};
use axum::extract::Request;
use axum::http::StatusCode;
use pavlov_actions::template;
use pavlov_events::{Faults, Reader};

/// 204 for a good template, 422 with line and message for another.
pub async fn validate(request: Request) -> Answer {
    let given = body::json(request).await?;
    let mut faults = Faults::new();
    let text = match &given {
        None => Some(String::new()),
        Some(value) => Reader::new(value, "body", &mut faults).string(),
    };
    let Some(text) = text else { return Err(reply::body_faults(&faults, &given)) };
    match template::validate(&text) {
        Ok(()) => Ok(reply::no_content()),
        Err(fault) => Ok(reply::json(StatusCode::UNPROCESSABLE_ENTITY, &fault.to_value(&text))),
    }
}
