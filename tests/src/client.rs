//! A small HTTP client that shows what really comes: one connection for each request, no retries.

use serde_json::Value;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No answer takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A response.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub text: String,
}

impl Response {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Makes a request with a JSON body.
///
/// # Errors
/// When there is no connection or no whole answer.
pub fn ask(address: &str, method: &str, path: &str, body: Option<&Value>) -> Result<Response> {
    let body = body.map(Value::to_string).unwrap_or_default();
    send(address, method, path, &[("content-type", "application/json")], body.as_bytes())
}

/// Makes a request with any bytes as its body.
///
/// # Errors
/// As [`ask`].
pub fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    let whole = [head.as_bytes(), body].concat();
    // A server that refuses a long body may answer before it has read it; the answer is what counts.
    let written = stream.write_all(&whole);
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if bytes.is_empty() => return Err(written.err().unwrap_or(error)),
        Ok(_) | Err(_) => {}
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Response> {
    let bad = |why: &str| Error::new(ErrorKind::UnexpectedEof, why.to_owned());
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(|| bad("no whole head"))?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: Option<usize> = length.and_then(|(_, value)| value.parse().ok());
    if length.is_some_and(|length| body.len() < length) {
        return Err(bad("the body is cut"));
    }
    let text = String::from_utf8_lossy(body).into_owned();
    Ok(Response { status: status.ok_or_else(|| bad("no status"))?, headers, text })
}
