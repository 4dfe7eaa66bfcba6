//! Times inside templates, with the attributes and methods that Python's have.

use crate::python::fault;
use minijinja::value::{DynObject, Object, ObjectRepr, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use pavlov_events::Timestamp;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MICROS_PER_DAY: i64 = 86_400_000_000;
/// Characters that one `strftime` may yield.
const FORMAT_CHARS_MAX: usize = 1_000;

/// An instant in UTC. Printed as Python prints one: `2026-11-20 20:04:21.123456+00:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DateTime(pub(crate) Timestamp);

/// A span of time in microseconds. Printed as Python prints one: `1 day, 0:00:05`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeDelta(pub(crate) i64);

/// The parts of an instant, as its RFC 3339 text has them.
pub(crate) struct Parts {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
}

impl DateTime {
    pub(crate) fn parts(self) -> Parts {
        let text = self.0.to_string();
        let number =
            |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        Parts {
            year: number(0, 4),
            month: number(5, 7),
            day: number(8, 10),
            hour: number(11, 13),
            minute: number(14, 16),
            second: number(17, 19),
            micros: self.0.micros().rem_euclid(1_000_000),
        }
    }

    /// Days since 1970-01-01.
    pub(crate) fn days(self) -> i64 {
        self.0.micros().div_euclid(MICROS_PER_DAY)
    }

    /// 0 is Monday; 1970-01-01 was a Thursday.
    fn weekday(self) -> i64 {
        (self.days() + 3).rem_euclid(7)
    }

    /// The text of JSON: RFC 3339 in UTC.
    pub(crate) fn iso(self) -> String {
        self.0.to_string()
    }

    /// Python's `isoformat` with a separator.
    fn isoformat(self, separator: char) -> String {
        let text = self.0.to_string();
        let (date, time) = text.split_once('T').unwrap_or((&text, ""));
        format!("{date}{separator}{}+00:00", time.trim_end_matches('Z'))
    }

    fn day_of_year(self) -> i64 {
        let january = Timestamp::parse(&format!("{:04}-01-01", self.parts().year));
        january.map_or(1, |first| self.days() - Self(first).days() + 1)
    }

    /// Python's `strftime` for an instant in UTC; a directive that is unknown stays as it is.
    pub(crate) fn strftime(self, format: &str) -> Result<String, Error> {
        let mut out = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                out.push(letter);
            } else {
                match letters.next() {
                    Some('-') => {
                        out.push_str(self.directive(letters.next().unwrap_or('-')).trim_start_matches('0'))
                    }
                    Some(directive) => out.push_str(&self.directive(directive)),
                    None => out.push('%'),
                }
            }
            if out.len() > FORMAT_CHARS_MAX {
                return Err(fault(format!("strftime may yield at most {FORMAT_CHARS_MAX} characters")));
            }
        }
        Ok(out)
    }

    fn directive(self, directive: char) -> String {
        let p = self.parts();
        let month = MONTHS[(p.month - 1).clamp(0, 11) as usize];
        let day = DAYS[self.weekday() as usize];
        let hour_12 = if p.hour % 12 == 0 { 12 } else { p.hour % 12 };
        match directive {
            'Y' => format!("{:04}", p.year),
            'y' => format!("{:02}", p.year % 100),
            'm' => format!("{:02}", p.month),
            'd' => format!("{:02}", p.day),
            'e' => format!("{:2}", p.day),
            'H' => format!("{:02}", p.hour),
            'I' => format!("{hour_12:02}"),
            'M' => format!("{:02}", p.minute),
            'S' => format!("{:02}", p.second),
            'f' => format!("{:06}", p.micros),
            'p' => if p.hour < 12 { "AM" } else { "PM" }.to_owned(),
            'B' => month.to_owned(),
            'b' | 'h' => month[..3].to_owned(),
            'A' => day.to_owned(),
            'a' => day[..3].to_owned(),
            'j' => format!("{:03}", self.day_of_year()),
            'u' => (self.weekday() + 1).to_string(),
            'w' => ((self.weekday() + 1) % 7).to_string(),
            'Z' => "UTC".to_owned(),
            'z' => "+0000".to_owned(),
            's' => self.0.micros().div_euclid(1_000_000).to_string(),
            'F' => format!("{:04}-{:02}-{:02}", p.year, p.month, p.day),
            'D' | 'x' => format!("{:02}/{:02}/{:02}", p.month, p.day, p.year % 100),
            'T' | 'X' => format!("{:02}:{:02}:{:02}", p.hour, p.minute, p.second),
            'R' => format!("{:02}:{:02}", p.hour, p.minute),
            'c' => format!(
                "{} {} {:2} {:02}:{:02}:{:02} {:04}",
                &day[..3],
                &month[..3],
                p.day,
                p.hour,
                p.minute,
                p.second,
                p.year
            ),
            '%' => "%".to_owned(),
            other => format!("%{other}"),
        }
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.isoformat(' '))
    }
}

