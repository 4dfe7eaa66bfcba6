//! What the rewritten operations of a template call: each counts what it makes and refuses too much.

use crate::limits::{
    LOOKED_AT_BYTES_MAX, OUTPUT_BYTES_MAX, VALUE_BYTES_MAX, VALUE_COST, VALUE_DEPTH_MAX, WORK_BYTES_MAX,
};
use crate::python::{self, fault, too_large};
use crate::text_filters;
use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};

/// What one rendering has made and written so far, in bytes.
#[derive(Debug, Default)]
struct Spent {
    made: usize,
    looked_at: usize,
    written: usize,
}

/// Adds the guards to an environment.
pub(crate) fn install(env: &mut Environment<'static>) {
    env.set_formatter(format);
    env.add_filter("@defined", defined);
    env.add_filter("@value", counted);
    env.add_filter("@use", used);
    env.add_filter("@store", stored);
    env.add_filter("@add", |state: &mut State, a: Value, b: Value| counted(state, add(&a, &b)?));
    env.add_filter("@sub", |a: Value, b: Value| sub(&a, &b));
    env.add_filter("@mul", |state: &mut State, a: Value, b: Value| counted(state, mul(&a, &b)?));
    env.add_filter("@rem", |state: &mut State, a: Value, b: Value| counted(state, rem(&a, &b)?));
    env.add_filter("@concat", |state: &mut State, a: Value, b: Value| counted(state, concat(&a, &b)?));
    env.add_filter("@fail", |message: String| -> Result<Value, Error> { Err(fault(message)) });
}

/// Prints a value as Python does, counting what is written.
fn format(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "what is printed here is undefined"));
    }
    let made;
    let text = match value.as_str() {
        Some(text) => text,
        None => {
            made = python::text(value)?;
            &made
        }
    };
    let spent = state.get_or_insert_extension_with(Spent::default);
    spent.written += text.len();
    if spent.written > OUTPUT_BYTES_MAX {
        return Err(fault(format!("a template may write at most {OUTPUT_BYTES_MAX} bytes")));
    }
    out.write_str(text).map_err(Error::from)
}

fn defined(value: Value, name: String) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, format!("'{name}' is undefined")));
    }
    Ok(value)
}

/// `value`, once its size is counted.
fn counted(state: &mut State<'_, '_>, value: Value) -> Result<Value, Error> {
    let mut left = VALUE_BYTES_MAX;
    weigh(&value, &mut left, 0)?;
    let spent = state.get_or_insert_extension_with(Spent::default);
    spent.made += VALUE_BYTES_MAX - left;
    if spent.made > WORK_BYTES_MAX {
        return Err(fault(format!("a template may make values of at most {WORK_BYTES_MAX} bytes in all")));
    }
    Ok(value)
}

/// `value`, once it is counted that it is walked over, for each of its elements with the arguments.
fn used(state: &mut State<'_, '_>, value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let size = |value: &Value| value.as_str().map_or_else(|| value.len().unwrap_or(1) * VALUE_COST, str::len);
    let within = |value: &Value| match value.as_object() {
        Some(object) if value.is_kwargs() => {
            object.try_iter_pairs().into_iter().flatten().map(|(_, value)| size(&value)).sum()
        }
        _ => size(value),
    };
    let elements = value.len().unwrap_or(1);
    let by_element: usize = args.into_values().iter().map(within).sum();
    let spent = state.get_or_insert_extension_with(Spent::default);
    let looked_at = size(&value).saturating_add(elements.saturating_mul(by_element));
    spent.looked_at = spent.looked_at.saturating_add(looked_at);
    if spent.looked_at > LOOKED_AT_BYTES_MAX {
        return Err(fault(format!(
            "a template may look at values of at most {LOOKED_AT_BYTES_MAX} bytes in all"
        )));
    }
    Ok(value)
}

/// `value`, when it holds no namespace, so that no value can hold itself.
fn stored(state: &mut State<'_, '_>, value: Value) -> Result<Value, Error> {
    let value = counted(state, value)?;
    if holds_namespace(&value) {
        return Err(fault("a namespace may not hold a namespace"));
    }
    Ok(value)
}

fn holds_namespace(value: &Value) -> bool {
    let Some(object) = value.as_object() else { return false };
    if object.type_name().ends_with("::Namespace") {
        return true;
    }
    match value.kind() {
        ValueKind::Map => {
            object.try_iter_pairs().into_iter().flatten().any(|(_, value)| holds_namespace(&value))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().into_iter().flatten().any(|item| holds_namespace(&item))
        }
        _ => false,
    }
}

