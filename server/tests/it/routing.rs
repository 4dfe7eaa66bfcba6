//! Paths that are served, not offered, redirected, or nobody's; and what clients ask first.

use crate::support::{Server, answer};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn first_questions_have_their_answers() {
    let server = Server::start().await;
    for (path, status, expected) in [
        ("/api/health", 200, json!(true)),
        ("/api/ready", 200, json!({"message": "OK"})),
        ("/api/hello", 200, json!("👋")),
        ("/api/version", 200, json!("0.8.4")),
        ("/api/admin/version", 200, json!("3.8.8")),
        ("/api/pavlov/version", 200, json!("0.1.0")),
        ("/api/csrf-token?client=x", 422, json!({"detail": "CSRF protection is disabled."})),
    ] {
        assert_eq!(server.get(path).await, (status, expected), "{path}");
    }
    assert_eq!(server.get("/api/csrf-token").await.0, 422);
    assert!(server.get("/api/openapi.json").await.1["paths"].is_object());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_path_has_the_right_refusal() {
    let server = Server::start().await;
    let detail = |text: &str| json!({"detail": text});
    for (method, path, status, expected) in [
        ("GET", "/nope", 404, detail("Not Found")),
        ("GET", "/api/nope", 404, detail("Not Found")),
        ("GET", "/api/automations/nouuid", 404, detail("Not Found")),
        ("GET", "/api/automations/filter", 405, detail("Method Not Allowed")),
        ("DELETE", "/api/automations/", 405, detail("Method Not Allowed")),
        (
            "POST",
            "/api/flow_runs/filter",
            501,
            json!({"exception_message": "POST /api/flow_runs/filter is a route of Prefect's that this server does not offer"}),
        ),
    ] {
        assert_eq!(server.ask(method, path, None).await, (status, expected), "{method} {path}");
    }
    let response = server.request("GET", "/api/automations/filter").send().await.expect("an answer");
    assert_eq!(response.headers()["allow"], "POST");
    for (method, path, target) in [
        ("POST", "/api/automations?x=1", "/api/automations/?x=1"),
        ("GET", "/api/health/", "/api/health"),
        ("GET", "/api/block_capabilities", "/api/block_capabilities/"),
        ("POST", "/api/flows", "/api/flows/"),
    ] {
        let response = server.request(method, path).send().await.expect("an answer");
        assert_eq!(response.status(), 307, "{path}");
        assert_eq!(response.headers()["location"], format!("http://{}{target}", server.address));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_clients_are_told_so() {
    let server = Server::start().await;
    let ask = |path: &str, version: &str| {
        answer(server.request("POST", path).header("X-PREFECT-API-VERSION", version))
    };
    assert_eq!(ask("/api/automations/count", "0.8.4").await.0, 200);
    for version in ["0.7.9", "x"] {
        let (status, told) = ask("/api/automations/count", version).await;
        assert!(status == 400 && told["detail"].as_str().is_some_and(|why| why.contains(version)), "{told}");
    }
    let plain: (u16, Value) =
        answer(server.request("GET", "/api/version").header("X-PREFECT-API-VERSION", "0.7.9")).await;
    assert_eq!(plain.0, 200);
    server.stop().await;
}
