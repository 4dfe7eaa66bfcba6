//! The example automations, which are part of the program.

use super::declarations;
use super::error::CliError;
use super::units;
use pavlov_actions::Automation;
use pavlov_engine::{Command, Handle};
use pavlov_events::{Faults, Reader};
use std::net::SocketAddr;

/// File name and text of each example.
pub const EXAMPLES: [(&str, &str); 6] = [
    ("on_failure.yaml", include_str!("../../../examples/automations/on_failure.yaml")),
    ("no_success_for_24h.yaml", include_str!("../../../examples/automations/no_success_for_24h.yaml")),
    (
        "five_failures_per_service.yaml",
        include_str!("../../../examples/automations/five_failures_per_service.yaml"),
    ),
    ("deploy_then_errors.yaml", include_str!("../../../examples/automations/deploy_then_errors.yaml")),
    ("templated_webhook.yaml", include_str!("../../../examples/automations/templated_webhook.yaml")),
    ("run_command_and_send.yaml", include_str!("../../../examples/automations/run_command_and_send.yaml")),
];

/// Loads the examples if there is no automation at all; `false` when there are some.
///
/// # Errors
/// [`CliError::Server`] when the engine does not take them.
pub async fn load(handle: &Handle) -> Result<bool, CliError> {
    if handle.read(|state| !state.automations.is_empty()) {
        return Ok(false);
    }
    for (file, text) in EXAMPLES {
        load_text(handle, file, text).await?;
    }
    Ok(true)
}

async fn load_text(handle: &Handle, file: &str, text: &str) -> Result<(), CliError> {
    let cannot = |why: String| CliError::Server(format!("cannot load the example {file}: {why}"));
    for declaration in declarations::parse(text).map_err(|finding| cannot(finding.line_of_text(file)))? {
        let mut faults = Faults::new();
        let mut reader = Reader::new(&declaration.value, "body", &mut faults);
        let Some(automation) = Automation::read_create(&mut reader, &mut units::new_id) else {
            return Err(cannot(faults.first().map_or_else(String::new, ToString::to_string)));
        };
        let command = Command::CreateAutomation { automation: automation.to_stored() };
        match handle.command(command).await {
            Ok(Ok(_)) => {}
            Ok(Err(refusal)) => return Err(cannot(refusal.detail)),
            Err(error) => return Err(cannot(error.to_string())),
        }
    }
    Ok(())
}

