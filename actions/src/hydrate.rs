//! Parameters with `__prefect_kind` placeholders: checked when saved, filled in when an action is done.
//!
//! A placeholder is an object with `__prefect_kind`: `jinja` (`template`), `json` (`value`: text that is
//! parsed), `workspace_variable` (`variable_name`), `none` (`value` as it is). They may lie in each other.

use crate::template;
use serde_json::{Map, Value};

/// The field that makes an object a placeholder.
const KIND: &str = "__prefect_kind";

/// Every problem of parameters with its path, such as `("a.b", "Missing 'template' key …")`.
///
/// Elements of lists are not checked, as in the genuine server; they fail when the action is done.
pub fn check(parameters: &Map<String, Value>) -> Result<(), Vec<(String, String)>> {
    let mut problems = Vec::new();
    if parameters.contains_key(KIND) {
        note(&Value::Object(parameters.clone()), "", &mut problems);
    } else {
        check_fields(parameters, "", &mut problems);
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn check_fields(fields: &Map<String, Value>, prefix: &str, problems: &mut Vec<(String, String)>) {
    for (name, value) in fields {
        let path = format!("{prefix}{name}");
        match value {
            Value::Object(object) if !object.contains_key(KIND) => {
                check_fields(object, &format!("{path}."), problems);
            }
            Value::Object(_) => note(value, &path, problems),
            Value::String(text) if template::maybe_template(text) => {
                if let Err(fault) = template::validate(text) {
                    problems.push((path, format!("Invalid jinja: {}", fault.message)));
                }
            }
            _ => {}
        }
    }
}

fn note(placeholder: &Value, path: &str, problems: &mut Vec<(String, String)>) {
    match hydrate(placeholder, &mut Check) {
        Err(Problem(message)) => problems.push((path.to_owned(), message)),
        Ok(Filled::Value(Value::Object(object))) if !object.contains_key(KIND) => {
            check_fields(&object, &format!("{path}."), problems);
        }
        Ok(_) => {}
    }
}

/// Why parameters could not be filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem(pub String);

/// What becomes of a placeholder.
#[derive(Debug, PartialEq)]
pub enum Filled {
    /// It has this value.
    Value(Value),
    /// It will have one when the action is done; only a check yields this.
    Later,
    /// It is left out of its object or list.
    Removed,
}

/// How templates and variables are filled in.
pub trait Fill {
    /// The text that a template yields, or nothing when it is only checked.
    fn jinja(&mut self, template: &str) -> Result<Option<Value>, Problem>;
    /// The value of a variable, or nothing when it is only checked.
    fn variable(&mut self, name: &str) -> Result<Option<Value>, Problem>;
}

/// Checks without filling in.
struct Check;

impl Fill for Check {
    fn jinja(&mut self, template: &str) -> Result<Option<Value>, Problem> {
        match template::validate(template) {
            Ok(()) => Ok(None),
            Err(fault) => Err(Problem(format!("Invalid jinja: {}", fault.message))),
        }
    }

    fn variable(&mut self, _: &str) -> Result<Option<Value>, Problem> {
        Ok(None)
    }
}

/// Fills in every placeholder of `value`.
pub fn hydrate(value: &Value, fill: &mut dyn Fill) -> Result<Filled, Problem> {
    match value {
        Value::Object(object) => match object.get(KIND) {
            Some(kind) => placeholder(object, kind.as_str(), fill),
            None => {
                let mut out = Map::with_capacity(object.len());
                for (name, value) in object {
                    match hydrate(value, fill)? {
                        Filled::Value(value) => drop(out.insert(name.clone(), value)),
                        Filled::Later => drop(out.insert(name.clone(), Value::Null)),
                        Filled::Removed => {}
                    }
                }
                Ok(Filled::Value(Value::Object(out)))
            }
        },
        Value::Array(items) => {
            let mut out = Vec::with_capacity(items.len());
            for item in items {
                match hydrate(item, fill)? {
                    Filled::Value(value) => out.push(value),
                    Filled::Later => out.push(Value::Null),
                    Filled::Removed => {}
                }
            }
            Ok(Filled::Value(Value::Array(out)))
        }
        other => Ok(Filled::Value(other.clone())),
    }
}

fn placeholder(
    object: &Map<String, Value>,
    kind: Option<&str>,
    fill: &mut dyn Fill,
) -> Result<Filled, Problem> {
    match kind {
        Some("none") => match object.get("value") {
            Some(value) => hydrate(value, fill),
            None => Err(missing("value")),
        },
        Some("json") => match object.get("value") {
            Some(value) => json(inner(value, fill)?),
            None => Ok(Filled::Removed),
        },
        Some("jinja") => match object.get("template") {
            Some(value) => match inner(value, fill)? {
                Filled::Value(Value::String(text)) => {
                    Ok(fill.jinja(&text)?.map_or(Filled::Later, Filled::Value))
                }
                Filled::Value(other) => Err(Problem(format!("Invalid jinja: {other} is no string"))),
                other => Ok(other),
            },
            None => Err(missing("template")),
        },
        Some("workspace_variable") => match object.get("variable_name") {
            Some(value) => match inner(value, fill)? {
                Filled::Value(Value::String(name)) => {
                    Ok(fill.variable(&name)?.map_or(Filled::Later, Filled::Value))
                }
                Filled::Value(other) => Err(Problem(format!("Variable '{other}' not found in workspace."))),
                other => Ok(other),
            },
            None => Ok(Filled::Removed),
        },
        _ => Ok(Filled::Value(object.get("value").cloned().unwrap_or(Value::Null))),
    }
}

/// The argument of a placeholder, which may be a placeholder itself.
fn inner(value: &Value, fill: &mut dyn Fill) -> Result<Filled, Problem> {
    if value.is_object() { hydrate(value, fill) } else { Ok(Filled::Value(value.clone())) }
}

fn json(filled: Filled) -> Result<Filled, Problem> {
    match filled {
        Filled::Value(Value::String(text)) => match serde_json::from_str(&text) {
            Ok(value) => Ok(Filled::Value(value)),
            Err(error) => Err(Problem(format!("Invalid JSON: {error}"))),
        },
        other => Ok(other),
    }
}

fn missing(key: &str) -> Problem {
    Problem(format!("Missing '{key}' key in __prefect object"))
}
