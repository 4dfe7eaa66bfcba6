//! The `pavlov` program as a person uses it: a real server process, and commands against it.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server process, killed when dropped.
struct Server {
    child: Child,
    api: String,
}

impl Server {
    fn start(data: &Path, port: &str, words: &[&str]) -> Self {
        let mut child = pavlov()
            .args(["server", "start", "--port", port, "--data"])
            .arg(data)
            .args(words)
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let greeting =
            lines.by_ref().map(|line| line.expect("text")).find(|line| line.contains("listens on"));
        let greeting = greeting.expect("a greeting before the end");
        let api =
            greeting.split_whitespace().find(|word| word.starts_with("http")).expect("an address").to_owned();
        // The pipe must be read, or the server would wait for us.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, api }
    }

    fn run(&self, words: &[&str]) -> Output {
        pavlov().args(["--api", &self.api]).args(words).output().expect("runs")
    }

    /// What a command answers as JSON.
    fn json(&self, words: &[&str]) -> Value {
        let done = self.run(&[&["-o", "json"], words].concat());
        assert!(done.status.success(), "{words:?} {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).expect("JSON")
    }

    /// Exit code and error text.
    fn failing(&self, words: &[&str]) -> (i32, String) {
        let done = self.run(words);
        (done.status.code().expect("no signal"), String::from_utf8_lossy(&done.stderr).into_owned())
    }

    /// Asks it to stop; its exit code, and how long it took.
    fn stop(mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        let asked =
            Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill");
        assert!(asked.success());
        (self.child.wait().expect("ends").code(), began.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// A process that is killed when dropped, so that a failed test leaves none behind.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// The program, without the settings of whoever runs the tests.
fn pavlov() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pavlov"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("PAVLOV_") || name.starts_with("PREFECT_")
    }) {
        command.env_remove(name);
    }
    command
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Some(found) => return found,
            None => assert!(began.elapsed() < PATIENCE, "{what} does not come"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_person_declares_sends_looks_and_decides() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let server = Server::start(&data, "0", &["--examples"]);
    assert_eq!(server.json(&["status"])["ready"], true);
    assert_eq!(server.json(&["automations", "ls"]).as_array().map(Vec::len), Some(7));

    // Nobody listens where the examples send to: the automation is replaced by one that ends as a dead letter.
    let file = directory.path().join("a.yaml");
    let yaml = "name: alert on failure\ntrigger: {type: event, posture: Reactive, expect: [job.failed], \
                threshold: 1, within: 0}\n\
                actions:\n- type: http-request\n  url: http://127.0.0.1:1/\n  retries: 0\n";
    std::fs::write(&file, yaml).expect("written");
    let file = file.to_str().expect("a path");
    let (code, words) = server.failing(&["automations", "create", "-f", file]);
    assert!(code == 1 && words.contains("--replace"), "{words}");
    assert_eq!(server.json(&["automations", "create", "-f", file, "--replace"])[0]["done"], "replaced");

    let sent =
        server.json(&["events", "send", "job.failed", "--resource", "job.a", "--payload", "{\"n\": 1}"]);
    let found = server.json(&["events", "ls", "--name", "job.*"]);
    assert_eq!((&found[0]["id"], &found[0]["payload"]["n"]), (&sent["id"], &Value::from(1)));
    let firing = server.json(&["firings", "ls", "--automation", "alert on failure"])[0].clone();
    let letter = until("the letter", || server.json(&["dead-letters", "ls"]).get(0).cloned());
    for id in [&firing["id"], &firing["firing"]] {
        let shown = server.json(&["firings", "show", id.as_str().expect("an id")]);
        assert_eq!((&shown["id"], &shown["actions"][0]["id"]), (&firing["id"], &letter["id"]));
    }
    assert_eq!(server.json(&["actions", "ls", "--open"])[0]["standing"], "dead");
    let failed = server.json(&["actions", "ls", "--failed"]);
    assert_eq!(failed[0]["payload"]["invocation"], letter["id"]);
    assert_eq!(server.json(&["dead-letters", "redrive", "--all"])["redriven"], 1);
    let again = until("the letter again", || server.json(&["dead-letters", "ls"]).get(0).cloned());
    assert_eq!(again["id"], letter["id"]);
    let id = letter["id"].as_str().expect("an id");
    assert_eq!(server.json(&["dead-letters", "discard", id])["discarded"], 1);
    assert_eq!(server.failing(&["dead-letters", "discard", id]).0, 1);

    // What `show` prints is a file that `create` takes.
    let shown = server.run(&["automations", "show", "alert on failure"]).stdout;
    std::fs::write(file, shown).expect("written");
    assert_eq!(server.json(&["automations", "create", "-f", file, "--replace"])[0]["done"], "replaced");
    server.json(&["automations", "pause", "alert on failure"]);
    assert_eq!(server.json(&["automations", "show", "alert on failure"])["enabled"], false);
    server.json(&["automations", "rm", "alert on failure"]);
    assert_eq!(server.failing(&["automations", "show", "alert on failure"]).0, 1);

    let (code, words) = server.failing(&["state", "verify", "--data", data.to_str().expect("a path")]);
    assert!(code == 2 && words.contains("stop the server"), "{words}");
    let (code, words) = server.failing(&["notify", "test", "--email", "a@example.org"]);
    assert!(code == 1 && words.contains("no mail server"), "{words}");
}

#[test]
fn a_tail_outlives_the_server_and_a_stop_is_graceful() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), "0", &[]);
    let port =
        server.api.split(':').next_back().and_then(|rest| rest.split('/').next()).expect("a port").to_owned();
    let tail = [
        "--api",
        &server.api,
        "-o",
        "json",
        "events",
        "tail",
        "--name",
        "x.*",
        "--since",
        "1m",
        "--limit",
        "2",
    ];
    let tail = pavlov().args(tail).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
    let mut tail = Ended(tail);
    let mut lines = BufReader::new(tail.0.stdout.take().expect("piped")).lines();
    server.json(&["events", "send", "x.first", "--resource", "r"]);
    let event = |line: Option<std::io::Result<String>>| -> Value {
        serde_json::from_str(&line.expect("an event").expect("text")).expect("JSON")
    };
    assert_eq!(event(lines.next())["event"], "x.first");
    let (code, took) = server.stop();
    assert!(code == Some(0) && took < Duration::from_secs(10), "{code:?} {took:?}");

    let server = Server::start(directory.path(), &port, &[]);
    server.json(&["events", "send", "x.second", "--resource", "r"]);
    assert_eq!(event(lines.next())["event"], "x.second");
    assert!(tail.0.wait().expect("ends").success());
}

