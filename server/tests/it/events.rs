//! Events in and out over HTTP.

use crate::support::{Server, answer, event};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn events_are_stored_once_and_found_by_page() {
    let server = Server::start().await;
    let events: Vec<Value> = (1..=120).map(|number| event(number, "a.b")).collect();
    assert_eq!(server.post("/api/events", json!(events)).await, (204, Value::Null));
    assert_eq!(server.post("/api/events", json!(events[..5])).await.0, 204);

    let filter = json!({"filter": {"event": {"name": ["a.b"]}}, "limit": 50});
    let (_, mut page) = server.post("/api/events/filter", filter).await;
    let mut ids = Vec::new();
    loop {
        assert_eq!(page["total"], 120);
        ids.extend(page["events"].as_array().expect("events").iter().map(|event| event["id"].clone()));
        let Some(next) = page["next_page"].as_str() else { break };
        let path = next.split_once(&server.address).expect("an address of this server").1.to_owned();
        page = server.get(&path).await.1;
    }
    ids.sort_by_key(Value::to_string);
    ids.dedup();
    assert_eq!(ids.len(), 120);

    let one = &server.stored("a.b").await[0];
    assert_eq!(one["resource"], json!({"prefect.resource.id": "host.a", "team": "sre"}));
    assert!(one["received"].is_string() && one["follows"].is_null() && one["related"] == json!([]));
    let server = server.restart().await;
    assert_eq!(server.stored("a.b").await.len(), 50);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_with_a_bad_event_is_refused_whole_and_told() {
    let server = Server::start().await;
    let mut bad = event(2, "a");
    bad["resource"] = json!({});
    let body = json!([event(1, "a"), bad, 5]);
    let (status, told) = server.post("/api/events", body.clone()).await;
    assert_eq!((status, &told["exception_message"]), (422, &json!("Invalid request received.")));
    assert_eq!(told["request_body"], body);
    let places: Vec<&Value> =
        told["exception_detail"].as_array().expect("faults").iter().map(|f| &f["loc"]).collect();
    assert_eq!(places, [&json!(["body", 1, "resource"]), &json!(["body", 2])]);
    assert_eq!(server.stored("a").await.len(), 0);

    let refused = server.stored("pavlov.event.refused").await;
    assert_eq!(refused.len(), 1);
    let payload = &refused[0]["payload"];
    assert_eq!((&payload["source"], &payload["events"]), (&json!("POST /api/events"), &json!(2)));
    assert!(
        payload["faults"][0].as_str().is_some_and(|fault| fault.starts_with("body.1.resource: ")),
        "{payload}"
    );
    assert!(payload["excerpt"].as_str().is_some_and(|text| text.contains("host.a") && text.len() <= 1024));
    assert!(
        server
            .get("/metrics")
            .await
            .1
            .as_str()
            .is_some_and(|text| { text.contains("pavlov_events_refused_total{where=\"door\"} 2\n") })
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_requests_store_the_good_ones() {
    let server = Server::start().await;
    let mut large = event(3, "a");
    large["payload"] = json!({"x": "y".repeat(900_000)});
    let body = json!([event(1, "a"), {"event": "a"}, event(2, "a"), large, event(1, "a")]);
    let (status, told) = server.post("/api/events?partial=1", body.clone()).await;
    assert_eq!((status, &told["accepted"], &told["duplicates"]), (200, &json!(2), &json!(1)));
    let indexes: Vec<&Value> =
        told["refused"].as_array().expect("refused").iter().map(|one| &one["index"]).collect();
    assert_eq!(indexes, [1, 3]);
    assert_eq!(told["refused"][0]["faults"][0]["loc"], json!(["body", 1, "occurred"]));
    assert_eq!(server.stored("a").await.len(), 2);
    assert_eq!(server.stored("pavlov.event.refused").await.len(), 2);
    // Whole, it is refused for its size.
    assert_eq!(server.post("/api/events", json!([body[3]])).await.0, 413);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_list_are_refused_as_the_genuine_server_does() {
    let server = Server::start().await;
    let ask = |media: &'static str, body: Vec<u8>| {
        let request = server.request("POST", "/api/events").body(body);
        answer(if media.is_empty() { request } else { request.header("content-type", media) })
    };
    let json_type = "application/json";
    for (media, body, status, kind) in [
        (json_type, b"{bad".to_vec(), 422, "json_invalid"),
        (json_type, b"{}".to_vec(), 422, "list_type"),
        (json_type, b"".to_vec(), 422, "missing"),
        ("text/plain", b"[]".to_vec(), 422, "list_type"),
        (json_type, format!("[{}", "[".repeat(300)).into_bytes(), 422, "json_invalid"),
        (json_type, b"[\"\xff\"]".to_vec(), 400, ""),
        (json_type, b"[]".to_vec(), 204, ""),
        ("", b"[]".to_vec(), 204, ""),
    ] {
        let (given, told) = ask(media, body).await;
        assert_eq!(given, status, "{media} {told}");
        if !kind.is_empty() {
            assert_eq!(told["exception_detail"][0]["type"], kind);
        }
    }
    let (status, told) = ask(json_type, vec![b' '; (16 << 20) + 1]).await;
    assert_eq!(status, 413, "{told}");
    let mut deep = event(1, "deep");
    deep["payload"] =
        serde_json::from_str(&format!("{}1{}", r#"{"a":"#.repeat(70), "}".repeat(70))).expect("JSON");
    assert_eq!(server.post("/api/events", json!([deep])).await.0, 422);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_and_their_faults_have_the_genuine_shapes() {
    let server = Server::start().await;
    let events: Vec<Value> =
        (1..=3).map(|number| event(number, if number < 3 { "a" } else { "b" })).collect();
    server.post("/api/events", json!(events)).await;
    let mine = json!({"filter": {"resource": {"id": ["host.a"]}}});
    let (_, counts) = server.post("/api/events/count-by/event", mine.clone()).await;
    let shown: Vec<(&str, u64)> = counts
        .as_array()
        .expect("counts")
        .iter()
        .map(|count| (count["value"].as_str().expect("a value"), count["count"].as_u64().expect("a count")))
        .collect();
    assert_eq!(shown, [("a", 2), ("b", 1)]);
    let (_, counts) = server.post("/api/events/count-by/resource", mine).await;
    assert_eq!(counts[0]["count"], 3);
    for (countable, body, places) in [
        ("foo", json!({}), json!([["path", "countable"], ["body", "filter"]])),
        ("day", json!({"filter": null, "time_unit": null}), json!([["body", "filter"]])),
        ("day", json!({"filter": {}, "time_unit": "x"}), json!([["body", "time_unit"]])),
        ("day", json!({"filter": {}, "time_interval": 0}), json!([["body", "time_interval"]])),
    ] {
        let (status, told) = server.post(&format!("/api/events/count-by/{countable}"), body).await;
        let given: Vec<Value> = told["exception_detail"]
            .as_array()
            .expect("faults")
            .iter()
            .map(|fault| fault["loc"].clone())
            .collect();
        assert_eq!((status, json!(given)), (422, places), "{told}");
    }
    let (status, told) =
        server.post("/api/events/count-by/time", json!({"filter": {}, "time_unit": "second"})).await;
    assert!(status == 422 && told["detail"].is_string(), "{told}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_tokens_have_their_faults() {
    let server = Server::start().await;
    for (body, kind, loc) in [
        (json!({"limit": 51}), "less_than_equal", json!(["body", "limit"])),
        (json!({"filter": {"x": 1}}), "extra_forbidden", json!(["body", "filter", "x"])),
        (json!([]), "missing", json!(["body", "filter"])),
    ] {
        let (status, told) = server.post("/api/events/filter", body).await;
        let fault = &told["exception_detail"][0];
        assert_eq!((status, &fault["type"], &fault["loc"]), (422, &json!(kind), &loc));
    }
    assert_eq!(server.ask("POST", "/api/events/filter", None).await.0, 200);
    assert_eq!(server.get("/api/events/filter/next").await.0, 422);
    for token in ["abc", "YWJj", "", "%20"] {
        let told = server.get(&format!("/api/events/filter/next?page-token={token}")).await;
        assert_eq!(told, (403, json!({"detail": "Forbidden"})));
    }
    server.stop().await;
}
