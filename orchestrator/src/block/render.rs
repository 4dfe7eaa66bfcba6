//! Rows as answers, in the shape and field order of Prefect's server.

use super::blocks::Blocks;
use super::row::{BlockDocument, BlockSchema, BlockType};
use super::secret::SecretPaths;
use pavlov_events::Uuid;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A type as it is answered.
pub(super) fn block_type(row: &BlockType) -> Value {
    serde_json::to_value(row).expect("a row is plain data with text keys")
}

/// A schema as it is answered, with the schemas of nested blocks among its definitions.
pub(super) fn block_schema(blocks: &Blocks, row: &BlockSchema) -> Value {
    schema_with(blocks, row, full_fields(blocks, row, &mut BTreeSet::new()))
}

/// A schema as its creation is answered: nested blocks are shown as they were sent.
pub(super) fn created_block_schema(blocks: &Blocks, row: &BlockSchema, sent: &Map<String, Value>) -> Value {
    let mut fields = row.fields.clone();
    let references = sent.get("block_schema_references").cloned().unwrap_or_else(|| json!({}));
    fields.insert("block_schema_references".into(), references);
    if let Some(definitions) = sent.get("definitions") {
        fields.insert("definitions".into(), definitions.clone());
    }
    schema_with(blocks, row, fields)
}

/// A document as it is answered. With `include_secrets` its secrets are still encrypted
/// ([`super::secret::reveal`] is for the caller), else they are masked.
pub(super) fn block_document(blocks: &Blocks, row: &BlockDocument, include_secrets: bool) -> Value {
    let mut hydrated = hydrate(blocks, row, include_secrets);
    let schema = blocks.block_schema(row.block_schema_id).map(|schema| block_schema(blocks, schema));
    json!({
        "id": row.id,
        "created": row.created,
        "updated": row.updated,
        "name": row.name,
        "data": hydrated.data.take(),
        "block_schema_id": row.block_schema_id,
        "block_schema": schema,
        "block_type_id": row.block_type_id,
        "block_type_name": row.block_type_name,
        "block_type": type_of(blocks, row.block_type_id),
        "block_document_references": hydrated.references.take(),
        "is_anonymous": row.is_anonymous,
    })
}

/// What somebody who uses a document needs of it: far less than what the API shows.
pub(super) fn used_document(blocks: &Blocks, row: &BlockDocument) -> Value {
    let slug = blocks.block_type(row.block_type_id).map(|kind| kind.slug.as_str());
    json!({"name": row.name, "data": hydrate(blocks, row, true).data.take(), "block_type_slug": slug})
}

/// A document's values with those of the documents it holds, and who they are.
struct Hydrated {
    data: Value,
    references: Value,
}

/// Recurses at most as deep and as often as [`super::documents`] lets documents be nested.
fn hydrate(blocks: &Blocks, row: &BlockDocument, include_secrets: bool) -> Hydrated {
    let mut data = row.data.clone();
    if !include_secrets && let Some(schema) = blocks.block_schema(row.block_schema_id) {
        SecretPaths::of(&schema.fields).mask(&mut data);
    }
    let mut references = Map::new();
    let mut children: Vec<(&String, &BlockDocument)> =
        row.references.iter().filter_map(|(name, id)| Some((name, blocks.block_document(*id)?))).collect();
    children.sort_by_key(|(_, child)| &child.name);
    for (name, child) in children {
        let below = hydrate(blocks, child, include_secrets);
        data.insert(name.clone(), below.data);
        let held = json!({"block_document": {
            "id": child.id,
            "name": child.name,
            "block_type": type_of(blocks, child.block_type_id),
            "is_anonymous": child.is_anonymous,
            "block_document_references": below.references,
        }});
        references.insert(name.clone(), held);
    }
    Hydrated { data: Value::Object(data), references: Value::Object(references) }
}

fn type_of(blocks: &Blocks, id: Uuid) -> Value {
    blocks.block_type(id).map_or(Value::Null, block_type)
}

fn schema_with(blocks: &Blocks, row: &BlockSchema, fields: Map<String, Value>) -> Value {
    json!({
        "id": row.id,
        "created": row.created,
        "updated": row.updated,
        "checksum": row.checksum,
        "fields": fields,
        "block_type_id": row.block_type_id,
        "block_type": type_of(blocks, row.block_type_id),
        "capabilities": row.capabilities,
        "version": row.version,
    })
}

/// The fields with who is nested, and with the fields of what is nested as definitions by title. A schema
/// that appears several times is defined once (`defined`), so the work grows with their number only.
fn full_fields(blocks: &Blocks, row: &BlockSchema, defined: &mut BTreeSet<Uuid>) -> Map<String, Value> {
    let mut fields = row.fields.clone();
    let mut references = Map::new();
    let mut definitions = fields.get("definitions").and_then(Value::as_object).cloned().unwrap_or_default();
    for reference in &row.references {
        let Some(nested) = blocks.block_schema(reference.block_schema_id) else { continue };
        let slug = blocks.block_type(nested.block_type_id).map(|block_type| &block_type.slug);
        let entry = json!({"block_schema_checksum": nested.checksum, "block_type_slug": slug});
        add_reference(&mut references, &reference.name, entry);
        if defined.insert(nested.id) {
            let mut below = full_fields(blocks, nested, defined);
            let deeper = below.shift_remove("definitions");
            let Some(title) = below.get("title").and_then(Value::as_str).map(str::to_owned) else { continue };
            definitions.insert(title, Value::Object(below));
            if let Some(Value::Object(deeper)) = deeper {
                definitions.extend(deeper);
            }
        }
    }
    fields.insert("block_schema_references".into(), Value::Object(references));
    if !definitions.is_empty() {
        fields.insert("definitions".into(), Value::Object(definitions));
    }
    fields
}

/// One block for a field stands alone, several are a list.
fn add_reference(references: &mut Map<String, Value>, name: &str, entry: Value) {
    match references.get_mut(name) {
        None => {
            references.insert(name.to_owned(), entry);
        }
        Some(Value::Array(several)) => {
            if !several.contains(&entry) {
                several.push(entry);
            }
        }
        Some(one) if *one != entry => *one = Value::Array(vec![one.take(), entry]),
        Some(_) => {}
    }
}
