//! [`Server`]: the real binary on a data directory.

use crate::client::Client;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Small files and many snapshots, so that segments end, begin and go during a test; and a grace that a test can
/// wait for.
const SETTINGS: [(&str, &str); 4] = [
    ("PAVLOV_LOG__SEGMENT_BYTES", "1MiB"),
    ("PAVLOV_HISTORY__SEGMENT_BYTES", "1MiB"),
    ("PAVLOV_STATE__SNAPSHOT_RECORDS", "300"),
    ("PAVLOV_ENGINE__GRACE", "2s"),
];
pub const HISTORY_SEGMENT_BYTES: u64 = 1 << 20;
pub const GRACE_MICROS: i64 = 2_000_000;
const LOG: &str = "server.log";
/// Of the time at the start of each log line.
const TIME_CHARS: usize = 28;
const START_MAX: Duration = Duration::from_secs(60);

pub struct Server {
    pub port: u16,
    child: Child,
}

impl Server {
    /// Starts it on `<home>/data` and waits until it is ready.
    pub fn start(home: &Path, more: &[(&str, &Path)]) -> Self {
        let mut server = Self::spawn(home, more);
        let (log, began) = (home.join(LOG), Instant::now());
        while !server.is_ready() {
            let ended = server.child.try_wait().expect("its own child");
            assert!(
                ended.is_none() && began.elapsed() < START_MAX,
                "the server does not get ready ({ended:?}); the end of {}:\n{}",
                log.display(),
                end_of(&log)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Starts it and does not wait; its log lines go to `<home>/server.log`.
    pub fn spawn(home: &Path, more: &[(&str, &Path)]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let lines = OpenOptions::new().create(true).append(true).open(home.join(LOG)).expect("a log file");
        let copy = |file: &File| file.try_clone().expect("a second handle");
        let child = Command::new(binary())
            .args(["server", "start", "--port", &port.to_string(), "--data"])
            .arg(home.join("data"))
            .envs(SETTINGS)
            .envs(more.iter().copied())
            .stdout(copy(&lines))
            .stderr(lines)
            .spawn()
            .expect("the server starts");
        Self { port, child }
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("its own child");
        self.child.wait().expect("its own child");
    }

    pub fn client(&self) -> Client {
        Client::connect(self.port).expect("it listens")
    }

    pub fn status(&self) -> Value {
        self.client().json("GET", "/api/pavlov/status", &Value::Null)
    }

    fn is_ready(&self) -> bool {
        Client::connect(self.port)
            .and_then(|mut client| client.request("GET", "/api/ready", ""))
            .is_ok_and(|(status, _)| status == 200)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `kill`; a failed test must not leave it behind.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// The warnings and errors of all starts, without their times.
pub fn complaints(home: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(home.join(LOG)).unwrap_or_default();
    let is_one = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
    text.lines().filter(is_one).map(|line| line.chars().skip(TIME_CHARS).collect()).collect()
}

fn binary() -> PathBuf {
    let path = std::env::var_os("PAVLOV_BIN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/pavlov"), PathBuf::from);
    assert!(path.exists(), "{} is missing: build it, or name it in PAVLOV_BIN", path.display());
    path
}

fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