/// Takes the size of a value with everything in it off `left`.
fn weigh(value: &Value, left: &mut usize, depth: usize) -> Result<(), Error> {
    if depth > VALUE_DEPTH_MAX {
        return Err(fault(format!("a value may hold at most {VALUE_DEPTH_MAX} levels")));
    }
    let own = value.as_str().map_or(VALUE_COST, |text| text.len() + VALUE_COST);
    *left = left.checked_sub(own).ok_or_else(too_large)?;
    let Some(object) = value.as_object() else { return Ok(()) };
    match value.kind() {
        ValueKind::Map => {
            for (key, value) in object.try_iter_pairs().into_iter().flatten() {
                weigh(&key, left, depth + 1)?;
                weigh(&value, left, depth + 1)?;
            }
        }
        ValueKind::Seq | ValueKind::Iterable => {
            for item in value.try_iter()?.checked() {
                weigh(&item?, left, depth + 1)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Two numbers as whole ones, else as floats.
enum Pair {
    Whole(i128, i128),
    Float(f64, f64),
}

fn pair(a: &Value, b: &Value) -> Option<Pair> {
    let whole = |value: &Value| match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    };
    if let (Some(a), Some(b)) = (whole(a), whole(b)) {
        return Some(Pair::Whole(a, b));
    }
    let float = |value: &Value| match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        _ => None,
    };
    Some(Pair::Float(float(a)?, float(b)?))
}

fn whole(value: Option<i128>) -> Result<Value, Error> {
    match value {
        Some(value) => Ok(i64::try_from(value).map_or_else(|_| Value::from(value), Value::from)),
        None => Err(fault("the number is too large")),
    }
}

fn unfit(operator: &str, a: &Value, b: &Value) -> Error {
    fault(format!("tried to use {operator} operator on unsupported types {} and {}", a.kind(), b.kind()))
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// `a + b` of numbers, texts and lists.
pub(crate) fn add(a: &Value, b: &Value) -> Result<Value, Error> {
    match (pair(a, b), a.as_str(), b.as_str()) {
        (Some(Pair::Whole(a, b)), ..) => whole(a.checked_add(b)),
        (Some(Pair::Float(a, b)), ..) => Ok(Value::from(a + b)),
        (_, Some(a), Some(b)) => Ok(Value::from([a, b].concat())),
        _ if is_list(a) && is_list(b) => {
            let mut items = Vec::new();
            for item in a.try_iter()?.checked().chain(b.try_iter()?.checked()) {
                if items.len() * VALUE_COST > VALUE_BYTES_MAX {
                    return Err(too_large());
                }
                items.push(item?);
            }
            Ok(Value::from(items))
        }
        _ => Err(unfit("+", a, b)),
    }
}

fn sub(a: &Value, b: &Value) -> Result<Value, Error> {
    if let Some(span) = crate::datetime::between(a, b) {
        return Ok(span);
    }
    match pair(a, b) {
        Some(Pair::Whole(a, b)) => whole(a.checked_sub(b)),
        Some(Pair::Float(a, b)) => Ok(Value::from(a - b)),
        None => Err(unfit("-", a, b)),
    }
}

fn mul(a: &Value, b: &Value) -> Result<Value, Error> {
    match pair(a, b) {
        Some(Pair::Whole(a, b)) => return whole(a.checked_mul(b)),
        Some(Pair::Float(a, b)) => return Ok(Value::from(a * b)),
        None => {}
    }
    let (value, count) = if b.is_integer() { (a, b) } else { (b, a) };
    let count = i64::try_from(count.clone()).map_err(|_| unfit("*", a, b))?.max(0) as usize;
    match value.as_str() {
        Some(text) if text.len().saturating_mul(count) <= VALUE_BYTES_MAX => {
            Ok(Value::from(text.repeat(count)))
        }
        None if is_list(value) => {
            let items: Vec<Value> = value.try_iter()?.checked().collect::<Result<_, _>>()?;
            if items.len().saturating_mul(count).saturating_mul(VALUE_COST) > VALUE_BYTES_MAX {
                return Err(too_large());
            }
            Ok(Value::from([items].into_iter().cycle().take(count).flatten().collect::<Vec<Value>>()))
        }
        Some(_) => Err(too_large()),
        None => Err(unfit("*", a, b)),
    }
}

/// The remainder with the divisor's sign, or `"%s" % x`.
fn rem(a: &Value, b: &Value) -> Result<Value, Error> {
    if let Some(format) = a.as_str() {
        let args = match b.is_tuple() {
            true => b.try_iter()?.checked().collect::<Result<Vec<_>, _>>()?,
            false => vec![b.clone()],
        };
        return text_filters::percent_format(format, &args).map(Value::from);
    }
    match pair(a, b) {
        Some(Pair::Whole(_, 0)) => Err(fault("division by zero")),
        Some(Pair::Whole(a, b)) => {
            let rest = a.checked_rem(b).unwrap_or(0);
            whole(Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }))
        }
        Some(Pair::Float(_, 0.0)) => Err(fault("division by zero")),
        Some(Pair::Float(a, b)) => Ok(Value::from(a - b * (a / b).floor())),
        None => Err(unfit("%", a, b)),
    }
}

/// `a ~ b`.
fn concat(a: &Value, b: &Value) -> Result<Value, Error> {
    Ok(Value::from([python::text(a)?, python::text(b)?].concat()))
}
