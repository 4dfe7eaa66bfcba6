//! Requests against listeners that answer, refuse, hang, cut the line and stream for ever.

use pavlov_notifier::channel::{CustomWebhook, SlackWebhook};
use pavlov_notifier::outbound::{Care, Policies};
use pavlov_notifier::{Answer, Error, Message, Outbound, Reason, http};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a listener does with each request.
#[derive(Clone)]
enum Manner {
    Answer(String),
    Hang,
    Cut,
    StreamForEver,
}

#[derive(Clone)]
struct Listener {
    port: u16,
    requests: Arc<Mutex<Vec<(String, String)>>>,
    connections: Arc<AtomicUsize>,
}

impl Listener {
    async fn start(manner: Manner) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let listener = Self {
            port: socket.local_addr().expect("bound").port(),
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let own = listener.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                own.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(own.clone().serve(stream, manner.clone()));
            }
        });
        listener
    }

    async fn serve(self, mut stream: TcpStream, manner: Manner) {
        while let Some(request) = read_request(&mut stream).await {
            self.requests.lock().expect("no panic").push(request);
            match &manner {
                Manner::Answer(answer) => stream.write_all(answer.as_bytes()).await.expect("written"),
                Manner::Hang => tokio::time::sleep(Duration::from_secs(3_600)).await,
                Manner::Cut => return,
                Manner::StreamForEver => {
                    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                    stream.write_all(head.as_bytes()).await.expect("written");
                    while stream
                        .write_all(format!("1000\r\n{}\r\n", "x".repeat(4_096)).as_bytes())
                        .await
                        .is_ok()
                    {}
                    return;
                }
            }
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?key=hidden", self.port)
    }

    fn request(&self) -> (String, String) {
        self.requests.lock().expect("no panic").last().cloned().expect("a request came")
    }
}

/// Head and body of one request, or nothing at the end of the connection.
async fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |text| text.parse().expect("a length"));
            if body.len() >= length {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        let mut part = [0; 4_096];
        match stream.read(&mut part).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&part[..count]),
            _ => return None,
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> Manner {
    Manner::Answer(format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()))
}

fn outbound(loopback: bool) -> Outbound {
    Outbound::new(Policies { loopback, networks: Vec::new() })
}

async fn get(outbound: &Outbound, url: &str, timeout: Duration) -> Result<Answer, Error> {
    let url = outbound.url(url, Care::default())?;
    let request = outbound.client(Care::default())?.get(url);
    http::verdict(http::ask(request, timeout).await?)
}

const TIMEOUT: Duration = Duration::from_secs(10);

async fn failure_of(manner: Manner, timeout: Duration) -> Error {
    let listener = Listener::start(manner).await;
    let error = get(&outbound(true), &listener.url(), timeout).await.expect_err("a failure");
    assert!(!error.detail.contains("hidden"), "the address is not told: {error:?}");
    error
}

#[tokio::test]
async fn each_way_to_fail_has_its_reason() {
    let error = failure_of(answer("500 Internal Server Error", "", "oops\nmore"), TIMEOUT).await;
    assert_eq!(
        (error.reason, error.detail.as_str()),
        (Reason::Unreachable, "answered 500 Internal Server Error: oops")
    );
    let error = failure_of(answer("429 Too Many Requests", "retry-after: 7\r\n", ""), TIMEOUT).await;
    assert_eq!((error.reason, error.retry_after), (Reason::RateLimited, Some(Duration::from_secs(7))));
    assert_eq!(failure_of(answer("404 Not Found", "", ""), TIMEOUT).await.reason, Reason::Rejected);
    assert_eq!(failure_of(Manner::Hang, Duration::from_millis(200)).await.reason, Reason::TimedOut);
    assert_eq!(failure_of(Manner::Cut, TIMEOUT).await.reason, Reason::Unreachable);
    assert_eq!(
        failure_of(Manner::Answer("nonsense\r\n\r\n".into()), TIMEOUT).await.reason,
        Reason::Unreachable
    );
    let nobody = get(&outbound(true), "http://127.0.0.1:1/", TIMEOUT).await.expect_err("nobody listens");
    assert_eq!(nobody.reason, Reason::Unreachable);
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let listener = Listener::start(Manner::StreamForEver).await;
    let start = Instant::now();
    let answer = get(&outbound(true), &listener.url(), TIMEOUT).await.expect("the status was fine");
    assert_eq!(answer.body.len(), 64 * 1024);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn addresses_inside_are_refused_at_each_step() {
    let listener = Listener::start(answer("200 OK", "", "")).await;
    let port = listener.port;
    let closed = outbound(false);
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0.0.0.0"] {
        let error = get(&closed, &format!("http://{host}:{port}/"), TIMEOUT).await.expect_err(host);
        assert_eq!(error.reason, Reason::Misconfigured, "{host}: {error:?}");
    }
    let open = outbound(true);
    for url in
        ["http://169.254.169.254/latest", "http://10.0.0.1/", "http://[fd00::1]/", "ftp://8.8.8.8/", "x"]
    {
        assert_eq!(get(&open, url, TIMEOUT).await.expect_err(url).reason, Reason::Misconfigured, "{url}");
    }
    assert_eq!(listener.connections.load(Ordering::Relaxed), 0, "nothing was connected to");
    assert!(get(&open, &format!("http://localhost:{port}/"), TIMEOUT).await.is_ok());
    let listed = Policies { loopback: false, networks: vec!["127.0.0.0/8".parse().expect("a network")] };
    assert!(get(&Outbound::new(listed), &format!("http://localhost:{port}/"), TIMEOUT).await.is_ok());
}

