//! [`Client`]: requests to the API, and what their failures mean for a person.

use super::error::{CliError, chain};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use std::time::Duration;

/// Longest time for a connection: the server is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a foreign answer that an error shows.
const SHOWN_BYTES_MAX: usize = 500;

/// The API at one address.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// Why a request did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// No answer came.
    Unreachable(String),
    /// The server said no.
    Refused {
        /// Its status.
        status: u16,
        /// Its words; JSON if they were.
        body: Value,
        /// How long it asks to wait, in seconds.
        retry_after: Option<u64>,
    },
}

impl Client {
    /// A client of the API at `base`, such as `http://127.0.0.1:4200/api`.
    ///
    /// # Errors
    /// [`CliError::Usage`] when that is no address.
    pub fn new(base: &str) -> Result<Self, CliError> {
        let bad = |why: &str| {
            CliError::Usage(format!(
                "'{base}' is no address of an API: {why}; give one such as http://127.0.0.1:4200/api \
                 with --api or PAVLOV_API_URL"
            ))
        };
        let url = Url::parse(base).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("it should begin with http:// or https://"));
        }
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT);
        // A proxy of the environment never reaches this machine's own loopback.
        if matches!(url.host_str(), Some("localhost" | "[::1]")) || base.contains("//127.") {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| bad(&chain(&error)))?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http })
    }

    /// The address of a path, such as `/automations/`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// Asks with a body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Sends a request and reads the answer, `null` for an empty one.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let mut request = self.http.request(method, self.url(path));
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable = |error: reqwest::Error| {
            let cause = chain(&error.without_url());
            Failure::Unreachable(format!(
                "cannot reach the server at {}: {cause}; start one with `pavlov server start`, or name it \
                 with --api or PAVLOV_API_URL",
                self.base
            ))
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let retry_after =
            answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = answer.bytes().await.map_err(unreachable)?;
        let parsed = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
        match parsed {
            Ok(body) if status.is_success() => Ok(body),
            Ok(body) => Err(Failure::Refused { status: status.as_u16(), body, retry_after }),
            Err(_) => {
                let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)]);
                let hint = if status.is_success() { "it answered no JSON: is this the API? " } else { "" };
                let body = Value::from(format!("{hint}{shown}"));
                Err(Failure::Refused { status: status.as_u16(), body, retry_after })
            }
        }
    }
}

impl Failure {
    /// Whether the server says that the thing is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether the same request may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { status, .. } => matches!(status, 429 | 502 | 503 | 504),
        }
    }

    /// The same failure of events of which `by` were sent before: faults get the event's number, from 1.
    pub fn moved(mut self, by: usize) -> Self {
        if let Self::Refused { body, .. } = &mut self {
            let list = if body.get("exception_detail").is_some() { "exception_detail" } else { "detail" };
            for fault in body.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(index) = fault.pointer("/loc/1").and_then(Value::as_u64) {
                    fault["event"] = (index + by as u64 + 1).into();
                    fault["loc"].as_array_mut().map(|loc| loc.remove(1));
                }
            }
        }
        self
    }

    /// The faults of a 422, each with `loc` and `msg`.
    pub fn faults(&self) -> &[Value] {
        match self {
            Self::Refused { body, .. } => {
                let list = body.get("exception_detail").or_else(|| body.get("detail"));
                list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
            }
            Self::Unreachable(_) => &[],
        }
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        let (status, body, retry_after) = match &failure {
            Failure::Unreachable(text) => return Self::Unreachable(text.clone()),
            Failure::Refused { status, body, retry_after } => (*status, body, *retry_after),
        };
        let faults = failure.faults();
        if !faults.is_empty() {
            let lines: Vec<String> =
                faults.iter().map(|fault| format!("\n  {}", fault_line(fault))).collect();
            return Self::Refused(format!("the server refused this:{}", lines.concat()));
        }
        let words = ["detail", "exception_message", "message"].into_iter().find_map(|name| body.get(name));
        let words = match words.unwrap_or(body) {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let reason = StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("");
        let wait = retry_after.map_or_else(String::new, |s| format!("; try again in {s} s"));
        Self::Refused(format!("the server answered {status} {reason}: {words}{wait}"))
    }
}

/// One fault of a 422 in a line: `trigger.within: Input should be …, not "x"`.
fn fault_line(fault: &Value) -> String {
    let path: Vec<String> = fault["loc"].as_array().into_iter().flatten().skip(1).map(plain).collect();
    let given = match fault.get("input") {
        Some(given) if !given.is_object() && !given.is_array() => format!(" (given: {given})"),
        _ => String::new(),
    };
    let event = fault.get("event").map_or_else(String::new, |number| format!("event {number}: "));
    format!("{event}{}: {}{given}", path.join("."), plain(&fault["msg"]))
}

/// A value as text, strings without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::Server;
    use serde_json::json;

    #[tokio::test]
    async fn failures_become_words_and_exit_codes() {
        let faults = json!({"exception_message": "Invalid request received.", "exception_detail": [
            {"loc": ["body", "trigger", "within"], "msg": "Input should be a valid integer", "input": "x"}]});
        let server = Server::new([
            (404, json!({"detail": "Automation not found"})),
            (422, faults),
            (503, json!({"detail": "busy"})),
        ]);
        let client = server.client();
        for (needle, passing) in [
            ("404 Not Found: Automation not found", false),
            ("trigger.within: Input should be a valid integer (given: \"x\")", false),
            ("503 Service Unavailable: busy", true),
        ] {
            let failure = client.get("/x").await.expect_err("refused");
            assert_eq!(failure.may_pass(), passing);
            let error = CliError::from(failure);
            assert_eq!(error.code(), 1);
            assert!(error.to_string().contains(needle), "{error}");
        }
    }

    #[tokio::test]
    async fn an_absent_server_has_its_own_code_and_a_way_out() {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        crate::cli::testing::install_tls();
        let client = Client::new(&format!("http://127.0.0.1:{port}/api")).expect("an address");
        let error = CliError::from(client.get("/health").await.expect_err("nobody listens"));
        assert_eq!(error.code(), 3);
        assert!(error.to_string().contains("pavlov server start"), "{error}");
    }

    #[test]
    fn an_address_that_is_none_is_refused_before_anything_is_sent() {
        for text in ["", "localhost:4200", "ftp://x/api"] {
            assert_eq!(Client::new(text).expect_err("no address").code(), 2, "{text}");
        }
    }
}
