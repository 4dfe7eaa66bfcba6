//! Reading the parts that several kinds of action share: templates, maps of templates, words.

use crate::template;
use pavlov_events::{Loc, Reader};
use serde_json::{Map, Value};

/// A string that is a template; `field` is how the fault names it.
pub(crate) fn template(reader: &mut Reader<'_>, field: &str) -> Option<String> {
    let text = reader.string()?;
    checked(reader, field, text)
}

/// `text` when it is a template, else a fault that names `field`.
pub(crate) fn checked(reader: &mut Reader<'_>, field: &str, text: String) -> Option<String> {
    match template::validate(&text) {
        Ok(()) => Some(text),
        Err(fault) => {
            reader.value_error(format_args!("'{field}' is not a valid template: {}", fault.message));
            None
        }
    }
}

/// A list of templates.
pub(crate) fn templates(reader: &mut Reader<'_>, field: &str) -> Option<Vec<String>> {
    reader.list(|item| template(item, field))
}

/// An object whose values are templates, in the order given.
pub(crate) fn template_map(reader: &mut Reader<'_>, field: &str) -> Option<Vec<(String, String)>> {
    let object = reader.dict()?;
    let mut all = Some(Vec::with_capacity(object.len()));
    for (name, value) in object {
        let read = template(&mut reader.at(Loc::Field(name.clone()), value), field);
        match (read, &mut all) {
            (Some(text), Some(pairs)) => pairs.push((name.clone(), text)),
            _ => all = None,
        }
    }
    all
}

/// Any JSON value; each string inside is a template.
pub(crate) fn templated_json(reader: &mut Reader<'_>, field: &str) -> Option<Value> {
    match template::validate_json(reader.value()) {
        Ok(()) => Some(reader.value().clone()),
        Err(fault) => {
            reader.value_error(format_args!("'{field}' is not a valid template: {}", fault.message));
            None
        }
    }
}

/// A non-empty string that may hold a template.
pub(crate) fn non_empty_template(reader: &mut Reader<'_>, field: &str) -> Option<String> {
    let text = template(reader, field)?;
    if text.trim().is_empty() {
        reader.value_error(format_args!("'{field}' may not be empty"));
        return None;
    }
    Some(text)
}

/// Pairs as a JSON object.
pub(crate) fn object(pairs: &[(String, String)]) -> Value {
    Value::Object(pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect())
}

/// Puts `value` under `name` when there is one, else null.
pub(crate) fn put_or_null<T: Into<Value> + Clone>(
    out: &mut Map<String, Value>,
    name: &str,
    value: &Option<T>,
) {
    out.insert(name.into(), value.clone().map_or(Value::Null, Into::into));
}
