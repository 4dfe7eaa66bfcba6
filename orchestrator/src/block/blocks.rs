//! [`Blocks`]: the collection in memory, and how its rows go to a store and come back.

use super::row::{BlockDocument, BlockSchema, BlockType, RowKey};
use crate::error::Error;
use pavlov_events::Uuid;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// All block types, schemas and documents. Iteration is in the order of ids, so it is the same everywhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blocks {
    types: BTreeMap<Uuid, BlockType>,
    schemas: BTreeMap<Uuid, BlockSchema>,
    documents: BTreeMap<Uuid, BlockDocument>,
    /// Slug to type.
    slugs: BTreeMap<String, Uuid>,
    /// Type and name to document.
    names: BTreeMap<(Uuid, String), Uuid>,
}

impl Blocks {
    /// The stored form of a row, `None` when there is no such row (any more).
    pub fn row(&self, key: &RowKey) -> Option<Value> {
        let row = match key {
            RowKey::Type(id) => serde_json::to_value(self.types.get(id)?),
            RowKey::Schema(id) => serde_json::to_value(self.schemas.get(id)?),
            RowKey::Document(id) => serde_json::to_value(self.documents.get(id)?),
        };
        Some(row.expect("rows are plain data with text keys"))
    }

    /// Puts back a stored row, in any order of rows. Fails with [`Error::Row`] when it is not of its kind's shape.
    pub fn load(&mut self, key: RowKey, row: Value) -> Result<(), Error> {
        match key {
            RowKey::Type(_) => self.put_type(read(key, row)?),
            RowKey::Schema(_) => self.put_schema(read(key, row)?),
            RowKey::Document(_) => self.put_document(read(key, row)?),
        }
        Ok(())
    }

    /// The keys of all rows: types, then schemas, then documents.
    pub fn keys(&self) -> impl Iterator<Item = RowKey> + '_ {
        let types = self.types.keys().copied().map(RowKey::Type);
        let schemas = self.schemas.keys().copied().map(RowKey::Schema);
        types.chain(schemas).chain(self.documents.keys().copied().map(RowKey::Document))
    }

    /// A type by id.
    pub fn block_type(&self, id: Uuid) -> Option<&BlockType> {
        self.types.get(&id)
    }

    /// A type by slug.
    pub fn block_type_by_slug(&self, slug: &str) -> Option<&BlockType> {
        self.types.get(self.slugs.get(slug)?)
    }

    /// A schema by id.
    pub fn block_schema(&self, id: Uuid) -> Option<&BlockSchema> {
        self.schemas.get(&id)
    }

    /// The newest schema with a checksum, of a version if one is given.
    pub fn block_schema_by_checksum(&self, checksum: &str, version: Option<&str>) -> Option<&BlockSchema> {
        let matching = self.schemas.values().filter(|schema| {
            schema.checksum == checksum && version.is_none_or(|version| schema.version == version)
        });
        matching.max_by_key(|schema| (schema.created, schema.id))
    }

    /// A document by id.
    pub fn block_document(&self, id: Uuid) -> Option<&BlockDocument> {
        self.documents.get(&id)
    }

    /// A document by the slug of its type and its name.
    pub fn block_document_by_name(&self, slug: &str, name: &str) -> Option<&BlockDocument> {
        let block_type = self.slugs.get(slug)?;
        self.documents.get(self.names.get(&(*block_type, name.to_owned()))?)
    }

    /// All types, by id.
    pub fn block_types(&self) -> impl Iterator<Item = &BlockType> {
        self.types.values()
    }

    /// All schemas, by id.
    pub fn block_schemas(&self) -> impl Iterator<Item = &BlockSchema> {
        self.schemas.values()
    }

    /// All documents, by id.
    pub fn block_documents(&self) -> impl Iterator<Item = &BlockDocument> {
        self.documents.values()
    }

    pub(super) fn has_name(&self, block_type: Uuid, name: &str) -> bool {
        self.names.contains_key(&(block_type, name.to_owned()))
    }

    pub(super) fn put_type(&mut self, row: BlockType) {
        self.slugs.insert(row.slug.clone(), row.id);
        self.types.insert(row.id, row);
    }

    pub(super) fn put_schema(&mut self, row: BlockSchema) {
        self.schemas.insert(row.id, row);
    }

    pub(super) fn put_document(&mut self, row: BlockDocument) {
        self.names.insert((row.block_type_id, row.name.clone()), row.id);
        self.documents.insert(row.id, row);
    }

    /// Takes out a type with its schemas and documents; answers which rows changed.
    pub(super) fn remove_type(&mut self, id: Uuid) -> BTreeSet<RowKey> {
        let mut changed = BTreeSet::new();
        let schemas: Vec<Uuid> = self
            .schemas
            .values()
            .filter(|schema| schema.block_type_id == id)
            .map(|schema| schema.id)
            .collect();
        for schema in schemas {
            changed.append(&mut self.remove_schema(schema));
        }
        changed.append(&mut self.remove_documents(|document| document.block_type_id == id));
        if let Some(row) = self.types.remove(&id) {
            self.slugs.remove(&row.slug);
            changed.insert(RowKey::Type(id));
        }
        changed
    }

    /// Takes out a schema with its documents; schemas that nest it lose that part.
    pub(super) fn remove_schema(&mut self, id: Uuid) -> BTreeSet<RowKey> {
        let mut changed = self.remove_documents(|document| document.block_schema_id == id);
        if self.schemas.remove(&id).is_some() {
            changed.insert(RowKey::Schema(id));
        }
        for schema in self.schemas.values_mut() {
            let before = schema.references.len();
            schema.references.retain(|reference| reference.block_schema_id != id);
            if schema.references.len() != before {
                changed.insert(RowKey::Schema(schema.id));
            }
        }
        changed
    }

    /// Takes out documents; those that hold one of them lose that value.
    pub(super) fn remove_documents(&mut self, goes: impl Fn(&BlockDocument) -> bool) -> BTreeSet<RowKey> {
        let gone: BTreeSet<Uuid> =
            self.documents.values().filter(|document| goes(document)).map(|document| document.id).collect();
        let mut changed: BTreeSet<RowKey> = gone.iter().copied().map(RowKey::Document).collect();
        for id in &gone {
            if let Some(row) = self.documents.remove(id) {
                self.names.remove(&(row.block_type_id, row.name));
            }
        }
        for document in self.documents.values_mut() {
            let before = document.references.len();
            document.references.retain(|_, target| !gone.contains(target));
            if document.references.len() != before {
                changed.insert(RowKey::Document(document.id));
            }
        }
        changed
    }
}

fn read<T: DeserializeOwned>(key: RowKey, row: Value) -> Result<T, Error> {
    serde_json::from_value(row).map_err(|source| Error::Row { key: key.to_string(), source })
}