#[tokio::test]
async fn a_block_may_forbid_what_the_settings_allow() {
    let listener = Listener::start(answer("200 OK", "", "ok")).await;
    let send = async |allowed: bool| {
        let block = SlackWebhook::read(&json!({"url": listener.url(), "allow_private_urls": allowed}));
        let message = Message { subject: "s".into(), body: "b".into(), id: "1".into() };
        block.expect("whole").send(&message, &outbound(true), TIMEOUT).await
    };
    assert!(send(true).await.is_ok());
    assert_eq!(send(false).await.expect_err("refused").reason, Reason::Misconfigured);
}

#[tokio::test]
async fn redirects_stay_on_their_host_and_outside() {
    let to = |target: &str| answer("307 Temporary Redirect", &format!("location: {target}\r\n"), "");
    let inside = failure_of(to("http://169.254.169.254/latest"), TIMEOUT).await;
    assert_eq!(inside.reason, Reason::Misconfigured, "{inside:?}");
    let elsewhere = failure_of(to("http://example.org/"), TIMEOUT).await;
    assert_eq!(
        (elsewhere.reason, elsewhere.answer.map(|answer| answer.status)),
        (Reason::Rejected, Some(307))
    );
    let endless = failure_of(to("/again"), TIMEOUT).await;
    assert_eq!(endless.reason, Reason::Misconfigured, "{endless:?}");
    let last = Listener::start(answer("200 OK", "", "here")).await;
    let first = Listener::start(to(&format!("http://127.0.0.1:{}/moved", last.port))).await;
    assert_eq!(get(&outbound(true), &first.url(), TIMEOUT).await.expect("followed").body, "here");
}

#[tokio::test]
async fn connections_are_kept() {
    let listener = Listener::start(answer("200 OK", "", "")).await;
    let outbound = outbound(true);
    for _ in 0..50 {
        get(&outbound, &listener.url(), TIMEOUT).await.expect("answered");
    }
    assert_eq!(listener.connections.load(Ordering::Relaxed), 1);
}

async fn sent(block: Value) -> (String, String) {
    let mut block = block;
    let listener = Listener::start(answer("200 OK", "", "")).await;
    block["url"] = format!("http://127.0.0.1:{}/{{{{team}}}}", listener.port).into();
    let message = Message { subject: "Disk \"full\"".into(), body: "on a1\n&".into(), id: "id-1".into() };
    let webhook = CustomWebhook::read(&block).expect("whole");
    webhook.send(&message, &outbound(true), TIMEOUT).await.expect("answered");
    listener.request()
}

#[tokio::test]
async fn a_custom_webhook_is_filled_in_field_by_field() {
    let (head, body) = sent(json!({
        "name": "pager", "json_data": {"t": "{{subject}}: {{ body }}", "n": ["{{name}}", 3]},
        "params": {"q": "{{token}} x"}, "headers": {"X-Token": "{{token}}"}, "cookies": {"c": "{{name}}"},
        "secrets": {"team": "sre", "token": "T"}
    }))
    .await;
    assert!(head.starts_with("POST /sre?q=T+x HTTP/1.1"), "{head}");
    for line in ["x-token: T", "cookie: c=pager", "idempotency-key: id-1", "content-type: application/json"] {
        assert!(head.contains(line), "{line} in {head}");
    }
    assert!(head.contains("user-agent: pavlov/"), "{head}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body, json!({"t": "Disk \"full\": on a1\n&", "n": ["pager", 3]}));

    let (head, body) =
        sent(json!({"method": "PUT", "form_data": {"b": "{{body}}"}, "secrets": {"team": "x"}})).await;
    assert!(head.starts_with("PUT /x ") && head.contains("application/x-www-form-urlencoded"), "{head}");
    assert_eq!(body, "b=on+a1%0A%26");
    let (_, body) = sent(json!({"form_data": "raw {{subject}}", "secrets": {"team": "x"}})).await;
    assert_eq!(body, "raw Disk \"full\"");
}

#[tokio::test]
async fn a_custom_webhook_with_holes_says_which() {
    let message = Message { subject: "s".into(), body: "b".into(), id: "1".into() };
    let block = CustomWebhook::read(&json!({"url": "http://8.8.8.8/{{nobody}}"})).expect("read");
    let error = block.send(&message, &outbound(true), TIMEOUT).await.expect_err("no value");
    assert!(error.detail.contains("'nobody'"), "{error}");
    for bad in [
        json!({}),
        json!({"url": "x", "method": "BREW"}),
        json!({"url": "x", "json_data": {}, "form_data": {}}),
    ] {
        assert_eq!(CustomWebhook::read(&bad).expect_err("refused").reason, Reason::Misconfigured);
    }
}
