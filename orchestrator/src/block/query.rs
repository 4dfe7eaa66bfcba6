//! Answering questions about blocks. `limit` is the most rows of a page; who asks decides what is allowed.

use super::blocks::Blocks;
use super::filter::{DocumentFilter, SchemaFilter, TypeFilter};
use super::render;
use super::row::{BlockDocument, BlockSchema, BlockType};
use crate::error::Refusal;
use pavlov_events::Uuid;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Which types are asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TypeQuery {
    /// Conditions on the type.
    pub types: Option<TypeFilter>,
    /// The type has a schema that meets these.
    pub schemas: Option<SchemaFilter>,
    /// The page's size, if the caller gave one.
    pub limit: Option<i64>,
    /// How many rows to leave out first.
    pub offset: usize,
}

/// Which schemas are asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchemaQuery {
    /// Conditions on the schema.
    pub schemas: Option<SchemaFilter>,
    /// The page's size, if the caller gave one.
    pub limit: Option<i64>,
    /// How many rows to leave out first.
    pub offset: usize,
}

/// Which documents are asked for, or counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DocumentQuery {
    /// Conditions on the document.
    pub documents: DocumentFilter,
    /// Conditions on its type.
    pub types: Option<TypeFilter>,
    /// Conditions on its schema.
    pub schemas: Option<SchemaFilter>,
    /// Whether secrets are asked for.
    pub include_secrets: bool,
    /// The order.
    pub sort: DocumentSort,
    /// The page's size, if the caller gave one.
    pub limit: Option<i64>,
    /// How many rows to leave out first.
    pub offset: usize,
}

/// The order of documents; documents with equal keys are in the order of their ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DocumentSort {
    /// `NAME_DESC`
    NameDescending,
    /// `NAME_ASC`
    #[default]
    NameAscending,
    /// `BLOCK_TYPE_AND_NAME_ASC`
    TypeAndNameAscending,
}

impl Blocks {
    /// A type.
    pub fn read_type(&self, id: Uuid) -> Result<Value, Refusal> {
        self.block_type(id).map(render::block_type).ok_or_else(|| Refusal::not_found("Block type not found"))
    }

    /// A type by slug.
    pub fn read_type_by_slug(&self, slug: &str) -> Result<Value, Refusal> {
        let found = self.block_type_by_slug(slug);
        found.map(render::block_type).ok_or_else(|| Refusal::not_found("Block type not found"))
    }

    /// A list of types, by name.
    pub fn read_types(&self, query: &TypeQuery, limit: usize) -> Value {
        let mut rows: Vec<&BlockType> = self
            .block_types()
            .filter(|row| query.types.as_ref().is_none_or(|filter| filter.matches(row)))
            .filter(|row| {
                query.schemas.as_ref().is_none_or(|filter| {
                    self.block_schemas()
                        .any(|schema| schema.block_type_id == row.id && filter.matches(schema))
                })
            })
            .collect();
        rows.sort_by_key(|row| &row.name);
        rows.into_iter().skip(query.offset).take(limit).map(render::block_type).collect()
    }

    /// A schema.
    pub fn read_schema(&self, id: Uuid) -> Result<Value, Refusal> {
        let found = self.block_schema(id).map(|row| render::block_schema(self, row));
        found.ok_or_else(|| Refusal::not_found("Block schema not found"))
    }

    /// The newest schema with a checksum, of a version if one is given.
    pub fn read_schema_by_checksum(&self, checksum: &str, version: Option<&str>) -> Result<Value, Refusal> {
        let found = self.block_schema_by_checksum(checksum, version);
        let found = found.map(|row| render::block_schema(self, row));
        found.ok_or_else(|| Refusal::not_found("Block schema not found"))
    }

    /// A list of schemas, newest first.
    pub fn read_schemas(&self, query: &SchemaQuery, limit: usize) -> Value {
        let mut rows: Vec<&BlockSchema> = self
            .block_schemas()
            .filter(|row| query.schemas.as_ref().is_none_or(|filter| filter.matches(row)))
            .collect();
        rows.sort_by_key(|row| Reverse((row.created, row.id)));
        let page = rows.into_iter().skip(query.offset).take(limit);
        page.map(|row| render::block_schema(self, row)).collect()
    }

    /// Everything that some block can do, sorted.
    pub fn read_capabilities(&self) -> Value {
        let all: BTreeSet<&String> = self.block_schemas().flat_map(|schema| &schema.capabilities).collect();
        all.into_iter().cloned().collect()
    }

    /// A document. With `include_secrets` its secrets are encrypted ([`super::secret::reveal`]), else masked.
    pub fn read_document(&self, id: Uuid, include_secrets: bool) -> Result<Value, Refusal> {
        let found = self.block_document(id);
        found
            .map(|row| render::block_document(self, row, include_secrets))
            .ok_or_else(|| Refusal::not_found("Block document not found"))
    }

    /// What using a document needs: `{"name": "…", "data": {…}, "block_type_slug": "…"}`, its secrets encrypted.
    pub fn document_to_use(&self, id: Uuid) -> Option<Value> {
        self.block_document(id).map(|row| render::used_document(self, row))
    }

    /// A document by the slug of its type and its name.
    pub fn read_document_by_name(
        &self,
        slug: &str,
        name: &str,
        include_secrets: bool,
    ) -> Result<Value, Refusal> {
        let found = self.block_document_by_name(slug, name);
        found
            .map(|row| render::block_document(self, row, include_secrets))
            .ok_or_else(|| Refusal::not_found("Block document not found"))
    }

    /// The named documents of a type, by name.
    pub fn read_documents_of_type(&self, slug: &str, include_secrets: bool) -> Result<Value, Refusal> {
        self.read_type_by_slug(slug)?;
        let types = Some(TypeFilter { name_like: None, slugs: Some(vec![slug.to_owned()]) });
        let query = DocumentQuery { types, include_secrets, ..DocumentQuery::default() };
        Ok(self.read_documents(&query, usize::MAX))
    }

    /// A list of documents.
    pub fn read_documents(&self, query: &DocumentQuery, limit: usize) -> Value {
        let mut rows: Vec<&BlockDocument> = self.matching_documents(query).collect();
        match query.sort {
            DocumentSort::NameAscending => rows.sort_by_key(|row| &row.name),
            DocumentSort::NameDescending => rows.sort_by_key(|row| Reverse(&row.name)),
            DocumentSort::TypeAndNameAscending => rows.sort_by_key(|row| (&row.block_type_name, &row.name)),
        }
        let page = rows.into_iter().skip(query.offset).take(limit);
        page.map(|row| render::block_document(self, row, query.include_secrets)).collect()
    }

    /// How many documents match; sort and page do not count.
    pub fn count_documents(&self, query: &DocumentQuery) -> Value {
        Value::from(self.matching_documents(query).count())
    }

    fn matching_documents<'a>(&'a self, query: &'a DocumentQuery) -> impl Iterator<Item = &'a BlockDocument> {
        self.block_documents().filter(|row| {
            let of_type = |filter: &TypeFilter| {
                self.block_type(row.block_type_id).is_some_and(|block_type| filter.matches(block_type))
            };
            let of_schema = |filter: &SchemaFilter| {
                self.block_schema(row.block_schema_id).is_some_and(|schema| filter.matches(schema))
            };
            query.documents.matches(row)
                && query.types.as_ref().is_none_or(of_type)
                && query.schemas.as_ref().is_none_or(of_schema)
        })
    }
}
