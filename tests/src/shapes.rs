//! The JSON that tests send.

use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// An id computed from a name, so that a test can ask for it again.
pub fn id(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

/// An event that happens now to `resource`; its id is that of `<name> <resource> <number>`.
pub fn event(name: &str, resource: &str, number: u64) -> Value {
    json!({
        "id": id(&format!("{name} {resource} {number}")), "event": name, "occurred": moment(0.0),
        "resource": {"prefect.resource.id": resource}, "payload": {"number": number},
    })
}

/// A Reactive event trigger that fires on every event of a name.
pub fn on(name: &str) -> Value {
    json!({"type": "event", "posture": "Reactive", "expect": [name], "threshold": 1, "within": 0})
}

/// An automation.
pub fn automation(name: &str, trigger: Value, actions: &[Value]) -> Value {
    json!({"name": name, "trigger": trigger, "actions": actions})
}

/// A POST of a JSON body that may be repeated.
pub fn post(url: &str, body: Value) -> Value {
    json!({
        "type": "http-request", "method": "POST", "url": url, "json": body,
        "idempotency_header": "Idempotency-Key",
    })
}

/// RFC 3339 in UTC, so many seconds from now.
pub fn moment(seconds: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    instant(now + seconds)
}

/// RFC 3339 of a Unix time in seconds.
pub fn instant(unix_seconds: f64) -> String {
    let micros = (unix_seconds * 1e6) as i64;
    let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let (year, month, day) = date(days);
    let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant's algorithm).
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_time_is_written_as_rfc_3339() {
        assert_eq!(super::instant(0.0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(super::instant(951_827_696.5), "2000-02-29T12:34:56.500000Z");
        assert_eq!(super::instant(1_795_205_061.25), "2026-11-20T20:04:21.250000Z");
    }
}
