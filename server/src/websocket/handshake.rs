//! The upgrade of a request, and Prefect's greeting: with the subprotocol `prefect` the first frame is
//! `{"type": "auth", "token": …}` and the answer `{"type": "auth_success"}`; without it, neither is sent.

use super::frame::Message;
use super::socket::{Incoming, Socket};
use crate::door::Door;
use crate::reply::{self, Failure};
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{Response as HttpResponse, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use pavlov_engine::SubmitError;
use serde_json::Value;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A client that does not greet is given up.
const GREETING_TIME_MAX: Duration = Duration::from_secs(30);
/// The subprotocol with a greeting.
const SUBPROTOCOL: &str = "prefect";
/// A policy was broken (RFC 6455 section 7.4.1).
const POLICY_VIOLATION: u16 = 1008;

/// Answers an upgrade and, once the greeting is over, runs `talk` with the socket.
pub fn upgrade<F, T>(door: &Arc<Door>, mut request: Request, talk: F) -> Response
where
    F: FnOnce(Arc<Door>, Socket) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let headers = request.headers();
    let key = headers.get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let fits = has_token(headers, &CONNECTION, "upgrade")
        && has_token(headers, &UPGRADE, "websocket")
        && has_token(headers, &SEC_WEBSOCKET_VERSION, "13");
    let greets = has_token(headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    let (Some(accept), true, Some(on_upgrade)) = (key, fits, request.extensions_mut().remove::<OnUpgrade>())
    else {
        let mut response =
            reply::detail(StatusCode::UPGRADE_REQUIRED, "this route speaks WebSocket, version 13");
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    };
    let Ok(permit) = Arc::clone(&door.sockets).try_acquire_owned() else {
        return Failure::from(SubmitError::Busy { retry_after_seconds: 10 }).into_response();
    };
    let door = Arc::clone(door);
    tokio::spawn(async move {
        let _held_to_the_end = permit;
        let upgraded = match on_upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(%error, "an upgrade did not come to its end"),
        };
        let mut socket = Socket::new(Box::new(TokioIo::new(upgraded)));
        if !greets || greet(&mut socket).await {
            talk(door, socket).await;
        }
    });
    let mut response = HttpResponse::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if greets {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    response
}

/// Takes the first frame and answers it; `false` when the socket was closed instead.
async fn greet(socket: &mut Socket) -> bool {
    let first = tokio::time::timeout(GREETING_TIME_MAX, next_text(socket)).await;
    let is_auth = match first {
        Ok(None) => return false,
        Ok(Some(text)) => serde_json::from_slice::<Value>(&text).is_ok_and(|frame| frame["type"] == "auth"),
        Err(_elapsed) => false,
    };
    if !is_auth {
        socket.close(POLICY_VIOLATION, "Expected 'auth' message").await;
        return false;
    }
    socket.text(br#"{"type":"auth_success"}"#);
    socket.flush().await.is_ok()
}

/// The next text frame; pings before it are answered. `None` when the connection is over.
pub async fn next_text(socket: &mut Socket) -> Option<bytes::Bytes> {
    loop {
        match socket.next().await {
            Incoming::Message(Message::Text(text) | Message::Binary(text)) => return Some(text),
            Incoming::Message(Message::Ping(payload)) => {
                socket.pong(&payload);
                socket.flush().await.ok()?;
            }
            Incoming::Message(Message::Pong | Message::TooLarge { .. }) => {}
            Incoming::Message(Message::Close(code)) => {
                socket.close(code.unwrap_or(1000), "").await;
                return None;
            }
            Incoming::Violation(violation) => {
                socket.close(1002, violation.reason).await;
                return None;
            }
            Incoming::Gone => return None,
        }
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}
