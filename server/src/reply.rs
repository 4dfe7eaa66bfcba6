//! Answers: the only place where refusals and failures become status codes, in the genuine server's shapes.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{Response as HttpResponse, StatusCode};
use axum::response::{IntoResponse, Response};
use pavlov_engine::{Refusal, RefusalKind, SubmitError};
use pavlov_events::Faults;
use serde::Serialize;
use serde_json::{Value, json};

/// Bodies up to this size are told back to their sender in a refusal.
const ECHO_BYTES_MAX: usize = 1 << 20;

/// An answer that ends a request early; boxed, because it travels through every `?`.
#[derive(Debug)]
pub struct Failure(Box<Response>);

/// What a handler gives.
pub type Answer = Result<Response, Failure>;

impl From<Response> for Failure {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// JSON text as it is.
pub fn text(status: StatusCode, json: impl Into<Body>) -> Response {
    let mut response = HttpResponse::new(json.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A value as JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text_of = serde_json::to_vec(value).expect("answers are plain data with text keys");
    text(status, text_of)
}

/// 200 with a value.
pub fn ok(value: &impl Serialize) -> Response {
    json(StatusCode::OK, value)
}

/// 204 without a body.
pub fn no_content() -> Response {
    let mut response = HttpResponse::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// `{"detail": …}`, FastAPI's own shape.
pub fn detail(status: StatusCode, detail: impl Into<String>) -> Response {
    json(status, &json!({"detail": detail.into()}))
}

/// `{"exception_message": …}`, the shape of Prefect's own handlers.
pub fn exception(status: StatusCode, message: impl Into<String>) -> Response {
    json(status, &json!({"exception_message": message.into()}))
}

/// 404 of a path, or of a part of one that is no id.
pub fn not_found() -> Response {
    detail(StatusCode::NOT_FOUND, "Not Found")
}

/// 422 with all faults. `body` is the request's JSON text, or a value that stands for it.
pub fn faults(faults: &Faults, body: &str) -> Response {
    let mut out = Vec::with_capacity(512 + body.len());
    out.extend_from_slice(b"{\"exception_message\":\"Invalid request received.\",\"exception_detail\":");
    serde_json::to_writer(&mut out, faults).expect("faults are plain data");
    out.extend_from_slice(b",\"request_body\":");
    if body.len() <= ECHO_BYTES_MAX {
        out.extend_from_slice(body.as_bytes());
    } else {
        let note = format!("{} bytes, more than {ECHO_BYTES_MAX} are not repeated", body.len());
        out.extend_from_slice(json!(note).to_string().as_bytes());
    }
    out.push(b'}');
    text(StatusCode::UNPROCESSABLE_ENTITY, out)
}

/// 422 with all faults of a body that was parsed.
pub fn body_faults(found: &Faults, body: &Option<Value>) -> Failure {
    let shown = body.as_ref().map_or_else(|| "null".to_owned(), Value::to_string);
    faults(found, &shown).into()
}

/// A failure of ours: the details go to the log, not to the client.
pub fn internal(doing: &str, error: &dyn std::error::Error) -> Failure {
    tracing::error!(doing, error = pavlov_engine::error::chain(error), "a request failed");
    exception(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error").into()
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        let mut response = match &error {
            SubmitError::Busy { .. } | SubmitError::Stopped => {
                exception(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
            }
            SubmitError::DiskFull { .. } => exception(StatusCode::INSUFFICIENT_STORAGE, error.to_string()),
            SubmitError::TooLarge { .. } => exception(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            _ => exception(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        };
        let seconds = match error {
            SubmitError::Busy { retry_after_seconds } => Some(retry_after_seconds),
            // A restart takes about that long.
            SubmitError::Stopped => Some(5),
            _ => None,
        };
        if let Some(seconds) = seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.into()
    }
}

/// The status of a refusal by the machine.
pub fn status_of(kind: RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::Conflict => StatusCode::CONFLICT,
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
        RefusalKind::Invalid => StatusCode::BAD_REQUEST,
    }
}

/// A refusal in FastAPI's shape.
pub fn refused(refusal: &Refusal) -> Failure {
    detail(status_of(refusal.kind), refusal.detail.as_str()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_submission_error_has_its_status_and_busy_says_when_to_come_again() {
        for (error, status, retry_after) in [
            (SubmitError::Busy { retry_after_seconds: 2 }, 503, Some("2")),
            (SubmitError::Stopped, 503, Some("5")),
            (SubmitError::DiskFull { free_percent: 3.0 }, 507, None),
            (SubmitError::TooLarge { bytes: 9, bytes_max: 8 }, 413, None),
            (SubmitError::Internal, 500, None),
        ] {
            let response = Failure::from(error).into_response();
            assert_eq!(response.status().as_u16(), status);
            let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            assert_eq!(header, retry_after);
        }
    }
}
