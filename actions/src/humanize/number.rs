//! Numbers for people: `1,234`, `1.2 million`, `3.0 MB`, `3rd`.

use crate::limits::WIDTH_MAX;
use crate::python::{self, fault};
use crate::text_filters::percent_format;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, Value};

/// Names of powers of a thousand, from the first on.
const POWERS: [&str; 11] = [
    "thousand",
    "million",
    "billion",
    "trillion",
    "quadrillion",
    "quintillion",
    "sextillion",
    "septillion",
    "octillion",
    "nonillion",
    "decillion",
];
const SMALL: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const SIZES: &str = "kMGTPEZYRQ";

/// Adds the filters to an environment.
pub(super) fn install(env: &mut Environment<'static>) {
    env.add_filter("humanize_ordinal", |value: &Value, _: Kwargs| ordinal(value));
    env.add_filter("humanize_intcomma", intcomma_filter);
    env.add_filter("humanize_intword", intword);
    env.add_filter("humanize_apnumber", apnumber);
    env.add_filter("humanize_fractional", fractional);
    env.add_filter("humanize_scientific", scientific);
    env.add_filter("humanize_clamp", clamp);
    env.add_filter("humanize_metric", metric);
    env.add_filter("humanize_naturalsize", naturalsize);
    env.add_filter("humanize_thousands_separator", |_: &Value| ",");
    env.add_filter("humanize_decimal_separator", |_: &Value| ".");
}

/// The value as a finite float, else the text that stands for it.
pub(super) fn finite(value: &Value) -> Result<Result<f64, String>, Error> {
    let number = match value.kind() {
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::String => value.as_str().and_then(|text| text.trim().replace('_', "").parse().ok()),
        _ => None,
    };
    Ok(match number {
        None => Err(python::text(value)?),
        Some(number) if number.is_nan() => Err("NaN".into()),
        Some(number) if number.is_infinite() => Err(if number > 0.0 { "+Inf" } else { "-Inf" }.into()),
        Some(number) => Ok(number),
    })
}

/// The value as a whole number: `int(value)`.
fn whole(value: &Value) -> Result<Result<i128, String>, Error> {
    if value.is_integer()
        && let Ok(number) = i128::try_from(value.clone())
    {
        return Ok(Ok(number));
    }
    Ok(match finite(value)? {
        Ok(number) if value.as_str().is_none_or(|text| !text.contains(['.', 'e', 'E'])) => {
            Ok(number.trunc() as i128)
        }
        Ok(_) => Err(python::text(value)?),
        Err(text) => Err(text),
    })
}

fn ordinal(value: &Value) -> Result<String, Error> {
    let number = match whole(value)? {
        Ok(number) => number,
        Err(text) => return Ok(text),
    };
    let suffix = match (number.rem_euclid(100), number.rem_euclid(10)) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    Ok(format!("{number}{suffix}"))
}

fn intcomma_filter(value: &Value, ndigits: Option<usize>, kwargs: Kwargs) -> Result<String, Error> {
    let ndigits = ndigits.or(kwargs.get("ndigits")?);
    kwargs.assert_all_used()?;
    if ndigits.is_some_and(|digits| digits > WIDTH_MAX) {
        return Err(fault("too many digits"));
    }
    let number = match value.as_str().map(|text| text.replace(',', "")) {
        Some(text) => match text.parse::<i128>() {
            Ok(number) => Value::from(number),
            Err(_) => match text.parse::<f64>() {
                Ok(number) => Value::from(number),
                Err(_) => return python::text(value),
            },
        },
        None => value.clone(),
    };
    let number = match finite(&number)? {
        Err(text) => return Ok(text),
        Ok(float) => match ndigits {
            Some(digits) => format!("{float:.digits$}"),
            None => python::number(&number),
        },
    };
    Ok(grouped(&number))
}

/// The digits before the point in groups of three.
pub(super) fn grouped(number: &str) -> String {
    let start = usize::from(number.starts_with('-'));
    let end = number[start..].find(|c: char| !c.is_ascii_digit()).map_or(number.len(), |at| start + at);
    let digits = &number[start..end];
    let mut out = number[..start].to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + &number[end..]
}

