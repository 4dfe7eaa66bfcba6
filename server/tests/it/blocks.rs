//! Prefect's block routes, and where secrets may be seen.

use crate::support::Server;
use serde_json::{Value, json};

const CANARY: &str = "https://hooks.example.org/canary-7f3a";

async fn slack(server: &Server) -> (Value, Value) {
    let (status, block_type) = server.get("/api/block_types/slug/slack-webhook").await;
    assert_eq!(status, 200, "{block_type}");
    let filter = json!({"block_schemas": {"block_type_id": {"any_": [block_type["id"]]}}});
    let (_, schemas) = server.post("/api/block_schemas/filter", filter).await;
    (block_type["id"].clone(), schemas[0]["id"].clone())
}

async fn document(server: &Server, name: &str) -> (u16, Value) {
    let (block_type, schema) = slack(server).await;
    let body = json!({"name": name, "data": {"url": CANARY}, "block_type_id": block_type, "block_schema_id": schema});
    server.post("/api/block_documents/", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_masked_unless_asked_for_and_nowhere_on_disk() {
    let server = Server::start().await;
    let (status, made) = document(&server, "on-call").await;
    assert_eq!(status, 201, "{made}");
    assert!(!made.to_string().contains("canary"));
    let path = format!("/api/block_documents/{}", made["id"].as_str().expect("an id"));
    assert!(!server.get(&path).await.1.to_string().contains("canary"));
    let secret = |answer: (u16, Value)| answer.1["data"]["url"].clone();
    assert_eq!(secret(server.get(&format!("{path}?include_secrets=true")).await), CANARY);
    let by_name = "/api/block_types/slug/slack-webhook/block_documents/name/on-call?include_secrets=1";
    assert_eq!(secret(server.get(by_name).await), CANARY);
    let all = server.post("/api/block_documents/filter", json!({"include_secrets": true})).await.1;
    assert_eq!(all[0]["data"]["url"], CANARY);

    // A mask that comes back keeps the old secret.
    let masked = json!({"data": {"url": "********", "notify_type": "x"}});
    assert_eq!(server.ask("PATCH", &path, Some(masked)).await.0, 204);
    let server = server.restart().await;
    assert_eq!(secret(server.get(&format!("{path}?include_secrets=true")).await), CANARY);

    let dir = server.stop().await;
    let mut folders = vec![dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).expect("readable");
                let found = bytes.windows(6).any(|window| window == b"canary");
                assert!(!found, "{} holds the secret in plain text", path.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_taken_once_and_protected_types_stay() {
    let server = Server::start().await;
    assert_eq!(document(&server, "one").await.0, 201);
    let (status, told) = document(&server, "one").await;
    assert!(
        status == 409 && told["detail"].as_str().is_some_and(|why| why.contains("already exists")),
        "{told}"
    );
    assert_eq!(server.post("/api/block_documents/count", json!({})).await, (200, json!(1)));

    let (_, protected) = server.get("/api/block_types/slug/secret").await;
    let path = format!("/api/block_types/{}", protected["id"].as_str().expect("an id"));
    assert_eq!(server.ask("DELETE", &path, None).await.0, 403);
    let nobody = "00000000-0000-0000-0000-000000000000";
    for (path, detail) in [
        (format!("/api/block_types/{nobody}"), "Block type not found"),
        (format!("/api/block_schemas/{nobody}"), "Block schema not found"),
        (format!("/api/block_documents/{nobody}"), "Block document not found"),
        ("/api/block_types/slug/nope".into(), "Block type not found"),
        ("/api/block_types/nope".into(), "Not Found"),
    ] {
        assert_eq!(server.get(&path).await, (404, json!({"detail": detail})), "{path}");
    }
    let (status, told) = server.get(&format!("/api/block_documents/{nobody}?include_secrets=maybe")).await;
    assert_eq!((status, &told["exception_detail"][0]["loc"]), (422, &json!(["query", "include_secrets"])));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_there_already_is_found_and_types_can_be_made() {
    let server = Server::start().await;
    let (status, made) = server.post("/api/block_types/", json!({"name": "Pager", "slug": "pager"})).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(server.post("/api/block_types/", json!({"name": "Pager", "slug": "pager"})).await.0, 409);
    let reserved = json!({"name": "Prefect Pager", "slug": "p"});
    assert_eq!(server.post("/api/block_types/", reserved).await.0, 403);
    let schema = json!({"block_type_id": made["id"], "capabilities": ["page"],
        "fields": {"title": "Pager", "type": "object", "properties": {"key": {"type": "string"}}}});
    let (status, first) = server.post("/api/block_schemas/", schema.clone()).await;
    assert_eq!(status, 201, "{first}");
    let (status, again) = server.post("/api/block_schemas/", schema).await;
    assert_eq!((status, &again["id"]), (200, &first["id"]));
    let path = format!("/api/block_schemas/checksum/{}", first["checksum"].as_str().expect("a checksum"));
    assert_eq!(server.get(&path).await.1["id"], first["id"]);
    let (_, capabilities) = server.get("/api/block_capabilities/").await;
    assert!(capabilities.as_array().is_some_and(|all| all.contains(&json!("page"))), "{capabilities}");
    assert_eq!(
        server.ask("POST", "/api/block_types/install_system_block_types", None).await,
        (200, Value::Null)
    );
    server.stop().await;
}
