//! An HTTP receiver that keeps what it gets and answers as it is told, badly too.

use super::wait::PATIENCE;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A status without a body.
    Status(u16),
    /// 429 with `Retry-After` in seconds.
    TooMany(u64),
    /// Nothing, with the line left open.
    Hang,
    /// The line is cut in the middle of the head.
    Cut,
    /// 200, and a body that never ends.
    Endless,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Such as `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// When it was read to its end.
    pub at: Instant,
}

impl Received {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<(Vec<Received>, VecDeque<Answer>)>,
    more: Condvar,
    over: AtomicBool,
}

/// The receiver; ends when dropped.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
    /// `http://127.0.0.1:<port>`.
    pub url: String,
}

impl Receiver {
    /// Starts one that answers 204 once the given answers are used up.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let shared = Arc::new(Shared::default());
        shared.lock().1.extend(answers);
        let for_all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if for_all.over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&for_all);
                std::thread::spawn(move || serve(&shared, stream));
            }
        });
        Self { shared, url }
    }

    /// What came so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.lock().0.clone()
    }

    /// Waits until so many requests came.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait_for(&self, count: usize) -> Vec<Received> {
        let lacking = |state: &mut (Vec<Received>, _)| state.0.len() < count;
        let (state, waited) = self
            .shared
            .more
            .wait_timeout_while(self.shared.lock(), PATIENCE, lacking)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "{} of {count} requests came: {:#?}", state.0.len(), state.0);
        state.0.clone()
    }

    /// Waits a moment, then gives what came: for what must not come.
    pub fn quiet_for(&self, span: Duration) -> Vec<Received> {
        super::wait::pause(span);
        self.received()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is over.
        let _woken = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (Vec<Received>, VecDeque<Answer>)> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(shared: &Shared, mut stream: TcpStream) {
    let Ok(copy) = stream.try_clone() else { return };
    let mut reader = BufReader::new(copy);
    while let Some(request) = read_request(&mut reader) {
        let mut state = shared.lock();
        state.0.push(request);
        let answer = state.1.pop_front().unwrap_or(Answer::Status(204));
        drop(state);
        shared.more.notify_all();
        if reply(&mut stream, answer).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut first = lines.first()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let pairs = lines[1..].iter().filter_map(|line| line.split_once(':'));
    let headers: Vec<(String, String)> =
        pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).expect("we send text");
    Some(Received { method, path, headers, body, at: Instant::now() })
}

/// An error ends the connection.
fn reply(stream: &mut TcpStream, answer: Answer) -> std::io::Result<()> {
    let over = || Err(std::io::ErrorKind::ConnectionAborted.into());
    match answer {
        Answer::Status(status) => write!(stream, "HTTP/1.1 {status} Told\r\nContent-Length: 0\r\n\r\n"),
        Answer::TooMany(seconds) => {
            write!(stream, "HTTP/1.1 429 Told\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n")
        }
        Answer::Hang => {
            // Until the other side has enough of it.
            let _nothing_more = stream.read(&mut [0])?;
            over()
        }
        Answer::Cut => {
            stream.write_all(b"HTTP/1.1 20")?;
            over()
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            loop {
                stream.write_all(b"400\r\n")?;
                stream.write_all(&[b'x'; 1024])?;
                stream.write_all(b"\r\n")?;
            }
        }
    }
}