fn intword(value: &Value, format: Option<String>, kwargs: Kwargs) -> Result<String, Error> {
    let format = format.or(kwargs.get("format")?).unwrap_or_else(|| "%.1f".into());
    kwargs.assert_all_used()?;
    let number = match whole(value)? {
        Ok(number) => number,
        Err(text) => return Ok(text),
    };
    let (sign, size) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
    if size < 1_000 {
        return Ok(format!("{sign}{size}"));
    }
    let mut power = 0;
    let mut unit = 1_000u128;
    while power + 1 < POWERS.len() && size >= unit.saturating_mul(1_000) {
        unit = unit.saturating_mul(1_000);
        power += 1;
    }
    let shown = |number: f64| percent_format(&format, &[Value::from(number)]);
    let mut rounded = shown(size as f64 / unit as f64)?;
    if rounded.trim().parse::<f64>() == Ok(1_000.0) && power + 1 < POWERS.len() {
        power += 1;
        rounded = shown(1.0)?;
    }
    Ok(format!("{sign}{rounded} {}", POWERS[power]))
}

fn apnumber(value: &Value) -> Result<String, Error> {
    Ok(match whole(value)? {
        Ok(number) => match usize::try_from(number).ok().and_then(|index| SMALL.get(index)) {
            Some(word) => (*word).to_owned(),
            None => number.to_string(),
        },
        Err(text) => text,
    })
}

fn fractional(value: &Value) -> Result<String, Error> {
    let number = match finite(value)? {
        Ok(number) => number,
        Err(text) => return Ok(text),
    };
    let whole = number.trunc();
    let (numerator, denominator) = nearest_fraction((number - whole).abs());
    let sign = if number < 0.0 { "-" } else { "" };
    Ok(match (denominator, whole == 0.0) {
        (1, _) => format!("{:.0}", whole + number.signum() * numerator as f64),
        (_, true) => format!("{sign}{numerator}/{denominator}"),
        (_, false) => format!("{whole:.0} {numerator}/{denominator}"),
    })
}

/// The fraction with a denominator up to 1,000 that lies nearest to a number between 0 and 1.
fn nearest_fraction(number: f64) -> (i64, i64) {
    let distance = |denominator: i64| {
        let numerator = (number * denominator as f64).round();
        ((number - numerator / denominator as f64).abs(), numerator as i64)
    };
    let mut best = (distance(1), 1);
    for denominator in 2..=1_000 {
        let candidate = distance(denominator);
        if candidate.0 < best.0.0 {
            best = (candidate, denominator);
        }
    }
    (best.0.1, best.1)
}

fn scientific(value: &Value, precision: Option<usize>, kwargs: Kwargs) -> Result<String, Error> {
    let precision = precision.or(kwargs.get("precision")?).unwrap_or(2);
    kwargs.assert_all_used()?;
    let number = match finite(value)? {
        Ok(number) => number,
        Err(text) => return Ok(text),
    };
    if precision > WIDTH_MAX {
        return Err(fault("too many digits"));
    }
    Ok(raised(number, precision))
}

/// `1.50 x 10⁻³`.
fn raised(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let raised = exponent.chars().map(|c| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32(u32::from('⁰') + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit),
    });
    format!("{digits} x 10{}", raised.collect::<String>())
}

