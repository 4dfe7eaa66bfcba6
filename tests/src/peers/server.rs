//! Pavlov's own server as a process, which tests may stop, kill and start again.

use super::python::required;
use super::wait::until;
use crate::client::{self, Response};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// How to start one: settings as variables of the environment.
#[derive(Clone, Debug, Default)]
pub struct Options {
    variables: Vec<(String, String)>,
}

impl Options {
    /// Adds a setting by its variable's name without `PAVLOV_`, such as `ENGINE__GRACE`.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((format!("PAVLOV_{name}"), value.to_string()));
        self
    }
}

/// A server process with a data directory of its own; both go when it is dropped.
#[derive(Debug)]
pub struct Server {
    directory: TempDir,
    options: Options,
    process: Mutex<Option<Child>>,
    /// `127.0.0.1:<port>`, the same after each start.
    pub address: String,
}

impl Server {
    /// Starts one with an empty data directory, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(options: Options) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = format!("127.0.0.1:{}", free_port());
        let server = Self { directory, options, process: Mutex::default(), address };
        server.resume();
        server
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`], and waits until it is ready.
    ///
    /// # Panics
    /// When it does not come up, with its last log lines.
    pub fn resume(&self) {
        let log = || OpenOptions::new().create(true).append(true).open(self.log_path()).expect("a log file");
        let port = self.address.rsplit(':').next().expect("an address has a port");
        let mut command = Command::new(required("PAVLOV_BIN"));
        command.args(["server", "start", "--port", port, "--data"]).arg(self.data());
        let variables = self.options.variables.iter().map(|(name, value)| (name, value));
        command.envs(variables).env("PAVLOV_LOG", "debug,sled=warn").stdout(log()).stderr(log());
        *self.process() =
            Some(command.stdin(File::open("/dev/null").expect("it is there")).spawn().expect("starts"));
        until("the server", || {
            let ended = self.process().as_mut().and_then(|child| child.try_wait().expect("our child"));
            assert!(ended.is_none(), "the server ended ({ended:?}):\n{}", self.last_lines());
            client::ask(&self.address, "GET", "/api/ready", None).ok().filter(|answer| answer.status == 200)
        });
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self) {
        let mut child = self.process().take().expect("it runs");
        child.kill().expect("our child");
        child.wait().expect("our child");
    }

    /// Asks it to stop, and waits until it did.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop(&self) -> ExitStatus {
        let mut child = self.process().take().expect("it runs");
        let asked =
            Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
        assert!(asked.success());
        child.wait().expect("our child")
    }

    /// A command of the program against this server: exit code, and what it printed on both outputs.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(&self, words: &[&str]) -> (i32, String) {
        let api = format!("http://{}/api", self.address);
        let done =
            Command::new(required("PAVLOV_BIN")).args(["--api", &api]).args(words).output().expect("runs");
        let text = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (done.status.code().unwrap_or(-1), text.concat())
    }

    /// Makes a request.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        client::ask(&self.address, method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path} got no answer: {error}\n{}", self.last_lines()))
    }

    /// A GET that must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, None);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text);
        answer.json()
    }

    /// A POST that must be answered with a 2xx.
    ///
    /// # Panics
    /// When it is not.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.ask("POST", path, Some(body));
        assert!((200..300).contains(&answer.status), "POST {path} {}: {}", answer.status, answer.text);
        answer.json()
    }

    /// Tells events.
    ///
    /// # Panics
    /// When they are not taken.
    pub fn tell(&self, events: &[Value]) {
        self.post("/api/events", &Value::from(events));
    }

    /// Declares an automation and gives its id.
    ///
    /// # Panics
    /// When it is refused.
    pub fn declare(&self, automation: &Value) -> String {
        self.post("/api/automations/", automation)["id"].as_str().expect("an id").to_owned()
    }

    /// Makes a block document of a system type and gives its id.
    ///
    /// # Panics
    /// When it is refused.
    pub fn block(&self, slug: &str, name: &str, data: Value) -> String {
        let kind = self.get(&format!("/api/block_types/slug/{slug}"))["id"].clone();
        let filter = json!({"block_schemas": {"block_type_id": {"any_": [kind]}}});
        let schema = self.post("/api/block_schemas/filter", &filter)[0]["id"].clone();
        let document = json!({"name": name, "data": data, "block_schema_id": schema, "block_type_id": kind});
        self.post("/api/block_documents/", &document)["id"].as_str().expect("an id").to_owned()
    }

    /// The stored events with one of these names, the oldest first; all pages.
    ///
    /// # Panics
    /// When they cannot be read.
    pub fn events(&self, names: &[&str]) -> Vec<Value> {
        let filter = json!({"filter": {"event": {"name": names}, "order": "ASC"}, "limit": 50});
        let mut page = self.post("/api/events/filter", &filter);
        let mut events = Vec::new();
        loop {
            events.extend(page["events"].as_array().expect("a page").iter().cloned());
            let Some(next) = page["next_page"].as_str() else { return events };
            let at = next.find("/api/").expect("a path of the API");
            page = self.get(&next[at..]);
        }
    }

    /// Waits for so many stored events with one of these names.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait_for(&self, count: usize, names: &[&str]) -> Vec<Value> {
        until(&format!("{count} of {names:?}"), || Some(self.events(names)).filter(|all| all.len() >= count))
    }

    /// A value of `/metrics`, by its line's beginning without `pavlov_`.
    ///
    /// # Panics
    /// When there is none.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.ask("GET", "/metrics", None).text;
        let line =
            page.lines().find_map(|line| line.strip_prefix(&format!("pavlov_{name} ")).map(str::to_owned));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{page}"))
    }

    /// Where everything is stored.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The folder that holds data and log lines.
    pub fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// The file of the log lines, at level debug.
    pub fn log_path(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's last lines:\n{}", self.last_lines());
        }
        if let Some(mut child) = self.process().take() {
            let _gone = child.kill();
            let _ended = child.wait();
        }
    }
}

/// A port that stays free while a server is down: from below the range that the system gives to connections.
///
/// # Panics
/// When none is free.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 100) as u16 * 100;
    (0..100)
        .map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed) % 100)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of a hundred ports is free")
}
