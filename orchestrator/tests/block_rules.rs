//! What no request to a genuine server shows: limits of nesting, events, stored shapes, capabilities.

use pavlov_events::{Timestamp, Uuid};
use pavlov_orchestrator::block::command::{BlockCommand, NewDocument};
use pavlov_orchestrator::block::documents::{DEPTH_MAX, NESTED_MAX};
use pavlov_orchestrator::block::secret::{reveal, reveal_documents};
use pavlov_orchestrator::block::{Blocks, RowKey};
use pavlov_orchestrator::{Applied, Ctx, Error, Refusal, RefusalKind};
use serde_json::{Map, Value, json};

/// A collection with the system types and a way to put documents of the local file system's type.
struct Shelf {
    blocks: Blocks,
    last_id: u128,
}

impl Shelf {
    fn new() -> Self {
        let mut shelf = Self { blocks: Blocks::default(), last_id: 0 };
        shelf
            .apply(&BlockCommand::InstallSystemTypes { protected_only: false })
            .expect("nothing is in the way");
        shelf
    }

    fn apply(&mut self, command: &BlockCommand) -> Result<Applied, Refusal> {
        let mut last_id = self.last_id;
        let mut ids = || {
            last_id += 1;
            Uuid::from_u128(last_id)
        };
        let mut ctx = Ctx { now: Timestamp::from_micros(1_700_000_000_000_000), ids: &mut ids };
        let applied = self.blocks.apply(command, &mut ctx);
        self.last_id = last_id;
        applied
    }

    fn put(&mut self, slug: &str, name: &str, data: Value) -> Result<Uuid, Refusal> {
        let mut command = self.document(slug, name, data);
        self.blocks.protect(&mut command, &mut |plain| format!("<{plain}>"))?;
        let applied = self.apply(&command)?;
        Ok(serde_json::from_value(applied.answer["id"].clone()).expect("an answer has an id"))
    }

    fn document(&self, slug: &str, name: &str, data: Value) -> BlockCommand {
        let block_type = self.blocks.block_type_by_slug(slug).expect("a system type");
        let mut schemas = self.blocks.block_schemas();
        let schema = schemas.find(|schema| schema.block_type_id == block_type.id).expect("its schema");
        BlockCommand::CreateDocument(NewDocument {
            name: Some(name.into()),
            data: serde_json::from_value(data).expect("data is an object"),
            block_schema_id: schema.id,
            block_type_id: block_type.id,
            is_anonymous: false,
        })
    }
}

fn reference(id: Uuid) -> Value {
    json!({"$ref": {"block_document_id": id}})
}

#[test]
fn documents_nest_to_the_stated_depth_and_no_deeper() {
    let mut shelf = Shelf::new();
    let mut id = shelf.put("local-file-system", "level-0", json!({})).expect("a plain document");
    for depth in 1..=DEPTH_MAX {
        id = shelf
            .put("local-file-system", &format!("level-{depth}"), json!({"below": reference(id)}))
            .expect("within the limit");
    }
    let refused = shelf.put("local-file-system", "too-deep", json!({"below": reference(id)}));
    assert_eq!(refused.expect_err("one too deep").kind, RefusalKind::Invalid);
}

#[test]
fn a_few_documents_that_hold_each_other_twice_are_refused_before_they_fill_the_memory() {
    let mut shelf = Shelf::new();
    let mut id = shelf.put("local-file-system", "level-0", json!({})).expect("a plain document");
    let mut held = 0;
    for level in 1.. {
        held = 2 * (held + 1);
        let both = json!({"left": reference(id), "right": reference(id)});
        let put = shelf.put("local-file-system", &format!("level-{level}"), both);
        match put {
            Ok(next) => id = next,
            Err(refusal) => {
                assert_eq!(refusal.kind, RefusalKind::Invalid);
                break;
            }
        }
        assert!(held <= NESTED_MAX);
    }
    assert!(held > NESTED_MAX);
}

#[test]
fn events_tell_of_documents_without_their_secrets() {
    let mut shelf = Shelf::new();
    let mut command = shelf.document(
        "slack-webhook",
        "on-call",
        json!({"url": "https://h.example/s3cret", "notify_type": "info"}),
    );
    shelf.blocks.protect(&mut command, &mut |plain| format!("<{plain}>")).expect("the schema is there");
    let applied = shelf.apply(&command).expect("a plain document");
    let told = &applied.events[0];
    assert_eq!((applied.events.len(), told.event.as_str()), (1, "prefect.block-document.created"));
    assert_eq!(told.resource.get("prefect.resource.name"), Some("on-call"));
    assert_eq!(told.related[0].role(), "block-type");
    assert_eq!(told.payload["data"], json!({"notify_type": "info"}));
    assert_eq!(told.payload["block_schema"]["capabilities"], json!(["notify"]));
}

#[test]
fn a_secret_that_is_still_plain_is_refused() {
    let mut shelf = Shelf::new();
    let command = shelf.document("secret", "plain", json!({"value": "hidden"}));
    assert_eq!(shelf.apply(&command).expect_err("it is plain").kind, RefusalKind::Conflict);
}

#[test]
fn the_stored_rows_hold_secrets_only_encrypted() {
    let mut shelf = Shelf::new();
    let id = shelf.put("secret", "kept", json!({"value": "hidden"})).expect("a plain document");
    let row = shelf.blocks.row(&RowKey::Document(id)).expect("it is there");
    assert_eq!(row["data"], json!({"value": {"$encrypted": "<\"hidden\">"}}));
    let mut answer = shelf.blocks.read_document(id, true).expect("it is there");
    let wrong_key = reveal_documents(&mut answer, &mut |_| None);
    assert!(matches!(wrong_key, Err(Error::Decrypt)));
    let mut masked = shelf.blocks.read_document(id, false).expect("it is there");
    assert_eq!(masked["data"]["value"], "********");
    reveal(&mut masked, &mut |_| None).expect("nothing is encrypted in a masked answer");
}

#[test]
fn unknown_commands_rows_and_keys_are_errors() {
    let command = serde_json::from_value::<BlockCommand>(json!({"kind": "rename-type"}));
    assert!(command.expect_err("no such command").to_string().contains("rename-type"));
    let extra = json!({"kind": "delete-type", "id": Uuid::nil(), "force": true});
    assert!(serde_json::from_value::<BlockCommand>(extra).is_err());
    assert!(matches!("block_shelves/x".parse::<RowKey>(), Err(Error::Key { .. })));
    let load = Blocks::default().load(RowKey::Type(Uuid::nil()), json!({"id": 1}));
    assert!(matches!(load, Err(Error::Row { .. })));
}

#[test]
fn capabilities_are_listed_once_and_sorted() {
    let answer = Shelf::new().blocks.read_capabilities();
    assert_eq!(answer, json!(["get-directory", "notify", "put-directory", "read-path", "write-path"]));
}

#[test]
fn a_reference_in_place_of_a_secret_is_not_encrypted() {
    let mut shelf = Shelf::new();
    let id = shelf.put("local-file-system", "leaf", json!({})).expect("a plain document");
    let mut command = shelf.document("secret", "holder", json!({"value": reference(id)}));
    shelf.blocks.protect(&mut command, &mut |plain| format!("<{plain}>")).expect("the schema is there");
    let BlockCommand::CreateDocument(new) = &command else { panic!("it stays what it was") };
    assert_eq!(new.data, Map::from_iter([("value".to_owned(), reference(id))]));
    let answer = shelf.apply(&command).expect("references are allowed").answer;
    assert_eq!(answer["block_document_references"]["value"]["block_document"]["name"], "leaf");
}
