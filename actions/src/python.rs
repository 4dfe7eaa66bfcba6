//! How Python writes values: templates of Prefect's users were written against Jinja on Python, so
//! `{{ x }}` prints `None` and `True`, lists and dictionaries as their `repr`, and floats as Python does.

use crate::datetime::DateTime;
use crate::labels::LabelDiver;
use crate::limits::{VALUE_BYTES_MAX, VALUE_DEPTH_MAX};
use minijinja::value::{DynObject, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// Text that may grow up to a limit.
#[derive(Debug, Default)]
pub(crate) struct Text {
    text: String,
}

impl Text {
    /// Appends, or fails when the text becomes larger than a value may be.
    pub(crate) fn push(&mut self, part: &str) -> Result<(), Error> {
        if self.text.len() + part.len() > VALUE_BYTES_MAX {
            return Err(too_large());
        }
        self.text.push_str(part);
        Ok(())
    }

    /// The text.
    pub(crate) fn into_string(self) -> String {
        self.text
    }
}

/// The error of a value that grows over its limit.
pub(crate) fn too_large() -> Error {
    fault(format!("a value may hold at most {VALUE_BYTES_MAX} bytes"))
}

/// An error of the kind that a wrong operation is.
pub(crate) fn fault(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// `str(value)`.
pub(crate) fn text(value: &Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let mut out = Text::default();
    write(value, &mut out, 0)?;
    Ok(out.into_string())
}

/// `repr(value)`.
pub(crate) fn repr(value: &Value) -> Result<String, Error> {
    let mut out = Text::default();
    write(value, &mut out, 0)?;
    Ok(out.into_string())
}

/// Python's shortest text of a float.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, number) = match exponent.strip_prefix('-') {
            Some(number) => ('-', number),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{number:0>2}");
    }
    let text = value.to_string();
    if text.contains('.') { text } else { text + ".0" }
}

/// Whether a number is a float rather than whole.
pub(crate) fn is_float(value: &Value) -> bool {
    value.kind() == ValueKind::Number && !value.is_integer()
}

fn write(value: &Value, out: &mut Text, depth: usize) -> Result<(), Error> {
    if depth > VALUE_DEPTH_MAX {
        return Err(fault(format!("a value may hold at most {VALUE_DEPTH_MAX} levels")));
    }
    match value.kind() {
        ValueKind::Undefined => Ok(()),
        ValueKind::None => out.push("None"),
        ValueKind::Bool => out.push(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => out.push(&number(value)),
        ValueKind::String => write_quoted(value.as_str().unwrap_or_default(), out),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable | ValueKind::Plain => match value.as_object() {
            Some(object) => write_object(value, object, out, depth),
            None => out.push(&value.to_string()),
        },
        _ => out.push(&value.to_string()),
    }
}

/// A number as Python writes it.
pub(crate) fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(number) if is_float(value) => float(number),
        _ => value.to_string(),
    }
}

fn write_object(value: &Value, object: &DynObject, out: &mut Text, depth: usize) -> Result<(), Error> {
    if let Some(time) = object.downcast_ref::<DateTime>() {
        return out.push(&time.to_string());
    }
    if let Some(labels) = object.downcast_ref::<LabelDiver>() {
        return out.push(labels.text());
    }
    let (open, close) = match value.kind() {
        ValueKind::Map => ("{", "}"),
        ValueKind::Plain => return out.push(&value.to_string()),
        _ if value.is_tuple() => ("(", ")"),
        _ => ("[", "]"),
    };
    out.push(open)?;
    if value.kind() == ValueKind::Map {
        for (index, (key, value)) in object.try_iter_pairs().into_iter().flatten().enumerate() {
            out.push(if index > 0 { ", " } else { "" })?;
            write(&key, out, depth + 1)?;
            out.push(": ")?;
            write(&value, out, depth + 1)?;
        }
    } else {
        let mut count = 0;
        for item in value.try_iter()?.checked() {
            out.push(if count > 0 { ", " } else { "" })?;
            write(&item?, out, depth + 1)?;
            count += 1;
        }
        if count == 1 && value.is_tuple() {
            out.push(",")?;
        }
    }
    out.push(close)
}

