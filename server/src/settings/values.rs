//! Reading and showing single values. What is refused is answered with what is allowed, as the end of
//! "… should be".

use crate::cli::units;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// A text.
pub fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        _ => Err("a text".into()),
    }
}

/// A path.
pub fn path(value: &Value) -> Result<PathBuf, String> {
    text(value).map(PathBuf::from).map_err(|_| "a path".into())
}

/// A whole number from `least` to `most`, or a text of one.
pub fn whole(value: &Value, least: u64, most: u64) -> Result<u64, String> {
    let read = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    read.filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("a whole number from {least} to {most}"))
}

/// Yes or no.
pub fn yes_no(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err("true or false".into()),
        },
        _ => Err("true or false".into()),
    }
}

/// A span of at least `least`; a bare number is seconds.
pub fn span(value: &Value, least: Duration) -> Result<Duration, String> {
    let read = match value {
        Value::Number(number) => number.as_u64().map(Duration::from_secs),
        Value::String(text) => units::span(text).ok(),
        _ => None,
    };
    read.filter(|span| *span >= least).ok_or_else(|| match least.is_zero() {
        true => "a span such as 90s, 5m, 24h or 7d".into(),
        false => format!("a span of at least {}, such as 90s, 5m, 24h or 7d", shown_span(least)),
    })
}

/// A span in microseconds.
pub fn micros(value: &Value) -> Result<i64, String> {
    let span = span(value, Duration::ZERO)?;
    i64::try_from(span.as_micros()).map_err(|_| "a span below 290,000 years".into())
}

/// A size from `least` to `most` bytes.
pub fn bytes(value: &Value, least: u64, most: u64) -> Result<u64, String> {
    let read = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => units::bytes(text).ok(),
        _ => None,
    };
    read.filter(|size| (least..=most).contains(size)).ok_or_else(|| {
        format!("a size from {} to {}, such as 64MiB", plain(&shown_bytes(least)), plain(&shown_bytes(most)))
    })
}

/// One of these words.
pub fn one_of<const N: usize>(value: &Value, words: [&'static str; N]) -> Result<&'static str, String> {
    let given = value.as_str().map(|text| text.trim().to_ascii_lowercase());
    words.into_iter().find(|word| given.as_deref() == Some(word)).ok_or_else(|| {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        format!("one of {}", quoted.join(", "))
    })
}

/// A list, or a text with commas between its items.
pub fn list<T>(value: &Value, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    match value {
        Value::String(text) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(read).collect()
        }
        Value::Array(items) => {
            items.iter().map(|item| read(item.as_str().ok_or("a list of texts")?.trim())).collect()
        }
        _ => Err("a list, or a text with commas".into()),
    }
}

/// A span as it is written: in the largest unit that fits whole.
pub fn shown_span(span: Duration) -> String {
    let millis = span.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let fitting = units.into_iter().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit));
    fitting.map_or_else(|| format!("{millis}ms"), |(name, unit)| format!("{}{name}", millis / unit))
}

/// Microseconds as a span.
pub fn shown_micros(micros: i64) -> Value {
    shown_span(Duration::from_micros(micros.unsigned_abs())).into()
}

/// A size as it is written.
pub fn shown_bytes(bytes: u64) -> Value {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let fitting = units.into_iter().find(|(_, bits)| bytes >> bits > 0 && bytes.trailing_zeros() >= *bits);
    fitting.map_or_else(|| bytes.to_string(), |(name, bits)| format!("{}{name}", bytes >> bits)).into()
}

fn plain(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spans_and_sizes_are_shown_in_their_largest_unit() {
        for (seconds, shown) in [(604_800, "7d"), (90, "90s"), (3_600, "1h"), (0, "0ms")] {
            assert_eq!(shown_span(Duration::from_secs(seconds)), shown);
        }
        for (bytes, shown) in [(64 << 20, "64MiB"), (1 << 40, "1TiB"), (1_000, "1000"), (0, "0")] {
            assert_eq!(shown_bytes(bytes), shown);
        }
    }

    #[test]
    fn lists_are_lists_or_texts_with_commas() {
        let read = |value| list(&value, |item| Ok(item.len()));
        assert_eq!(read(json!("a, bc,")), Ok(vec![1, 2]));
        assert_eq!(read(json!(["a", "bc"])), Ok(vec![1, 2]));
        assert!(read(json!([1])).is_err() && read(json!(3)).is_err());
    }
}
