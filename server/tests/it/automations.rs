//! Prefect's automation routes.

use crate::support::{Server, event};
use serde_json::{Value, json};

fn definition(name: &str) -> Value {
    json!({
        "name": name, "tags": ["sre"], "actions": [{"type": "do-nothing"}],
        "trigger": {"type": "event", "posture": "Reactive", "expect": ["a.*"], "threshold": 1, "within": 0},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_automation_is_in_force_when_its_creation_is_answered() {
    let server = Server::start().await;
    let (status, made) = server.post("/api/automations/", definition("first")).await;
    assert_eq!((status, &made["name"], &made["enabled"]), (201, &json!("first"), &json!(true)), "{made}");
    let path = format!("/api/automations/{}", made["id"].as_str().expect("an id"));
    assert_eq!(server.get(&path).await, (200, made.clone()));

    server.post("/api/events", json!([event(1, "a.b")])).await;
    let fired = server.stored("prefect.automation.triggered").await;
    assert_eq!(fired.len(), 1);
    assert_eq!(fired[0]["payload"]["triggering_event"]["id"], event(1, "a.b")["id"]);

    assert_eq!(server.ask("PATCH", &path, Some(json!({"enabled": false}))).await, (204, Value::Null));
    server.post("/api/events", json!([event(2, "a.b")])).await;
    assert_eq!(server.stored("prefect.automation.triggered").await.len(), 1);

    let mut other = definition("second");
    other["trigger"]["expect"] = json!(["c"]);
    assert_eq!(server.ask("PUT", &path, Some(other)).await.0, 204);
    server.post("/api/events", json!([event(3, "c")])).await;
    assert_eq!(server.stored("prefect.automation.triggered").await.len(), 2);

    assert_eq!(server.ask("DELETE", &path, None).await.0, 204);
    let gone = (404, json!({"exception_message": "Automation not found"}));
    assert_eq!(server.get(&path).await, gone);
    assert_eq!(server.ask("DELETE", &path, None).await, gone);
    assert_eq!(server.ask("PATCH", &path, Some(json!({"enabled": true}))).await, gone);
    assert_eq!(server.ask("PUT", &path, Some(definition("x"))).await, gone);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_counts_and_owners() {
    let server = Server::start().await;
    for name in ["b", "a", "c"] {
        let mut definition = definition(name);
        if name == "c" {
            definition["owner_resource"] = json!("prefect.deployment.d");
        }
        assert_eq!(server.post("/api/automations/", definition).await.0, 201);
    }
    let names = |body: Value| {
        let server = &server;
        async move {
            let (status, found) = server.post("/api/automations/filter", body).await;
            assert_eq!(status, 200, "{found}");
            found
                .as_array()
                .expect("a list")
                .iter()
                .map(|one| one["name"].as_str().expect("a name").to_owned())
                .collect::<String>()
        }
    };
    assert_eq!(names(json!({})).await, "abc");
    let nulls = json!({"sort": null, "limit": null, "offset": null, "automations": null});
    assert_eq!(names(nulls).await, "abc");
    assert_eq!(names(json!({"sort": "NAME_DESC", "limit": 2})).await, "cb");
    assert_eq!(names(json!({"sort": "CREATED_DESC", "offset": 1})).await, "ab");
    assert_eq!(names(json!({"automations": {"name": {"any_": ["a", "x"]}}})).await, "a");
    assert_eq!(server.ask("POST", "/api/automations/count", None).await, (200, json!(3)));
    let some = json!({"automations": {"tags": {"is_null_": true}}});
    assert_eq!(server.post("/api/automations/count", some).await, (200, json!(0)));

    let (_, owned) = server.get("/api/automations/related-to/prefect.deployment.d").await;
    assert_eq!(owned[0]["name"], "c");
    let removed = server.ask("DELETE", "/api/automations/owned-by/prefect.deployment.d", None).await;
    assert_eq!(removed, (202, Value::Null));
    assert_eq!(names(json!({})).await, "ab");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_genuine_server_refuses_is_refused() {
    let server = Server::start().await;
    for (method, path, body, status, message) in [
        ("POST", "/api/automations/", Some(json!({"name": "x"})), 422, "Field required"),
        ("POST", "/api/automations/", None, 422, "Field required"),
        ("POST", "/api/automations/", Some(json!("x")), 422, "Input should be a valid dictionary"),
        ("POST", "/api/automations/filter", Some(json!({"limit": 201})), 422, "Invalid limit"),
        (
            "POST",
            "/api/automations/filter",
            Some(json!({"sort": "x"})),
            422,
            "Input should be 'CREATED_DESC'",
        ),
        ("POST", "/api/automations/filter", Some(json!({"offset": -1})), 422, "greater than or equal to 0"),
        ("POST", "/api/automations/count", Some(json!([])), 422, "Field required"),
        ("POST", "/api/templates/validate", Some(json!("{{ a")), 422, "\"line\":1"),
        ("POST", "/api/templates/validate", Some(json!(5)), 422, "Input should be a valid string"),
        ("POST", "/api/templates/validate", Some(json!("{{ event.name }}")), 204, ""),
        ("POST", "/api/automations/templates/validate", None, 204, ""),
    ] {
        let (given, told) = server.ask(method, path, body.clone()).await;
        assert_eq!(given, status, "{method} {path} {body:?} {told}");
        assert!(message.is_empty() || told.to_string().contains(message), "{told}");
    }
    server.stop().await;
}
