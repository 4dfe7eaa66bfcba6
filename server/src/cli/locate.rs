//! Where in a YAML or JSON text a field stands, as well as that can be told without a parser that keeps
//! places: by indentation in block style, by brackets in flow style and JSON. What is written with anchors,
//! tags or complex keys is found as far as its surroundings.

use pavlov_events::Loc;

/// A line that is neither empty nor a comment, without its indentation; of a list item, what follows the dash.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    /// Byte of the text where `content` starts.
    start: usize,
    /// Column of `content`, from 0.
    indent: usize,
    content: &'a str,
}

/// The line, from 1, on which the value at `path` begins, or what of the path is there.
pub fn line_of(text: &str, path: &[Loc]) -> usize {
    let lines = lines(text);
    let mut region: Vec<Line<'_>> = lines;
    let mut found = region.first().map_or(0, |line| line.start);
    for (depth, step) in path.iter().enumerate() {
        let Some(first) = region.first() else { break };
        if first.content.starts_with(['{', '[']) {
            found = flow(text, first.start, &path[depth..]);
            break;
        }
        let children = match step {
            Loc::Field(name) => of_key(&region, name),
            Loc::Index(index) => of_item(&region, *index),
        };
        let Some((start, children)) = children else { break };
        (found, region) = (start, children);
    }
    text[..found].matches('\n').count() + 1
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut start = 0;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        let shown = content.trim_end();
        if !shown.is_empty() && !shown.starts_with('#') && !shown.starts_with("---") {
            lines.push(Line { start: start + indent, indent, content: shown });
        }
        start += line.len();
    }
    lines
}

/// Where a key stands, and the lines of its value.
fn of_key<'a>(region: &[Line<'a>], name: &str) -> Option<(usize, Vec<Line<'a>>)> {
    let base = region.first()?.indent;
    let at = region.iter().position(|line| line.indent == base && value_of(line.content, name).is_some())?;
    let line = region[at];
    let value = value_of(line.content, name)?;
    let mut children = Vec::new();
    let offset = line.content.len() - value.len();
    if !value.is_empty() && !value.starts_with(['#', '|', '>']) {
        children.push(Line { start: line.start + offset, indent: base + offset, content: value });
    }
    // A list may stand at the indentation of its key.
    let inside = |next: &&Line<'_>| next.indent > base || (next.indent == base && is_item(next.content));
    children.extend(region[at + 1..].iter().take_while(inside));
    Some((line.start, children))
}

/// Where an item of a list stands, and its lines.
fn of_item<'a>(region: &[Line<'a>], index: usize) -> Option<(usize, Vec<Line<'a>>)> {
    let base = region.first()?.indent;
    let items = region.iter().enumerate().filter(|(_, line)| line.indent == base && is_item(line.content));
    let (at, line) = items.map(|(at, line)| (at, *line)).nth(index)?;
    let value = line.content[1..].trim_start();
    let offset = line.content.len() - value.len();
    let mut children = Vec::new();
    if !value.is_empty() && !value.starts_with('#') {
        children.push(Line { start: line.start + offset, indent: base + offset, content: value });
    }
    children.extend(region[at + 1..].iter().take_while(|next| next.indent > base));
    Some((line.start, children))
}

fn is_item(content: &str) -> bool {
    content == "-" || content.starts_with("- ")
}

/// What follows `name:` on a line that begins with that key.
fn value_of<'a>(content: &'a str, name: &str) -> Option<&'a str> {
    let bare = content.strip_prefix(name);
    let quoted = || {
        let mark = content.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        content[1..].strip_prefix(name)?.strip_prefix(mark)
    };
    let rest = bare.filter(|rest| rest.trim_start().starts_with(':')).or_else(quoted)?;
    let value = rest.trim_start().strip_prefix(':')?;
    (value.is_empty() || value.starts_with([' ', '\t', '{', '['])).then(|| value.trim_start())
}

