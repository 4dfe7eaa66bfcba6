//! [`Block`]: a block document that an action names.

use crate::attempt::{Attempt, Reason};
use crate::perform::Deed;
use pavlov_events::Resource;
use pavlov_events::Uuid;
use serde_json::Value;

/// A block document with its secrets in plain text; never shown.
pub(crate) struct Block {
    /// The block type's slug, such as `slack-webhook`.
    pub(crate) slug: String,
    /// The type's fields.
    pub(crate) data: Value,
    /// The document and its type, as outcome events name them.
    pub(crate) related: Vec<Resource>,
}

/// Reads the block document that an action names.
pub(crate) fn read(deed: &Deed<'_>, id: Uuid) -> Result<Block, Box<Attempt>> {
    let Some(mut document) = deed.world.block_document(id) else {
        let name = deed.action.action.type_name();
        let words = format!("Unexpected status from '{name}' action: 404 (there is no block document {id})");
        return Err(Box::new(Attempt::failed(Reason::NotFound, words)));
    };
    let slug = document.pointer("/block_type/slug").or_else(|| document.get("block_type_slug"));
    let slug = slug.and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let mut own = Resource::related("block", format!("prefect.block-document.{id}"));
    if let Some(name) = document.get("name").and_then(Value::as_str) {
        own.set("prefect.resource.name".into(), name.into());
    }
    let related = vec![own, Resource::related("block-type", format!("prefect.block-type.{slug}"))];
    let data = document.get_mut("data").map(Value::take).unwrap_or_default();
    Ok(Block { slug, data, related })
}

impl Block {
    /// The failure of a block type that is not performed.
    pub(crate) fn unsupported(&self, works: &[&str]) -> Attempt {
        let works = works.iter().map(|slug| format!("'{slug}'")).collect::<Vec<_>>().join(", ");
        let words = format!("a block of type '{}' cannot be used here; these can: {works}", self.slug);
        Attempt::failed(Reason::Unsupported, words).with_related(self.related.clone())
    }
}
