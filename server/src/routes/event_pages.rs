//! Stored events: filter, next page, counts. The stored texts go into the answer as they are.

use super::page::{self, word};
use crate::body;
use crate::door::{Door, base_url, blocking};
use crate::query;
use crate::reply::{self, Answer, Failure};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pavlov_engine::clock;
use pavlov_engine::history::{Countable, Error, Page, Spans, TimeUnit, Token};
use pavlov_events::{EventFilter, Faults, Reader};
use serde_json::{Value, json};
use std::sync::Arc;

/// Events of a page, if the caller says nothing and at most (Prefect's `INTERACTIVE_PAGE_SIZE`).
const PAGE_EVENTS: i64 = 50;
/// The shortest interval of a count, in units.
const INTERVAL_MIN: f64 = 0.01;
const COUNTABLES: [(&str, Countable); 4] = [
    ("day", Countable::Day),
    ("time", Countable::Time),
    ("event", Countable::Event),
    ("resource", Countable::Resource),
];
const UNITS: [(&str, TimeUnit); 5] = [
    ("week", TimeUnit::Week),
    ("day", TimeUnit::Day),
    ("hour", TimeUnit::Hour),
    ("minute", TimeUnit::Minute),
    ("second", TimeUnit::Second),
];

/// `POST /api/events/filter`: `{"filter": {…}, "limit": 50}`, both may be missing; answers
/// `{"events": […], "total": n, "next_page": url or null}`.
pub async fn filter(State(door): State<Arc<Door>>, request: Request) -> Answer {
    let headers = request.headers().clone();
    let body = body::parts_json(request, &["filter", "limit"]).await?;
    let (filter, limit) = page::read(&body, |r| {
        let filter = r.nullable("filter", |r| EventFilter::read(r, clock::now()));
        let limit = r.nullable("limit", |r| r.integer_within(0, PAGE_EVENTS));
        Some((filter?, limit?.unwrap_or(PAGE_EVENTS)))
    })?;
    let filter = filter.unwrap_or_else(|| EventFilter::everything(clock::now()));
    let reader = door.engine.history().clone();
    answer(&headers, blocking(move || reader.query(&filter, limit as usize)).await)
}

/// `GET /api/events/filter/next?page-token=…`.
pub async fn next(State(door): State<Arc<Door>>, uri: Uri, headers: HeaderMap) -> Answer {
    let token = decode_token(&query::required(&uri, "page-token")?)?;
    let reader = door.engine.history().clone();
    answer(&headers, blocking(move || reader.query_next(&token)).await)
}

/// `POST /api/events/count-by/{countable}`: `{"filter": {…}, "time_unit": "day", "time_interval": 1.0}`.
pub async fn count_by(
    State(door): State<Arc<Door>>,
    Path(countable): Path<String>,
    request: Request,
) -> Answer {
    let body = body::parts_json(request, &["filter", "time_unit", "time_interval"]).await?;
    let mut faults = Faults::new();
    let given = Value::from(countable);
    let countable = word(&mut Reader::new(&given, "path", &mut faults).arm("countable"), &COUNTABLES);
    let r = &mut Reader::new(&body, "body", &mut faults);
    let filter = r.nullable("filter", |r| EventFilter::read(r, clock::now()));
    let unit = r.nullable("time_unit", |r| word(r, &UNITS)).flatten().unwrap_or(TimeUnit::Day);
    let interval = r.nullable("time_interval", read_interval).flatten().unwrap_or(1.0);
    if matches!(filter, Some(None)) {
        let loc = ["body", "filter"].map(|step| pavlov_events::Loc::Field(step.into()));
        let at = usize::from(countable.is_none());
        faults.insert(at, body::missing(loc.to_vec()));
    }
    let (Some(Some(filter)), Some(countable), true) = (filter, countable, faults.is_empty()) else {
        return Err(reply::faults(&faults, &body.to_string()).into());
    };
    let reader = door.engine.history().clone();
    let spans = Spans { unit, interval };
    match blocking(move || reader.count_by(&filter, countable, spans, clock::now())).await {
        Ok(counts) => Ok(reply::ok(&counts)),
        Err(error @ (Error::TooManySpans { .. } | Error::IntervalTooSmall { .. })) => {
            Ok(reply::detail(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
        }
        Err(error) => Err(reply::internal("count events", &error)),
    }
}

/// A page's token as it stands in an address.
pub fn encode_token(token: &Token) -> String {
    URL_SAFE_NO_PAD.encode(token.encode())
}

/// Reads what [`encode_token`] wrote; anything else is forbidden, as in the genuine server.
pub fn decode_token(text: &str) -> Result<Token, Failure> {
    let decoded = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let token = decoded.and_then(|bytes| Token::decode(std::str::from_utf8(&bytes).ok()?).ok());
    token.ok_or_else(|| reply::detail(StatusCode::FORBIDDEN, "Forbidden").into())
}

fn read_interval(reader: &mut Reader<'_>) -> Option<f64> {
    let value = reader.number()?;
    if value < INTERVAL_MIN || value.is_nan() {
        let msg = format!("Input should be greater than or equal to {INTERVAL_MIN}");
        reader.fault("greater_than_equal", msg, Some(json!({"ge": INTERVAL_MIN})));
        return None;
    }
    Some(value)
}

fn answer(headers: &HeaderMap, page: Result<Page, Error>) -> Answer {
    let page = page.map_err(|error| reply::internal("read events", &error))?;
    Ok(page_response(headers, &page))
}

fn page_response(headers: &HeaderMap, page: &Page) -> Response {
    let mut out = Vec::with_capacity(page.events.iter().map(|event| event.len() + 1).sum::<usize>() + 256);
    out.extend_from_slice(b"{\"events\":[");
    for (index, event) in page.events.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(event);
    }
    let next = page.next.as_ref().map(|token| {
        format!("{}/api/events/filter/next?page-token={}", base_url(headers), encode_token(token))
    });
    out.extend_from_slice(format!("],\"total\":{},\"next_page\":{}}}", page.total, json!(next)).as_bytes());
    reply::text(StatusCode::OK, out)
}
