//! Parts that several filter routes share: page sizes and words of a closed list.

use crate::reply::{self, Failure};
use axum::http::StatusCode;
use pavlov_events::{Faults, Reader};
use serde_json::{Value, json};

/// Rows of a page if the caller says nothing, and at most (`PREFECT_SERVER_API_DEFAULT_LIMIT`).
pub const LIMIT: i64 = 200;

/// The page's size of a body. A bad number is refused before anything else is looked at, as in the genuine
/// server; what is no number is left for whoever reads the rest.
pub fn limit(body: &Value) -> Result<usize, Failure> {
    let mut ignored = Faults::new();
    let read = Reader::new(body, "body", &mut ignored).nullable("limit", |r| r.integer()).flatten();
    let limit = read.unwrap_or(LIMIT);
    let why = match limit {
        ..0 => "Invalid limit: must be greater than or equal to 0.".to_owned(),
        0..=LIMIT => return Ok(limit as usize),
        _ => format!("Invalid limit: must be less than or equal to {LIMIT}."),
    };
    Err(reply::detail(StatusCode::UNPROCESSABLE_ENTITY, why).into())
}

/// One of a closed list of words, with an enumeration's fault.
pub fn word<T: Copy>(reader: &mut Reader<'_>, words: &[(&str, T)]) -> Option<T> {
    let found = reader.value().as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
    if let Some((_, value)) = found {
        return Some(*value);
    }
    let quoted: Vec<String> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
    let (last, rest) = quoted.split_last().expect("an enumeration has words");
    let expected = format!("{} or {last}", rest.join(", "));
    reader.fault("enum", format!("Input should be {expected}"), Some(json!({"expected": expected})));
    None
}

/// Reads a whole body; all its faults when there is one.
pub fn read<T>(body: &Value, read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Result<T, Failure> {
    let mut faults = Faults::new();
    match read(&mut Reader::new(body, "body", &mut faults)) {
        Some(value) if faults.is_empty() => Ok(value),
        _ => Err(reply::faults(&faults, &body.to_string()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes_have_their_limits() {
        for (body, size) in [
            (json!({}), Some(200)),
            (json!({"limit": null}), Some(200)),
            (json!({"limit": 0}), Some(0)),
            (json!({"limit": 200}), Some(200)),
            (json!({"limit": 201}), None),
            (json!({"limit": -1}), None),
            (json!({"limit": "x"}), Some(200)),
        ] {
            assert_eq!(limit(&body).ok(), size, "{body}");
        }
    }
}
