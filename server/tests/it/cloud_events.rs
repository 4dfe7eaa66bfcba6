//! CloudEvents over HTTP in their three modes.

use crate::support::{Server, answer};
use serde_json::{Value, json};

fn structured(id: &str) -> Value {
    json!({"specversion": "1.0", "type": "ci.deployed", "source": "/ci", "subject": "api", "id": id, "data": {"v": 1}})
}

#[tokio::test(flavor = "multi_thread")]
async fn all_modes_are_taken_at_both_routes() {
    let server = Server::start().await;
    for path in ["/api/cloudevents", "/api/events"] {
        let ask = |media: &str, body: String| {
            answer(server.request("POST", path).header("content-type", media).body(body))
        };
        let one = ask("application/cloudevents+json", structured("1").to_string()).await;
        let batch = json!([structured("2"), structured("3")]).to_string();
        let several = ask("application/cloudevents-batch+json", batch).await;
        let binary = server.request("POST", path).header("content-type", "text/plain");
        let binary = ["specversion:1.0", "type:ci.deployed", "source:/ci", "id:4"].iter().fold(
            binary,
            |request, pair| {
                let (name, value) = pair.split_once(':').expect("a pair");
                request.header(format!("ce-{name}"), value)
            },
        );
        let binary = answer(binary.body("hello")).await;
        assert_eq!((one.0, several.0, binary.0), (204, 204, 204), "{path} {one:?} {several:?} {binary:?}");
    }
    // The second route told the same events again.
    let stored = server.stored("ci.deployed").await;
    assert_eq!(stored.len(), 4);
    assert_eq!(stored[0]["resource"]["prefect.resource.id"], "/ci/api");
    assert_eq!(stored[3]["payload"], json!({"data": "hello"}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_name_the_attribute_and_are_told() {
    let server = Server::start().await;
    let mut bad = structured("2");
    bad["specversion"] = json!("0.3");
    for (body, loc) in [
        (json!([structured("1"), bad]), json!(["body", 1, "specversion"])),
        (json!({"specversion": "1.0"}), json!(["body", "type"])),
    ] {
        let (status, told) = server.post("/api/cloudevents", body.clone()).await;
        assert_eq!((status, &told["exception_detail"][0]["loc"]), (422, &loc));
        assert_eq!(told["request_body"], body);
    }
    assert_eq!(server.stored("ci.deployed").await.len(), 0);
    assert_eq!(server.stored("pavlov.event.refused").await.len(), 2);
    server.stop().await;
}
