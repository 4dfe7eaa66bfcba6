//! [`checksum`]: the digest of a block schema's fields, byte for byte as Prefect's client computes it.
//!
//! It is the SHA-256 of the JSON text that Python's `json.dumps(([fields], {}), sort_keys=True)` writes,
//! where `secret_fields` is left out at every depth of objects and `definitions` keeps only those that
//! are used and are not blocks themselves.

use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The prefix by which a `$ref` names one of the schema's own definitions.
const DEFINITIONS: &str = "#/definitions/";

/// The checksum of a schema's fields: `sha256:` and 64 hex digits.
///
/// Numbers beyond 64 bits are not told apart from the nearest float, so a schema that holds one gets
/// another checksum here than at a client.
pub fn checksum(fields: &Map<String, Value>) -> String {
    let mut fields = without_secret_fields(fields);
    if let Some(definitions) = fields.get("definitions").and_then(Value::as_object)
        && !definitions.is_empty()
    {
        let plain = plain_definitions(&fields, definitions);
        if plain.is_empty() {
            fields.shift_remove("definitions");
        } else {
            fields.insert("definitions".into(), Value::Object(plain));
        }
    }
    let mut text = String::from("[[");
    python_object(&mut text, &fields);
    text.push_str("], {}]");
    let mut hex = String::from("sha256:");
    for byte in Sha256::digest(text.as_bytes()) {
        write!(hex, "{byte:02x}").expect("a string takes any text");
    }
    hex
}

/// Those of `definitions` that are referred to from `object` (itself included) and are no blocks.
pub(super) fn plain_definitions(
    object: &Map<String, Value>,
    definitions: &Map<String, Value>,
) -> Map<String, Value> {
    let mut found = Map::new();
    for reference in references_in_object(object) {
        collect_plain(&reference, definitions, &mut found);
    }
    found
}

/// The names of the definitions that a value refers to, at any depth.
pub(super) fn definition_names(value: &Value) -> Vec<String> {
    match value {
        Value::Object(object) => references_in_object(object),
        Value::Array(items) => items.iter().flat_map(definition_names).collect(),
        _ => Vec::new(),
    }
}

fn references_in_object(object: &Map<String, Value>) -> Vec<String> {
    let own = object.get("$ref").and_then(Value::as_str).filter(|name| !name.is_empty());
    let own = own.map(|name| name.replace(DEFINITIONS, ""));
    own.into_iter().chain(object.values().flat_map(definition_names)).collect()
}

/// Adds a definition and what it refers to; one that refers to itself is taken once.
fn collect_plain(name: &str, definitions: &Map<String, Value>, found: &mut Map<String, Value>) {
    let Some(definition) = definitions.get(name).and_then(Value::as_object) else { return };
    let is_block = definition.get("block_type_slug").is_some_and(|slug| !slug.is_null());
    if definition.is_empty() || is_block || found.contains_key(name) {
        return;
    }
    found.insert(name.to_owned(), Value::Object(definition.clone()));
    for reference in references_in_object(definition) {
        collect_plain(&reference, definitions, found);
    }
}

fn without_secret_fields(object: &Map<String, Value>) -> Map<String, Value> {
    let kept = object.iter().filter(|(key, _)| *key != "secret_fields");
    kept.map(|(key, value)| {
        let value = match value {
            Value::Object(inner) => Value::Object(without_secret_fields(inner)),
            other => other.clone(),
        };
        (key.clone(), value)
    })
    .collect()
}

fn python(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => python_number(out, number),
        Value::String(text) => python_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                python(out, item);
            }
            out.push(']');
        }
        Value::Object(object) => python_object(out, object),
    }
}

/// Keys in the order of their code points, which is that of their UTF-8 bytes.
fn python_object(out: &mut String, object: &Map<String, Value>) {
    let sorted: BTreeMap<&String, &Value> = object.iter().collect();
    out.push('{');
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        python_string(out, key);
        out.push_str(": ");
        python(out, value);
    }
    out.push('}');
}

fn python_string(out: &mut String, text: &str) {
    out.push('"');
    for unit in text.encode_utf16() {
        match unit {
            0x22 => out.push_str("\\\""),
            0x5c => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x09 => out.push_str("\\t"),
            0x0a => out.push_str("\\n"),
            0x0c => out.push_str("\\f"),
            0x0d => out.push_str("\\r"),
            0x20..=0x7e => out.push(char::from(unit as u8)),
            _ => write!(out, "\\u{unit:04x}").expect("a string takes any text"),
        }
    }
    out.push('"');
}

/// As Python's `repr`: the shortest digits that read back the same, an exponent below 1e-4 and from 1e16.
fn python_number(out: &mut String, number: &Number) {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        out.push_str(&number.to_string());
        return;
    };
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a whole exponent");
    if (-4..16).contains(&exponent) {
        let plain = float.to_string();
        let point = if plain.contains('.') { "" } else { ".0" };
        write!(out, "{plain}{point}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{digits}e{sign}{:02}", exponent.abs())
    }
    .expect("a string takes any text");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> String {
        checksum(value.as_object().expect("an object"))
    }

    #[test]
    fn text_is_written_as_python_writes_it() {
        let mut out = String::new();
        python(
            &mut out,
            &json!({"b": [1, 1.0, 1.5, 1e16, 1e-5, 0.0001, -0.0, 2.5e-7], "a": "é\u{1f600}\u{7f}\"\\\n", "c": {}}),
        );
        assert_eq!(
            out,
            "{\"a\": \"\\u00e9\\ud83d\\ude00\\u007f\\\"\\\\\\n\", \
             \"b\": [1, 1.0, 1.5, 1e+16, 1e-05, 0.0001, -0.0, 2.5e-07], \"c\": {}}"
        );
    }

    #[test]
    fn secret_fields_and_blocks_do_not_count_but_plain_definitions_do() {
        let plain = json!({"title": "T"});
        assert_eq!(of(plain.clone()), of(json!({"title": "T", "secret_fields": ["a"]})));
        let block = json!({"title": "T", "definitions": {"B": {"block_type_slug": "b"}, "Unused": {"x": 1}}});
        assert_eq!(of(plain.clone()), of(block));
        let used = json!({"title": "T", "p": {"$ref": "#/definitions/U"}, "definitions": {"U": {"x": 1}}});
        assert_ne!(of(json!({"title": "T", "p": {"$ref": "#/definitions/U"}})), of(used));
    }

    #[test]
    fn a_definition_that_names_itself_ends() {
        let fields = json!({"p": {"$ref": "#/definitions/Tree"},
            "definitions": {"Tree": {"children": [{"$ref": "#/definitions/Tree"}]}}});
        assert!(of(fields).starts_with("sha256:"));
    }
}
