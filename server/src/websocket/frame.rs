//! Frames of RFC 6455, the server's side: masked frames in, plain frames out.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes that are kept of a message over the limit, to show what it was.
const HEAD_BYTES_MAX: usize = 1024;
/// Payload of a control frame.
const CONTROL_BYTES_MAX: usize = 125;

/// A whole message, its fragments put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text; its UTF-8 is not checked yet, so that a bad one harms only itself.
    Text(Bytes),
    /// Bytes.
    Binary(Bytes),
    /// A message over the limit, passed over; its length and its beginning.
    TooLarge {
        /// Bytes of the whole message.
        bytes: u64,
        /// The first of them.
        head: Bytes,
    },
    /// A question whether everything before has arrived, with what the answer must repeat.
    Ping(Bytes),
    /// An answer to a ping.
    Pong,
    /// The end, with the sender's code.
    Close(Option<u16>),
}

/// A frame that breaks the protocol: the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Violation {
    /// Which rule.
    pub reason: &'static str,
}

/// Opcodes of frames that the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A whole text message.
    Text = 1,
    /// The end.
    Close = 8,
    /// A question.
    Ping = 9,
    /// An answer.
    Pong = 10,
}

/// Takes messages out of a stream of bytes.
#[derive(Debug)]
pub struct Decoder {
    message_bytes_max: usize,
    /// The message whose fragments are still coming.
    open: Option<Open>,
    /// Payload of the current frame that is still to be passed over.
    skip: u64,
}

#[derive(Debug)]
struct Open {
    text: bool,
    /// What has come so far; only the beginning of it once it is too large.
    parts: BytesMut,
    bytes: u64,
    too_large: bool,
    /// Whether the current frame is the last one.
    last: bool,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    last: bool,
    opcode: u8,
    mask: [u8; 4],
    head_bytes: usize,
    payload_bytes: u64,
}

impl Decoder {
    /// A decoder that passes over messages larger than this.
    pub fn new(message_bytes_max: usize) -> Self {
        Self { message_bytes_max, open: None, skip: 0 }
    }

    /// The next message of `buffer`; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`Violation`]: what follows in the buffer has no meaning any more.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Message>, Violation> {
        loop {
            if self.skip > 0 {
                let here = self.skip.min(buffer.len() as u64);
                buffer.advance(here as usize);
                self.skip -= here;
                if self.skip > 0 {
                    return Ok(None);
                }
                if let Some(message) = self.finished() {
                    return Ok(Some(message));
                }
            }
            let Some(head) = Head::read(buffer)? else { return Ok(None) };
            if head.opcode >= 8 {
                if (buffer.len() - head.head_bytes) < head.payload_bytes as usize {
                    return Ok(None);
                }
                return control(head.opcode, head.take(buffer)).map(Some);
            }
            match self.data(head, buffer)? {
                Step::Whole(message) => return Ok(Some(message)),
                Step::Wait => return Ok(None),
                Step::Part => {}
            }
        }
    }

    fn data(&mut self, head: Head, buffer: &mut BytesMut) -> Result<Step, Violation> {
        let begins = match (head.opcode, &self.open) {
            (0, Some(_)) => false,
            (1 | 2, None) => true,
            (0, None) => return Err(Violation { reason: "a continuation without a beginning" }),
            (1 | 2, Some(_)) => return Err(Violation { reason: "a new message inside of another" }),
            _ => return Err(Violation { reason: "an unknown opcode" }),
        };
        let before = self.open.as_ref().map_or(0, |open| open.bytes);
        let too_large = before.saturating_add(head.payload_bytes) > self.message_bytes_max as u64;
        let here = (buffer.len() - head.head_bytes) as u64;
        // Of a frame to be passed over, only its beginning is waited for.
        let wanted =
            if too_large { head.payload_bytes.min(HEAD_BYTES_MAX as u64) } else { head.payload_bytes };
        if here < wanted {
            buffer.reserve(head.head_bytes + wanted as usize - buffer.len());
            return Ok(Step::Wait);
        }
        if begins && head.last && !too_large {
            let payload = head.take(buffer);
            return Ok(Step::Whole(if head.opcode == 1 {
                Message::Text(payload)
            } else {
                Message::Binary(payload)
            }));
        }
        let open = self.open.get_or_insert_with(|| Open {
            text: head.opcode == 1,
            parts: BytesMut::new(),
            bytes: 0,
            too_large: false,
            last: false,
        });
        open.bytes = open.bytes.saturating_add(head.payload_bytes);
        open.last = head.last;
        if too_large {
            open.too_large = true;
            let start = Head { payload_bytes: wanted, ..head }.take(buffer);
            open.parts.extend_from_slice(&start);
            open.parts.truncate(HEAD_BYTES_MAX);
            self.skip = head.payload_bytes - wanted;
            if self.skip > 0 {
                return Ok(Step::Part);
            }
        } else {
            open.parts.extend_from_slice(&head.take(buffer));
        }
        Ok(self.finished().map_or(Step::Part, Step::Whole))
    }

    /// The open message, if its last frame is over.
    fn finished(&mut self) -> Option<Message> {
        let open = self.open.take_if(|open| open.last)?;
        let parts = open.parts.freeze();
        Some(match (open.too_large, open.text) {
            (true, _) => Message::TooLarge { bytes: open.bytes, head: parts },
            (false, true) => Message::Text(parts),
            (false, false) => Message::Binary(parts),
        })
    }
}