impl Object for DateTime {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let p = self.parts();
        Some(Value::from(match key {
            "year" => p.year,
            "month" => p.month,
            "day" => p.day,
            "hour" => p.hour,
            "minute" => p.minute,
            "second" => p.second,
            "microsecond" => p.micros,
            "int_timestamp" => self.0.micros().div_euclid(1_000_000),
            _ => return None,
        }))
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "strftime" => {
                let (format,): (&str,) = from_args(args)?;
                return self.strftime(format).map(Value::from);
            }
            "isoformat" => {
                let (separator,): (Option<char>,) = from_args(args)?;
                return Ok(Value::from(self.isoformat(separator.unwrap_or('T'))));
            }
            _ => {}
        }
        let () = from_args(args)?;
        Ok(match method {
            "timestamp" => Value::from(self.0.micros() as f64 / 1e6),
            "weekday" => Value::from(self.weekday()),
            "isoweekday" => Value::from(self.weekday() + 1),
            "date" | "to_date_string" => Value::from(self.directive('F')),
            "time" | "to_time_string" => Value::from(self.directive('T')),
            "to_datetime_string" => Value::from(format!("{} {}", self.directive('F'), self.directive('T'))),
            "to_iso8601_string" => Value::from(self.iso()),
            _ => {
                return Err(Error::new(ErrorKind::UnknownMethod, format!("a time has no method '{method}'")));
            }
        })
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl fmt::Display for TimeDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0.div_euclid(MICROS_PER_DAY), self.0.rem_euclid(MICROS_PER_DAY));
        if days != 0 {
            write!(f, "{days} day{}, ", if days.abs() == 1 { "" } else { "s" })?;
        }
        let seconds = rest / 1_000_000;
        write!(f, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        match rest % 1_000_000 {
            0 => Ok(()),
            micros => write!(f, ".{micros:06}"),
        }
    }
}

impl Object for TimeDelta {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(Value::from(match key {
            "days" => self.0.div_euclid(MICROS_PER_DAY),
            "seconds" => self.0.rem_euclid(MICROS_PER_DAY) / 1_000_000,
            "microseconds" => self.0.rem_euclid(1_000_000),
            _ => return None,
        }))
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        let () = from_args(args)?;
        match method {
            "total_seconds" | "in_seconds" => Ok(Value::from(self.0 as f64 / 1e6)),
            _ => {
                Err(Error::new(ErrorKind::UnknownMethod, format!("a span of time has no method '{method}'")))
            }
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// `a - b` of two instants.
pub(crate) fn between(a: &Value, b: &Value) -> Option<Value> {
    let (a, b) = (a.downcast_object_ref::<DateTime>()?, b.downcast_object_ref::<DateTime>()?);
    Some(Value::from_object(TimeDelta(a.0.since(b.0))))
}
