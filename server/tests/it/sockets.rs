//! Events in and out over WebSocket. The pong is the acknowledgement.

use crate::support::{Server, event};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, client::ClientRequestBuilder};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Long enough for a slow machine, short enough for a person.
const PATIENCE: Duration = Duration::from_secs(20);

async fn connect(server: &Server, path: &str) -> Client {
    let uri = format!("ws://{}{path}", server.address).parse().expect("an address");
    let request = ClientRequestBuilder::new(uri).into_client_request().expect("a request");
    connect_async(request).await.expect("an upgrade").0
}

async fn connect_as_prefect(server: &Server, path: &str) -> Client {
    let mut request = format!("ws://{}{path}", server.address).into_client_request().expect("a request");
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("prefect"));
    let (mut client, response) = connect_async(request).await.expect("an upgrade");
    assert_eq!(response.headers()["sec-websocket-protocol"], "prefect");
    send(&mut client, json!({"type": "auth", "token": null})).await;
    assert_eq!(next_json(&mut client).await, json!({"type": "auth_success"}));
    client
}

async fn send(client: &mut Client, value: Value) {
    client.send(Message::text(value.to_string())).await.expect("sent");
}

async fn next(client: &mut Client) -> Message {
    let next = tokio::time::timeout(PATIENCE, client.next()).await.expect("a message in time");
    next.expect("the connection is open").expect("a message")
}

async fn next_json(client: &mut Client) -> Value {
    match next(client).await {
        Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
        other => panic!("a text was expected, not {other:?}"),
    }
}

