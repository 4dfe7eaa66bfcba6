//! [`Socket`]: a WebSocket connection after its handshake.

use super::frame::{self, Decoder, Message, Opcode, Violation};
use bytes::BytesMut;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Larger messages are passed over: more than twice the largest event, for whitespace and escapes.
pub const MESSAGE_BYTES_MAX: usize = 2 << 20;
/// Bytes that are read at once: some hundred events, so that reading and committing take turns.
const READ_BYTES: usize = 64 << 10;
/// A client that takes nothing for so long is given up. A subscriber may well work on one event for minutes.
const WRITE_TIME_MAX: Duration = Duration::from_secs(300);
/// At its end, a client has less time.
const GOODBYE_TIME_MAX: Duration = Duration::from_secs(10);

/// What carries a socket.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A WebSocket connection. Frames to be sent are gathered until [`Self::flush`].
pub struct Socket {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    buffer: BytesMut,
    out: Vec<u8>,
}

/// What comes in.
#[derive(Debug)]
pub enum Incoming {
    /// A message.
    Message(Message),
    /// The protocol was broken; nothing more can be read.
    Violation(Violation),
    /// The connection ended without a goodbye.
    Gone,
}

impl Socket {
    /// A socket over a connection whose handshake is done.
    pub fn new(stream: Box<dyn Stream>) -> Self {
        let decoder = Decoder::new(MESSAGE_BYTES_MAX);
        Self { stream, decoder, buffer: BytesMut::new(), out: Vec::new() }
    }

    /// A message that was read already, if there is a whole one.
    pub fn buffered(&mut self) -> Option<Incoming> {
        match self.decoder.next(&mut self.buffer) {
            Ok(message) => message.map(Incoming::Message),
            Err(violation) => Some(Incoming::Violation(violation)),
        }
    }

    /// Reads some more bytes; `false` at the end of the connection. Nothing is lost when it is dropped.
    pub async fn fill(&mut self) -> bool {
        self.buffer.reserve(READ_BYTES);
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(bytes) if bytes > 0)
    }

    /// The next message. Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Incoming {
        loop {
            if let Some(incoming) = self.buffered() {
                return incoming;
            }
            if !self.fill().await {
                return Incoming::Gone;
            }
        }
    }

    /// Gathers a text frame.
    pub fn text(&mut self, payload: &[u8]) {
        frame::encode(Opcode::Text, payload, &mut self.out);
    }

    /// Gathers a pong.
    pub fn pong(&mut self, payload: &[u8]) {
        frame::encode(Opcode::Pong, payload, &mut self.out);
    }

    /// Gathers a ping.
    pub fn ping(&mut self) {
        frame::encode(Opcode::Ping, b"", &mut self.out);
    }

    /// Bytes that are gathered.
    pub fn gathered(&self) -> usize {
        self.out.len()
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    /// When the connection is gone, or the client took nothing for five minutes.
    pub async fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.out.len() {
            let written = tokio::time::timeout(WRITE_TIME_MAX, self.stream.write(&self.out[sent..])).await;
            sent += match written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero)),
                bytes => bytes,
            };
        }
        self.out.clear();
        self.stream.flush().await
    }

    /// Says goodbye and ends the connection. What was gathered is sent before.
    pub async fn close(&mut self, code: u16, reason: &str) {
        // Codes that may not be sent are answered as a normal end.
        let code = if matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) { code } else { 1000 };
        frame::encode(Opcode::Close, &frame::close_payload(code, reason), &mut self.out);
        let said = async {
            self.flush().await?;
            self.stream.shutdown().await
        };
        let said = tokio::time::timeout(GOODBYE_TIME_MAX, said).await;
        tracing::trace!(heard = matches!(said, Ok(Ok(()))), "a socket was closed");
    }
}
