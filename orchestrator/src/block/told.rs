//! The events that tell of changes to blocks, in Prefect's words. They never hold a secret.

use super::blocks::Blocks;
use super::render;
use super::row::{BlockDocument, BlockType};
use super::secret::SecretPaths;
use crate::apply::Told;
use pavlov_events::Resource;
use pavlov_events::resource::NAME;
use serde_json::{Map, Value, json};

/// `prefect.block-type.<deed>`.
pub(super) fn block_type(deed: &str, row: &BlockType) -> Told {
    let mut payload = render::block_type(row);
    if let Value::Object(fields) = &mut payload {
        fields.retain(|name, _| !matches!(name.as_str(), "id" | "created" | "updated"));
    }
    Told {
        event: format!("prefect.block-type.{deed}"),
        resource: Resource::new(format!("prefect.block-type.{}", row.id)).with(NAME, row.name.as_str()),
        related: Vec::new(),
        payload,
    }
}

/// `prefect.block-document.<deed>` with the values that are plain text; nothing for an anonymous document.
pub(super) fn block_document(blocks: &Blocks, deed: &str, row: &BlockDocument) -> Vec<Told> {
    if row.is_anonymous {
        return Vec::new();
    }
    let schema = blocks.block_schema(row.block_schema_id);
    let mut masked = row.data.clone();
    let secret = schema.and_then(|schema| {
        SecretPaths::of(&schema.fields).mask(&mut masked);
        schema.fields.get("secret_fields").and_then(Value::as_array)
    });
    let is_secret =
        |name: &String| secret.is_some_and(|names| names.iter().any(|secret| secret == name.as_str()));
    let data: Map<String, Value> =
        masked.into_iter().filter(|(name, value)| value.is_string() && !is_secret(name)).collect();
    let capabilities = schema.map(|schema| &schema.capabilities);
    let block_type = json!({"id": row.block_type_id, "name": row.block_type_name});
    let type_id = format!("prefect.block-type.{}", row.block_type_id);
    let schema_id = format!("prefect.block-schema.{}", row.block_schema_id);
    vec![Told {
        event: format!("prefect.block-document.{deed}"),
        resource: Resource::new(format!("prefect.block-document.{}", row.id)).with(NAME, row.name.as_str()),
        related: vec![
            Resource::related("block-type", type_id).with(NAME, row.block_type_name.as_str()),
            Resource::related("block-schema", schema_id),
        ],
        payload: json!({
            "name": row.name,
            "data": data,
            "block_schema": {"capabilities": capabilities, "block_type": block_type},
        }),
    }]
}