/// Pings, and gives what comes before the pong.
async fn checkpoint(client: &mut Client, payload: &'static str) -> Vec<Message> {
    client.send(Message::Ping(Bytes::from_static(payload.as_bytes()))).await.expect("sent");
    let mut before = Vec::new();
    loop {
        match next(client).await {
            Message::Pong(answer) if answer == payload.as_bytes() => return before,
            other => before.push(other),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pong_comes_when_everything_before_is_stored_and_nothing_else_is_sent() {
    let server = Server::start().await;
    let mut client = connect_as_prefect(&server, "/api/events/in").await;
    for number in 1..=2_000 {
        client.feed(Message::text(event(number, "in").to_string())).await.expect("sent");
        if number == 1_000 {
            client.feed(Message::text("not an event")).await.expect("sent");
        }
    }
    assert_eq!(checkpoint(&mut client, "here").await, []);
    let (_, counted) =
        server.post("/api/events/filter", json!({"filter": {"event": {"name": ["in"]}}, "limit": 1})).await;
    assert_eq!(counted["total"], 2_000);
    assert_eq!(server.stored("pavlov.event.refused").await.len(), 1);
    // A ping with nothing before it is answered at once.
    assert_eq!(checkpoint(&mut client, "again").await, []);
    client.close(None).await.expect("closed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_frames_are_refused_alone_and_answered_if_asked_for() {
    let server = Server::start().await;
    let mut client = connect(&server, "/api/events/in?replies=1").await;
    let large = format!("\"{}\"", "x".repeat(3 << 20));
    for message in [
        Message::text("{"),
        Message::text(event(1, "in").to_string()),
        Message::binary(vec![1, 2]),
        Message::text(large),
        Message::text(json!({"event": "in"}).to_string()),
        Message::text(event(2, "in").to_string()),
    ] {
        client.send(message).await.expect("sent");
    }
    let mut types = Vec::new();
    for _ in 0..6 {
        let reply = next_json(&mut client).await;
        assert_eq!(reply["type"] == "refused", reply["faults"].is_array());
        types.push(reply["type"].as_str().expect("a type").to_owned());
    }
    assert_eq!(types, ["refused", "accepted", "refused", "refused", "refused", "accepted"]);
    assert_eq!(server.stored("in").await.len(), 2);
    assert_eq!(server.stored("pavlov.event.refused").await.len(), 4);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_stored_before_the_goodbye_is_answered() {
    let server = Server::start().await;
    let mut client = connect(&server, "/api/events/in").await;
    for number in 1..=500 {
        client.feed(Message::text(event(number, "in").to_string())).await.expect("sent");
    }
    client.close(None).await.expect("sent");
    while let Some(Ok(message)) =
        tokio::time::timeout(PATIENCE, client.next()).await.expect("an answer in time")
    {
        assert!(message.is_close(), "{message:?}");
    }
    let (_, counted) =
        server.post("/api/events/filter", json!({"filter": {"event": {"name": ["in"]}}, "limit": 1})).await;
    assert_eq!(counted["total"], 500);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_greet_or_ask_rightly_is_told_why() {
    let server = Server::start().await;
    let mut request =
        format!("ws://{}/api/events/in", server.address).into_client_request().expect("a request");
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("other, prefect"));
    let mut client = connect_async(request).await.expect("an upgrade").0;
    send(&mut client, event(1, "in")).await;
    expect_close(&mut client, CloseCode::Policy, "Expected 'auth' message").await;

    for (frame, reason) in [
        (json!({"type": "hello"}), "Expected 'filter' message"),
        (json!({"type": "filter", "filter": {"x": 1}}), "Invalid filter: filter.x"),
    ] {
        let mut client = connect_as_prefect(&server, "/api/events/out").await;
        send(&mut client, frame).await;
        expect_close(&mut client, CloseCode::Protocol, reason).await;
    }
    assert_eq!(server.get("/api/events/in").await.0, 426);
    server.stop().await;
}

async fn expect_close(client: &mut Client, code: CloseCode, reason: &str) {
    match next(client).await {
        Message::Close(Some(frame)) => {
            assert_eq!(frame.code, code);
            assert!(frame.reason.starts_with(reason), "{}", frame.reason);
        }
        other => panic!("a goodbye was expected, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_get_the_past_and_then_everything_once_and_in_order() {
    let server = Server::start().await;
    let events: Vec<Value> = (1..=1_500).map(|number| event(number, "out")).collect();
    for batch in events[..500].chunks(100) {
        assert_eq!(server.post("/api/events", json!(batch)).await.0, 204);
    }
    let mut clients = Vec::new();
    let later = events[500..].chunks(50);
    for (index, batch) in later.enumerate() {
        if index % 5 == 0 {
            let mut client = connect_as_prefect(&server, "/api/events/out").await;
            send(&mut client, json!({"type": "filter", "filter": {"event": {"name": ["out"]}}})).await;
            clients.push(client);
        }
        let other: Vec<Value> = (0..3).map(|n| event(10_000 + index as u128 * 10 + n, "other")).collect();
        assert_eq!(server.post("/api/events", json!(other)).await.0, 204);
        assert_eq!(server.post("/api/events", json!(batch)).await.0, 204);
    }
    for client in &mut clients {
        for expected in &events {
            let frame = next_json(client).await;
            assert_eq!((&frame["type"], &frame["event"]["id"]), (&json!("event"), &expected["id"]));
        }
    }
    // Without backfill there is only what comes.
    let mut live = connect(&server, "/api/events/out").await;
    send(&mut live, json!({"type": "filter", "filter": {}, "backfill": false})).await;
    assert_eq!(checkpoint(&mut live, "x").await, []);
    server.post("/api/events", json!([event(9_999, "new")])).await;
    assert_eq!(next_json(&mut live).await["event"]["event"], "new");
    // A stop is a goodbye.
    let stopping = tokio::spawn(server.stop());
    loop {
        match next(&mut live).await {
            Message::Close(Some(frame)) => {
                assert_eq!(frame.code, CloseCode::Away);
                break;
            }
            other => assert!(other.is_text() || other.is_ping(), "{other:?}"),
        }
    }
    drop((live, clients));
    stopping.await.expect("stopped");
}
