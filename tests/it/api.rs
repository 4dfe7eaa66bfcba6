//! What the running server answers to bad input, and that nothing of it harms anybody else. The shapes of good
//! answers are tested in `server/tests`.

use pavlov_tests::client::{self, Response};
use pavlov_tests::peers::server::{Options, Server};
use pavlov_tests::shapes::{automation, event, on};
use pavlov_tests::websocket::Socket;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn post(server: &Server, path: &str, body: &[u8]) -> Response {
    client::send(&server.address, "POST", path, JSON, body).expect("an answer")
}

/// An event with one field changed.
fn odd(field: &str, value: Value) -> Value {
    let mut odd = event("odd", "host.a", 1);
    odd[field] = value;
    odd
}

#[test]
fn bad_events_are_refused_with_their_reasons_and_harm_nobody() {
    let server = Server::start(Options::default());
    let labels: serde_json::Map<String, Value> = (0..501).map(|n| (format!("l{n}"), json!("x"))).collect();
    let mut many = json!({"prefect.resource.id": "host.a"});
    many.as_object_mut().expect("an object").extend(labels);
    let related: Vec<Value> = (0..101)
        .map(|n| json!({"prefect.resource.id": format!("r.{n}"), "prefect.resource.role": "r"}))
        .collect();
    let cases = [
        (odd("occurred", json!("yesterday")), "occurred"),
        (odd("occurred", json!(["2026"])), "occurred"),
        (odd("id", json!("17")), "id"),
        (odd("event", json!(3)), "event"),
        (odd("event", json!("e".repeat(1_025))), "event"),
        (odd("resource", json!({})), "resource"),
        (odd("resource", json!("host.a")), "resource"),
        (odd("resource", many), "resource"),
        (odd("related", Value::from(related)), "related"),
        (odd("related", json!([{"prefect.resource.id": "x"}])), "related"),
        (odd("payload", json!([1])), "payload"),
        (odd("follows", json!("before")), "follows"),
        (json!(null), "body"),
        (json!("event"), "body"),
    ];
    for (bad, field) in &cases {
        let body = json!([event("good", "host.a", 1), bad]);
        let answer = server.ask("POST", "/api/events", Some(&body));
        assert_eq!(answer.status, 422, "{field}: {}", answer.text);
        let fault = &answer.json()["exception_detail"][0];
        assert_eq!((&fault["loc"][0], &fault["loc"][1]), (&json!("body"), &json!(1)), "{fault}");
        assert!(fault["loc"].to_string().contains(field), "{field}: {fault}");
        assert!(fault["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{fault}");
    }
    // Refused whole: the good one beside them was not stored, and each refusal was counted, logged and told.
    assert_eq!(server.events(&["good"]), Vec::<Value>::new());
    assert_eq!(server.wait_for(cases.len(), &["pavlov.event.refused"]).len(), cases.len());
    assert_eq!(server.metric("events_refused_total{where=\"door\"}"), cases.len() as f64);
    // At the limits everything is taken; with `partial` the good ones of a mixed request are.
    server.tell(&[odd("event", json!("e".repeat(1_024)))]);
    let mixed: Vec<Value> =
        [event("good", "host.a", 1)].into_iter().chain(cases.map(|(bad, _)| bad)).collect();
    let answer = server.post("/api/events?partial=1", &Value::from(mixed));
    assert_eq!(
        (&answer["accepted"], answer["refused"].as_array().map(Vec::len)),
        (&json!(1), Some(14)),
        "{answer}"
    );
    assert_eq!(server.events(&["good"]).len(), 1);
}

#[test]
fn bodies_that_no_parser_likes_are_refused() {
    let server = Server::start(Options::default());
    let nested = format!(r#"[{}"deep"{}]"#, "[".repeat(100_000), "]".repeat(100_000));
    let deep = json!([event("deep", "host.a", 1)]).to_string();
    let deep =
        deep.replace(r#"{"number":1}"#, &format!(r#"{{"a":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000)));
    assert!(deep.len() > 10_000);
    let huge = json!([odd("payload", json!({"text": "x".repeat(17 << 20)}))]).to_string();
    let large = json!([odd("payload", json!({"text": "x".repeat(900_000)}))]).to_string();
    let twice = br#"[{"id": "a", "id": "b"}]"#;
    let cases: [(&str, &[u8], u16); 10] = [
        ("cut off", br#"[{"id": "#, 422),
        ("no JSON", b"hello", 422),
        ("nothing", b"", 422),
        ("no list", br#"{"id": 1}"#, 422),
        ("keys twice", twice, 422),
        ("bad UTF-8", b"[{\"event\": \"\xff\xfe\"}]", 400),
        ("nested without end", nested.as_bytes(), 422),
        ("a deep payload", deep.as_bytes(), 422),
        ("a huge body", huge.as_bytes(), 413),
        ("a large event", large.as_bytes(), 413),
    ];
    for path in ["/api/events", "/api/events?partial=1"] {
        for (about, body, status) in cases {
            let answer = post(&server, path, body);
            // With `partial` an event that is too large or too deep is refused alone, in a 200.
            let partial = path.contains("partial")
                && matches!(about, "keys twice" | "nested without end" | "a deep payload" | "a large event");
            assert_eq!(
                answer.status,
                if partial { 200 } else { status },
                "{path} {about}: {:.300}",
                answer.text
            );
            if partial {
                assert_eq!(
                    answer.json()["refused"].as_array().map(Vec::len),
                    Some(1),
                    "{about}: {:.300}",
                    answer.text
                );
            }
        }
    }
    for path in [
        "/api/automations/",
        "/api/block_documents/",
        "/api/events/filter",
        "/api/cloudevents",
        "/api/templates/validate",
    ] {
        for (about, body, _) in cases {
            let answer = post(&server, path, body);
            // A template may be any text, and a filter has no field that must be there.
            let lenient = path.contains("template")
                || path.contains("filter") && matches!(about, "nothing" | "no list");
            let fine = lenient && answer.status < 300 || (400..500).contains(&answer.status);
            assert!(fine, "{path} {about}: {} {:.300}", answer.status, answer.text);
        }
    }
    server.tell(&[event("after", "host.a", 1)]);
    assert_eq!(server.events(&["after"]).len(), 1);
    assert_eq!(server.metric("machine_panics_total"), 0.0);
}

#[test]
fn connections_that_misbehave_harm_only_themselves() {
    let server = Server::start(Options::default());
    let raw = |text: &str| {
        let mut stream = TcpStream::connect(&server.address).expect("a connection");
        stream.write_all(text.as_bytes()).expect("sent");
        stream
    };
    // Half a head, half a body, no HTTP at all; they are left open while others work.
    let open = [
        raw("POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Le"),
        raw(
            "POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n[{",
        ),
        raw("\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}"),
    ];
    let mut answer = String::new();
    let mut odd = raw("BREW /api/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    odd.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    server.tell(&[event("a", "host.a", 1)]);
    assert_eq!(server.events(&["a"]).len(), 1);
    drop(open);
    for (method, path, status) in [
        ("GET", "/api/nowhere", 404),
        ("GET", "/", 404),
        ("DELETE", "/api/events", 405),
        ("GET", "/api/automations/not-an-id", 404),
        ("GET", "/api/automations/00000000-0000-4000-8000-000000000000", 404),
        ("GET", "/api/events/filter/next", 422),
        ("GET", "/api/events/filter/next?page-token=x", 403),
        ("GET", "/api/events/in", 426),
        ("POST", "/api/events/count-by/weather", 422),
    ] {
        let answer = server.ask(method, path, Some(&json!({})));
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert!(answer.json().is_object(), "{method} {path}: {}", answer.text);
    }
    assert_eq!(server.ask("DELETE", "/api/events", None).header("allow"), Some("POST"));
}

#[test]
fn pages_and_counts_cover_everything_once() {
    let server = Server::start(Options::default());
    for group in 0..5 {
        let events: Vec<Value> = (0..60)
            .map(|n| event(["a", "b"][n as usize % 2], &format!("host.{}", n % 7), group * 60 + n))
            .collect();
        server.tell(&events);
    }
    let all = server.events(&["a", "b"]);
    let mut ids: Vec<&str> = all.iter().map(|one| one["id"].as_str().expect("an id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((all.len(), ids.len()), (300, 300));
    for (countable, expected) in [("event", 2), ("resource", 7), ("day", 1), ("time", 1)] {
        let filter =
            json!({"filter": {"event": {"name": ["a", "b"]}}, "time_unit": "day", "time_interval": 1});
        let counts = server.post(&format!("/api/events/count-by/{countable}"), &filter);
        let counts = counts.as_array().expect("a list");
        let sum: u64 = counts.iter().filter_map(|one| one["count"].as_u64()).sum();
        assert_eq!(sum, 300, "{countable}: {counts:?}");
        let labels = counts.iter().filter(|one| one["count"] != 0).count();
        assert!(labels == expected || countable == "time" || countable == "day", "{countable}: {counts:?}");
    }
}

#[test]
fn a_socket_acknowledges_what_a_crash_then_keeps_and_another_streams_it() {
    let server = Server::start(Options::default());
    server.tell(&[event("seen", "host.a", 0)]);
    let mut out = Socket::connect(&server.address, "/api/events/out");
    out.send(&json!({"type": "filter", "filter": {"event": {"name": ["seen"]}}, "backfill": true}));
    assert_eq!(out.receive()["event"]["payload"]["number"], 0);
    let mut socket = Socket::connect(&server.address, "/api/events/in");
    for number in 1..=200 {
        socket.send(&event("seen", "host.a", number));
        if number % 50 == 0 {
            socket.send_text("{\"no\": \"event\"");
        }
    }
    assert_eq!(socket.checkpoint(), Vec::<String>::new(), "nothing but the pong is sent");
    server.kill();
    for number in 1..=50 {
        assert_eq!(
            out.receive()["event"]["payload"]["number"],
            number,
            "streamed in order, before the crash"
        );
    }
    server.resume();
    let numbers: Vec<u64> =
        server.events(&["seen"]).iter().filter_map(|one| one["payload"]["number"].as_u64()).collect();
    assert_eq!(numbers, (0..=200).collect::<Vec<u64>>());
    assert_eq!(server.events(&["pavlov.event.refused"]).len(), 4);
    let mut again = Socket::connect(&server.address, "/api/events/in?replies=1");
    again.send(&event("seen", "host.a", 201));
    assert_eq!(again.receive()["type"], "accepted");
    again.send_text("[]");
    assert_eq!(again.receive()["type"], "refused");
}

#[test]
fn cloud_events_fire_automations() {
    let server = Server::start(Options::default());
    server.declare(&automation("cloud", on("org.example.made"), &[json!({"type": "do-nothing"})]));
    let cloud = |id: &str| json!({"specversion": "1.0", "id": id, "source": "/shop", "type": "org.example.made", "data": {"n": 1}});
    let send = |kind: &str, body: Value| {
        let headers = [("content-type", kind)];
        let answer =
            client::send(&server.address, "POST", "/api/events", &headers, body.to_string().as_bytes());
        answer.expect("an answer").status
    };
    assert_eq!(send("application/cloudevents+json", cloud("1")), 204);
    assert_eq!(send("application/cloudevents-batch+json", json!([cloud("2"), cloud("3")])), 204);
    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "4"),
        ("ce-source", "/shop"),
        ("ce-type", "org.example.made"),
    ];
    let answer =
        client::send(&server.address, "POST", "/api/events", &binary, b"{\"n\": 4}").expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_eq!(send("application/cloudevents+json", json!({"specversion": "1.0"})), 422);
    assert_eq!(server.wait_for(4, &["prefect.automation.triggered"]).len(), 4);
}