fn clamp(state: &mut minijinja::State<'_, '_>, value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let (floor, ceil): (Option<Value>, Option<Value>) = (kwargs.get("floor")?, kwargs.get("ceil")?);
    let format: Option<Value> = kwargs.get("format")?;
    let token = |name: &str, default: &str| {
        Ok::<_, Error>(kwargs.get::<Option<String>>(name)?.unwrap_or(default.into()))
    };
    let (floor_token, ceil_token) = (token("floor_token", "<")?, token("ceil_token", ">")?);
    kwargs.assert_all_used()?;
    if value.is_none() {
        return Ok(Value::from(()));
    }
    let number = match finite(value)? {
        Ok(number) => number,
        Err(text) => return Ok(Value::from(text)),
    };
    let limit = |limit: &Option<Value>| limit.clone().and_then(|limit| f64::try_from(limit).ok());
    let (shown, token) = match (limit(&floor), limit(&ceil)) {
        (Some(least), _) if number < least => (floor.unwrap_or_default(), floor_token),
        (_, Some(most)) if number > most => (ceil.unwrap_or_default(), ceil_token),
        _ => (value.clone(), String::new()),
    };
    let format = format.unwrap_or_else(|| Value::from("{:}"));
    let text = format.call_method(state, "format", &[shown])?;
    Ok(Value::from(format!("{token}{}", python::text(&text)?)))
}

fn metric(
    value: f64,
    unit: Option<String>,
    precision: Option<usize>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let unit = unit.or(kwargs.get("unit")?).unwrap_or_default();
    let precision = precision.or(kwargs.get("precision")?).unwrap_or(3);
    kwargs.assert_all_used()?;
    if !value.is_finite() {
        return Ok(if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        }
        .into());
    }
    if precision > WIDTH_MAX {
        return Err(fault("too many digits"));
    }
    let exponent = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    if !(-30..33).contains(&exponent) {
        return Ok(raised(value, precision.saturating_sub(1)) + &unit);
    }
    let scaled = |exponent: i32| {
        let digits = (precision as i32 - exponent.rem_euclid(3) - 1).max(0) as usize;
        format!("{:.digits$}", value / 10f64.powi(exponent.div_euclid(3) * 3))
    };
    // Rounding may carry into the next digit: 9.999 becomes 10.0.
    let full = 10f64.powi(exponent.rem_euclid(3) + 1);
    let carried = exponent < 30 && scaled(exponent).parse::<f64>().is_ok_and(|number| number.abs() >= full);
    let exponent = exponent + i32::from(carried);
    let prefix = match exponent.div_euclid(3) {
        0 => None,
        up @ 1.. => SIZES.chars().nth((up - 1) as usize),
        down => "mμnpfazyrq".chars().nth((-down - 1) as usize),
    };
    let prefix = prefix.map(String::from).unwrap_or_default();
    let close = (unit.is_empty() && prefix.is_empty()) || ["°", "′", "″"].contains(&unit.as_str());
    Ok(format!("{}{}{prefix}{unit}", scaled(exponent), if close { "" } else { " " }))
}

fn naturalsize(value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let binary = kwargs.get::<Option<bool>>("binary")?.unwrap_or(false);
    let gnu = kwargs.get::<Option<bool>>("gnu")?.unwrap_or(false);
    let format = kwargs.get::<Option<String>>("format")?.unwrap_or_else(|| "%.1f".into());
    kwargs.assert_all_used()?;
    let Ok(bytes) = finite(value)? else { return Err(fault("the size is no number")) };
    let base = if gnu || binary { 1_024.0 } else { 1_000.0 };
    let size = bytes.abs();
    if size == 1.0 && !gnu {
        return Ok(format!("{bytes:.0} Byte"));
    }
    if size < base {
        return Ok(if gnu {
            format!("{:.0}B", bytes.trunc())
        } else {
            format!("{:.0} Bytes", bytes.trunc())
        });
    }
    let shown = |power: i32| percent_format(&format, &[Value::from(bytes / f64::powi(base, power))]);
    let largest = SIZES.chars().count() as i32;
    let mut power = 1;
    while power < largest && size >= f64::powi(base, power + 1) {
        power += 1;
    }
    let rounded = shown(power)?.trim().parse::<f64>().map_or(0.0, f64::abs);
    if power < largest && rounded >= base {
        power += 1;
    }
    let letter = SIZES.chars().nth((power - 1) as usize).expect("power is within the list");
    let unit = match (gnu, binary) {
        (true, _) => letter.to_uppercase().to_string(),
        (false, true) => format!(" {}iB", letter.to_uppercase()),
        (false, false) => format!(" {letter}B"),
    };
    Ok(shown(power)? + &unit)
}
