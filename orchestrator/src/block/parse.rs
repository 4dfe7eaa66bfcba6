//! Reading request bodies into commands and queries, with pydantic's faults for Prefect's models.
//!
//! Every function takes a body as JSON and answers what it means, or all its faults in the order of the
//! model's fields, their places beginning with `body`.

use super::command::{BlockCommand, DocumentUpdate, NewDocument, NewSchema, NewType, TypeText};
use super::filter::{DocumentCondition, DocumentFilter, SchemaCondition, SchemaFilter, TypeFilter};
use super::query::{DocumentQuery, DocumentSort, SchemaQuery, TypeQuery};
use super::schemas::DEFAULT_VERSION;
use pavlov_events::{Faults, Reader, Uuid};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Characters no name may have.
const BANNED: [char; 5] = ['/', '%', '&', '>', '<'];
/// The same rule as pydantic shows it.
const NAME_PATTERN: &str = "^[^/%&><]+$";

/// `POST /block_types/`: [`BlockCommand::CreateType`].
pub fn create_type(body: &Value) -> Result<BlockCommand, Faults> {
    read(body, |r| {
        r.object()?;
        let name = r.required("name", name);
        let slug = r.required("slug", |r| {
            let slug = r.string()?;
            dashed(r, slug, "Block type slug")
        });
        let logo_url = r.nullable("logo_url", |r| r.string());
        let documentation_url = r.nullable("documentation_url", |r| r.string());
        let description = r.nullable("description", |r| r.string());
        let code_example = r.nullable("code_example", |r| r.string());
        r.forbid_others(&["name", "slug", "logo_url", "documentation_url", "description", "code_example"]);
        Some(BlockCommand::CreateType(NewType {
            name: name?,
            slug: slug?,
            logo_url: logo_url?,
            documentation_url: documentation_url?,
            description: description?,
            code_example: code_example?,
        }))
    })
}

/// `PATCH /block_types/{id}`: [`BlockCommand::UpdateType`].
pub fn update_type(id: Uuid, body: &Value) -> Result<BlockCommand, Faults> {
    const TEXTS: [(&str, TypeText); 4] = [
        ("logo_url", TypeText::LogoUrl),
        ("documentation_url", TypeText::DocumentationUrl),
        ("description", TypeText::Description),
        ("code_example", TypeText::CodeExample),
    ];
    read(body, |r| {
        let object = r.object()?;
        let mut set = BTreeMap::new();
        for (field, text) in TEXTS {
            if let Some(value) = r.nullable(field, |r| r.string())
                && object.contains_key(field)
            {
                set.insert(text, value);
            }
        }
        r.forbid_others(&TEXTS.map(|(field, _)| field));
        Some(BlockCommand::UpdateType { id, set })
    })
}

/// `POST /block_schemas/`: [`BlockCommand::CreateSchema`].
pub fn create_schema(body: &Value) -> Result<BlockCommand, Faults> {
    read(body, |r| {
        r.object()?;
        let fields = r.optional("fields", dict);
        let block_type_id = r.required("block_type_id", |r| r.uuid());
        let capabilities = r.optional("capabilities", |r| r.list(|r| r.string()));
        let version = r.optional("version", |r| r.string());
        r.forbid_others(&["fields", "block_type_id", "capabilities", "version"]);
        Some(BlockCommand::CreateSchema(NewSchema {
            block_type_id: block_type_id?,
            fields: fields?.unwrap_or_default(),
            capabilities: capabilities?.unwrap_or_default(),
            version: version?.unwrap_or_else(|| DEFAULT_VERSION.into()),
        }))
    })
}

/// `POST /block_documents/`: [`BlockCommand::CreateDocument`], its secrets still plain.
pub fn create_document(body: &Value) -> Result<BlockCommand, Faults> {
    read(body, |r| {
        let object = r.object()?;
        if !truthy(object.get("is_anonymous")) && !truthy(object.get("name")) {
            r.value_error("Names must be provided for block documents.");
            return None;
        }
        let name = r.nullable("name", |r| {
            let name = name(r)?;
            dashed(r, name, "Block document name")
        });
        let data = r.optional("data", dict);
        let block_schema_id = r.required("block_schema_id", |r| r.uuid());
        let block_type_id = r.required("block_type_id", |r| r.uuid());
        let is_anonymous = r.optional("is_anonymous", |r| r.boolean());
        r.forbid_others(&["name", "data", "block_schema_id", "block_type_id", "is_anonymous"]);
        Some(BlockCommand::CreateDocument(NewDocument {
            name: name?,
            data: data?.unwrap_or_default(),
            block_schema_id: block_schema_id?,
            block_type_id: block_type_id?,
            is_anonymous: is_anonymous?.unwrap_or(false),
        }))
    })
}

