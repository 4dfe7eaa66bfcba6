//! Filters and Python methods on text that could make it large: each looks at the size before it works.

use crate::limits::{VALUE_BYTES_MAX, VALUE_COST, WIDTH_MAX};
use crate::python::{self, Text, fault, too_large};
use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

/// Adds the filters and the methods to an environment.
pub(crate) fn install(env: &mut Environment<'static>) {
    env.add_filter("format", |text: String, args: Rest<ValueOrKwargs>| {
        percent_format(&text, &args.into_values())
    });
    env.add_filter("replace", replace);
    env.add_filter("join", join);
    env.add_filter("indent", indent);
    env.add_filter("center", |text: String, width: Option<usize>| {
        pad(&text, width.unwrap_or(80), ' ', Side::Both)
    });
    env.add_filter("string", |value: &Value| python::text(value));
    env.add_filter("pprint", |value: &Value| python::repr(value));
    env.add_filter("truncate", truncate);
    env.add_filter("wordcount", |text: String| text.split_whitespace().count());
    env.add_filter("tojson", tojson);
    env.add_filter("batch", |state: &State, value: Value, count: usize, fill: Option<Value>| {
        bounded_count(count)?;
        minijinja::filters::batch(state, value, count, fill)
    });
    env.add_filter("slice", |state: &State, value: Value, count: usize, fill: Option<Value>| {
        bounded_count(count)?;
        minijinja::filters::slice(state, value, count, fill)
    });
    env.add_filter("sum", sum);
    env.add_filter("int", |value: &Value, default: Option<Value>, kwargs: Kwargs| {
        let default = default.or(kwargs.get("default")?).unwrap_or_else(|| Value::from(0));
        let base = kwargs.get::<Option<u32>>("base")?.unwrap_or(10);
        Ok::<_, Error>(int(value, base).unwrap_or(default))
    });
    env.add_filter("float", |value: &Value, default: Option<Value>, kwargs: Kwargs| {
        let default = default.or(kwargs.get("default")?).unwrap_or_else(|| Value::from(0.0));
        Ok::<_, Error>(float(value).map_or(default, Value::from))
    });
    env.set_unknown_method_callback(method);
}

/// `"%s" % args`: no width over the limit, and no more text than a value may hold.
pub(crate) fn percent_format(text: &str, args: &[Value]) -> Result<String, Error> {
    bounded_format(FormatStyle::Printf, text, args)
}

fn bounded_format(style: FormatStyle, text: &str, args: &[Value]) -> Result<String, Error> {
    let mut digits = 0usize;
    for byte in text.bytes() {
        digits = if byte.is_ascii_digit() { digits * 10 + usize::from(byte - b'0') } else { 0 };
        if digits > WIDTH_MAX {
            return Err(fault(format!("a format may ask for at most {WIDTH_MAX} characters a field")));
        }
    }
    let (mark, nested) = match style {
        FormatStyle::Printf => ('%', text.contains('*')),
        FormatStyle::StrFormat => {
            ('{', text.replace("{{", "").split('}').any(|part| part.matches('{').count() > 1))
        }
    };
    if nested {
        return Err(fault("a format may not take its width from a value"));
    }
    let largest = args.iter().try_fold(0, |most, arg| Ok::<_, Error>(shown_size(arg)?.max(most)))?;
    let fields = text.matches(mark).count();
    if fields.saturating_mul(largest + WIDTH_MAX) + text.len() > VALUE_BYTES_MAX {
        return Err(too_large());
    }
    let mut shown = args.iter().map(as_text).collect::<Result<Vec<_>, _>>()?;
    match style {
        FormatStyle::StrFormat if text.contains("%}") => {
            format(style, &percentages(text, &mut shown), &shown)
        }
        _ => format(style, text, &shown),
    }
}

/// Python's text for what is no number, text, list or map, so that `{}` shows it as Python does.
fn as_text(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Plain => python::text(value).map(Value::from),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable if !value.is_kwargs() => {
            python::text(value).map(Value::from)
        }
        _ => Ok(value.clone()),
    }
}

fn shown_size(value: &Value) -> Result<usize, Error> {
    match value.as_str() {
        Some(text) => Ok(text.len()),
        None => Ok(python::text(value)?.len()),
    }
}

fn bounded_count(count: usize) -> Result<(), Error> {
    if count > WIDTH_MAX {
        return Err(fault(format!("at most {WIDTH_MAX} parts are allowed")));
    }
    Ok(())
}

