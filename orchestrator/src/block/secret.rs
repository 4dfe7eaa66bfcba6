//! Secret values: encrypted before a command is made, masked in answers, kept when a mask comes back.
//!
//! A schema names its secret fields by paths: `token`, `nest.key`, `headers.*` (everything below). The
//! value of a plain path is encrypted whole, below a `*` each single value is; what stands in its place is
//! `{"$encrypted": "<text>"}`. An object with such a key that a caller sends is encrypted too, wherever it
//! lies, so that the mark is never ambiguous and [`reveal`] gives back exactly what was sent.

use super::blocks::Blocks;
use super::command::BlockCommand;
use crate::error::{Error, Refusal};
use serde_json::{Map, Value, json};

/// What is shown instead of a secret value.
pub const MASK: &str = "********";
/// The key of the object that stands for an encrypted value.
const MARK: &str = "$encrypted";
/// The step of a path that stands for everything below.
const EVERYTHING: &str = "*";

/// Encrypts in place the values of the secret fields of a schema's `fields`.
///
/// `encrypt` gets a value's JSON text and answers the text to store. Nulls and masks stay as they are, and
/// so do references to other documents.
pub fn encrypt_secret_fields(
    fields: &Map<String, Value>,
    data: &mut Map<String, Value>,
    encrypt: &mut dyn FnMut(&str) -> String,
) {
    SecretPaths::of(fields).encrypt(data, encrypt);
}

/// Reveals the `data` of a document, or of each document of a list, as [`Blocks::read_document`] and its
/// like answer them with `include_secrets`.
///
/// Fails with [`Error::Decrypt`] as [`reveal`] does.
pub fn reveal_documents(
    answer: &mut Value,
    decrypt: &mut dyn FnMut(&str) -> Option<String>,
) -> Result<(), Error> {
    match answer {
        Value::Array(documents) => {
            documents.iter_mut().try_for_each(|document| reveal_documents(document, decrypt))
        }
        Value::Object(document) => document.get_mut("data").map_or(Ok(()), |data| reveal(data, decrypt)),
        _ => Ok(()),
    }
}

/// Replaces in place every encrypted value by what was encrypted, at any depth.
///
/// Fails with [`Error::Decrypt`] when `decrypt` answers `None` or no JSON; the value is then half done.
pub fn reveal(value: &mut Value, decrypt: &mut dyn FnMut(&str) -> Option<String>) -> Result<(), Error> {
    match value {
        Value::Object(object) => {
            if let Some(text) = object.get(MARK).and_then(Value::as_str) {
                let plain = decrypt(text).ok_or(Error::Decrypt)?;
                *value = serde_json::from_str(&plain).map_err(|_| Error::Decrypt)?;
                return Ok(());
            }
            object.values_mut().try_for_each(|inner| reveal(inner, decrypt))
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| reveal(item, decrypt)),
        _ => Ok(()),
    }
}