/// `PATCH /block_documents/{id}`: [`BlockCommand::UpdateDocument`], its secrets still plain.
///
/// As in Prefect, a body that merges and names no data changes nothing, and one that does not merge and
/// names no data empties the document.
pub fn update_document(id: Uuid, body: &Value) -> Result<BlockCommand, Faults> {
    read(body, |r| {
        r.object()?;
        let block_schema_id = r.nullable("block_schema_id", |r| r.uuid());
        let data = r.optional("data", dict);
        let merge_existing_data = r.optional("merge_existing_data", |r| r.boolean());
        r.forbid_others(&["block_schema_id", "data", "merge_existing_data"]);
        let merge_existing_data = merge_existing_data?.unwrap_or(true);
        let data = data?.or_else(|| (!merge_existing_data).then(Map::new));
        let block_schema_id = block_schema_id?;
        Some(BlockCommand::UpdateDocument(DocumentUpdate { id, data, block_schema_id, merge_existing_data }))
    })
}

/// `POST /block_types/filter`.
pub fn type_query(body: &Value) -> Result<TypeQuery, Faults> {
    read(body, |r| {
        r.object()?;
        let limit = r.nullable("limit", |r| r.integer());
        let types = r.nullable("block_types", type_filter);
        let schemas = r.nullable("block_schemas", schema_filter);
        let offset = offset(r);
        Some(TypeQuery { types: types?, schemas: schemas?, limit: limit?, offset: offset? })
    })
}

/// `POST /block_schemas/filter`.
pub fn schema_query(body: &Value) -> Result<SchemaQuery, Faults> {
    read(body, |r| {
        r.object()?;
        let limit = r.nullable("limit", |r| r.integer());
        let schemas = r.nullable("block_schemas", schema_filter);
        let offset = offset(r);
        Some(SchemaQuery { schemas: schemas?, limit: limit?, offset: offset? })
    })
}

/// `POST /block_documents/filter`.
pub fn document_query(body: &Value) -> Result<DocumentQuery, Faults> {
    read(body, |r| {
        r.object()?;
        let limit = r.nullable("limit", |r| r.integer());
        let count = count_parts(r);
        let include_secrets = r.nullable("include_secrets", |r| r.boolean());
        let sort = r.nullable("sort", |r| {
            word(
                r,
                &[
                    ("NAME_DESC", DocumentSort::NameDescending),
                    ("NAME_ASC", DocumentSort::NameAscending),
                    ("BLOCK_TYPE_AND_NAME_ASC", DocumentSort::TypeAndNameAscending),
                ],
            )
        });
        let offset = offset(r);
        let mut query = count?;
        query.include_secrets = include_secrets?.unwrap_or(false);
        query.sort = sort?.unwrap_or_default();
        query.limit = limit?;
        query.offset = offset?;
        Some(query)
    })
}

/// `POST /block_documents/count`.
pub fn document_count(body: &Value) -> Result<DocumentQuery, Faults> {
    read(body, |r| {
        r.object()?;
        count_parts(r)
    })
}

fn count_parts(r: &mut Reader<'_>) -> Option<DocumentQuery> {
    let documents = r.nullable("block_documents", document_filter);
    let types = r.nullable("block_types", type_filter);
    let schemas = r.nullable("block_schemas", schema_filter);
    let documents = documents?.unwrap_or_default();
    Some(DocumentQuery { documents, types: types?, schemas: schemas?, ..DocumentQuery::default() })
}

fn type_filter(r: &mut Reader<'_>) -> Option<TypeFilter> {
    r.object()?;
    let name_like = r.nullable("name", |r| one_field(r, "like_", |r| r.string()));
    let slugs = r.nullable("slug", |r| one_field(r, "any_", |r| r.list(|r| r.string())));
    r.forbid_others(&["name", "slug"]);
    Some(TypeFilter { name_like: name_like?.flatten(), slugs: slugs?.flatten() })
}

fn schema_filter(r: &mut Reader<'_>) -> Option<SchemaFilter> {
    r.object()?;
    let any_condition = operator(r);
    let block_type_id = r.nullable("block_type_id", |r| one_field(r, "any_", |r| r.list(|r| r.uuid())));
    let capabilities = r.nullable("block_capabilities", |r| one_field(r, "all_", |r| r.list(|r| r.string())));
    let id = r.nullable("id", |r| one_field(r, "any_", |r| r.list(|r| r.uuid())));
    let version = r.nullable("version", |r| one_field(r, "any_", |r| r.list(|r| r.string())));
    r.forbid_others(&["operator", "block_type_id", "block_capabilities", "id", "version"]);
    let always = SchemaCondition::Always;
    let conditions = [
        block_type_id?.map(|part| part.map_or(always.clone(), SchemaCondition::BlockTypeId)),
        capabilities?.map(|part| part.map_or(always.clone(), SchemaCondition::Capabilities)),
        id?.map(|part| part.map_or(always.clone(), SchemaCondition::Id)),
        version?.map(|part| part.map_or(always, SchemaCondition::Version)),
    ];
    let conditions = conditions.into_iter().flatten().collect();
    Some(SchemaFilter { any_condition: any_condition?, conditions })
}

