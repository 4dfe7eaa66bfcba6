//! The block types every server starts with: three that cannot be deleted and nine that notify.
//!
//! Each is a file in `data/`. Fields, names and URLs are those of Prefect's classes, because clients find a
//! schema by the checksum of its fields; the code examples are ours. A test compares the files with the
//! installed `prefect` package.

use super::blocks::Blocks;
use super::command::NewSchema;
use super::row::{BlockType, RowKey};
use super::told;
use crate::apply::{Applied, Ctx};
use crate::error::Refusal;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The version that the system schemas carry: the Prefect package whose fields they have.
pub const SYSTEM_SCHEMA_VERSION: &str = "3.8.8";

/// In the order in which they are installed.
const FILES: [&str; 12] = [
    include_str!("data/webhook.json"),
    include_str!("data/secret.json"),
    include_str!("data/local-file-system.json"),
    include_str!("data/slack-webhook.json"),
    include_str!("data/ms-teams-webhook.json"),
    include_str!("data/pager-duty-webhook.json"),
    include_str!("data/twilio-sms.json"),
    include_str!("data/opsgenie-webhook.json"),
    include_str!("data/mattermost-webhook.json"),
    include_str!("data/discord-webhook.json"),
    include_str!("data/custom-webhook.json"),
    include_str!("data/sendgrid-email.json"),
];

/// One type with its schema, as its file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemType {
    /// Its name for people.
    pub name: String,
    /// Its unique name for programs.
    pub slug: String,
    /// Whether it cannot be deleted.
    pub is_protected: bool,
    /// Where its picture is.
    pub logo_url: String,
    /// Where its documentation is.
    pub documentation_url: String,
    /// How it is used.
    pub code_example: String,
    /// What such a block can do, sorted.
    pub capabilities: Vec<String>,
    /// The checksum of its fields.
    pub checksum: String,
    /// Its fields; their `description` is the type's.
    pub fields: Map<String, Value>,
}

/// The twelve types in the order in which they are installed.
pub fn system_types() -> Vec<SystemType> {
    let read = |file| serde_json::from_str(file).expect("the embedded files are read by a test");
    FILES.into_iter().map(read).collect()
}

impl Blocks {
    /// Installs the system types and schemas that are missing and protects those to be protected. What is
    /// there stays as it is, so clients may update its texts; a second time changes nothing.
    pub fn install_system_types(
        &mut self,
        protected_only: bool,
        ctx: &mut Ctx<'_>,
    ) -> Result<Applied, Refusal> {
        let mut all = Applied::default();
        let first = ctx.now;
        for (index, wanted) in system_types().into_iter().enumerate() {
            if protected_only && !wanted.is_protected {
                continue;
            }
            // Each is a little younger than the one before, so that lists by age have a fixed order.
            ctx.now = first.plus_micros(index as i64);
            let installed = self.install(wanted, ctx);
            ctx.now = first;
            let mut installed = installed?;
            all.changes.append(&mut installed.changes);
            all.events.append(&mut installed.events);
        }
        Ok(all)
    }

    fn install(&mut self, wanted: SystemType, ctx: &mut Ctx<'_>) -> Result<Applied, Refusal> {
        let mut applied = Applied::default();
        let existing = self.block_type_by_slug(&wanted.slug).cloned();
        let row = match existing {
            Some(row) if row.is_protected || !wanted.is_protected => row,
            Some(row) => {
                let row = BlockType { is_protected: true, updated: ctx.now, ..row };
                applied.events.push(told::block_type("updated", &row));
                applied.changes.push(RowKey::Type(row.id));
                row
            }
            None => {
                let row = new_row(&wanted, ctx);
                applied.events.push(told::block_type("created", &row));
                applied.changes.push(RowKey::Type(row.id));
                row
            }
        };
        let block_type_id = row.id;
        self.put_type(row);
        let schema = NewSchema {
            block_type_id,
            fields: wanted.fields,
            capabilities: wanted.capabilities,
            version: SYSTEM_SCHEMA_VERSION.into(),
        };
        applied.changes.append(&mut self.create_schema(&schema, ctx)?.changes);
        Ok(applied)
    }
}

fn new_row(wanted: &SystemType, ctx: &mut Ctx<'_>) -> BlockType {
    let description = wanted.fields.get("description").and_then(Value::as_str);
    BlockType {
        id: ctx.id(),
        created: ctx.now,
        updated: ctx.now,
        name: wanted.name.clone(),
        slug: wanted.slug.clone(),
        logo_url: Some(wanted.logo_url.clone()),
        documentation_url: Some(wanted.documentation_url.clone()),
        description: description.map(str::to_owned),
        code_example: Some(wanted.code_example.clone()),
        is_protected: wanted.is_protected,
    }
}

#[cfg(test)]
mod tests {
    use super::super::checksum;
    use super::*;
    use pavlov_events::{Timestamp, Uuid};

    #[test]
    fn checksums_follow_from_the_fields() {
        for one in system_types() {
            assert_eq!(checksum(&one.fields), one.checksum, "{}", one.slug);
        }
    }

    #[test]
    fn installing_twice_changes_nothing() {
        let mut next = 0_u128;
        let mut ids = || {
            next += 1;
            Uuid::from_u128(next)
        };
        let mut ctx = Ctx { now: Timestamp::from_micros(1), ids: &mut ids };
        let mut blocks = Blocks::default();
        let first = blocks.install_system_types(true, &mut ctx).expect("nothing is in the way");
        assert_eq!((first.changes.len(), first.events.len()), (6, 3));
        let rest = blocks.install_system_types(false, &mut ctx).expect("nothing is in the way");
        assert_eq!((rest.changes.len(), rest.events.len()), (18, 9));
        let again = blocks.install_system_types(false, &mut ctx).expect("nothing is in the way");
        assert_eq!(again, Applied::default());
        assert!(blocks.block_types().filter(|row| row.is_protected).count() == 3);
    }
}
