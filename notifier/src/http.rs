//! One bounded HTTP request and the verdict on its answer.

use crate::error::{Error, Reason};
use crate::outbound::Refused;
use pavlov_events::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode};
use std::error::Error as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Bytes of an answer that are read; what comes after is not waited for.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long one request may take when nobody says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Headers of an answer that may hold secrets.
const SECRET_HEADERS: [&str; 5] =
    ["set-cookie", "www-authenticate", "proxy-authenticate", "authorization", "cookie"];

/// What a receiver answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers without those that may hold secrets, in their order.
    pub headers: Vec<(String, String)>,
    /// The body's first 64 KiB as text.
    pub body: String,
    /// The pause that the receiver asked for.
    pub retry_after: Option<Duration>,
}

/// Sends a request and reads its answer, whatever its status. Fails when there is no answer within `timeout`.
pub async fn ask(request: RequestBuilder, timeout: Duration) -> Result<Answer, Error> {
    let deadline = Instant::now() + timeout;
    let sent = tokio::time::timeout_at(deadline, request.send()).await;
    let mut response = match sent {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(failure(&error)),
        Err(_) => return Err(Error::new(Reason::TimedOut, format!("no answer within {timeout:?}"))),
    };
    let mut body = Vec::new();
    // The status was said, so an unfinished body changes nothing: what has come is kept.
    while body.len() < ANSWER_BYTES_MAX {
        match tokio::time::timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - body.len())])
            }
            Ok(Ok(None) | Err(_)) | Err(_) => break,
        }
    }
    Ok(Answer {
        status: response.status().as_u16(),
        headers: shown_headers(response.headers()),
        body: String::from_utf8_lossy(&body).into_owned(),
        retry_after: response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?)),
    })
}

/// The answer, if its status says that all went well; else whether and when to try again.
pub fn verdict(answer: Answer) -> Result<Answer, Error> {
    let reason = match answer.status {
        200..=299 => return Ok(answer),
        429 => Reason::RateLimited,
        408 | 425 | 500..=599 => Reason::Unreachable,
        _ => Reason::Rejected,
    };
    let status = StatusCode::from_u16(answer.status).ok();
    let words = status.and_then(|status| status.canonical_reason()).unwrap_or_default();
    let mut detail = format!("answered {} {words}", answer.status).trim_end().to_owned();
    if let Some(line) = answer.body.lines().map(str::trim).find(|line| !line.is_empty()) {
        detail += &format!(": {}", line.chars().take(200).collect::<String>());
    }
    Err(Error { reason, detail, retry_after: answer.retry_after, answer: Some(answer) })
}

/// Why there is no answer.
fn failure(error: &reqwest::Error) -> Error {
    let mut causes = Vec::new();
    let mut refused = false;
    let mut source = error.source();
    while let Some(cause) = source {
        refused |= cause.is::<Refused>();
        causes.push(cause.to_string());
        source = cause.source();
    }
    // The outermost texts repeat the address, which may hold secrets; the innermost says what happened.
    let cause = causes.pop().unwrap_or_else(|| "the request failed".into());
    let reason = if refused || error.is_builder() || error.is_redirect() {
        Reason::Misconfigured
    } else if error.is_timeout() {
        Reason::TimedOut
    } else {
        Reason::Unreachable
    };
    Error::new(reason, cause)
}

fn shown_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = headers.iter().filter(|(name, _)| !SECRET_HEADERS.contains(&name.as_str()));
    shown
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

/// The pause of a `Retry-After` header: seconds, or a date (`Sun, 06 Nov 1994 08:49:37 GMT`).
fn retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
            Duration::from_micros(u64::try_from(http_date(text)?.micros()).ok()?).saturating_sub(now)
        }
    };
    Some(pause.min(RETRY_AFTER_MAX))
}

/// The date form that HTTP prescribes (RFC 9110, IMF-fixdate).
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)? / 3 + 1;
    Timestamp::parse(&format!("{year}-{month:02}-{day:0>2}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("999999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Timestamp::parse("1994-11-06T08:49:37Z"));
        for text in ["", "soon", "-1", "Sun, 06 Xxx 1994 08:49:37 GMT"] {
            assert_eq!(retry_after(text), None, "{text}");
        }
    }

    #[test]
    fn statuses_have_their_verdict() {
        let reason = |status| verdict(Answer { status, ..Answer::default() }).err().map(|error| error.reason);
        assert_eq!((reason(200), reason(204)), (None, None));
        assert_eq!(reason(429), Some(Reason::RateLimited));
        assert_eq!(
            (reason(500), reason(503), reason(408)),
            (Some(Reason::Unreachable), Some(Reason::Unreachable), Some(Reason::Unreachable))
        );
        assert_eq!(
            (reason(302), reason(400), reason(404)),
            (Some(Reason::Rejected), Some(Reason::Rejected), Some(Reason::Rejected))
        );
    }
}
