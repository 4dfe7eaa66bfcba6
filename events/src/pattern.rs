//! How labels and names are matched: globs, negation, lists. Semantics as measured on Prefect
//! (`MATCHING.md` section 3): case-sensitive, `*`, `?`, `[…]`; a leading `!` negates; a missing label
//! matches nothing, not even a negation.

use crate::read::{Loc, Reader};
use crate::resource::Resource;
use serde_json::Value;

/// A shell-style pattern: `*` any characters, `?` one, `[abc]`, `[a-z]`, `[!abc]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Glob {
    /// No special character: equality.
    Exact(Box<str>),
    /// Exact text and one `*` at its end.
    Prefix(Box<str>),
    /// Anything else.
    Pattern(Box<[Token]>),
}

/// One part of a [`Glob::Pattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// This character.
    Char(char),
    /// Any one character.
    One,
    /// Any characters, also none.
    Any,
    /// One character in (or, negated, outside) these ranges.
    Class {
        /// Whether the class was written `[!…]`.
        negated: bool,
        /// First and last character of each range, both included.
        ranges: Box<[(char, char)]>,
    },
}

impl Glob {
    /// Reads a pattern; every text is one.
    pub fn new(text: &str) -> Self {
        let special = |c: char| matches!(c, '*' | '?' | '[');
        match text.find(special) {
            None => Self::Exact(text.into()),
            Some(at) if at + 1 == text.len() && text.ends_with('*') => Self::Prefix(text[..at].into()),
            Some(_) => Self::Pattern(tokens(text)),
        }
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Pattern(tokens) => tokens_match(tokens, text),
        }
    }
}

/// One expected value of a label: a glob, or with a leading `!` its negation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelPattern {
    /// Whether the pattern was written with a leading `!`.
    pub negated: bool,
    /// The pattern without the `!`.
    pub glob: Glob,
}

impl LabelPattern {
    /// Reads a pattern; every text is one.
    pub fn new(text: &str) -> Self {
        match text.strip_prefix('!') {
            Some(rest) => Self { negated: true, glob: Glob::new(rest) },
            None => Self { negated: false, glob: Glob::new(text) },
        }
    }

    /// Whether a label's value fits; a missing label never does.
    pub fn matches(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| self.glob.matches(value) != self.negated)
    }
}

/// Labels that one resource must have, each with one or more patterns of which one must fit.
///
/// JSON shape: `{"prefect.resource.id": "host.*", "region": ["eu-*", "!eu-west"]}`. Empty: every resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceSpecification {
    labels: Vec<(Box<str>, Vec<LabelPattern>)>,
    shown: Value,
}

impl ResourceSpecification {
    /// Reads a specification: an object of strings or lists of strings.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let shown = reader.value().clone();
        let mut labels = Vec::new();
        let before = reader.fault_count();
        for (label, value) in reader.dict()? {
            let mut field = reader.at(Loc::Field(label.clone()), value);
            let patterns = match value {
                Value::String(text) => vec![LabelPattern::new(text)],
                Value::Array(_) => {
                    let Some(texts) = field.list(|r| r.string()) else { continue };
                    texts.iter().map(|text| LabelPattern::new(text)).collect()
                }
                _ => {
                    field.fault("string_type", "Input should be a valid string or a list of strings", None);
                    continue;
                }
            };
            labels.push((label.as_str().into(), patterns));
        }
        (reader.fault_count() == before).then_some(Self { labels, shown })
    }

    /// The specification as it was written.
    pub fn to_value(&self) -> Value {
        if self.shown.is_null() { Value::Object(serde_json::Map::new()) } else { self.shown.clone() }
    }

    /// Whether there is no condition at all.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The labels with their patterns, in the order they were written.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (&str, &[LabelPattern])> {
        self.labels.iter().map(|(label, patterns)| (&**label, &**patterns))
    }

    /// Whether one resource has all labels.
    pub fn matches(&self, resource: &Resource) -> bool {
        self.labels.iter().all(|(label, patterns)| {
            let value = resource.get(label);
            patterns.iter().any(|pattern| pattern.matches(value))
        })
    }

    /// Whether any of these resources has all labels; an empty specification is met by nothing at all too.
    pub fn includes<'a>(&self, resources: impl IntoIterator<Item = &'a Resource>) -> bool {
        self.is_empty() || resources.into_iter().any(|resource| self.matches(resource))
    }
}

fn tokens(text: &str) -> Box<[Token]> {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut at) = (Vec::with_capacity(chars.len()), 0);
    while at < chars.len() {
        let c = chars[at];
        at += 1;
        out.push(match c {
            '*' => {
                while chars.get(at) == Some(&'*') {
                    at += 1;
                }
                Token::Any
            }
            '?' => Token::One,
            '[' => match class(&chars[at..]) {
                Some((token, used)) => {
                    at += used;
                    token
                }
                None => Token::Char('['),
            },
            other => Token::Char(other),
        });
    }
    out.into()
}

/// The class after `[`, with the number of characters used; `None` when it is never closed.
fn class(rest: &[char]) -> Option<(Token, usize)> {
    let negated = rest.first() == Some(&'!');
    let start = usize::from(negated);
    // A `]` right at the start belongs to the class.
    let end = (start + 1..rest.len()).find(|&at| rest[at] == ']')?;
    let (inside, mut ranges, mut at) = (&rest[start..end], Vec::new(), 0);
    while at < inside.len() {
        if at + 2 < inside.len() && inside[at + 1] == '-' {
            ranges.push((inside[at], inside[at + 2]));
            at += 3;
        } else {
            ranges.push((inside[at], inside[at]));
            at += 1;
        }
    }
    Some((Token::Class { negated, ranges: ranges.into() }, end + 1))
}

/// Greedy with one point of return: linear for most texts, never worse than tokens x characters.
fn tokens_match(tokens: &[Token], text: &str) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < text.len() {
        let c = text[at..].chars().next().expect("`at` is a character boundary inside the text");
        let fits = match tokens.get(token) {
            Some(Token::Any) => {
                back = Some((token, at));
                token += 1;
                continue;
            }
            Some(Token::Char(expected)) => *expected == c,
            Some(Token::One) => true,
            Some(Token::Class { negated, ranges }) => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *negated
            }
            None => false,
        };
        if fits {
            token += 1;
            at += c.len_utf8();
            continue;
        }
        let Some((any, from)) = back else { return false };
        let skipped = text[from..].chars().next().map_or(1, char::len_utf8);
        back = Some((any, from + skipped));
        token = any + 1;
        at = from + skipped;
    }
    tokens[token..].iter().all(|token| *token == Token::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_fnmatch_does() {
        for (pattern, text, expected) in [
            ("a*c", "abbbc", true),
            ("a*c", "ab", false),
            ("*", "", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("[abc", "[abc", true),
            ("**a", "xa", true),
            ("*a*b*", "xxayyb", true),
            ("*a*b", "ab ab x", false),
            ("host.*", "host.", true),
            ("plain", "Plain", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_missing_label_fails_even_a_negation() {
        let pattern = LabelPattern::new("!red");
        assert!(pattern.matches(Some("blue")) && !pattern.matches(Some("red")) && !pattern.matches(None));
    }
}
