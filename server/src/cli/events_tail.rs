//! `events tail`: events as they become known, over the WebSocket `/events/out`.

use super::client::{Client, plain};
use super::error::CliError;
use super::events::{Which, ago};
use super::output::Output;
use super::units;
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Ids that are remembered, so that what comes again after a lost connection is shown once.
const SHOWN_MAX: usize = 10_000;
/// Longest pause before connecting again.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// A connection that is silent for so long is asked whether it is still there.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Which events, and from when.
#[derive(Debug, Args)]
#[command(
    after_help = "With --output json each event is one line. A lost connection is made again, and what was \
                        missed meanwhile is shown; interrupt with Ctrl-C."
)]
pub struct Tail {
    #[command(flatten)]
    which: Which,
    /// Show first what occurred within this span: 30s, 5m, 1h
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    since: Option<Duration>,
    /// End after so many events
    #[arg(long)]
    limit: Option<usize>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why a connection ended.
enum End {
    /// Enough was shown.
    Enough,
    /// It broke.
    Lost(String),
}

/// What was shown.
#[derive(Default)]
struct Shown {
    ids: VecDeque<String>,
    count: usize,
    last_occurred: Option<String>,
}

impl Tail {
    /// Shows events until it is interrupted or the limit is reached.
    ///
    /// # Errors
    /// When the *first* connection does not come about; later ones are tried again for ever.
    pub async fn run(&self, client: &Client, out: &Output) -> Result<(), CliError> {
        let mut shown = Shown::default();
        let mut socket = self.connect(client, self.since.map(ago)).await?;
        loop {
            let reason = match self.follow(&mut socket, &mut shown, out).await? {
                End::Enough => {
                    // The server sees the end of the connection in any case.
                    let _closed = socket.close(None).await;
                    return Ok(());
                }
                End::Lost(reason) => reason,
            };
            let since = shown.last_occurred.clone().or_else(|| Some(ago(self.since.unwrap_or_default())));
            out.note(&format!("the connection is lost ({reason}); connecting again"));
            let mut pause = Duration::from_secs(1);
            socket = loop {
                tokio::time::sleep(pause).await;
                match self.connect(client, since.clone()).await {
                    Ok(socket) => break socket,
                    Err(_) => pause = (pause * 2).min(PAUSE_MAX),
                }
            };
            out.note("connected again");
        }
    }