#[test]
fn many_events_come_from_a_pipe() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), "0", &[]);
    let words = ["--api", &server.api, "-o", "json", "events", "send", "-f", "-"];
    let mut sending =
        pavlov().args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("runs");
    let mut pipe = sending.stdin.take().expect("piped");
    for number in 0..1_234 {
        writeln!(pipe, "{{\"event\": \"x\", \"resource\": {{\"prefect.resource.id\": \"r.{number}\"}}}}")
            .expect("read");
    }
    drop(pipe);
    let done = sending.wait_with_output().expect("ends");
    assert_eq!(serde_json::from_slice::<Value>(&done.stdout).expect("JSON")["sent"], 1_234);
    let found = server.json(&["events", "ls", "--name", "x", "--limit", "2000"]);
    assert_eq!(found.as_array().map(Vec::len), Some(1_234));
}

#[test]
fn what_cannot_start_says_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), "0", &[]);
    let data = directory.path().to_str().expect("a path");
    for (words, code, needle) in [
        (&["--port", "0", "--data", data][..], 5, "in use"),
        (&["--host", "0.0.0.0"], 2, "--insecure-without-auth"),
        (&["--config", "/none.yaml"], 2, "/none.yaml"),
        (&["--nats", "nats://127.0.0.1:1"], 5, "JetStream"),
    ] {
        let (found, text) = server.failing(&[&["server", "start"], words].concat());
        assert!(found == code && text.contains(needle), "{words:?} {found} {text}");
    }
}
