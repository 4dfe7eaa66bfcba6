//! The server with its log on NATS, and a NATS server that dies.

use pavlov_tests::peers::http::Receiver;
use pavlov_tests::peers::nats::{Nats, Outside};
use pavlov_tests::peers::server::{Options, Server};
use pavlov_tests::shapes::{automation, event, on, post};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

fn start(nats: &Nats) -> Server {
    Server::start(Options::default().set("LOG__NATS_URL", nats.url()))
}

#[test]
fn outside_programs_tell_events_and_hear_every_change_once_and_in_order() {
    let (nats, receiver) = (Nats::start(), Receiver::start(&[]));
    let mut outside = Outside::connect(&nats, "pavlov.events.>");
    let server = start(&nats);
    server.declare(&automation(
        "door",
        on("door.opened"),
        &[post(&receiver.url, json!({"at": "{{ event.resource.id }}"}))],
    ));
    let tell = json!({"type": "publish-nats", "subject": "ops.{{ event.resource.id }}", "payload": {"n": "{{ event.payload.number }}"}});
    server.declare(&automation("publish", on("bell.rung"), &[tell]));
    let mut heard = Outside::connect(&nats, "ops.>");
    outside.publish("pavlov.in.doors", &event("door.opened", "door.1", 1).to_string());
    // Neither harms what comes after it.
    outside.publish("pavlov.in.doors", "{\"event\": ");
    outside.publish("pavlov.in.doors", "{\"event\": 3}");
    outside.publish("pavlov.in.doors", &event("bell.rung", "bell-1", 4).to_string());
    assert_eq!(receiver.wait_for(1)[0].json(), json!({"at": "door.1"}));
    assert_eq!(heard.receive(), ("ops.bell-1".to_owned(), "{\"n\":4}".to_owned()));
    let refused = server.wait_for(2, &["pavlov.event.refused"]);
    assert!(refused[0]["payload"].to_string().contains("pavlov.in.doors"), "{}", refused[0]);
    assert_eq!(server.metric("events_refused_total{where=\"machine\"}"), 2.0);
    server.wait_for(2, &["prefect.automation.action.executed"]);

    let stored = server.post("/api/events/filter", &json!({"filter": {"order": "ASC"}, "limit": 50}));
    let stored: BTreeSet<String> =
        stored["events"].as_array().expect("a page").iter().map(|one| one["id"].to_string()).collect();
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    while seen.len() < stored.len() {
        let (subject, text) = outside.receive();
        let told: Value = serde_json::from_str(&text).expect("JSON");
        assert!(seen.insert(told["id"].to_string()), "told twice: {text}");
        assert_eq!(subject, format!("pavlov.events.{}", told["event"].as_str().expect("a name")));
        names.push(told["event"].as_str().expect("a name").to_owned());
    }
    assert_eq!(seen, stored);
    let place =
        |name: &str| names.iter().position(|other| other == name).unwrap_or_else(|| panic!("{names:?}"));
    assert!(place("door.opened") < place("prefect.automation.triggered"), "{names:?}");
    assert!(place("prefect.automation.triggered") < place("prefect.automation.action.executed"), "{names:?}");
}

#[test]
fn nothing_acknowledged_is_lost_when_nats_and_the_server_die() {
    let nats = Nats::start();
    let server = start(&nats);
    let mut trigger = on("a");
    trigger["threshold"] = json!(2);
    trigger["for_each"] = json!(["prefect.resource.id"]);
    server.declare(&automation("pairs", trigger, &[json!({"type": "do-nothing"})]));
    let over = AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        let writer = |worker: u64| {
            let (server, over) = (&server, &over);
            move || {
                let mut told = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let number = told.len() as u64;
                    let body = json!([event("a", &format!("host.{worker}"), number)]);
                    // Told again until it is acknowledged, as a careful sender does.
                    let taken =
                        pavlov_tests::client::ask(&server.address, "POST", "/api/events", Some(&body));
                    if taken.is_ok_and(|answer| answer.status == 204) {
                        told.push(body[0]["id"].clone());
                    }
                }
                told
            }
        };
        let writers: Vec<_> = (0..3).map(|worker| scope.spawn(writer(worker))).collect();
        let applied = || server.metric("events_total");
        let progress = || {
            let before = applied();
            pavlov_tests::peers::wait::until("progress", || (applied() > before + 20.0).then_some(()));
        };
        progress();
        nats.kill();
        assert_eq!(server.ask("GET", "/api/health", None).status, 200);
        nats.resume();
        progress();
        server.kill();
        server.resume();
        progress();
        nats.kill();
        nats.resume();
        progress();
        over.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("no panic")).collect::<Vec<_>>()
    });
    let stored: BTreeSet<String> = server.events(&["a"]).iter().map(|one| one["id"].to_string()).collect();
    let lost: Vec<&Value> = told.iter().flatten().filter(|id| !stored.contains(&id.to_string())).collect();
    assert!(lost.is_empty(), "{} of {} were lost: {lost:?}", lost.len(), told.iter().flatten().count());
    // Whatever was stored, every second event of a host has fired, once.
    let pairs: usize = (0..3u64)
        .map(|worker| {
            let host = format!("host.{worker}");
            server.events(&["a"]).iter().filter(|one| one["resource"]["prefect.resource.id"] == *host).count()
                / 2
        })
        .sum();
    assert_eq!(server.events(&["prefect.automation.triggered"]).len(), pairs);
    assert!(server.metric("log_outages_total") >= 1.0);
}
