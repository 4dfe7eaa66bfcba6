//! Reading outside JSON: a [`Reader`] walks a value, gives typed parts, and collects *all* faults.
//!
//! A fault has the shape and the words of pydantic's errors, because Prefect's clients show them:
//! `{"type": "missing", "loc": ["body", "name"], "msg": "Field required", "input": {…}}`.

use crate::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::fmt;
use uuid::Uuid;

/// One step of the way to a value: a field's name or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loc {
    /// A field of an object.
    Field(String),
    /// An element of a list, from 0.
    Index(usize),
}

impl fmt::Display for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => f.write_str(name),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}

impl fmt::Display for Fault {
    /// `body.trigger.within: Input should be …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.loc.iter().enumerate() {
            write!(f, "{}{step}", if index > 0 { "." } else { "" })?;
        }
        write!(f, ": {}", self.msg)
    }
}

impl Serialize for Loc {
    /// A bare string or number, as pydantic writes it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Field(name) => serializer.serialize_str(name),
            Self::Index(index) => serializer.serialize_u64(*index as u64),
        }
    }
}

/// One thing that is wrong with an input.
///
/// Shape: `{"type": "int_parsing", "loc": ["body", "limit"], "msg": "Input should be …", "input": "x", "ctx": {…}}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// pydantic's error type, such as `missing`, `string_type`, `value_error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where: from the outermost (`body`, `query`, `path`) to the innermost.
    pub loc: Vec<Loc>,
    /// What is wrong and what is allowed.
    pub msg: String,
    /// What was given.
    pub input: Value,
    /// Values of the message, such as a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Value>,
}

/// All faults of one input, in the order of the declaration.
pub type Faults = Vec<Fault>;

/// A value, where it lies, and what is wrong with it so far.
///
/// Each typed method returns `None` after noting a fault, so a caller goes on and finds the others too.
#[derive(Debug)]
pub struct Reader<'a> {
    value: &'a Value,
    loc: Vec<Loc>,
    faults: &'a mut Faults,
}

impl<'a> Reader<'a> {
    /// A reader of a whole input that lies at `root` (such as `body`).
    pub fn new(value: &'a Value, root: &str, faults: &'a mut Faults) -> Self {
        Self { value, loc: vec![Loc::Field(root.into())], faults }
    }

    /// The value as it was given.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// Where the value lies.
    pub fn loc(&self) -> &[Loc] {
        &self.loc
    }

    /// How many faults were noted so far, by this reader and its relatives.
    pub fn fault_count(&self) -> usize {
        self.faults.len()
    }

    /// A reader of a part of this value that lies one step further.
    pub fn at<'b>(&'b mut self, step: Loc, value: &'b Value) -> Reader<'b> {
        let mut loc = self.loc.clone();
        loc.push(step);
        Reader { value, loc, faults: self.faults }
    }