/// What to try next, as lines to copy.
pub fn what_to_try(loaded: bool, address: SocketAddr) -> String {
    let head = if loaded {
        "\nThe example automations are loaded (examples/automations/*.yaml). In another terminal, try:"
    } else {
        "\nThere are automations already, so the examples were not loaded. In another terminal, try:"
    };
    // The default address need not be named.
    let api = match address.to_string().as_str() {
        "127.0.0.1:4200" => String::new(),
        other => format!("\n  export PAVLOV_API_URL=http://{other}/api"),
    };
    format!(
        "{head}{api}
  python3 examples/receiver.py &      # shows what the examples send
  pavlov events send job.failed --resource job.nightly-import --payload '{{\"error\": \"disk full\"}}'
  pavlov firings ls
  pavlov actions ls
  pavlov automations ls
  pavlov events tail --since 5m       # everything that happens; end with Ctrl-C
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::server_start::engine_options;
    use crate::settings::Settings;
    use pavlov_engine::Engine;
    use pavlov_events::event::Defaults;
    use pavlov_events::{Event, EventFilter};
    use serde_json::{Value, json};
    use std::io::{BufRead, BufReader, Read, Write};
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    fn folder(path: &str) -> Vec<PathBuf> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
        files.sort();
        files
    }

    fn text_of(file: &str) -> &'static str {
        EXAMPLES.iter().find(|(name, _)| *name == file).unwrap_or_else(|| panic!("{file} is no example")).1
    }

    #[test]
    fn every_file_is_part_of_the_program() {
        let names: Vec<String> = folder("examples/automations")
            .iter()
            .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
            .collect();
        let mut known = EXAMPLES.map(|(name, _)| name);
        known.sort_unstable();
        assert_eq!(names, known);
    }

    /// The cases run with the triggers' own; here only that they are about what the examples say.
    #[test]
    fn every_automation_has_a_case_with_its_trigger() {
        let mut missing: Vec<(&str, usize)> = EXAMPLES
            .iter()
            .flat_map(|(name, text)| {
                (0..declarations::parse(text).expect("sound").len()).map(move |at| (*name, at))
            })
            .collect();
        for path in folder("tests/cases/examples") {
            let case: Value =
                serde_json::from_str(&std::fs::read_to_string(&path).expect("readable")).expect("JSON");
            let file = case["example"]["file"].as_str().expect("a file");
            let document = case["example"]["document"].as_u64().expect("a number") as usize;
            let declared = declarations::parse(text_of(file)).expect("sound");
            assert_eq!(case["trigger"], declared[document].value["trigger"], "{}", path.display());
            missing.retain(|one| *one != (file, document));
        }
        assert!(missing.is_empty(), "no case for {missing:?}");
    }

    /// Takes requests and keeps path and body of each.
    fn receiver() -> (u16, std::sync::mpsc::Receiver<(String, Value)>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.expect("a request"));
                let mut head = Vec::new();
                while head.last().is_none_or(|line: &String| !line.trim().is_empty()) {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 {
                        break;
                    }
                    head.push(line);
                }
                let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { continue };
                let length = head.iter().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
                });
                let mut body = vec![0; length.unwrap_or(0)];
                reader.read_exact(&mut body).expect("a body");
                let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                reader.get_mut().write_all(answer).expect("the client waits");
                if tell.send((path.to_owned(), serde_json::from_slice(&body).expect("JSON"))).is_err() {
                    return;
                }
            }
        });
        (port, told)
    }

    async fn tell(handle: &Handle, events: &[Value]) {
        let read = |value: &Value| {
            let defaults = Defaults { id: units::new_id(), occurred: units::now() };
            Event::parse(&value.to_string(), Some(defaults)).expect("an event")
        };
        for event in events {
            handle.submit_events(vec![read(event)]).await.expect("taken");
        }
    }

    async fn one(told: &std::sync::mpsc::Receiver<(String, Value)>) -> (String, Value) {
        let started = Instant::now();
        loop {
            match told.try_recv() {
                Ok(request) => return request,
                Err(_) if started.elapsed() > Duration::from_secs(20) => panic!("nothing was sent"),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    fn event(name: &str, resource: &str, payload: Value) -> Value {
        json!({"event": name, "resource": {"prefect.resource.id": resource, "site": "north"}, "payload": payload})
    }

    /// Each example but the absence does its deed on a real engine, against a real receiver.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_examples_do_what_they_say() {
        crate::cli::testing::install_tls();
        let directory = tempfile::tempdir().expect("a directory");
        let settings = Settings {
            data: directory.path().to_owned(),
            programs: vec!["/bin/df".into()],
            ..Settings::default()
        };
        let engine = Engine::start(engine_options(&settings).await.expect("sound")).await.expect("starts");
        let (handle, (port, told)) = (engine.handle(), receiver());
        for (file, text) in EXAMPLES {
            load_text(&handle, file, &text.replace(":9099", &format!(":{port}"))).await.expect("loaded");
        }
        assert!(!load(&handle).await.expect("not asked"), "examples are loaded into an empty server only");

        tell(&handle, &[event("job.failed", "job.a", json!({"error": "disk full"}))]).await;
        let (path, body) = one(&told).await;
        let text = body["text"].as_str().expect("a text");
        assert!(
            path == "/alerts" && text.starts_with("job.a failed at 20") && text.ends_with(": disk full"),
            "{text}"
        );

        tell(&handle, &[event("job.failed", "job.a", json!({}))]).await;
        assert!(one(&told).await.1["text"].as_str().expect("a text").ends_with(": no reason given"));

        tell(&handle, &vec![event("request.failed", "service.a", json!({})); 6]).await;
        assert_eq!(one(&told).await.1["text"], "service.a failed 5 times within 10 minutes");

        tell(&handle, &[event("disk.nearly-full", "host.a b", json!({"free_percent": 4.5}))]).await;
        let (path, body) = one(&told).await;
        assert_eq!(path, "/tickets?host=host.a%20b");
        let labels = json!({"prefect.resource.id": "host.a b", "site": "north"});
        let expected = json!({
            "host": "host.a b", "site": "north", "free_percent": 4.5, "labels": labels,
            "summary": "host.a b has 4.5 % left",
        });
        assert_eq!(body, expected);

        tell(&handle, &[event("disk.check-asked", "host.a", json!({}))]).await;
        let (path, body) = one(&told).await;
        assert_eq!((path.as_str(), &body["ok"], &body["exit_code"]), ("/results", &json!(true), &json!(0)));
        assert!(body["output"].as_str().expect("a text").starts_with("Filesystem"), "{body}");

        let deploy = event("deploy.finished", "service.shop", json!({"version": "2.4.1"}));
        tell(&handle, &[deploy, event("error-rate.high", "service.shop", json!({}))]).await;
        let mut filter = EventFilter::everything(units::now().plus_seconds(600));
        filter.event.name = vec!["suspicion.raised".into()];
        let started = Instant::now();
        let found = loop {
            let page = handle.history().query(&filter, 10).expect("readable");
            match page.events.first() {
                Some(found) => break serde_json::from_slice::<Value>(found).expect("JSON"),
                None => assert!(started.elapsed() < Duration::from_secs(20), "no event was told"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(
            (&found["payload"]["version"], &found["resource"]["prefect.resource.id"]),
            (&json!("2.4.1"), &json!("service.shop"))
        );
        assert!(told.try_recv().is_err(), "nothing more was sent");
        assert!(
            handle.read(|state| state.ledger.values().all(|entry| !entry.is_letter())),
            "no action failed"
        );
        engine.stop().await;
    }
}
