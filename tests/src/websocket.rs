//! A blocking WebSocket client.

use serde_json::{Value, json};
use std::net::TcpStream;
use std::time::Duration;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

const PATIENCE: Duration = Duration::from_secs(60);

/// A connection.
#[derive(Debug)]
pub struct Socket(WebSocket<TcpStream>);

impl Socket {
    /// Connects as Prefect's clients do: with their subprotocol and greeting.
    ///
    /// # Panics
    /// When the server does not take it.
    pub fn connect(address: &str, path: &str) -> Self {
        let mut request = format!("ws://{address}{path}").into_client_request().expect("a request");
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("prefect"));
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let (socket, _) = client(request, stream).expect("an upgrade");
        let mut connected = Self(socket);
        connected.send(&json!({"type": "auth", "token": null}));
        assert_eq!(connected.receive(), json!({"type": "auth_success"}));
        connected
    }

    /// Sends a frame.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn send(&mut self, value: &Value) {
        self.send_text(&value.to_string());
    }

    /// Sends any text as a frame.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn send_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("sent");
    }

    /// The next text frame as JSON.
    ///
    /// # Panics
    /// When none comes.
    pub fn receive(&mut self) -> Value {
        loop {
            match self.0.read().expect("a frame in time") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("a text was expected, not {other:?}"),
            }
        }
    }

    /// Pings and waits for the pong; gives the frames that came before it.
    ///
    /// # Panics
    /// When no pong comes.
    pub fn checkpoint(&mut self) -> Vec<String> {
        self.0.send(Message::Ping("checkpoint".into())).expect("sent");
        let mut before = Vec::new();
        loop {
            match self.0.read().expect("a pong in time") {
                Message::Pong(payload) if payload == "checkpoint" => return before,
                other => before.push(other.to_string()),
            }
        }
    }
}