fn replace(text: &Value, from: &str, to: &str, count: Option<i64>) -> Result<String, Error> {
    let text = python::text(text)?;
    let most = count.filter(|count| *count >= 0).map_or(usize::MAX, |count| count as usize);
    let found = text.matches(from).take(most).count();
    if text.len() + found.saturating_mul(to.len()) > VALUE_BYTES_MAX {
        return Err(too_large());
    }
    Ok(text.replacen(from, to, most))
}

fn join(
    value: &Value,
    joiner: Option<String>,
    attribute: Option<String>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let joiner = joiner.or(kwargs.get("d")?).unwrap_or_default();
    let attribute = attribute.or(kwargs.get("attribute")?);
    kwargs.assert_all_used()?;
    joined(value, &joiner, attribute.as_deref())
}

fn joined(values: &Value, joiner: &str, attribute: Option<&str>) -> Result<String, Error> {
    let mut out = Text::default();
    for (index, item) in values.try_iter()?.checked().enumerate() {
        let mut item = item?;
        for step in attribute.into_iter().flat_map(|path| path.split('.')) {
            item = item.get_attr(step)?;
        }
        out.push(if index > 0 { joiner } else { "" })?;
        out.push(&python::text(&item)?)?;
    }
    Ok(out.into_string())
}

fn indent(
    text: String,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let width = width.or(kwargs.get("width")?);
    let first = first.or(kwargs.get("first")?).unwrap_or(false);
    let blank = blank.or(kwargs.get("blank")?).unwrap_or(false);
    kwargs.assert_all_used()?;
    let prefix = match width {
        None => "    ".to_owned(),
        Some(width) => match (width.as_str(), width.as_usize()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(count)) if count <= WIDTH_MAX => " ".repeat(count),
            _ => return Err(fault(format!("an indent may be at most {WIDTH_MAX} wide"))),
        },
    };
    let mut out = Text::default();
    for (index, line) in text.split('\n').enumerate() {
        out.push(if index > 0 { "\n" } else { "" })?;
        let indented = if index == 0 { first } else { blank || !line.trim().is_empty() };
        out.push(if indented { &prefix } else { "" })?;
        out.push(line)?;
    }
    Ok(out.into_string())
}

/// Jinja's `truncate`: at a word's end unless `killwords`, with 5 characters of leeway.
fn truncate(
    text: String,
    length: Option<usize>,
    killwords: Option<bool>,
    end: Option<String>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let length = length.or(kwargs.get("length")?).unwrap_or(255);
    let killwords = killwords.or(kwargs.get("killwords")?).unwrap_or(false);
    let end = end.or(kwargs.get("end")?).unwrap_or_else(|| "...".into());
    let leeway: usize = kwargs.get::<Option<usize>>("leeway")?.unwrap_or(5);
    kwargs.assert_all_used()?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text);
    }
    let kept = length.checked_sub(end.chars().count()).ok_or_else(|| fault("length is shorter than end"))?;
    let kept: String = text.chars().take(kept).collect();
    let kept =
        if killwords { &kept } else { kept.rsplit_once(' ').map_or(kept.as_str(), |(words, _)| words) };
    Ok(format!("{kept}{end}"))
}

fn tojson(value: &Value, indent: Option<usize>, kwargs: Kwargs) -> Result<String, Error> {
    let indent = indent.or(kwargs.get("indent")?);
    kwargs.assert_all_used()?;
    if indent.is_some_and(|width| width > WIDTH_MAX) {
        return Err(fault(format!("an indent may be at most {WIDTH_MAX} wide")));
    }
    python::json(value, indent)
}

fn sum(
    values: Value,
    attribute: Option<String>,
    start: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let attribute = attribute.or(kwargs.get("attribute")?);
    let start = start.or(kwargs.get("start")?).unwrap_or_else(|| Value::from(0));
    kwargs.assert_all_used()?;
    values.try_iter()?.checked().try_fold(start, |total, item| {
        let mut item = item?;
        for step in attribute.iter().flat_map(|path| path.split('.')) {
            item = item.get_attr(step)?;
        }
        if item.kind() != ValueKind::Number {
            return Err(fault(format!("sum takes numbers, not a {}", item.kind())));
        }
        crate::guards::add(&total, &item)
    })
}

fn float(value: &Value) -> Option<f64> {
    match value.kind() {
        ValueKind::String => value.as_str()?.trim().replace('_', "").parse().ok(),
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        _ => None,
    }
}