    async fn connect(&self, client: &Client, since: Option<String>) -> Result<Socket, CliError> {
        let url = client.url("/events/out");
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(CliError::Usage("`events tail` speaks plain http:// only, for now".into()));
        };
        let unreachable = |error: &dyn std::fmt::Display| {
            CliError::Unreachable(format!(
                "cannot follow events at {url}: {error}; is the server there? `pavlov status`"
            ))
        };
        let mut request =
            format!("ws://{rest}").into_client_request().map_err(|error| unreachable(&error))?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("prefect"));
        let (mut socket, _) =
            tokio_tungstenite::connect_async(request).await.map_err(|error| unreachable(&error))?;
        let mut filter = self.which.filter()?;
        let backfill = since.is_some();
        if let Some(since) = since {
            filter["occurred"] = json!({"since": since});
        }
        let asks = [
            json!({"type": "auth", "token": null}),
            json!({"type": "filter", "filter": filter, "backfill": backfill}),
        ];
        for (index, ask) in asks.into_iter().enumerate() {
            socket.send(Message::text(ask.to_string())).await.map_err(|error| unreachable(&error))?;
            if index == 0 {
                let answer = socket.next().await;
                let text = match &answer {
                    Some(Ok(Message::Text(text))) => text.as_str(),
                    _ => "",
                };
                if serde_json::from_str::<Value>(text).is_ok_and(|value| value["type"] == "auth_success") {
                    continue;
                }
                return Err(CliError::Refused(format!(
                    "the server does not let us follow events: {}",
                    shown_end(answer.as_ref())
                )));
            }
        }
        Ok(socket)
    }

    async fn follow(&self, socket: &mut Socket, shown: &mut Shown, out: &Output) -> Result<End, CliError> {
        let mut asked = false;
        loop {
            let message = match tokio::time::timeout(SILENCE_MAX, socket.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(ended) => return Ok(End::Lost(shown_end(ended.as_ref()))),
                Err(_) if asked => return Ok(End::Lost("no answer".into())),
                Err(_) => {
                    asked = true;
                    if let Err(error) = socket.send(Message::Ping(Vec::new().into())).await {
                        return Ok(End::Lost(error.to_string()));
                    }
                    continue;
                }
            };
            asked = false;
            match message {
                Message::Close(frame) => {
                    return Ok(End::Lost(
                        frame.map_or_else(|| "closed".into(), |frame| frame.reason.to_string()),
                    ));
                }
                Message::Text(text) => {
                    let Ok(mut value) = serde_json::from_str::<Value>(&text) else { continue };
                    let event = value["event"].take();
                    if value["type"] == "event" && shown.is_new(&event) {
                        show(&event, out)?;
                        if self.limit.is_some_and(|limit| shown.count >= limit) {
                            return Ok(End::Enough);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

impl Shown {
    /// Notes an event; `false` when it was shown before.
    fn is_new(&mut self, event: &Value) -> bool {
        let id = plain(&event["id"]);
        if self.ids.contains(&id) {
            return false;
        }
        if self.ids.len() == SHOWN_MAX {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
        self.count += 1;
        self.last_occurred = Some(plain(&event["occurred"]));
        true
    }
}

fn show(event: &Value, out: &Output) -> Result<(), CliError> {
    if out.is_json() {
        return out.raw(&format!("{event}\n"));
    }
    let time = super::output::when("/occurred")(event);
    let resource = plain(&event["resource"]["prefect.resource.id"]);
    let payload = match &event["payload"] {
        Value::Object(fields) if fields.is_empty() => String::new(),
        payload => format!("  {}", payload.to_string().chars().take(120).collect::<String>()),
    };
    out.text(&format!("{time}  {}  {resource}{payload}\n", plain(&event["event"])))
}

fn shown_end(message: Option<&Result<Message, tokio_tungstenite::tungstenite::Error>>) -> String {
    match message {
        None => "the connection ended".into(),
        Some(Err(error)) => error.to_string(),
        Some(Ok(Message::Close(Some(frame)))) => frame.reason.to_string(),
        Some(Ok(message)) => message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Format;
    use tokio_tungstenite::accept_hdr_async;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

    #[expect(clippy::result_large_err, reason = "the library's signature")]
    fn with_protocol(
        request: &Request,
        mut response: Response,
    ) -> Result<Response, tokio_tungstenite::tungstenite::handshake::server::ErrorResponse> {
        assert_eq!(request.uri().path(), "/api/events/out");
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("prefect"));
        Ok(response)
    }

    /// Two connections: the first breaks after one event, the second repeats it and sends another.
    #[tokio::test]
    async fn a_lost_connection_is_made_again_and_nothing_is_shown_twice() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let event = |id: u32| {
            json!({"type": "event", "event": {"id": id, "event": "x", "occurred": "2026-11-20T20:04:21Z"}})
                .to_string()
        };
        let server = tokio::spawn(async move {
            let mut filters = Vec::new();
            for events in [vec![event(1)], vec![event(1), event(2)]] {
                let (stream, _) = listener.accept().await.expect("a client");
                let mut socket = accept_hdr_async(stream, with_protocol).await.expect("a handshake");
                let auth = socket.next().await.expect("a frame").expect("auth");
                assert!(auth.to_string().contains("\"auth\""));
                socket.send(Message::text("{\"type\":\"auth_success\"}")).await.expect("sent");
                let filter = socket.next().await.expect("a frame").expect("a filter").to_string();
                filters.push(serde_json::from_str::<Value>(&filter).expect("JSON"));
                for event in events {
                    socket.send(Message::text(event)).await.expect("sent");
                }
            }
            filters
        });
        let client = Client::new(&format!("http://{address}/api")).expect("an address");
        let which = Which { name: vec!["x".into()], ..Which::default() };
        let tail = Tail { which, since: None, limit: Some(2) };
        tail.run(&client, &Output::new(Format::Json)).await.expect("two events");
        let filters = server.await.expect("no panic");
        assert_eq!(
            filters[0],
            json!({"type": "filter", "filter": {"event": {"name": ["x"]}}, "backfill": false})
        );
        assert_eq!(filters[1]["filter"]["occurred"]["since"], "2026-11-20T20:04:21Z");
        assert_eq!(filters[1]["backfill"], true);
    }
}
