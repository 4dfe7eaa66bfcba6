//! Times for people: `3 minutes ago`, `yesterday`, `1 hour and 2.50 seconds`.

use super::number::{finite, grouped};
use crate::datetime::{DateTime, TimeDelta};
use crate::filters::now;
use crate::python::{self, fault};
use crate::text_filters::percent_format;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, State, Value};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// From the smallest unit on, in microseconds; a month is half a day longer than 30 days.
const UNITS: [(&str, f64); 8] = [
    ("microsecond", 1.0),
    ("millisecond", 1e3),
    ("second", 1e6),
    ("minute", 60e6),
    ("hour", 3_600e6),
    ("day", 86_400e6),
    ("month", 30.5 * 86_400e6),
    ("year", 365.0 * 86_400e6),
];
const SECOND: usize = 2;
const DAY: usize = 5;

/// Adds the filters to an environment.
pub(super) fn install(env: &mut Environment<'static>) {
    env.add_filter("humanize_abs_timedelta", |value: &Value| {
        match value.downcast_object_ref::<TimeDelta>() {
            Some(delta) => Ok(Value::from_object(TimeDelta(delta.0.abs()))),
            None => Err(fault("what is no span of time has no size")),
        }
    });
    env.add_filter("humanize_naturaldelta", naturaldelta_filter);
    env.add_filter("humanize_naturaltime", naturaltime);
    env.add_filter("humanize_naturalday", |state: &State, value: &Value, kwargs: Kwargs| {
        let format = kwargs.get::<Option<String>>("format")?.unwrap_or_else(|| "%b %d".into());
        naturalday(state, value, &format)
    });
    env.add_filter("humanize_naturaldate", |state: &State, value: &Value| {
        let far = days_from_today(state, value).is_some_and(|days| days.unsigned_abs() * 12 >= 5 * 365);
        naturalday(state, value, if far { "%b %d %Y" } else { "%b %d" })
    });
    env.add_filter("humanize_precisedelta", precisedelta);
}

/// A span: one of times, or seconds.
fn span(value: &Value) -> Option<i64> {
    if let Some(delta) = value.downcast_object_ref::<TimeDelta>() {
        return Some(delta.0);
    }
    let seconds = finite(value).ok()?.ok()?;
    Some((seconds * 1e6) as i64)
}

fn days_from_today(state: &State<'_, '_>, value: &Value) -> Option<i64> {
    let day = value.downcast_object_ref::<DateTime>()?.days();
    Some(day - now(state)?.days())
}

fn naturalday(state: &State<'_, '_>, value: &Value, format: &str) -> Result<String, Error> {
    match (days_from_today(state, value), value.downcast_object_ref::<DateTime>()) {
        (Some(0), _) => Ok("today".into()),
        (Some(1), _) => Ok("tomorrow".into()),
        (Some(-1), _) => Ok("yesterday".into()),
        (Some(_), Some(day)) => day.strftime(format),
        _ => python::text(value),
    }
}

fn naturaldelta_filter(value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let months = kwargs.get::<Option<bool>>("months")?.unwrap_or(true);
    let unit = kwargs.get::<Option<String>>("minimum_unit")?.unwrap_or_else(|| "seconds".into());
    kwargs.assert_all_used()?;
    match span(value) {
        Some(micros) => naturaldelta(micros, months, &unit),
        None => python::text(value),
    }
}

fn naturaltime(state: &State<'_, '_>, value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let months = kwargs.get::<Option<bool>>("months")?.unwrap_or(true);
    let unit = kwargs.get::<Option<String>>("minimum_unit")?.unwrap_or_else(|| "seconds".into());
    let future: Option<bool> = kwargs.get("future")?;
    let when: Option<Value> = kwargs.get("when")?;
    kwargs.assert_all_used()?;
    let when = when.and_then(|when| when.downcast_object_ref::<DateTime>().copied()).or_else(|| now(state));
    let (micros, future) = match (value.downcast_object_ref::<DateTime>(), when, span(value)) {
        (Some(time), Some(when), _) => (when.0.since(time.0), time.0 > when.0),
        (None, _, Some(micros)) if value.is_number() => (micros, future.unwrap_or(false)),
        (None, _, Some(micros)) => (micros, micros < 0),
        _ => return python::text(value),
    };
    let text = naturaldelta(micros, months, &unit)?;
    Ok(match (text.as_str(), future) {
        ("a moment", _) => "now".into(),
        (_, true) => format!("{text} from now"),
        (_, false) => format!("{text} ago"),
    })
}