enum Step {
    Whole(Message),
    Part,
    Wait,
}

impl Head {
    fn read(buffer: &[u8]) -> Result<Option<Self>, Violation> {
        let &[first, second, ..] = buffer else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Violation { reason: "reserved bits are set" });
        }
        if second & 0x80 == 0 {
            return Err(Violation { reason: "a frame of the client is not masked" });
        }
        let (last, opcode, short) = (first & 0x80 != 0, first & 0x0f, second & 0x7f);
        let length_bytes = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(rest) = buffer.get(2..2 + length_bytes + 4) else { return Ok(None) };
        let (length, mask) = rest.split_at(length_bytes);
        let payload_bytes = match length_bytes {
            0 => u64::from(short),
            _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        if payload_bytes > i64::MAX as u64 {
            return Err(Violation { reason: "a frame's length has its highest bit set" });
        }
        if opcode >= 8 && (!last || payload_bytes > CONTROL_BYTES_MAX as u64) {
            return Err(Violation { reason: "a control frame is too long or in fragments" });
        }
        if matches!(opcode, 3..=7 | 11..) {
            return Err(Violation { reason: "an unknown opcode" });
        }
        let mask = [mask[0], mask[1], mask[2], mask[3]];
        Ok(Some(Self { last, opcode, mask, head_bytes: 2 + length_bytes + 4, payload_bytes }))
    }

    /// The payload without its mask; it must be in the buffer.
    fn take(self, buffer: &mut BytesMut) -> Bytes {
        buffer.advance(self.head_bytes);
        let mut payload = buffer.split_to(self.payload_bytes as usize);
        unmask(&mut payload, self.mask);
        payload.freeze()
    }
}

/// Appends a frame of the server.
pub fn encode(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode as u8);
    match payload.len() {
        length @ 0..126 => out.push(length as u8),
        length @ 126..65_536 => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// The payload of a close frame; the reason is cut to what fits.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(CONTROL_BYTES_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    payload
}

fn control(opcode: u8, payload: Bytes) -> Result<Message, Violation> {
    match opcode {
        9 => Ok(Message::Ping(payload)),
        10 => Ok(Message::Pong),
        _ => match payload.len() {
            0 => Ok(Message::Close(None)),
            1 => Err(Violation { reason: "a close frame has half a code" }),
            _ => Ok(Message::Close(Some(u16::from_be_bytes([payload[0], payload[1]])))),
        },
    }
}

