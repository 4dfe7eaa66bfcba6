//! Templates: minijinja with the names, filters and Python methods that Prefect's templates use.
//!
//! A text without `{{` and `{%` is no template and stays as it is. Printing an undefined name is an error
//! that says the name; testing one (`if`, `default`, `is defined`) is not.

use crate::hydrate::{self, Fill, Filled, Problem};
use crate::limits::{FUEL, RECURSION_MAX, TEMPLATE_BYTES_MAX};
use crate::scope::Scope;
use crate::{filters, guards, rewrite};
use minijinja::machinery::{CodeGenerator, eval, make_string_output};
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::OnceLock;

/// Why a text cannot be saved as a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFault {
    /// The line, from 1; 0 when the whole template is meant.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl TemplateFault {
    /// The body of Prefect's answer to `POST /templates/validate` with status 422.
    pub fn to_value(&self, source: &str) -> Value {
        serde_json::json!({"error": {"line": self.line, "message": self.message, "source": source}})
    }
}

/// Why a template could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TemplateError {
    /// The template's name, such as `body`.
    pub name: String,
    /// The line, from 1; 0 when unknown.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// The template.
    pub source_text: String,
}

impl fmt::Display for TemplateError {
    /// One line: `'event.payload.nope' is undefined (in body:2)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (in {}", self.message, self.name)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(")")
    }
}

impl TemplateError {
    /// The error with the lines around it.
    pub fn long(&self) -> String {
        let mut out = self.to_string();
        if self.line > 0 {
            let first = self.line.saturating_sub(3);
            for (index, text) in self.source_text.lines().enumerate().skip(first).take(self.line - first + 2)
            {
                let mark = if index + 1 == self.line { '>' } else { '|' };
                out += &format!("\n{:>4} {mark} {text}", index + 1);
            }
        }
        out
    }
}

/// Whether a text is taken for a template: one that holds no tag is left as it is.
pub fn maybe_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Checks a template when it is saved: its syntax, its size and the number and depth of its loops.
pub fn validate(text: &str) -> Result<(), TemplateFault> {
    if text.len() > TEMPLATE_BYTES_MAX {
        let message = format!(
            "Contains {} bytes. Templates can contain no more than {TEMPLATE_BYTES_MAX} bytes.",
            text.len()
        );
        return Err(TemplateFault { line: 0, message });
    }
    rewrite::parse(text, "template").map(drop)
}

/// Checks each string of a JSON value as a template.
pub fn validate_json(value: &Value) -> Result<(), TemplateFault> {
    match value {
        Value::String(text) => validate(text),
        Value::Array(items) => items.iter().try_for_each(validate_json),
        Value::Object(fields) => fields.values().try_for_each(validate_json),
        _ => Ok(()),
    }
}

/// What a template yields; `name` is how its errors call it.
pub fn render(name: &str, text: &str, scope: &Scope) -> Result<String, TemplateError> {
    if !maybe_template(text) {
        return Ok(text.to_owned());
    }
    let failed = |line: usize, message: String| TemplateError {
        name: name.to_owned(),
        line,
        message,
        source_text: text.to_owned(),
    };
    if text.len() > TEMPLATE_BYTES_MAX {
        return Err(failed(0, format!("a template may hold at most {TEMPLATE_BYTES_MAX} bytes")));
    }
    let tree = rewrite::parse(text, name).map_err(|fault| failed(fault.line, fault.message))?;
    let mut code = CodeGenerator::new(name, text);
    code.compile_stmt(&tree);
    let (instructions, blocks) = code.finish();
    let mut out = String::new();
    let done = {
        let mut output = make_string_output(&mut out);
        eval(environment(), &instructions, scope.value(), &blocks, &mut output, AutoEscape::None).map(drop)
    };
    match done {
        Ok(()) => Ok(out),
        Err(error) => Err(failed(error.line().unwrap_or(0), message(&error))),
    }
}

