//! Reading request bodies: limits on size and patience, and FastAPI's way with JSON.

use crate::reply::{self, Failure};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use pavlov_events::{Fault, Faults, Loc};
use serde_json::{Value, json};
use std::time::Duration;

/// Bytes of one request body.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// A sender that says nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// And so is one that takes so long in all: 16 MB at 55 KB/s.
const BODY_TIME_MAX: Duration = Duration::from_secs(300);

/// What is read of a body that is too large, before its sender is told so.
const DISCARDED_BYTES_MAX: usize = 128 << 20;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(10);

/// Reads a whole body.
///
/// # Errors
/// 413 over [`BODY_BYTES_MAX`], 408 for a sender that stops or trickles, 400 for a broken transfer.
pub async fn read(request: Request) -> Result<Bytes, Failure> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut chunks = request.into_body().into_data_stream();
    if announced.is_some_and(|length: u64| length > BODY_BYTES_MAX as u64) {
        discard(&mut chunks).await;
        return Err(too_large());
    }
    let Some(first) = next_chunk(&mut chunks).await? else { return Ok(Bytes::new()) };
    if announced == Some(first.len() as u64) {
        return Ok(first);
    }
    if first.len() > BODY_BYTES_MAX {
        return Err(too_large());
    }
    tokio::time::timeout(BODY_TIME_MAX, gather(first, chunks)).await.map_err(|_| too_slow())?
}

/// A body as FastAPI reads it: `None` without one, a JSON value if the content type says JSON or nothing,
/// else the body as a string.
///
/// # Errors
/// 422 for malformed JSON, 400 for bad UTF-8.
pub fn parse(headers: &HeaderMap, bytes: &Bytes) -> Result<Option<Value>, Failure> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = utf8(bytes)?;
    if !is_json(headers) {
        return Ok(Some(Value::String(text.to_owned())));
    }
    match serde_json::from_str(text) {
        Ok(Value::Null) => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(not_json(text, &error)),
    }
}

/// Reads and parses a whole body.
pub async fn json(request: Request) -> Result<Option<Value>, Failure> {
    let headers = request.headers().clone();
    let bytes = read(request).await?;
    parse(&headers, &bytes)
}

/// A body that must be there, for a route whose one model is the body.
pub async fn required_json(request: Request) -> Result<Value, Failure> {
    json(request).await?.ok_or_else(|| {
        let missing = vec![missing(vec![Loc::Field("body".into())])];
        reply::faults(&missing, "null").into()
    })
}

/// A body that is an object of the named parts and may be missing as a whole.
pub async fn parts_json(request: Request, names: &[&str]) -> Result<Value, Failure> {
    match json(request).await? {
        None => Ok(json!({})),
        Some(value @ Value::Object(_)) => Ok(value),
        Some(other) => {
            let found =
                names.iter().map(|name| missing(vec![Loc::Field("body".into()), Loc::Field((*name).into())]));
            Err(reply::body_faults(&found.collect(), &Some(other)))
        }
    }
}

/// Whether a content type says JSON; without one, JSON is assumed.
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return true };
    let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json") || media.to_ascii_lowercase().ends_with("+json")
}

/// The body's text.
pub fn utf8(bytes: &Bytes) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(|error| {
        let why = format!("There was an error parsing the body: {error}");
        reply::detail(StatusCode::BAD_REQUEST, why).into()
    })
}

/// The fault of something that is not there.
pub fn missing(loc: Vec<Loc>) -> Fault {
    Fault { kind: "missing", loc, msg: "Field required".into(), input: Value::Null, ctx: None }
}

fn not_json(text: &str, error: &serde_json::Error) -> Failure {
    let before: usize = text.lines().take(error.line().saturating_sub(1)).map(|line| line.len() + 1).sum();
    let fault = Fault {
        kind: "json_invalid",
        loc: vec![Loc::Field("body".into()), Loc::Index(before + error.column().saturating_sub(1))],
        msg: "JSON decode error".into(),
        input: json!({}),
        ctx: Some(json!({"error": error.to_string()})),
    };
    reply::faults(&Faults::from([fault]), &Value::from(text).to_string()).into()
}

/// Reads on for a while without keeping anything: a client that is still writing when the connection ends
/// sees a broken pipe instead of the answer.
async fn discard(chunks: &mut Chunks) {
    let mut left = DISCARDED_BYTES_MAX;
    let reading = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    };
    // Who is slower than that, or sends more, has to live with the broken pipe.
    let _too_slow = tokio::time::timeout(DISCARD_TIME_MAX, reading).await;
}

type Chunks = axum::body::BodyDataStream;

async fn next_chunk(chunks: &mut Chunks) -> Result<Option<Bytes>, Failure> {
    match tokio::time::timeout(SILENCE_MAX, chunks.next()).await {
        Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
        Ok(Some(Err(error))) => {
            Err(reply::detail(StatusCode::BAD_REQUEST, format!("the body ended too early: {error}")).into())
        }
        Ok(None) => Ok(None),
        Err(_elapsed) => Err(too_slow()),
    }
}

async fn gather(first: Bytes, mut chunks: Chunks) -> Result<Bytes, Failure> {
    let mut all = BytesMut::from(first);
    while let Some(chunk) = next_chunk(&mut chunks).await? {
        if all.len() + chunk.len() > BODY_BYTES_MAX {
            discard(&mut chunks).await;
            return Err(too_large());
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

fn too_large() -> Failure {
    let message = format!("the request body is larger than {BODY_BYTES_MAX} bytes");
    reply::exception(StatusCode::PAYLOAD_TOO_LARGE, message).into()
}

fn too_slow() -> Failure {
    let message = format!("the request body did not arrive: {} s of silence", SILENCE_MAX.as_secs());
    reply::exception(StatusCode::REQUEST_TIMEOUT, message).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::response::IntoResponse;

    fn request(content_type: Option<&str>, body: impl Into<Body>) -> Request {
        let builder = axum::http::Request::builder();
        let builder = content_type.into_iter().fold(builder, |b, value| b.header(CONTENT_TYPE, value));
        builder.body(body.into()).expect("a request")
    }

    #[tokio::test]
    async fn bodies_are_read_as_fastapi_reads_them() {
        for (content_type, body, expected) in [
            (None, "[1]", Some(json!([1]))),
            (Some("application/json; charset=utf-8"), "{}", Some(json!({}))),
            (Some("application/cloudevents+json"), "{}", Some(json!({}))),
            (Some("text/plain"), "[1]", Some(json!("[1]"))),
            (Some("application/json"), "null", None),
            (Some("application/json"), "", None),
        ] {
            let read = json(request(content_type, body)).await.expect("fine");
            assert_eq!(read, expected, "{content_type:?} {body}");
        }
    }

    #[tokio::test]
    async fn bad_bodies_have_their_status() {
        let deep = "[".repeat(200);
        let large = vec![b' '; BODY_BYTES_MAX + 1];
        for (body, status) in
            [(b"{bad".to_vec(), 422), (b"\"\xff\"".to_vec(), 400), (deep.into_bytes(), 422), (large, 413)]
        {
            let failure = json(request(None, body)).await.expect_err("bad");
            assert_eq!(failure.into_response().status().as_u16(), status);
        }
    }

    #[tokio::test]
    async fn a_body_of_the_largest_size_is_taken() {
        let text = format!("\"{}\"", "x".repeat(BODY_BYTES_MAX - 2));
        assert!(json(request(None, text)).await.is_ok());
    }
}
