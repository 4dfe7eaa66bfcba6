//! A real nats-server with JetStream, which tests may kill and start again, and an outside program that uses it.

use super::python::required;
use super::server::free_port;
use super::wait::{PATIENCE, until};
use async_nats::jetstream;
use futures_util::StreamExt;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The server; it and its store go when it is dropped.
#[derive(Debug)]
pub struct Nats {
    store: TempDir,
    process: Mutex<Option<Child>>,
    port: u16,
}

impl Nats {
    /// Starts one with an empty store.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start() -> Self {
        let store = tempfile::tempdir().expect("a directory");
        let nats = Self { store, process: Mutex::default(), port: free_port() };
        nats.resume();
        nats
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it again after [`Self::kill`].
    ///
    /// # Panics
    /// When it does not come up.
    pub fn resume(&self) {
        let mut command = Command::new(required("PAVLOV_NATS_SERVER"));
        command.args(["-js", "-a", "127.0.0.1", "-p", &self.port.to_string(), "-sd"]).arg(self.store.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(child.expect("nats-server starts"));
        until("nats-server", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self) {
        let mut child = self.process.lock().unwrap_or_else(PoisonError::into_inner).take().expect("it runs");
        child.kill().expect("our child");
        child.wait().expect("our child");
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _gone = child.kill();
            let _ended = child.wait();
        }
    }
}

/// An outside program: it publishes, and subscribes to what Pavlov tells.
#[derive(Debug)]
pub struct Outside {
    runtime: Runtime,
    client: async_nats::Client,
    told: async_nats::Subscriber,
}

impl Outside {
    /// Connects, and subscribes to a subject.
    ///
    /// # Panics
    /// When there is no server.
    pub fn connect(nats: &Nats, subject: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (client, told) = runtime.block_on(async {
            let client = async_nats::connect(nats.url()).await.expect("a connection");
            let told = client.subscribe(subject.to_owned()).await.expect("a subscription");
            client.flush().await.expect("the server knows the subscription");
            (client, told)
        });
        Self { runtime, client, told }
    }

    /// Publishes, and waits until the stream that listens there has stored it.
    ///
    /// # Panics
    /// When no stream does.
    pub fn publish(&self, subject: &str, payload: &str) {
        self.runtime.block_on(async {
            let streams = jetstream::new(self.client.clone());
            let sent = streams.publish(subject.to_owned(), payload.to_owned().into()).await.expect("sent");
            sent.await.expect("stored by a stream");
        });
    }

    /// The next message: subject and text.
    ///
    /// # Panics
    /// When none comes.
    pub fn receive(&mut self) -> (String, String) {
        let message = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, self.told.next()).await })
            .expect("a message in time")
            .expect("the subscription lives");
        (message.subject.to_string(), String::from_utf8_lossy(&message.payload).into_owned())
    }
}
