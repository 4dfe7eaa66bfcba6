//! Patterns on event names, which Prefect tests twice: once as a glob, once as the beginning of a text.

use pavlov_events::pattern::{Glob, LabelPattern};

/// One written pattern with everything it is tested as.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamePattern {
    /// As it was written.
    pub(crate) text: Box<str>,
    /// The whole text as a glob; a leading `!` is an ordinary character here.
    pub(crate) glob: Glob,
    /// As `after` and `expect` themselves read it: a leading `!` negates.
    pub(crate) role: LabelPattern,
}

impl NamePattern {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.into(), glob: Glob::new(text), role: LabelPattern::new(text) }
    }

    /// Whether `name` begins with the pattern, where `*` stands for at least one character and every other
    /// character for itself. (A line break counts as a character, which it does not in Prefect.)
    pub(crate) fn begins(&self, name: &str) -> bool {
        let mut parts = self.text.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
        for part in parts {
            let mut chars = rest.chars();
            if chars.next().is_none() {
                return false;
            }
            // The earliest place leaves most for the parts that follow, so no other one needs a try.
            match chars.as_str().find(part) {
                Some(at) => rest = &chars.as_str()[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

/// Whether a name passes the patterns: as a whole one of them as a glob, and one of them as a beginning.
pub(crate) fn fit<'a>(patterns: impl Iterator<Item = &'a NamePattern> + Clone, name: &str) -> bool {
    patterns.clone().any(|pattern| pattern.glob.matches(name)) && patterns.clone().any(|p| p.begins(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_pass_both_tests() {
        for (patterns, name, expected) in [
            (vec!["a.b"], "a.b", true),
            (vec!["a.b"], "a.bc", false),
            (vec!["a.*"], "a.b.c", true),
            (vec!["a.*"], "a.", false),
            (vec!["a.*"], "ab", false),
            (vec!["a.*", "a"], "a.", true),
            (vec!["*"], "x", true),
            (vec!["*"], "", false),
            (vec!["**"], "x", false),
            (vec!["**"], "xy", true),
            (vec!["*.b*d"], "a.b.c.d", true),
            (vec!["*.b*d"], "a.bd", false),
            (vec!["a?"], "ab", false),
            (vec!["a?"], "a?", true),
            (vec!["!a"], "b", false),
            (vec!["é*"], "éa", true),
        ] {
            let patterns: Vec<NamePattern> = patterns.into_iter().map(NamePattern::new).collect();
            assert_eq!(fit(patterns.iter(), name), expected, "{patterns:?} on {name}");
        }
    }
}