/// Python's `int`, and of a text with a fraction its whole part, as Jinja's filter has it.
fn int(value: &Value, base: u32) -> Option<Value> {
    if value.is_integer() {
        return Some(value.clone());
    }
    let text = value.as_str().map(|text| text.trim().replace('_', ""));
    if let Some(text) = text.filter(|_| (2..=36).contains(&base)) {
        let digits = match base {
            16 => text.trim_start_matches("0x"),
            8 => text.trim_start_matches("0o"),
            2 => text.trim_start_matches("0b"),
            _ => &text,
        };
        if let Ok(number) = i64::from_str_radix(digits, base) {
            return Some(Value::from(number));
        }
    }
    let number = float(value).filter(|number| number.abs() < 9e18)?;
    Some(Value::from(number.trunc() as i64))
}

/// Python's `{:.1%}`, which the engine lacks, as `{:.1f}%` of a hundred times the value. Fields with a
/// number or a name stay as they are.
fn percentages(text: &str, args: &mut [Value]) -> String {
    let (mut out, mut rest, mut field) = (String::with_capacity(text.len()), text, 0);
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        out.push('{');
        rest = after;
        if let Some(after) = rest.strip_prefix('{') {
            out.push('{');
            rest = after;
            continue;
        }
        let Some((spec, after)) = rest.split_once('}') else { break };
        let value = args.get_mut(field);
        match (spec.strip_prefix(':').and_then(|spec| spec.strip_suffix('%')), value) {
            (Some(spec), Some(value)) if float(value).is_some() => {
                *value = Value::from(float(value).unwrap_or(0.0) * 100.0);
                out.push_str(&format!(
                    ":{}f}}%",
                    if spec.contains('.') { spec.to_owned() } else { format!("{spec}.6") }
                ));
            }
            _ => out.push_str(&format!("{spec}}}")),
        }
        field += 1;
        rest = after;
    }
    out + rest
}

enum Side {
    Left,
    Right,
    Both,
}

fn pad(text: &str, width: usize, fill: char, side: Side) -> Result<String, Error> {
    if width > WIDTH_MAX {
        return Err(fault(format!("text may be padded to at most {WIDTH_MAX} characters")));
    }
    let missing = width.saturating_sub(text.chars().count());
    let left = match side {
        Side::Left => missing,
        Side::Right => 0,
        Side::Both => missing / 2 + (missing & width & 1),
    };
    let fill = |count: usize| fill.to_string().repeat(count);
    Ok(format!("{}{text}{}", fill(left), fill(missing - left)))
}

/// Python's methods on texts, lists and dictionaries.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        return pycompat::unknown_method_callback(state, value, name, args);
    };
    let padded = |side: Side| {
        let (width, fill): (usize, Option<char>) = from_args(args)?;
        pad(text, width, fill.unwrap_or(' '), side).map(Value::from)
    };
    match name {
        "format" => bounded_format(FormatStyle::StrFormat, text, args).map(Value::from),
        "replace" => {
            let (from, to, count): (&str, &str, Option<i64>) = from_args(args)?;
            replace(value, from, to, count).map(Value::from)
        }
        "join" => {
            let (values,): (&Value,) = from_args(args)?;
            joined(values, text, None).map(Value::from)
        }
        "center" => padded(Side::Both),
        "ljust" => padded(Side::Right),
        "rjust" => padded(Side::Left),
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
            Ok(Value::from(format!(
                "{sign}{}",
                pad(digits, width.saturating_sub(sign.len()), '0', Side::Left)?
            )))
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)))
        }
        "partition" | "rpartition" => {
            let (mark,): (&str,) = from_args(args)?;
            let first = name == "partition";
            let parts = if first { text.split_once(mark) } else { text.rsplit_once(mark) };
            let parts = match parts {
                Some((before, after)) => [before, mark, after],
                None if first => [text, "", ""],
                None => ["", "", text],
            };
            Ok(parts.into_iter().map(Value::from).collect())
        }
        "rsplit" => {
            let (mark, most): (Option<&str>, Option<usize>) = from_args(args)?;
            let most = most.map_or(usize::MAX, |most| most.saturating_add(1));
            let mut parts: Vec<&str> = match mark {
                Some(mark) => text.rsplitn(most, mark).collect(),
                None => text.rsplitn(most, char::is_whitespace).filter(|part| !part.is_empty()).collect(),
            };
            parts.reverse();
            Ok(parts.into_iter().map(Value::from).collect())
        }
        "index" => {
            let (what,): (&str,) = from_args(args)?;
            let at = text.find(what).ok_or_else(|| fault("substring not found"))?;
            Ok(Value::from(text[..at].chars().count()))
        }
        "split" if text.len() * VALUE_COST > VALUE_BYTES_MAX * 8 => Err(too_large()),
        _ => {
            pycompat::unknown_method_callback(state, value, name, args).map_err(|error| match error.kind() {
                ErrorKind::UnknownMethod => fault(format!("text has no method '{name}'")),
                _ => error,
            })
        }
    }
}
