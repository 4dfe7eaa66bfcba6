//! [`Receiver`]: the other end of the automation that makes requests.

use crate::client::read_message;
use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How often each firing came, with the event that it named.
pub type Received = HashMap<(String, String), u32>;

pub struct Receiver {
    pub port: u16,
    received: Arc<Mutex<Received>>,
}

impl Receiver {
    /// Listens until the test's process ends.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let received = Arc::new(Mutex::new(Received::new()));
        let shared = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { port, received }
    }

    pub fn received(&self) -> Received {
        self.received.lock().expect("no thread panics with it").clone()
    }
}

/// Answers until the sender goes or dies.
fn serve(stream: TcpStream, received: &Mutex<Received>) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some((_, body))) = read_message(&mut stream) {
        let body: Value = serde_json::from_str(&body).expect("a rendered body is JSON");
        let text = |name: &str| body[name].as_str().expect("both ids are rendered").to_owned();
        *received
            .lock()
            .expect("no thread panics with it")
            .entry((text("firing"), text("event")))
            .or_insert(0) += 1;
        if stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            break;
        }
    }
}
