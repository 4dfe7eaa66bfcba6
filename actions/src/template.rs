//! Templates: minijinja with the names, filters and Python methods that Prefect's templates use.
use crate::limits::TEMPLATE_BYTES_MAX;
use crate::rewrite;
use serde_json::Value;

/// Why a template is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFault {
    /// The line, from 1; 0 when the whole template is meant.
    pub line: usize,
    /// What is wrong.
    pub message: String,
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
