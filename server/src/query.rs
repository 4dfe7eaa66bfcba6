//! Parameters in a request's address.

use crate::body::missing;
use crate::reply::{self, Failure};
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use pavlov_events::{Faults, Loc, Reader, Uuid};
use serde_json::Value;

/// The value of a query parameter, decoded; the first of several.
pub fn get(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query()?;
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.into_iter().find(|(key, _)| decode(key) == name).map(|(_, value)| decode(value))
}

/// A query parameter that must be there.
pub fn required(uri: &Uri, name: &str) -> Result<String, Failure> {
    get(uri, name).ok_or_else(|| {
        let found = vec![missing(vec![Loc::Field("query".into()), Loc::Field(name.into())])];
        reply::faults(&found, "null").into()
    })
}

/// A query parameter that a [`Reader`] reads, such as `|r| r.boolean()`.
pub fn read<T>(
    uri: &Uri,
    name: &str,
    read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
) -> Result<Option<T>, Failure> {
    let Some(given) = get(uri, name).map(Value::from) else { return Ok(None) };
    let mut found = Faults::new();
    let value = read(&mut Reader::new(&given, "query", &mut found).arm(name));
    if found.is_empty() { Ok(value) } else { Err(reply::faults(&found, "null").into()) }
}

/// Whether a flag is set: `?partial=1`, `?replies=true`.
pub fn flag(uri: &Uri, name: &str) -> Result<bool, Failure> {
    Ok(read(uri, name, |r| r.boolean())?.unwrap_or(false))
}

/// The id in a path. What is no id is no such path, as in the genuine server.
pub fn id(text: &str) -> Result<Uuid, Failure> {
    let plain = text.len() == 36 || text.len() == 32;
    let id = if plain { Uuid::try_parse(text).ok() } else { None };
    id.ok_or_else(|| reply::not_found().into())
}

/// The address with or without the slash at its end, whichever it is not.
pub fn with_other_slash(uri: &Uri) -> String {
    let (path, query) = (uri.path(), uri.path_and_query().and_then(PathAndQuery::query));
    let mut other = match path.strip_suffix('/') {
        Some(without) => without.to_owned(),
        None => format!("{path}/"),
    };
    if let Some(query) = query {
        other = format!("{other}?{query}");
    }
    other
}

/// `%41` and `+` as forms write them; what is no escape stays as it is.
fn decode(text: &str) -> String {
    percent_decoded(&text.replace('+', " "))
}

/// `%41` as one byte; what is no escape stays as it is.
pub fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = (byte == b'%').then(|| after.get(..2)).flatten();
        let escaped =
            digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        out.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_checked() {
        let uri: Uri = "/x?a=1%2B2+3&flag=true&bad=maybe&%63=ok&d=%zz".parse().expect("a uri");
        assert_eq!(get(&uri, "a").as_deref(), Some("1+2 3"));
        assert_eq!(get(&uri, "c").as_deref(), Some("ok"));
        assert_eq!(get(&uri, "d").as_deref(), Some("%zz"));
        assert_eq!(get(&uri, "none"), None);
        assert!(flag(&uri, "flag").expect("true") && !flag(&uri, "none").expect("missing"));
        assert!(flag(&uri, "bad").is_err() && required(&uri, "none").is_err());
    }

    #[test]
    fn paths_lose_or_get_their_last_slash() {
        for (given, other) in [("/a/b?x=1", "/a/b/?x=1"), ("/a/b/", "/a/b")] {
            assert_eq!(with_other_slash(&given.parse().expect("a uri")), other);
        }
    }
}