fn document_filter(r: &mut Reader<'_>) -> Option<DocumentFilter> {
    let object = r.object()?;
    let any_condition = operator(r);
    let id = r.nullable("id", |r| one_field(r, "any_", |r| r.list(|r| r.uuid())));
    let is_anonymous = r.nullable("is_anonymous", |r| one_field(r, "eq_", |r| r.boolean()));
    let block_type_id = r.nullable("block_type_id", |r| one_field(r, "any_", |r| r.list(|r| r.uuid())));
    let name = r.nullable("name", |r| {
        r.object()?;
        let any = r.nullable("any_", |r| r.list(|r| r.string()));
        let like = r.nullable("like_", |r| r.string());
        r.forbid_others(&["any_", "like_"]);
        Some(DocumentCondition::Name { any: any?, like: like? })
    });
    r.forbid_others(&["operator", "id", "is_anonymous", "block_type_id", "name"]);
    let always = DocumentCondition::Always;
    // Only an absent part has the default; a null one is no condition.
    let named_only = (!object.contains_key("is_anonymous")).then_some(DocumentCondition::IsAnonymous(false));
    let conditions = [
        id?.map(|part| part.map_or(always.clone(), DocumentCondition::Id)),
        is_anonymous?.map(|part| part.map_or(always.clone(), DocumentCondition::IsAnonymous)).or(named_only),
        block_type_id?.map(|part| part.map_or(always, DocumentCondition::BlockTypeId)),
        name?,
    ];
    let conditions = conditions.into_iter().flatten().collect();
    Some(DocumentFilter { any_condition: any_condition?, conditions })
}

/// A filter part with one field: `Some(None)` when the field is missing or null.
fn one_field<T>(
    r: &mut Reader<'_>,
    field: &str,
    part: impl FnOnce(&mut Reader<'_>) -> Option<T>,
) -> Option<Option<T>> {
    r.object()?;
    let value = r.nullable(field, part);
    r.forbid_others(&[field]);
    value
}

/// Whether one condition is enough.
fn operator(r: &mut Reader<'_>) -> Option<bool> {
    let read = r.optional("operator", |r| word(r, &[("and_", false), ("or_", true)]));
    read.map(|any| any.unwrap_or(false))
}

fn offset(r: &mut Reader<'_>) -> Option<usize> {
    let read = r.nullable("offset", |r| r.integer_at_least(0));
    read.map(|offset| usize::try_from(offset.unwrap_or(0)).unwrap_or(usize::MAX))
}

/// One of the words of an enumeration; [`Reader::literal`] with an enumeration's type of fault.
fn word<T: Copy>(r: &mut Reader<'_>, words: &[(&str, T)]) -> Option<T> {
    let found = r.value().as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
    if let Some((_, value)) = found {
        return Some(*value);
    }
    let quoted: Vec<String> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
    let (last, rest) = quoted.split_last().expect("an enumeration has words");
    let expected = format!("{} or {last}", rest.join(", "));
    r.fault("enum", format!("Input should be {expected}"), Some(json!({"expected": expected})));
    None
}

fn name(r: &mut Reader<'_>) -> Option<String> {
    let name = r.string()?;
    if name.is_empty() || name.contains(BANNED) {
        let msg = format!("String should match pattern '{NAME_PATTERN}'");
        r.fault("string_pattern_mismatch", msg, Some(json!({"pattern": NAME_PATTERN})));
        return None;
    }
    Some(name)
}

fn dashed(r: &mut Reader<'_>, text: String, field: &str) -> Option<String> {
    if text.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Some(text);
    }
    r.value_error(format_args!("{field} must only contain lowercase letters, numbers, and dashes."));
    None
}

fn dict(r: &mut Reader<'_>) -> Option<Map<String, Value>> {
    r.dict().cloned()
}

/// As Python sees it.
fn truthy(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(object)) => !object.is_empty(),
    }
}

/// Reads a whole body: what it means when there is no fault at all.
fn read<T>(body: &Value, parts: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Result<T, Faults> {
    let mut faults = Faults::new();
    let read = parts(&mut Reader::new(body, "body", &mut faults));
    match read {
        Some(value) if faults.is_empty() => Ok(value),
        _ => Err(faults),
    }
}
