//! A server of one test: it answers each request with the next of the given answers and keeps what was asked.

use super::client::Client;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, Once};

/// What one request was: method, path, body.
pub type Asked = (String, String, Value);

/// The server. It stops listening when its answers are used up.
pub struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// A server with these answers, each a status and a body.
    pub fn new(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        install_tls();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answers) = (Arc::clone(&asked), Vec::from_iter(answers));
        std::thread::spawn(move || {
            for (status, body) in answers {
                let Ok((stream, _)) = listener.accept() else { return };
                let mut reader = BufReader::new(stream);
                kept.lock().expect("no panic").push(read(&mut reader));
                let body = if body.is_null() { String::new() } else { body.to_string() };
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\nretry-after: 0\r\n\
                     content-length: {}\r\n\r\n",
                    body.len()
                );
                reader.get_mut().write_all(format!("{head}{body}").as_bytes()).expect("the client waits");
            }
        });
        Self { port, asked }
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(&format!("http://127.0.0.1:{}/api", self.port)).expect("an address")
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

/// The provider that `main` installs.
pub fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("installed once");
    });
}

fn read(reader: &mut impl BufRead) -> Asked {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a request");
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().expect("a method"), words.next().expect("a path"));
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).expect("a header");
        match header.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().expect("a number");
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    (method, path, serde_json::from_slice(&body).unwrap_or(Value::Null))
}