impl Blocks {
    /// Encrypts the secret values of a command before it is appended; other commands stay as they are.
    ///
    /// Refused as applying it would be when the document or a schema it names does not exist, so that no
    /// plain secret gets into the log.
    pub fn protect(
        &self,
        command: &mut BlockCommand,
        encrypt: &mut dyn FnMut(&str) -> String,
    ) -> Result<(), Refusal> {
        match command {
            BlockCommand::CreateDocument(new) => {
                let schema = self.existing_schema(new.block_schema_id)?;
                SecretPaths::of(&schema.fields).encrypt(&mut new.data, encrypt);
            }
            BlockCommand::UpdateDocument(update) => {
                let document = self.existing_document(update.id)?;
                let schema = update.block_schema_id.unwrap_or(document.block_schema_id);
                let mut paths = SecretPaths::of(&self.existing_schema(document.block_schema_id)?.fields);
                paths.0.append(&mut SecretPaths::of(&self.existing_schema(schema)?.fields).0);
                if let Some(data) = &mut update.data {
                    paths.encrypt(data, encrypt);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a value names another document: an object with the key `$ref`.
pub(super) fn is_reference(value: &Value) -> bool {
    value.get("$ref").is_some()
}

/// The paths of the secret fields of one or more schemas.
#[derive(Clone, Debug)]
pub(super) struct SecretPaths(Vec<Vec<String>>);

impl SecretPaths {
    pub(super) fn of(fields: &Map<String, Value>) -> Self {
        let listed = fields.get("secret_fields").and_then(Value::as_array).into_iter().flatten();
        let paths = listed.filter_map(Value::as_str);
        Self(paths.map(|path| path.split('.').map(str::to_owned).collect()).collect())
    }

    fn encrypt(&self, data: &mut Map<String, Value>, encrypt: &mut dyn FnMut(&str) -> String) {
        self.visit(data, &mut |place, value| {
            let stays = value.is_null() || value == MASK || (place == Place::Below && is_empty_object(value));
            if place == Place::Marked || !stays {
                *value = json!({ MARK: encrypt(&value.to_string()) });
            }
        });
    }

    /// Replaces every secret value by the mask.
    pub(super) fn mask(&self, data: &mut Map<String, Value>) {
        self.visit(data, &mut |place, value| {
            if place != Place::Secret || !value.is_null() {
                *value = Value::from(MASK);
            }
        });
    }

    /// Whether no secret value is plain. Data that was encrypted for another schema may fail this.
    pub(super) fn are_encrypted(&self, data: &Map<String, Value>) -> bool {
        let mut encrypted = true;
        self.visit(&mut data.clone(), &mut |place, value| {
            let harmless =
                value.is_null() || value == MASK || (place == Place::Below && is_empty_object(value));
            encrypted &= harmless || is_marked(value);
        });
        encrypted
    }

    /// Where `new` holds a mask in place of a secret value, takes the value from `old`.
    pub(super) fn restore(&self, new: &mut Map<String, Value>, old: &Map<String, Value>) {
        let paths = self.slices();
        for (name, value) in new {
            if let Some(old) = old.get(name) {
                restore(value, old, &below(&paths, name));
            }
        }
    }

    fn visit(&self, data: &mut Map<String, Value>, deed: &mut dyn FnMut(Place, &mut Value)) {
        let paths = self.slices();
        for (name, value) in data {
            if !is_reference(value) {
                visit(value, &below(&paths, name), deed);
            }
        }
    }

    fn slices(&self) -> Vec<&[String]> {
        self.0.iter().map(Vec::as_slice).collect()
    }
}

/// Why a value is visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is the value of a secret field.
    Secret,
    /// It is a single value below a `*`.
    Below,
    /// It is an encrypted value, or looks like one, and lies elsewhere.
    Marked,
}

fn visit(value: &mut Value, paths: &[&[String]], deed: &mut dyn FnMut(Place, &mut Value)) {
    if paths.iter().any(|path| path.is_empty()) {
        return deed(Place::Secret, value);
    }
    let everything = paths.iter().any(|path| path[0] == EVERYTHING);
    if is_marked(value) {
        return deed(if everything { Place::Below } else { Place::Marked }, value);
    }
    match value {
        Value::Object(object) if !(everything && object.is_empty()) => {
            for (name, inner) in object {
                visit(inner, &below(paths, name), deed);
            }
        }
        Value::Array(items) if !everything => {
            for item in items {
                visit(item, paths, deed);
            }
        }
        _ if everything => deed(Place::Below, value),
        _ => {}
    }
}

fn restore(new: &mut Value, old: &Value, paths: &[&[String]]) {
    let secret = paths.iter().any(|path| path.is_empty());
    let everything = paths.iter().any(|path| path.first().is_some_and(|step| step == EVERYTHING));
    if new == MASK && ((secret && !old.is_null()) || everything) {
        *new = old.clone();
        return;
    }
    match (new, old) {
        (Value::Object(new), Value::Object(old)) if !new.contains_key(MARK) => {
            for (name, value) in new {
                if let Some(old) = old.get(name) {
                    restore(value, old, &below(paths, name));
                }
            }
        }
        (Value::Array(new), Value::Array(old)) => {
            for (value, old) in new.iter_mut().zip(old) {
                restore(value, old, paths);
            }
        }
        _ => {}
    }
}

/// What of the paths is left one step further; below a `*` everything stays secret.
fn below<'a>(paths: &[&'a [String]], name: &str) -> Vec<&'a [String]> {
    let mut left = Vec::new();
    for path in paths {
        match path.split_first() {
            Some((step, _)) if step == EVERYTHING => left.push(*path),
            Some((step, rest)) if step == name => left.push(rest),
            _ => {}
        }
    }
    left
}

fn is_marked(value: &Value) -> bool {
    value.get(MARK).is_some()
}

fn is_empty_object(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    fn schema() -> Map<String, Value> {
        object(json!({"secret_fields": ["token", "headers.*", "nest.key", "items.key"]}))
    }

    fn encrypted(data: Value) -> Map<String, Value> {
        let mut data = object(data);
        encrypt_secret_fields(&schema(), &mut data, &mut |plain| format!("<{plain}>"));
        data
    }

    fn revealed(data: Map<String, Value>) -> Value {
        let mut value = Value::Object(data);
        let mut decrypt = |text: &str| Some(text.strip_prefix('<')?.strip_suffix('>')?.to_owned());
        reveal(&mut value, &mut decrypt).expect("it was encrypted so");
        value
    }

    #[test]
    fn secret_values_are_encrypted_masked_and_revealed() {
        let data = json!({"host": "h", "token": {"a": [1]}, "headers": {"x": "y", "deep": {"z": null, "n": 1}},
            "nest": {"key": 7, "other": "o"}, "items": [{"key": "k"}, {"key": null}, 3]});
        let stored = encrypted(data.clone());
        assert_eq!(stored["token"], json!({"$encrypted": "<{\"a\":[1]}>"}));
        assert_eq!(stored["headers"]["deep"], json!({"z": null, "n": {"$encrypted": "<1>"}}));
        assert!(!SecretPaths::of(&schema()).are_encrypted(&object(data.clone())));
        assert!(SecretPaths::of(&schema()).are_encrypted(&stored));
        let mut masked = stored.clone();
        SecretPaths::of(&schema()).mask(&mut masked);
        assert_eq!(
            Value::Object(masked),
            json!({"host": "h", "token": MASK, "headers": {"x": MASK, "deep": {"z": MASK, "n": MASK}},
                "nest": {"key": MASK, "other": "o"}, "items": [{"key": MASK}, {"key": null}, 3]})
        );
        assert_eq!(revealed(stored), data);
    }

    #[test]
    fn what_looks_encrypted_comes_back_as_it_was_sent() {
        let data = json!({"host": {"$encrypted": "forged"}, "token": {"$encrypted": "<1>"},
            "headers": {"$encrypted": "<2>"}, "child": {"$ref": {"block_document_id": "x"}}});
        let stored = encrypted(data.clone());
        assert_eq!(stored["host"], json!({"$encrypted": "<{\"$encrypted\":\"forged\"}>"}));
        assert_eq!(stored["child"], data["child"]);
        assert_eq!(revealed(stored), data);
    }

    #[test]
    fn masks_that_come_back_keep_the_old_values() {
        let paths = SecretPaths::of(&schema());
        let old = encrypted(json!({"token": "t", "headers": {"a": "x", "deep": {}}, "nest": {"key": 1},
            "items": [{"key": "k"}]}));
        let mut new =
            encrypted(json!({"host": MASK, "token": MASK, "headers": {"a": MASK, "deep": MASK, "new": MASK},
            "nest": {"key": MASK}, "items": [{"key": MASK}]}));
        paths.restore(&mut new, &old);
        assert_eq!(
            revealed(new),
            json!({"host": MASK, "token": "t", "headers": {"a": "x", "deep": {}, "new": MASK}, "nest": {"key": 1},
                "items": [{"key": "k"}]})
        );
    }

    #[test]
    fn another_key_is_an_error() {
        let mut value = Value::Object(encrypted(json!({"token": "t"})));
        assert!(matches!(reveal(&mut value, &mut |_| None), Err(Error::Decrypt)));
    }
}
