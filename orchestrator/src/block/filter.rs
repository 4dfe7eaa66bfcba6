//! Conditions on types, schemas and documents, as Prefect's filters mean them.

use super::row::{BlockDocument, BlockSchema, BlockType};
use pavlov_events::Uuid;

/// All given conditions must hold.
///
/// Shape: `{"name": {"like_": "slack"}, "slug": {"any_": ["slack-webhook"]}}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TypeFilter {
    /// See [`like`].
    pub name_like: Option<String>,
    /// The slug is one of these.
    pub slugs: Option<Vec<String>>,
}

/// All conditions must hold, or with `"operator": "or_"` one of them; without any, all schemas match.
///
/// Shape: `{"operator": "and_", "block_type_id": {"any_": […]}, "block_capabilities": {"all_": […]},
/// "id": {"any_": […]}, "version": {"any_": […]}}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchemaFilter {
    /// Whether one condition is enough.
    pub any_condition: bool,
    /// The conditions.
    pub conditions: Vec<SchemaCondition>,
}

/// One condition on a schema.
#[derive(Clone, Debug, PartialEq)]
pub enum SchemaCondition {
    /// A part that was given empty: always holds.
    Always,
    /// The type is one of these.
    BlockTypeId(Vec<Uuid>),
    /// It can do all of these.
    Capabilities(Vec<String>),
    /// The id is one of these.
    Id(Vec<Uuid>),
    /// The version is one of these.
    Version(Vec<String>),
}

/// All conditions must hold, or with `"operator": "or_"` one of them; without any, all documents match.
///
/// Shape: `{"operator": "and_", "id": {"any_": […]}, "is_anonymous": {"eq_": false},
/// "block_type_id": {"any_": […]}, "name": {"any_": […], "like_": "…"}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentFilter {
    /// Whether one condition is enough.
    pub any_condition: bool,
    /// The conditions.
    pub conditions: Vec<DocumentCondition>,
}

/// One condition on a document.
#[derive(Clone, Debug, PartialEq)]
pub enum DocumentCondition {
    /// A part that was given empty: always holds.
    Always,
    /// The id is one of these.
    Id(Vec<Uuid>),
    /// Whether it is anonymous.
    IsAnonymous(bool),
    /// The type is one of these.
    BlockTypeId(Vec<Uuid>),
    /// The name is one of these, and see [`like`].
    Name {
        /// One of these names.
        any: Option<Vec<String>>,
        /// A pattern.
        like: Option<String>,
    },
}

impl TypeFilter {
    /// Whether a type meets the conditions.
    pub fn matches(&self, row: &BlockType) -> bool {
        self.name_like.as_deref().is_none_or(|pattern| like(&row.name, pattern))
            && self.slugs.as_ref().is_none_or(|slugs| slugs.contains(&row.slug))
    }
}

impl SchemaFilter {
    /// Whether a schema meets the conditions.
    pub fn matches(&self, row: &BlockSchema) -> bool {
        let holds = |condition: &SchemaCondition| match condition {
            SchemaCondition::Always => true,
            SchemaCondition::BlockTypeId(ids) => ids.contains(&row.block_type_id),
            SchemaCondition::Capabilities(all) => all.iter().all(|one| row.capabilities.contains(one)),
            SchemaCondition::Id(ids) => ids.contains(&row.id),
            SchemaCondition::Version(versions) => versions.contains(&row.version),
        };
        combine(self.any_condition, &self.conditions, holds)
    }
}

impl DocumentFilter {
    /// Whether a document meets the conditions.
    pub fn matches(&self, row: &BlockDocument) -> bool {
        let holds = |condition: &DocumentCondition| match condition {
            DocumentCondition::Always => true,
            DocumentCondition::Id(ids) => ids.contains(&row.id),
            DocumentCondition::IsAnonymous(anonymous) => row.is_anonymous == *anonymous,
            DocumentCondition::BlockTypeId(ids) => ids.contains(&row.block_type_id),
            DocumentCondition::Name { any, like: pattern } => {
                any.as_ref().is_none_or(|names| names.contains(&row.name))
                    && pattern.as_deref().is_none_or(|pattern| like(&row.name, pattern))
            }
        };
        combine(self.any_condition, &self.conditions, holds)
    }
}

impl Default for DocumentFilter {
    /// What holds when no filter is given: named documents only.
    fn default() -> Self {
        Self { any_condition: false, conditions: vec![DocumentCondition::IsAnonymous(false)] }
    }
}

/// Whether `text` contains `pattern`, without regard to ASCII case; `%` stands for any text, `_` for one
/// character, as in SQL. An empty pattern is no condition.
pub fn like(text: &str, pattern: &str) -> bool {
    if pattern.is_empty() {
        return true;
    }
    let lower = |text: &str| text.to_ascii_lowercase().chars().collect::<Vec<char>>();
    glob(&lower(text), &lower(&format!("%{pattern}%")))
}

/// Matches with `%` and `_`, going back to the last `%` only: at most text × pattern steps.
fn glob(text: &[char], pattern: &[char]) -> bool {
    let (mut at, mut step, mut retry) = (0, 0, None);
    while at < text.len() {
        match pattern.get(step) {
            Some('%') => {
                retry = Some((step + 1, at));
                step += 1;
            }
            Some(wanted) if *wanted == '_' || *wanted == text[at] => (at, step) = (at + 1, step + 1),
            _ => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    (at, step) = (from + 1, after);
                }
                None => return false,
            },
        }
    }
    pattern[step..].iter().all(|wanted| *wanted == '%')
}

fn combine<T>(any: bool, conditions: &[T], holds: impl Fn(&T) -> bool) -> bool {
    if any { conditions.is_empty() || conditions.iter().any(holds) } else { conditions.iter().all(holds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_sqls() {
        for (text, pattern, expected) in [
            ("Slack Webhook", "WEB", true),
            ("Slack Webhook", "s%k w_b", true),
            ("Slack Webhook", "s_k", false),
            ("", "", true),
            ("", "_", false),
            ("aab", "a%ab%", true),
            ("Ärger", "ärger", false),
            ("a", "%%%%", true),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} {pattern}");
        }
    }
}