fn write_quoted(text: &str, out: &mut Text) -> Result<(), Error> {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for letter in text.chars() {
        match letter {
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c == quote => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push(quote);
    out.push(&quoted)
}

/// `json.dumps(value, sort_keys=True)` with the characters that HTML minds escaped, as Jinja's `tojson`.
pub(crate) fn json(value: &Value, indent: Option<usize>) -> Result<String, Error> {
    let mut out = Text::default();
    write_json(value, &mut out, &Layout { indent, depth: 0 })?;
    Ok(out.into_string())
}

struct Layout {
    indent: Option<usize>,
    depth: usize,
}

impl Layout {
    fn deeper(&self) -> Result<Self, Error> {
        if self.depth >= VALUE_DEPTH_MAX {
            return Err(fault(format!("a value may hold at most {VALUE_DEPTH_MAX} levels")));
        }
        Ok(Self { indent: self.indent, depth: self.depth + 1 })
    }

    fn line(&self, out: &mut Text) -> Result<(), Error> {
        match self.indent {
            Some(width) => {
                out.push("\n")?;
                out.push(&" ".repeat(width * self.depth))
            }
            None => Ok(()),
        }
    }

    fn comma(&self) -> &'static str {
        if self.indent.is_some() { "," } else { ", " }
    }
}

fn write_json(value: &Value, out: &mut Text, layout: &Layout) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::new(ErrorKind::UndefinedError, "an undefined value is no JSON")),
        ValueKind::None => out.push("null"),
        ValueKind::Bool => out.push(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push(&match number(value).as_str() {
            "nan" => "NaN".to_owned(),
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            text => text.to_owned(),
        }),
        ValueKind::String => write_json_text(value.as_str().unwrap_or_default(), out),
        ValueKind::Map => write_json_map(value, out, layout),
        ValueKind::Seq | ValueKind::Iterable => match value.downcast_object_ref::<LabelDiver>() {
            Some(labels) => write_json(&labels.map(), out, layout),
            None => write_json_list(value, out, layout),
        },
        ValueKind::Plain => match value.downcast_object_ref::<DateTime>() {
            Some(time) => write_json_text(&time.iso(), out),
            None => write_json_text(&text(value)?, out),
        },
        kind => Err(fault(format!("a value of type {kind} is no JSON"))),
    }
}

fn write_json_list(value: &Value, out: &mut Text, layout: &Layout) -> Result<(), Error> {
    let inner = layout.deeper()?;
    out.push("[")?;
    let mut count = 0;
    for item in value.try_iter()?.checked() {
        out.push(if count > 0 { layout.comma() } else { "" })?;
        inner.line(out)?;
        write_json(&item?, out, &inner)?;
        count += 1;
    }
    if count > 0 {
        layout.line(out)?;
    }
    out.push("]")
}

fn write_json_map(value: &Value, out: &mut Text, layout: &Layout) -> Result<(), Error> {
    let inner = layout.deeper()?;
    let object = value.as_object();
    let mut pairs = Vec::new();
    for (key, value) in object.and_then(|object| object.try_iter_pairs()).into_iter().flatten() {
        pairs.push((text(&key)?, value));
    }
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    out.push("{")?;
    for (index, (key, value)) in pairs.iter().enumerate() {
        out.push(if index > 0 { layout.comma() } else { "" })?;
        inner.line(out)?;
        write_json_text(key, out)?;
        out.push(": ")?;
        write_json(value, out, &inner)?;
    }
    if !pairs.is_empty() {
        layout.line(out)?;
    }
    out.push("}")
}

fn write_json_text(text: &str, out: &mut Text) -> Result<(), Error> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '<' | '>' | '&' | '\'' => quoted.push_str(&format!("\\u{:04x}", u32::from(letter))),
            c if c.is_ascii() && !c.is_ascii_control() => quoted.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    quoted.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    quoted.push('"');
    out.push(&quoted)
}