/// Follows a path through brackets and gives the byte of the last part that is there.
fn flow(text: &str, start: usize, path: &[Loc]) -> usize {
    let (mut scan, mut found) = (Scan { bytes: text.as_bytes(), at: start }, start);
    for step in path {
        scan.space();
        let here = match step {
            Loc::Field(name) => scan.enter_field(name),
            Loc::Index(index) => scan.enter_item(*index),
        };
        match here {
            Some(at) => found = at,
            None => break,
        }
    }
    found
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Goes to the value of a key and gives where the key stands.
    fn enter_field(&mut self, name: &str) -> Option<usize> {
        self.take(b'{')?;
        loop {
            self.space();
            let start = self.at;
            self.skip();
            let key = self.bytes[start..self.at].trim_ascii();
            let key = key.strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\"")).unwrap_or(key);
            self.take(b':')?;
            if key == name.as_bytes() {
                return Some(start);
            }
            self.skip();
            self.take(b',')?;
        }
    }

    /// Goes to an item and gives where it stands.
    fn enter_item(&mut self, index: usize) -> Option<usize> {
        self.take(b'[')?;
        for _ in 0..index {
            self.skip();
            self.take(b',')?;
        }
        self.space();
        self.peek().filter(|byte| *byte != b']').map(|_| self.at)
    }

    /// Goes behind one key or value.
    fn skip(&mut self) {
        self.space();
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.skip_quoted(quote),
            Some(b'{' | b'[') => {
                let mut depth = 0usize;
                while let Some(byte) = self.peek() {
                    match byte {
                        b'"' | b'\'' => {
                            self.skip_quoted(byte);
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        return;
                    }
                }
            }
            _ => {
                while let Some(byte) = self.peek() {
                    let next = self.bytes.get(self.at + 1);
                    let colon = byte == b':' && next.is_none_or(|next| next.is_ascii_whitespace());
                    if colon || matches!(byte, b',' | b'}' | b']') {
                        return;
                    }
                    self.at += 1;
                }
            }
        }
    }

    fn skip_quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' && quote == b'"' { 2 } else { 1 };
            if byte == quote {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a.0.b` as a path.
    fn path(text: &str) -> Vec<Loc> {
        let step = |word: &str| word.parse().map_or_else(|_| Loc::Field(word.into()), Loc::Index);
        text.split('.').filter(|word| !word.is_empty()).map(step).collect()
    }

    #[test]
    fn fields_are_found_in_block_style_flow_style_and_json() {
        let block = "# head\nname: a\ntrigger:\n  type: event\n\n  expect:\n  - x\n  - y # two\n  match: {\n    \"p\": 1,\n    \
                     q: [1,\n      2]}\n\
                     actions:\n- type: do-nothing\n- type: run-command\n  argv:\n    - echo\n  \
                     body: |\n    type: no key\n  stdin: z\n";
        for (at, line) in [
            ("", 2),
            ("name", 2),
            ("trigger", 3),
            ("trigger.type", 4),
            ("trigger.expect.1", 8),
            ("trigger.match.p", 10),
            ("trigger.match.q.1", 12),
            ("trigger.match.missing", 9),
            ("trigger.missing", 3),
            ("actions.0.type", 14),
            ("actions.1.argv.0", 17),
            ("actions.1.type", 15),
            ("actions.1.stdin", 20),
            ("actions.7", 13),
        ] {
            assert_eq!(line_of(block, &path(at)), line, "{at}");
        }
        let json = "[\n {\"name\": \"a, {\",\n  \"trigger\": {\"within\": 1,\n   \"expect\": []}},\n {\"name\": 2}\n]";
        for (at, line) in
            [("0.name", 2), ("0.trigger.expect", 4), ("0.trigger.expect.0", 4), ("1.name", 5), ("2", 1)]
        {
            assert_eq!(line_of(json, &path(at)), line, "{at}");
        }
    }

    #[test]
    fn no_text_is_too_odd() {
        for text in ["", "{", "[", "\"", "- - -", "a: {b: 'c", "}", "---\n", "[}", "{a"] {
            for at in ["", "a", "0", "a.b", "0.0.0"] {
                assert!(line_of(text, &path(at)) >= 1, "{text:?} {at}");
            }
        }
    }
}