fn count(number: i64, unit: &str) -> String {
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// Half to even, as Python's `round`.
fn round(number: f64) -> i64 {
    number.round_ties_even() as i64
}

fn naturaldelta(micros: i64, months: bool, minimum_unit: &str) -> Result<String, Error> {
    let finest = match minimum_unit.to_ascii_lowercase().as_str() {
        "seconds" => 0,
        "milliseconds" => 1,
        "microseconds" => 2,
        other => return Err(fault(format!("Minimum unit '{other}' not supported"))),
    };
    let micros = micros.saturating_abs();
    let all_days = micros / MICROS_PER_DAY;
    let seconds = micros % MICROS_PER_DAY / MICROS_PER_SECOND;
    let (years, days) = (all_days / 365, all_days % 365);
    if all_days == 0 {
        return Ok(below_a_day(seconds, micros % MICROS_PER_SECOND, finest));
    }
    let month_count = round(days as f64 / 30.5);
    Ok(match (years, days, month_count) {
        (0, 1, _) => "a day".into(),
        (0, _, _) if !months => count(days, "day"),
        (0, _, 0) => count(days, "day"),
        (0, _, 1) => "a month".into(),
        (0, _, 12) => "a year".into(),
        (0, ..) => count(month_count, "month"),
        (1, 0, 0) => "a year".into(),
        (1, _, 0) => format!("1 year, {}", count(days, "day")),
        (1, _, 12) if months => "2 years".into(),
        (1, ..) if months => format!("1 year, {}", count(month_count, "month")),
        (1, ..) => format!("1 year, {}", count(days, "day")),
        _ => {
            let years = round(all_days as f64 / 365.0);
            format!("{} year{}", grouped(&years.to_string()), if years == 1 { "" } else { "s" })
        }
    })
}

/// `finest` is 0 for seconds, 1 for milliseconds, 2 for microseconds.
fn below_a_day(seconds: i64, micros: i64, finest: u8) -> String {
    match seconds {
        0 if finest == 2 && micros < 1_000 => count(micros, "microsecond"),
        0 if finest >= 1 => count(micros / 1_000, "millisecond"),
        0 => "a moment".into(),
        1 => "a second".into(),
        2..60 => count(seconds, "second"),
        60..3_600 => match round(seconds as f64 / 60.0) {
            1 => "a minute".into(),
            60 => "an hour".into(),
            minutes => count(minutes, "minute"),
        },
        _ => match round(seconds as f64 / 3_600.0) {
            1 => "an hour".into(),
            24 => "a day".into(),
            hours => count(hours, "hour"),
        },
    }
}

fn unit_index(name: &str) -> Result<usize, Error> {
    let name = name.to_ascii_lowercase();
    let found = UNITS.iter().position(|(unit, _)| name.strip_suffix('s') == Some(unit));
    found.ok_or_else(|| fault(format!("there is no unit '{name}'")))
}

/// Every unit from years down to the smallest one, which alone has a fraction.
fn precisedelta(value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let minimum = kwargs.get::<Option<String>>("minimum_unit")?.unwrap_or_else(|| "seconds".into());
    let format = kwargs.get::<Option<String>>("format")?.unwrap_or_else(|| "%0.2f".into());
    let suppressed = kwargs.get::<Option<Vec<String>>>("suppress")?.unwrap_or_default();
    kwargs.assert_all_used()?;
    let Some(micros) = span(value) else { return python::text(value) };
    let suppressed = suppressed.iter().map(|name| unit_index(name)).collect::<Result<Vec<_>, _>>()?;
    let least = (unit_index(&minimum)?..UNITS.len()).find(|unit| !suppressed.contains(unit));
    let least =
        least.ok_or_else(|| fault("Minimum unit is suppressed and no suitable replacement was found"))?;
    let shown = |unit: usize| unit >= least && !suppressed.contains(&unit);
    let mut counts = [0.0f64; UNITS.len()];
    let mut rest = micros.saturating_abs() as f64;
    for unit in (least..UNITS.len()).rev().filter(|unit| shown(*unit)) {
        // Months and years are counted in whole days, minutes to days in whole seconds.
        let (size, grain) = (UNITS[unit].1, UNITS[if unit > DAY { DAY } else { unit.min(SECOND) }].1);
        let (whole, below) = ((rest / grain).floor() * grain, rest % grain);
        if unit == least {
            counts[unit] = rounded(&format, if unit > SECOND { whole } else { rest } / size)?;
        } else {
            counts[unit] = (whole / size).floor();
            rest = ((whole - counts[unit] * size) / grain).floor() * grain + below;
        }
    }
    promote(&mut counts, &shown);
    let mut parts = Vec::new();
    for unit in (least..UNITS.len()).rev() {
        if counts[unit] > 0.0 || (parts.is_empty() && unit == least) {
            parts.push(part(unit, counts[unit], unit == least, &format)?);
        }
    }
    Ok(match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    })
}

/// What rounding made full becomes one of the next unit.
fn promote(counts: &mut [f64; UNITS.len()], shown: &dyn Fn(usize) -> bool) {
    for (unit, full) in [(1, 1_000.0), (SECOND, 60.0), (3, 60.0), (4, 24.0), (5, 31.0), (6, 12.0)] {
        if counts[unit] >= full && shown(unit + 1) {
            counts[unit] -= full;
            counts[unit + 1] += 1.0;
        }
    }
}

/// What a number is once its format rounded it.
fn rounded(format: &str, number: f64) -> Result<f64, Error> {
    Ok(percent_format(format, &[Value::from(number)])?.trim().parse().unwrap_or(number))
}

fn part(unit: usize, number: f64, least: bool, format: &str) -> Result<String, Error> {
    let name = UNITS[unit].0;
    let plural = if number == 1.0 { "" } else { "s" };
    let fractional = least && number.fract() != 0.0;
    let text = if fractional {
        percent_format(format, &[Value::from(number)])?
    } else if name == "year" {
        grouped(&format!("{number:.0}"))
    } else {
        format!("{number:.0}")
    };
    Ok(format!("{text} {name}{plural}"))
}