    /// The same value under one more step of the way, as pydantic names the arm of a union.
    pub fn arm<'b>(&'b mut self, name: &str) -> Reader<'b> {
        let value = self.value;
        self.at(Loc::Field(name.into()), value)
    }

    /// Notes a fault of this value.
    pub fn fault(&mut self, kind: &'static str, msg: impl Into<String>, ctx: Option<Value>) {
        let (loc, input) = (self.loc.clone(), self.value.clone());
        self.faults.push(Fault { kind, loc, msg: msg.into(), input, ctx });
    }

    /// Notes a fault that a rule over several fields found (pydantic's `value_error`).
    pub fn value_error(&mut self, msg: impl fmt::Display) {
        self.fault("value_error", format!("Value error, {msg}"), Some(json!({"error": {}})));
    }

    /// The value as an object.
    pub fn object(&mut self) -> Option<&'a Map<String, Value>> {
        let object = self.value.as_object();
        if object.is_none() {
            self.fault(
                "model_attributes_type",
                "Input should be a valid dictionary or object to extract fields from",
                None,
            );
        }
        object
    }

    /// The value as an object with free keys.
    pub fn dict(&mut self) -> Option<&'a Map<String, Value>> {
        let object = self.value.as_object();
        if object.is_none() {
            self.fault("dict_type", "Input should be a valid dictionary", None);
        }
        object
    }

    /// Reads a field that must be there with `read`.
    pub fn required<T>(&mut self, name: &str, read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Option<T> {
        match self.value.get(name) {
            Some(value) => read(&mut self.at(Loc::Field(name.into()), value)),
            None => {
                let input = self.value.clone();
                let mut loc = self.loc.clone();
                loc.push(Loc::Field(name.into()));
                self.faults.push(Fault {
                    kind: "missing",
                    loc,
                    msg: "Field required".into(),
                    input,
                    ctx: None,
                });
                None
            }
        }
    }

    /// Reads a field that may be missing; `Some(None)` when it is, `None` after a fault.
    pub fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.value.get(name) {
            Some(value) => read(&mut self.at(Loc::Field(name.into()), value)).map(Some),
            None => Some(None),
        }
    }

    /// As [`Self::optional`], and `null` counts as missing.
    pub fn nullable<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.value.get(name).is_some_and(Value::is_null) { Some(None) } else { self.optional(name, read) }
    }

    /// Reads each element of a list with `read`; `None` when the value is no list or an element is at fault.
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
        let Some(items) = self.value.as_array() else {
            self.fault("list_type", "Input should be a valid list", None);
            return None;
        };
        let mut all = Some(Vec::with_capacity(items.len()));
        for (index, item) in items.iter().enumerate() {
            match (read(&mut self.at(Loc::Index(index), item)), &mut all) {
                (Some(value), Some(values)) => values.push(value),
                _ => all = None,
            }
        }
        all
    }

    /// Notes each field that is not among `known`.
    pub fn forbid_others(&mut self, known: &[&str]) {
        let Some(object) = self.value.as_object() else { return };
        for (name, value) in object {
            if !known.contains(&name.as_str()) {
                self.at(Loc::Field(name.clone()), value).fault(
                    "extra_forbidden",
                    "Extra inputs are not permitted",
                    None,
                );
            }
        }
    }

    /// A string.
    pub fn string(&mut self) -> Option<String> {
        let text = self.value.as_str().map(str::to_owned);
        if text.is_none() {
            self.fault("string_type", "Input should be a valid string", None);
        }
        text
    }

    /// A boolean, or what pydantic takes for one (`"true"`, `"off"`, 0, 1, …).
    pub fn boolean(&mut self) -> Option<bool> {
        let read = match self.value {
            Value::Bool(value) => Some(*value),
            Value::Number(number) => match number.as_f64() {
                Some(0.0) => Some(false),
                Some(1.0) => Some(true),
                _ => None,
            },
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
                "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
                _ => None,
            },
            _ => {
                self.fault("bool_type", "Input should be a valid boolean", None);
                return None;
            }
        };
        if read.is_none() {
            self.fault("bool_parsing", "Input should be a valid boolean, unable to interpret input", None);
        }
        read
    }

    /// A whole number, or a string or float that is exactly one.
    pub fn integer(&mut self) -> Option<i64> {
        let (read, kind, msg) = match self.value {
            Value::Number(number) => (
                number.as_i64().or_else(|| {
                    number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as i64)
                }),
                "int_from_float",
                "Input should be a valid integer, got a number with a fractional part",
            ),
            Value::Bool(value) => (Some(i64::from(*value)), "int_type", "Input should be a valid integer"),
            Value::String(text) => (
                text.trim().parse().ok(),
                "int_parsing",
                "Input should be a valid integer, unable to parse string as an integer",
            ),
            _ => (None, "int_type", "Input should be a valid integer"),
        };
        if read.is_none() {
            self.fault(kind, msg, None);
        }
        read
    }

    /// A whole number of at least `least`.
    pub fn integer_at_least(&mut self, least: i64) -> Option<i64> {
        let value = self.integer()?;
        if value < least {
            let msg = format!("Input should be greater than or equal to {least}");
            self.fault("greater_than_equal", msg, Some(json!({"ge": least})));
            return None;
        }
        Some(value)
    }

    /// A whole number between `least` and `most`, both allowed.
    pub fn integer_within(&mut self, least: i64, most: i64) -> Option<i64> {
        let value = self.integer_at_least(least)?;
        if value > most {
            let msg = format!("Input should be less than or equal to {most}");
            self.fault("less_than_equal", msg, Some(json!({"le": most})));
            return None;
        }
        Some(value)
    }

    /// A number, or a string that is one.
    pub fn number(&mut self) -> Option<f64> {
        let read = match self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => {
                self.fault("float_type", "Input should be a valid number", None);
                return None;
            }
        };
        if read.is_none() {
            self.fault(
                "float_parsing",
                "Input should be a valid number, unable to parse string as a number",
                None,
            );
        }
        read
    }

    /// A UUID.
    pub fn uuid(&mut self) -> Option<Uuid> {
        let Some(text) = self.value.as_str() else {
            self.fault("uuid_type", "UUID input should be a string, bytes or UUID object", None);
            return None;
        };
        match Uuid::parse_str(text) {
            Ok(id) => Some(id),
            Err(error) => {
                let msg = format!("Input should be a valid UUID, {error}");
                self.fault("uuid_parsing", msg, Some(json!({"error": error.to_string()})));
                None
            }
        }
    }

    /// An instant: RFC 3339 or Unix seconds.
    pub fn timestamp(&mut self) -> Option<Timestamp> {
        let read = match self.value {
            Value::String(text) => Timestamp::parse(text),
            Value::Number(number) => number.as_f64().and_then(Timestamp::from_number),
            _ => None,
        };
        if read.is_none() {
            let given = self.value.as_str().map_or_else(|| self.value.to_string(), str::to_owned);
            self.value_error(format_args!("Unable to parse string [{given}]"));
        }
        read
    }

    /// A span in microseconds: seconds as a number or string, `[-][D days ]HH:MM:SS[.f]`, or ISO 8601 (`PT5M`).
    pub fn duration_micros(&mut self) -> Option<i64> {
        let read = match self.value {
            Value::Number(number) => number.as_f64().map(|seconds| seconds * 1e6),
            Value::String(text) => crate::read::duration_seconds(text).map(|seconds| seconds * 1e6),
            _ => {
                self.fault("time_delta_type", "Input should be a valid timedelta", None);
                return None;
            }
        };
        match read {
            Some(micros) if micros.abs() <= 86_399_999_999_999_999_999.0 => Some(micros.round() as i64),
            _ => {
                self.fault(
                    "time_delta_parsing",
                    "Input should be a valid timedelta, unable to read it",
                    None,
                );
                None
            }
        }
    }

    /// One of a closed list of words.
    pub fn literal<T: Copy>(&mut self, words: &[(&str, T)]) -> Option<T> {
        let found = self.value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if let Some((_, value)) = found {
            return Some(*value);
        }
        let quoted: Vec<String> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
        let expected = match quoted.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => quoted.join(""),
        };
        self.fault(
            "literal_error",
            format!("Input should be {expected}"),
            Some(json!({"expected": expected})),
        );
        None
    }
}

