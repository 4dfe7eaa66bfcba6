//! Applying commands on block schemas, with the schemas of nested blocks.

use super::blocks::Blocks;
use super::checksum::{checksum, definition_names, plain_definitions};
use super::command::NewSchema;
use super::render;
use super::row::{BlockSchema, BlockType, RowKey, SchemaReference};
use crate::apply::{Applied, Ctx};
use crate::error::Refusal;
use pavlov_events::Uuid;
use serde_json::{Map, Value};

/// The version of a schema whose package gives none.
pub const DEFAULT_VERSION: &str = "non-versioned";

impl Blocks {
    /// Creates a schema and those nested in it that are not there yet; the answer is the schema. When one
    /// with the same checksum and version is there, that one is the answer and nothing changes.
    pub(super) fn create_schema(&mut self, new: &NewSchema, ctx: &mut Ctx<'_>) -> Result<Applied, Refusal> {
        if self.block_type(new.block_type_id).is_none() {
            return Err(Refusal::not_found(format!("block type {} not found", new.block_type_id)));
        }
        let mut staging = Staging { blocks: self, rows: Vec::new(), definitions: Map::new(), ctx };
        let id = staging.stage(new)?;
        let rows = staging.rows;
        let Some(row) = rows.first() else {
            let existing = self.existing_schema(id)?;
            return Ok(Applied { answer: render::block_schema(self, existing), ..Applied::default() });
        };
        let answer = render::created_block_schema(self, row, &new.fields);
        let changes = rows.iter().map(|row| RowKey::Schema(row.id)).collect();
        for row in rows {
            self.put_schema(row);
        }
        Ok(Applied { answer, changes, events: Vec::new() })
    }

    /// Deletes a schema with its documents. Refused: a schema of a protected type.
    pub(super) fn delete_schema(&mut self, id: Uuid) -> Result<Applied, Refusal> {
        let row = self
            .block_schema(id)
            .ok_or_else(|| Refusal::not_found(format!("block schema {id} not found")))?;
        if self.block_type(row.block_type_id).is_some_and(|block_type| block_type.is_protected) {
            return Err(Refusal::forbidden("schemas of a protected block type cannot be deleted"));
        }
        let changes = self.remove_schema(id).into_iter().collect();
        Ok(Applied { answer: Value::Null, changes, events: Vec::new() })
    }

    /// The schema that a document names; a missing one is a clash, as a broken foreign key is.
    pub(super) fn existing_schema(&self, id: Uuid) -> Result<&BlockSchema, Refusal> {
        self.block_schema(id).ok_or_else(|| Refusal::conflict(format!("block schema {id} not found")))
    }
}

/// The rows of one command before any is put, so that a refusal leaves nothing behind.
struct Staging<'a, 'c> {
    blocks: &'a Blocks,
    rows: Vec<BlockSchema>,
    /// The definitions of the outermost schema; nested ones have none of their own.
    definitions: Map<String, Value>,
    ctx: &'a mut Ctx<'c>,
}

impl Staging<'_, '_> {
    /// Stages a schema and what is nested in it, outermost first; answers the id of it or of its equal.
    fn stage(&mut self, new: &NewSchema) -> Result<Uuid, Refusal> {
        let mut fields = new.fields.clone();
        if self.definitions.is_empty() {
            self.definitions =
                fields.get("definitions").and_then(Value::as_object).cloned().unwrap_or_default();
        }
        let has_definitions = !self.definitions.is_empty();
        if has_definitions {
            fields.insert("definitions".into(), Value::Object(self.definitions.clone()));
        }
        let checksum = checksum(&fields);
        if let Some(id) = self.find(&checksum, Some(&new.version)) {
            return Ok(id);
        }
        if has_definitions {
            let plain = plain_definitions(&fields, &self.definitions);
            if plain.is_empty() {
                fields.shift_remove("definitions");
            } else {
                fields.insert("definitions".into(), Value::Object(plain));
            }
        }
        let references = fields.shift_remove("block_schema_references").unwrap_or_default();
        // Later rows are a microsecond younger, so that lists by age show the order of creation.
        let now = self.ctx.now.plus_micros(self.rows.len() as i64);
        let (id, index) = (self.ctx.id(), self.rows.len());
        self.rows.push(BlockSchema {
            id,
            created: now,
            updated: now,
            checksum,
            fields,
            block_type_id: new.block_type_id,
            capabilities: new.capabilities.clone(),
            version: new.version.clone(),
            references: Vec::new(),
        });
        for nested in nested_blocks(&references)? {
            let block_schema_id = self.stage_nested(index, &nested)?;
            let reference = SchemaReference { name: nested.name, block_schema_id };
            if !self.rows[index].references.contains(&reference) {
                self.rows[index].references.push(reference);
            }
        }
        Ok(id)
    }