/// Eight bytes at a time: a byte at a time was a tenth of the cost of a stream of small events.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let four = u32::from_ne_bytes(mask);
    let eight = u64::from(four) << 32 | u64::from(four);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let word: [u8; 8] = (&*chunk).try_into().expect("a chunk has eight bytes");
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ eight).to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

    /// A frame as a client sends it.
    fn client(last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![if last { 0x80 } else { 0 } | opcode];
        match payload.len() {
            length @ 0..126 => out.push(0x80 | length as u8),
            length @ 126..65_536 => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&MASK);
        out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
        out
    }

    /// All messages of a stream that arrives in pieces of this size.
    fn decode(stream: &[u8], piece: usize) -> Result<Vec<Message>, Violation> {
        let mut decoder = Decoder::new(100_000);
        let (mut buffer, mut messages) = (BytesMut::new(), Vec::new());
        for bytes in stream.chunks(piece) {
            buffer.extend_from_slice(bytes);
            while let Some(message) = decoder.next(&mut buffer)? {
                messages.push(message);
            }
        }
        assert!(buffer.is_empty(), "nothing is left over");
        Ok(messages)
    }

    #[test]
    fn messages_come_out_however_the_bytes_arrive() {
        let long = vec![b'x'; 70_000];
        let large = vec![b'y'; 100_001];
        let mut stream = Vec::new();
        for frame in [
            client(true, 1, b"hello, world"),
            client(true, 1, b""),
            client(false, 1, b"first, "),
            client(true, 9, b"p"),
            client(false, 0, b"second, "),
            client(true, 0, b"third"),
            client(true, 2, &[0, 1, 2]),
            client(true, 1, &long[..300]),
            client(true, 1, &long),
            client(true, 1, &large),
            client(false, 1, &long),
            client(true, 0, &long),
            client(true, 10, b""),
            client(true, 8, &1000u16.to_be_bytes()),
            client(true, 8, b""),
        ] {
            stream.extend(frame);
        }
        let text = |bytes: &[u8]| Message::Text(Bytes::copy_from_slice(bytes));
        let expected = vec![
            text(b"hello, world"),
            text(b""),
            Message::Ping(Bytes::from_static(b"p")),
            text(b"first, second, third"),
            Message::Binary(Bytes::from_static(&[0, 1, 2])),
            text(&long[..300]),
            text(&long),
            Message::TooLarge { bytes: 100_001, head: Bytes::copy_from_slice(&large[..1024]) },
            Message::TooLarge { bytes: 140_000, head: Bytes::copy_from_slice(&long[..1024]) },
            Message::Pong,
            Message::Close(Some(1000)),
            Message::Close(None),
        ];
        for piece in [1, 3, 1000, 65_536, stream.len()] {
            assert_eq!(decode(&stream, piece).as_ref(), Ok(&expected), "pieces of {piece}");
        }
    }

    #[test]
    fn what_breaks_the_protocol_ends_it() {
        let mut unmasked = client(true, 1, b"x");
        unmasked[1] &= 0x7f;
        let mut reserved = client(true, 1, b"x");
        reserved[0] |= 0x40;
        let mut endless = client(true, 1, &[0; 70_000]);
        endless[2] = 0x80;
        for (stream, reason) in [
            (unmasked, "a frame of the client is not masked"),
            (reserved, "reserved bits are set"),
            (endless, "a frame's length has its highest bit set"),
            (client(true, 3, b""), "an unknown opcode"),
            (client(true, 0, b""), "a continuation without a beginning"),
            ([client(false, 1, b"a"), client(true, 1, b"b")].concat(), "a new message inside of another"),
            (client(false, 9, b""), "a control frame is too long or in fragments"),
            (client(true, 9, &[0; 126]), "a control frame is too long or in fragments"),
            (client(true, 8, &[3]), "a close frame has half a code"),
        ] {
            assert_eq!(decode(&stream, stream.len()), Err(Violation { reason }));
        }
    }

    #[test]
    fn frames_of_the_server_have_the_length_that_they_say() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut out = Vec::new();
            encode(Opcode::Text, &vec![b'z'; length], &mut out);
            let head = match length {
                0..126 => 2,
                126..65_536 => 4,
                _ => 10,
            };
            assert_eq!((out[0], out.len()), (0x81, head + length));
        }
        let payload = close_payload(1002, &"é".repeat(100));
        assert!(payload.len() <= 125 && std::str::from_utf8(&payload[2..]).is_ok());
    }
}
