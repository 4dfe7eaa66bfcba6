//! [`Timestamp`]: an instant in UTC with microseconds, Python's and Prefect's resolution.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Numbers above this are milliseconds, as pydantic reads them.
const UNIX_SECONDS_MAX: f64 = 2e10;

/// An instant as microseconds since 1970-01-01T00:00:00Z, years 1 to 9999.
///
/// JSON shape: `"2026-11-20T20:04:21.123456Z"`; the fraction is left out when it is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest instant that can be written, 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800 * MICROS_PER_SECOND);
    /// The latest instant that can be written, 9999-12-31T23:59:59.999999Z.
    pub const MAX: Self = Self(253_402_300_800 * MICROS_PER_SECOND - 1);

    /// An instant from Unix microseconds, brought into the range that can be written.
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// Unix microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Unix milliseconds, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This instant moved by some microseconds, which may be negative; it stays in range.
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// This instant moved by some seconds, which may be negative; it stays in range.
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        self.plus_micros(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// Microseconds from `earlier` to this instant; negative when it lies before.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// Reads an RFC 3339 instant. Also taken, as the genuine server does: a space instead of `T`, a
    /// missing offset (UTC), a missing second, a date alone (midnight). `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scan = Scan { bytes: text.as_bytes(), at: 0 };
        let (year, month, day) = scan.date()?;
        let mut micros = days_from_civil(year, month, day) * SECONDS_PER_DAY * MICROS_PER_SECOND;
        if !scan.done() {
            if !matches!(scan.next()?, b'T' | b't' | b' ') {
                return None;
            }
            micros += scan.time_of_day()?;
            micros -= scan.offset_seconds()? * MICROS_PER_SECOND;
        }
        (scan.done() && (Self::MIN.0..=Self::MAX.0).contains(&micros)).then_some(Self(micros))
    }

    /// Reads Unix seconds (or milliseconds, above 2e10), as pydantic does.
    pub fn from_number(number: f64) -> Option<Self> {
        let seconds = if number.abs() > UNIX_SECONDS_MAX { number / 1_000.0 } else { number };
        let micros = seconds * MICROS_PER_SECOND as f64;
        let in_range = micros.is_finite() && micros >= Self::MIN.0 as f64 && micros <= Self::MAX.0 as f64;
        in_range.then_some(Self(micros.round() as i64))
    }

    /// Appends the JSON text without quotes: RFC 3339 in UTC.
    pub fn write(self, out: &mut Vec<u8>) {
        let (seconds, micros) = (self.0.div_euclid(MICROS_PER_SECOND), self.0.rem_euclid(MICROS_PER_SECOND));
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let second = seconds.rem_euclid(SECONDS_PER_DAY);
        digits(out, year, 4);
        for (mark, value) in [(b'-', month), (b'-', day), (b'T', second / 3600), (b':', second / 60 % 60)] {
            out.push(mark);
            digits(out, value, 2);
        }
        out.push(b':');
        digits(out, second % 60, 2);
        if micros != 0 {
            out.push(b'.');
            digits(out, micros, 6);
        }
        out.push(b'Z');
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::with_capacity(27);
        self.write(&mut out);
        f.write_str(std::str::from_utf8(&out).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn done(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self, width: usize) -> Option<i64> {
        let mut value = 0;
        for _ in 0..width {
            let digit = self.next()?;
            if !digit.is_ascii_digit() {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
        }
        Some(value)
    }

    fn mark(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn date(&mut self) -> Option<(i64, i64, i64)> {
        let year = self.number(4)?;
        self.mark(b'-')?;
        let month = self.number(2)?;
        self.mark(b'-')?;
        let day = self.number(2)?;
        let valid = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month) && year >= 1;
        valid.then_some((year, month, day))
    }

    /// Microseconds since midnight.
    fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.number(2)?;
        self.mark(b':')?;
        let minute = self.number(2)?;
        let mut micros = 0;
        if self.peek() == Some(b':') {
            self.at += 1;
            micros = self.number(2)? * MICROS_PER_SECOND;
            if matches!(self.peek(), Some(b'.' | b',')) {
                self.at += 1;
                micros += self.fraction()?;
            }
        }
        // A leap second is read as the last second of its minute.
        (hour < 24 && minute < 60 && micros <= 60 * MICROS_PER_SECOND)
            .then_some((hour * 3600 + minute * 60) * MICROS_PER_SECOND + micros)
    }

    /// Digits after the decimal point as microseconds; what is finer is dropped.
    fn fraction(&mut self) -> Option<i64> {
        let (mut value, mut count) = (0, 0);
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            if count < 6 {
                value = value * 10 + i64::from(digit - b'0');
            }
            count += 1;
            self.at += 1;
        }
        (1..=18).contains(&count).then(|| value * 10i64.pow(6u32.saturating_sub(count)))
    }

    fn offset_seconds(&mut self) -> Option<i64> {
        let sign = match self.peek() {
            None => return Some(0),
            Some(b'Z' | b'z') => {
                self.at += 1;
                return Some(0);
            }
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return None,
        };
        self.at += 1;
        let hour = self.number(2)?;
        let minute = match self.peek() {
            None => 0,
            Some(b':') => {
                self.at += 1;
                self.number(2)?
            }
            Some(_) => self.number(2)?,
        };
        (hour < 24 && minute < 60).then_some(sign * (hour * 3600 + minute * 60))
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; years are counted from March so that the
/// leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn digits(out: &mut Vec<u8>, value: i64, width: u32) {
    for power in (0..width).rev() {
        out.push(b'0' + (value / 10i64.pow(power) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_what_clients_send() {
        for (text, written) in [
            ("2026-11-20T20:04:21.123456Z", "2026-11-20T20:04:21.123456Z"),
            ("2026-11-20T20:04:21Z", "2026-11-20T20:04:21Z"),
            ("2026-11-20 20:04:21.5+02:00", "2026-11-20T18:04:21.500000Z"),
            ("2026-11-20T20:04:21.123456789-0130", "2026-11-20T21:34:21.123456Z"),
            ("2026-11-20T20:04", "2026-11-20T20:04:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp::parse(text).map(|t| t.to_string()).as_deref(), Some(written), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_instant() {
        for text in
            ["", "x", "2026-13-01", "2025-02-29", "2026-11-20T25:00", "2026-11-20T20:04:21.Z", "2026-11-20X"]
        {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_survives_a_round_trip() {
        for day in (-719_162..2_932_896).step_by(97) {
            let (year, month, date) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, date), day);
        }
    }
}
