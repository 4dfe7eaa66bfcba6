//! The versions that are told to clients. Each stands here once.

/// The Prefect version whose behaviour is kept.
pub const PREFECT_VERSION: &str = "3.8.8";
/// The version of Prefect's API that is spoken.
pub const API_VERSION: &str = "0.8.4";
/// Clients that say an older API version are refused.
pub const API_VERSION_MIN: (u64, u64, u64) = (0, 8, 0);
/// Our own version.
pub const PAVLOV_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why a request with this `X-PREFECT-API-VERSION` is refused, if it is.
pub fn refusal(given: &str) -> Option<String> {
    let mut parts = given.split('.').map(|part| part.trim().parse::<u64>().ok());
    let read = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => Some((major, minor, patch)),
        _ => None,
    };
    let (major, minor, patch) = API_VERSION_MIN;
    match read {
        None => Some(format!(
            "Invalid X-PREFECT-API-VERSION header format.Expected header in format 'x.y.z' but received {given}"
        )),
        Some(version) if version < API_VERSION_MIN => Some(format!(
            "The request specified API version {given} but this server requires version \
             {major}.{minor}.{patch} or higher."
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn older_and_malformed_versions_are_refused_with_the_reason() {
        for fine in ["0.8.0", "0.8.4", "1.0.0"] {
            assert_eq!(refusal(fine), None, "{fine}");
        }
        assert!(refusal("0.7.9").is_some_and(|detail| detail.contains("requires version 0.8.0")));
        for malformed in ["a", "0.8", "0.8.4.1", ""] {
            assert!(refusal(malformed).is_some_and(|detail| detail.starts_with("Invalid")), "{malformed}");
        }
    }
}