/// Seconds of a written span, `None` when it is none.
pub fn duration_seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds.is_finite().then_some(seconds);
    }
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    let seconds = match body.strip_prefix(['P', 'p']) {
        Some(iso) => iso_seconds(iso)?,
        None => clock_seconds(body)?,
    };
    Some(sign * seconds)
}

/// The part of an ISO 8601 span after `P`; years and months are taken as 365 and 30 days, as pydantic does.
fn iso_seconds(text: &str) -> Option<f64> {
    let (mut total, mut number, mut in_time, mut parts) = (0.0, String::new(), false, 0);
    for letter in text.chars() {
        let unit = match (letter.to_ascii_uppercase(), in_time) {
            ('T', false) if number.is_empty() => {
                in_time = true;
                continue;
            }
            ('0'..='9' | '.' | ',', _) => {
                number.push(if letter == ',' { '.' } else { letter });
                continue;
            }
            ('Y', false) => 365.0 * 86_400.0,
            ('M', false) => 30.0 * 86_400.0,
            ('W', false) => 7.0 * 86_400.0,
            ('D', false) => 86_400.0,
            ('H', true) => 3_600.0,
            ('M', true) => 60.0,
            ('S', true) => 1.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * unit;
        number.clear();
        parts += 1;
    }
    (parts > 0 && number.is_empty()).then_some(total)
}

/// `[D day[s][,] ]HH:MM[:SS[.f]]`.
fn clock_seconds(text: &str) -> Option<f64> {
    let (days, clock) = match text.split_once("day") {
        Some((days, rest)) => {
            (days.trim().parse::<f64>().ok()?, rest.trim_start_matches('s').trim_start_matches(',').trim())
        }
        None => (0.0, text),
    };
    if clock.is_empty() {
        return Some(days * 86_400.0);
    }
    let mut parts = clock.split(':');
    let hours: f64 = parts.next()?.parse().ok()?;
    let minutes: f64 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next().unwrap_or("0").parse().ok()?;
    let valid = parts.next().is_none() && minutes < 60.0 && seconds < 60.0;
    valid.then_some(days * 86_400.0 + hours * 3_600.0 + minutes * 60.0 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_the_way_the_input_and_what_is_allowed() {
        let input = json!({"limit": "many", "tags": ["a", 3], "extra": 1});
        let mut faults = Faults::new();
        let mut reader = Reader::new(&input, "body", &mut faults);
        reader.required("name", |r| r.string());
        reader.optional("limit", |r| r.integer());
        reader.optional("tags", |tags| tags.list(|r| r.string()));
        reader.forbid_others(&["name", "limit", "tags"]);
        let shown = serde_json::to_value(&faults).expect("faults are plain data");
        assert_eq!(shown[0]["loc"], json!(["body", "name"]));
        assert_eq!(shown[1]["type"], "int_parsing");
        assert_eq!(shown[2]["loc"], json!(["body", "tags", 1]));
        assert_eq!(shown[3]["msg"], "Extra inputs are not permitted");
    }

    #[test]
    fn spans_are_read_as_pydantic_reads_them() {
        for (text, seconds) in [
            ("5", 5.0),
            ("PT5M", 300.0),
            ("P1DT1H", 90_000.0),
            ("01:30:00", 5_400.0),
            ("-00:00:10", -10.0),
            ("2 days, 00:00:01", 172_801.0),
            ("P2W", 1_209_600.0),
        ] {
            assert_eq!(duration_seconds(text), Some(seconds), "{text}");
        }
        for text in ["", "x", "P", "PT", "5M", "00:61:00"] {
            assert_eq!(duration_seconds(text), None, "{text}");
        }
    }
}