    fn stage_nested(&mut self, parent: usize, nested: &Nested) -> Result<Uuid, Refusal> {
        let block_type = self.blocks.block_type_by_slug(&nested.slug).ok_or_else(|| {
            Refusal::conflict(format!(
                "field {:?} holds a block of type {:?}, which is not registered",
                nested.name, nested.slug
            ))
        })?;
        if let Some(id) = self.find(&nested.checksum, None) {
            return Ok(id);
        }
        let fields = self.nested_fields(parent, nested, block_type).ok_or_else(|| {
            Refusal::invalid(format!(
                "field {:?} holds a block of type {:?} whose definition is missing",
                nested.name, nested.slug
            ))
        })?;
        self.stage(&NewSchema {
            block_type_id: block_type.id,
            fields,
            capabilities: Vec::new(),
            version: DEFAULT_VERSION.into(),
        })
    }

    /// The nested block's own fields among the definitions: the one the field names, or of several the one
    /// of the type.
    fn nested_fields(
        &self,
        parent: usize,
        nested: &Nested,
        block_type: &BlockType,
    ) -> Option<Map<String, Value>> {
        let declared = self.rows[parent].fields.get("properties")?.get(&nested.name)?;
        let names = definition_names(declared);
        let mut found = names.iter().filter_map(|name| self.definitions.get(name));
        let definition = if names.len() == 1 {
            found.next()
        } else {
            found.find(|definition| definition["block_type_slug"] == *block_type.slug)
        };
        definition?.as_object().cloned()
    }

    fn find(&self, checksum: &str, version: Option<&str>) -> Option<Uuid> {
        let staged = self
            .rows
            .iter()
            .find(|row| row.checksum == checksum && version.is_none_or(|version| row.version == version));
        let stored = || self.blocks.block_schema_by_checksum(checksum, version);
        staged.or_else(stored).map(|row| row.id)
    }
}

/// One nested block as a schema declares it.
struct Nested {
    name: String,
    slug: String,
    checksum: String,
}

/// Reads `{"field": {"block_type_slug": …, "block_schema_checksum": …} or a list of such, …}`.
fn nested_blocks(references: &Value) -> Result<Vec<Nested>, Refusal> {
    let malformed = || {
        Refusal::invalid(format!(
            "block_schema_references: given {references}, allowed is an object of \
             {{\"block_type_slug\": …, \"block_schema_checksum\": …}} or lists of these by field"
        ))
    };
    let by_field = match references {
        Value::Null => return Ok(Vec::new()),
        other => other.as_object().ok_or_else(malformed)?,
    };
    let mut all = Vec::new();
    for (name, declared) in by_field {
        let several = declared.as_array().map_or(std::slice::from_ref(declared), Vec::as_slice);
        for one in several {
            let part = |key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
            all.push(Nested {
                name: name.clone(),
                slug: part("block_type_slug").ok_or_else(malformed)?,
                checksum: part("block_schema_checksum").ok_or_else(malformed)?,
            });
        }
    }
    Ok(all)
}
