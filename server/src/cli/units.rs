//! Spans, sizes and ids as people write and read them.

use pavlov_events::Uuid;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads a span: `90` (seconds), `500ms`, `30s`, `5m`, `24h`, `7d`, `2w`.
pub fn span(text: &str) -> Result<Duration, String> {
    let units =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];
    let allowed =
        || format!("'{text}' is no span: give a number with ms, s, m, h, d or w, such as 90s or 24h");
    Ok(Duration::from_millis(scaled(text, &units, 1_000).ok_or_else(allowed)?))
}

/// Reads a size: `4096` (bytes), `64KiB`, `64MiB`, `2GiB`, also `64K`, `64M`, `2G`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let units = [("b", 1), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("t", 1u64 << 40)];
    let allowed = || format!("'{text}' is no size: give a number with KiB, MiB, GiB or TiB, such as 64MiB");
    let lower = text.trim().to_ascii_lowercase();
    scaled(lower.strip_suffix("ib").unwrap_or(&lower), &units, 1).ok_or_else(allowed)
}

/// A new id that sorts by time (version 7).
pub fn new_id() -> Uuid {
    let mut random = [0; 10];
    getrandom::fill(&mut random).expect("the system gives random bytes");
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// Now, by this machine's clock.
pub fn now() -> pavlov_events::Timestamp {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
    pavlov_events::Timestamp::from_micros(micros)
}

fn scaled(text: &str, units: &[(&str, u64)], plain: u64) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim();
    let factor = if unit.is_empty() { plain } else { units.iter().find(|(name, _)| *name == unit)?.1 };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_read_with_their_units() {
        for (text, millis) in
            [("90", 90_000), ("500ms", 500), ("5m", 300_000), ("24 h", 86_400_000), ("0s", 0)]
        {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for (text, size) in [("4096", 4096), ("64KiB", 65_536), ("2 GiB", 2 << 30), ("1m", 1 << 20)] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "h", "-1s", "1.5h", "1y", "99999999999999999999"] {
            assert!(span(text).is_err() && bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ids_differ_and_are_of_version_7() {
        let (first, second) = (new_id(), new_id());
        assert_ne!(first, second);
        assert_eq!(first.get_version_num(), 7);
    }
}