/// What a template yields, with the type of its value when it is one expression alone: `{{ 3 }}` is a
/// number, `{{ 3 }} of {{ 4 }}` a text.
pub fn render_value(name: &str, text: &str, scope: &Scope) -> Result<Value, TemplateError> {
    let Some(expression) = single_expression(text) else {
        return render(name, text, scope).map(Value::String);
    };
    let json = render(name, &format!("{{{{ ({expression}) | tojson }}}}"), scope)
        .map_err(|error| TemplateError { source_text: text.to_owned(), ..error })?;
    // Infinity and NaN have no JSON; their text is kept.
    Ok(serde_json::from_str(&json).unwrap_or(Value::String(json)))
}

/// A JSON value with each string rendered by [`render_value`].
pub fn render_json(name: &str, value: &Value, scope: &Scope) -> Result<Value, TemplateError> {
    Ok(match value {
        Value::String(text) => render_value(name, text, scope)?,
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| render_json(name, item, scope)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let mut out = Map::with_capacity(fields.len());
            for (field, value) in fields {
                out.insert(field.clone(), render_json(name, value, scope)?);
            }
            Value::Object(out)
        }
        other => other.clone(),
    })
}

/// Parameters with their templates and `__prefect_kind` placeholders filled in. `variable` looks one up.
pub fn render_parameters(
    parameters: &Map<String, Value>,
    scope: &Scope,
    variable: &mut dyn FnMut(&str) -> Option<Value>,
) -> Result<Map<String, Value>, Problem> {
    let mut parameters = Value::Object(parameters.clone());
    upgrade(&mut parameters);
    match hydrate::hydrate(&parameters, &mut Rendered { scope, variable })? {
        Filled::Value(Value::Object(filled)) => Ok(filled),
        Filled::Removed => Ok(Map::new()),
        Filled::Value(other) => Err(Problem(format!("parameters are {other}, not an object"))),
        Filled::Later => Err(Problem("parameters were not filled in".into())),
    }
}

struct Rendered<'a> {
    scope: &'a Scope,
    variable: &'a mut dyn FnMut(&str) -> Option<Value>,
}

impl Fill for Rendered<'_> {
    fn jinja(&mut self, template: &str) -> Result<Option<Value>, Problem> {
        match render("parameters", template, self.scope) {
            Ok(text) => Ok(Some(Value::String(text))),
            Err(error) => Err(Problem(format!("Invalid jinja: {error}"))),
        }
    }

    fn variable(&mut self, name: &str) -> Result<Option<Value>, Problem> {
        match (self.variable)(name) {
            Some(value) => Ok(Some(value)),
            None => Err(Problem(format!("Variable '{name}' not found in workspace."))),
        }
    }
}

/// Plain strings with tags become placeholders, outside of placeholders.
fn upgrade(value: &mut Value) {
    match value {
        Value::Object(fields) if !fields.contains_key("__prefect_kind") => {
            fields.values_mut().for_each(upgrade)
        }
        Value::Array(items) => items.iter_mut().for_each(upgrade),
        Value::String(text) if maybe_template(text) => {
            let jinja =
                |template: String| serde_json::json!({"__prefect_kind": "jinja", "template": template});
            *value = match single_expression(text) {
                Some(expression) => serde_json::json!({
                    "__prefect_kind": "json",
                    "value": jinja(format!("{{{{ ({expression}) | tojson }}}}")),
                }),
                None => jinja(text.clone()),
            };
        }
        _ => {}
    }
}

/// The expression of a template that holds nothing else.
fn single_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let one = !inner.contains("{{") && !inner.contains("}}") && !inner.contains("{%");
    one.then(|| inner.trim_matches('-').trim())
}

fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Chainable);
        env.set_fuel(Some(FUEL));
        env.set_recursion_limit(RECURSION_MAX);
        env.set_debug(false);
        guards::install(&mut env);
        filters::install(&mut env);
        env
    })
}

fn message(error: &Error) -> String {
    let mut text = match error.detail() {
        Some(detail) if error.kind() == minijinja::ErrorKind::UndefinedError => detail.to_owned(),
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
