//! [`Output`]: tables for people, JSON for programs.

use super::client::plain;
use super::error::CliError;
use clap::ValueEnum;
use serde_json::Value;
use std::io::{IsTerminal, Write};

/// Characters of one cell on a terminal; in a file nothing is cut.
const CELL_CHARS_MAX: usize = 60;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns
    Table,
    /// JSON with the API's own fields
    Json,
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    terminal: bool,
}

/// A column: its title and how its cell is made of an item.
pub type Column<'a> = (&'a str, &'a dyn Fn(&Value) -> String);

impl Output {
    /// Standard output in this format.
    pub fn new(format: Format) -> Self {
        Self { format, terminal: std::io::stdout().is_terminal() }
    }

    /// Whether JSON is wanted.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// A list: a table with these columns, or all fields as JSON.
    pub fn list(&self, items: &[Value], columns: &[Column<'_>]) -> Result<(), CliError> {
        if self.is_json() {
            return self.json(&Value::from(items));
        }
        if items.is_empty() {
            self.note("nothing found");
            return Ok(());
        }
        let cells = |item: &Value| columns.iter().map(|(_, cell)| cell(item)).collect();
        let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
        let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
        self.text(&table(&titles, &rows, if self.terminal { CELL_CHARS_MAX } else { usize::MAX }))
    }

    /// One thing: its fields below each other, or as JSON.
    pub fn item(&self, item: &Value) -> Result<(), CliError> {
        if self.is_json() {
            return self.json(item);
        }
        let mut fields = Vec::new();
        flatten("", item, &mut fields);
        let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let line = |(name, value): &(String, String)| {
            let value = value.trim_end().replace('\n', &format!("\n{}", " ".repeat(width + 2)));
            format!("{name:width$}  {value}\n")
        };
        self.text(&fields.iter().map(line).collect::<String>())
    }

    /// What was done: a line for people, the fields for programs.
    pub fn done(&self, item: &Value, line: &str) -> Result<(), CliError> {
        if self.is_json() { self.json(item) } else { self.text(&format!("{}\n", clean(line))) }
    }

    /// JSON, indented.
    pub fn json(&self, value: &Value) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value).expect("a value is always JSON");
        self.raw(&format!("{text}\n"))
    }

    /// Text for a person: no control characters but line ends, so that nothing told from outside can
    /// steer the terminal.
    pub fn text(&self, text: &str) -> Result<(), CliError> {
        self.raw(&clean(text))
    }

    /// A remark beside the result; programs that read the result do not see it.
    pub fn note(&self, text: &str) {
        // Nobody can be told when even this does not go through.
        let _gone = writeln!(std::io::stderr(), "{}", clean(text));
    }

    /// Text as it is.
    pub fn raw(&self, text: &str) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

/// The cell of a field that lies at a JSON pointer.
pub fn field(pointer: &str) -> impl Fn(&Value) -> String + use<'_> {
    move |item| item.pointer(pointer).map(plain).unwrap_or_default()
}

/// The cell of a time: to the second, in UTC.
pub fn when(pointer: &str) -> impl Fn(&Value) -> String + use<'_> {
    move |item| {
        let text = item.pointer(pointer).map(plain).unwrap_or_default();
        match text.get(..19) {
            Some(seconds) if text.ends_with('Z') || text.ends_with("+00:00") => format!("{seconds}Z"),
            _ => text,
        }
    }
}

/// Rows under titles; each column as wide as its widest cell, cells cut to `most` characters.
fn table(titles: &[&str], rows: &[Vec<String>], most: usize) -> String {
    let cut = |cell: &String| -> String {
        let one_line = cell.split_whitespace().collect::<Vec<_>>().join(" ");
        match one_line.char_indices().nth(most) {
            // The id at the end of a row is what people copy.
            Some(_) => one_line.chars().take(most - 1).chain(['…']).collect(),
            None => one_line,
        }
    };
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cut).collect()).collect();
    let mut widths: Vec<usize> = titles.iter().map(|title| title.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        out.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    };
    line(&mut titles.iter().copied());
    for row in &rows {
        line(&mut row.iter().map(String::as_str));
    }
    out
}

/// The fields of nested objects as `a.b`; lists of plain values in one line, others as JSON.
fn flatten(path: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, out);
            }
        }
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            out.push((path.to_owned(), items.iter().map(plain).collect::<Vec<_>>().join(", ")));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), item, out);
            }
        }
        other => out.push((path.to_owned(), plain(other))),
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".into(), "long cell".into()], vec!["bcd".into(), "x\ny".into()]];
        assert_eq!(table(&["ID", "B"], &rows, 60), "ID   B\na    long cell\nbcd  x y\n");
        assert_eq!(table(&["B"], &rows[1..], 2), "B\nb…\n");
    }

    #[test]
    fn nested_fields_become_lines() {
        let mut out = Vec::new();
        flatten("", &json!({"a": {"b": 1, "c": ["x", "y"]}, "d": [{"e": true}], "f": {}}), &mut out);
        let expected = [("a.b", "1"), ("a.c", "x, y"), ("d[0].e", "true"), ("f", "{}")];
        assert_eq!(out, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn times_are_shown_to_the_second() {
        for (text, shown) in [
            ("2026-11-20T20:04:21.123456Z", "2026-11-20T20:04:21Z"),
            ("2026-11-20T20:04:21+00:00", "2026-11-20T20:04:21Z"),
            ("2026-11-20T20:04:21.5+02:00", "2026-11-20T20:04:21.5+02:00"),
            ("", ""),
        ] {
            assert_eq!(when("/t")(&json!({"t": text})), shown);
        }
    }

    #[test]
    fn nothing_told_from_outside_steers_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\n");
    }
}
