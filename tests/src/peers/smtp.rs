//! A real SMTP server that takes every mail.

use super::python::python;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use super::wait::PATIENCE;

/// The server; ends when dropped.
#[derive(Debug)]
pub struct Smtp {
    child: Child,
    mails: Receiver<Value>,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

impl Smtp {
    /// Starts it, without encryption.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../notifier/tests/peers/smtp_peer.py");
        let mut child =
            python().args([script, "plain"]).stdout(Stdio::piped()).spawn().expect("the interpreter starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines.next().expect("the port, if aiosmtpd is installed").expect("text");
        let (sender, mails) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mail = serde_json::from_str(&line).expect("a mail as JSON");
                if sender.send(mail).is_err() {
                    return;
                }
            }
        });
        Self { child, mails, port: port.trim().parse().expect("a port") }
    }

    /// The next mail: `{"from": …, "to": […], "content": …}`.
    ///
    /// # Panics
    /// When none comes.
    pub fn mail(&self) -> Value {
        self.mails.recv_timeout(PATIENCE).expect("a mail in time")
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}
