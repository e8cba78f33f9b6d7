//! Walks over a client's WebSocket frames without keeping them: where does the stream rest between messages, was there
//! a close frame, is every header as it has to be, and is the text so far UTF-8?
//!
//! It looks at frame headers only, so a read of any size costs a few nanoseconds per frame. Payload is looked at only
//! where tungstenite would notice bad UTF-8 late: in text that does not arrive as one whole frame. tungstenite judges a
//! header when the payload has come, takes lengths that are longer than they need be, and measures a long control frame
//! as if it were a message; so headers are judged here.

/// The longest frame header of a client: 2 bytes, 8 of length, 4 of masking key (RFC 6455 section 5.2).
const HEADER_BYTES_MAX: usize = 14;
/// Payload unmasked at a time, in bytes.
const CHECK_BYTES: usize = 256;
/// The longest beginning of a character that may still become one, in bytes.
const CARRY_BYTES_MAX: usize = 3;

/// The longest payload of a control frame (RFC 6455 section 5.5), in bytes.
const CONTROL_BYTES_MAX: u64 = 125;

const OPCODE_CONTINUATION: u8 = 0;
const OPCODE_TEXT: u8 = 1;
const OPCODE_BINARY: u8 = 2;
const OPCODE_CLOSE: u8 = 8;
const OPCODE_PONG: u8 = 10;

/// Where a stream of client frames stands.
#[derive(Debug, Default)]
pub struct Walker {
    /// The header under way.
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    /// The frame whose payload is under way.
    frame: Option<Frame>,
    /// Between the fragments of a message (RFC 6455 section 5.4): whether it is text.
    message_is_text: Option<bool>,
    /// Payload of the message's fragments that are whole, in bytes.
    fragments_bytes: u64,
    /// The beginning of a character whose rest has not come.
    carry: [u8; CARRY_BYTES_MAX],
    carry_len: usize,
    saw_close: bool,
    /// The first bytes of the close frame's payload.
    close_code: [u8; 2],
    is_bad_header: bool,
    is_bad_text: bool,
}

#[derive(Debug)]
struct Frame {
    opcode: u8,
    is_final: bool,
    is_text: bool,
    mask: [u8; 4],
    /// Payload bytes that have come.
    consumed: u64,
    /// Payload bytes still to come.
    remaining: u64,
}

impl Walker {
    /// Whether the stream stands between two messages.
    pub fn is_at_rest(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.message_is_text.is_none()
    }

    /// Whether a whole close frame has come.
    pub fn saw_close(&self) -> bool {
        self.saw_close
    }

    /// The code of the close frame that has come; 0 without one.
    pub fn close_code(&self) -> u16 {
        u16::from_be_bytes(self.close_code)
    }

    /// Whether a header came that no client may send (RFC 6455 section 5). Nothing is walked over from there on.
    pub fn is_bad_header(&self) -> bool {
        self.is_bad_header
    }

    /// Whether a text message can no longer become valid UTF-8 (RFC 6455 section 8.1).
    pub fn is_bad_text(&self) -> bool {
        self.is_bad_text
    }

    /// The message under way as far as it is announced, in bytes: its fragments, and the frame whose payload comes.
    pub fn message_bytes(&self) -> u64 {
        let frame = self.frame.as_ref();
        let bytes = frame.map_or(0, |frame| frame.consumed.saturating_add(frame.remaining));
        self.fragments_bytes.saturating_add(bytes)
    }

    /// Walks over the next bytes of the stream; how many of them may be read: a bad header is never among them whole.
    pub fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_bad_header {
            rest = match self.frame.take() {
                None => self.advance_header(rest),
                Some(frame) => self.advance_payload(frame, rest),
            };
        }
        bytes.len() - rest.len()
    }

    fn advance_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let take = bytes.len().min(self.header_need() - self.header_len);
        self.header[self.header_len..][..take].copy_from_slice(&bytes[..take]);
        self.header_len += take;
        if self.header_len == self.header_need() {
            let frame = self.start_frame();
            if !self.is_allowed(&frame) {
                self.is_bad_header = true;
                return bytes;
            }
            self.header_len = 0;
            if frame.remaining == 0 {
                self.end_frame(&frame)
            } else {
                self.frame = Some(frame)
            }
        }
        &bytes[take..]
    }

    /// The length of the header, as far as its bytes tell.
    fn header_need(&self) -> usize {
        if self.header_len < 2 {
            return 2;
        }
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        match self.header[1] & 0x7f {
            126 => 4 + mask,
            127 => 10 + mask,
            _ => 2 + mask,
        }
    }

    fn start_frame(&self) -> Frame {
        let header = &self.header[..self.header_len];
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        let remaining = match header[1] & 0x7f {
            126 => number(&header[2..4]),
            127 => number(&header[2..10]),
            length => u64::from(length),
        };
        // An unmasked frame will be refused.
        let mut mask = [0; 4];
        if header[1] & 0x80 != 0 {
            mask.copy_from_slice(&header[header.len() - 4..]);
        }
        let opcode = header[0] & 0x0f;
        let is_text = opcode == OPCODE_TEXT
            || (opcode == OPCODE_CONTINUATION && self.message_is_text == Some(true));
        Frame {
            opcode,
            is_final: header[0] & 0x80 != 0,
            is_text,
            mask,
            consumed: 0,
            remaining,
        }
    }

    /// Whether a client may send the header of this frame now (RFC 6455 sections 5.1, 5.2, 5.4 and 5.5).
    fn is_allowed(&self, frame: &Frame) -> bool {
        let [first, second, ..] = self.header;
        let has_reserved_bits = first & 0x70 != 0;
        let is_masked = second & 0x80 != 0;
        let is_shortest_length = match second & 0x7f {
            126 => frame.remaining > 125,
            127 => frame.remaining > 0xffff && frame.remaining <= i64::MAX as u64,
            _ => true,
        };
        let is_in_message = self.message_is_text.is_some();
        let is_in_place = match frame.opcode {
            OPCODE_CONTINUATION => is_in_message,
            OPCODE_TEXT | OPCODE_BINARY => !is_in_message,
            OPCODE_CLOSE..=OPCODE_PONG => frame.is_final && frame.remaining <= CONTROL_BYTES_MAX,
            _ => false,
        };
        !has_reserved_bits && is_masked && is_shortest_length && is_in_place
    }

    fn advance_payload<'a>(&mut self, mut frame: Frame, bytes: &'a [u8]) -> &'a [u8] {
        let take = usize::try_from(frame.remaining)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let (payload, rest) = bytes.split_at(take);
        // tungstenite checks a message that comes as one whole frame, and no check is earlier than that.
        let is_whole = frame.consumed == 0 && take as u64 == frame.remaining;
        let is_checked_there = is_whole && frame.is_final && frame.opcode == OPCODE_TEXT;
        if frame.is_text && !is_checked_there && !self.is_bad_text {
            self.check_text(payload, &frame);
        }
        if frame.opcode == OPCODE_CLOSE && !self.saw_close {
            self.note_close_code(payload, &frame);
        }
        frame.consumed += take as u64;
        frame.remaining -= take as u64;
        if frame.remaining == 0 {
            self.end_frame(&frame)
        } else {
            self.frame = Some(frame)
        }
        rest
    }

    fn end_frame(&mut self, frame: &Frame) {
        if frame.opcode < OPCODE_CLOSE {
            self.message_is_text = (!frame.is_final).then_some(frame.is_text);
            if frame.is_final {
                self.carry_len = 0;
                self.fragments_bytes = 0;
            } else {
                self.fragments_bytes = self.fragments_bytes.saturating_add(frame.consumed);
            }
        }
        self.saw_close |= frame.opcode == OPCODE_CLOSE;
    }

    fn note_close_code(&mut self, payload: &[u8], frame: &Frame) {
        let offset = frame.consumed as usize;
        for (to, (from, at)) in self
            .close_code
            .iter_mut()
            .skip(offset)
            .zip(payload.iter().zip(offset..))
        {
            *to = from ^ frame.mask[at % 4];
        }
    }

    fn check_text(&mut self, payload: &[u8], frame: &Frame) {
        let mut text = [0; CARRY_BYTES_MAX + CHECK_BYTES];
        let mut offset = frame.consumed as usize;
        for piece in payload.chunks(CHECK_BYTES) {
            let carried = self.carry_len;
            text[..carried].copy_from_slice(&self.carry[..carried]);
            for (to, from) in text[carried..].iter_mut().zip(piece) {
                *to = from ^ frame.mask[offset % 4];
                offset += 1;
            }
            let text = &text[..carried + piece.len()];
            let rest = match std::str::from_utf8(text) {
                Ok(_) => &[],
                Err(error) if error.error_len().is_none() => &text[error.valid_up_to()..],
                Err(_) => {
                    self.is_bad_text = true;
                    return;
                }
            };
            self.carry[..rest.len()].copy_from_slice(rest);
            self.carry_len = rest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length @ 126..=65_535 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(
            payload
                .iter()
                .enumerate()
                .map(|(at, byte)| byte ^ MASK[at % 4]),
        );
        frame
    }

    #[test]
    fn it_rests_exactly_between_messages_however_the_stream_is_split() {
        let stream = [
            frame(0x81, "안녕".as_bytes()),
            frame(0x01, "나뉜 ".as_bytes()),
            frame(0x89, b"ping"),
            frame(0x80, "메시지".as_bytes()),
            frame(0x82, &[7; 300]),
            frame(0x82, &[7; 70_000]),
            frame(0x81, b""),
        ];
        let starts: Vec<usize> = stream
            .iter()
            .scan(0, |at, frame| {
                let start = *at;
                *at += frame.len();
                Some(start)
            })
            .collect();
        let total: usize = stream.iter().map(Vec::len).sum();
        let rests: Vec<usize> = [0, 1, 4, 5, 6]
            .iter()
            .map(|frame| starts[*frame])
            .chain([total])
            .collect();
        let bytes = stream.concat();
        for size in [1, 2, 3, 7, 64, 1000, total] {
            let mut walker = Walker::default();
            for (n, piece) in bytes.chunks(size).enumerate() {
                walker.advance(piece);
                let at = (n * size + piece.len()).min(total);
                assert_eq!(
                    walker.is_at_rest(),
                    rests.contains(&at),
                    "pieces of {size}, at {at}"
                );
            }
            assert!(!walker.is_bad_text());
            assert!(!walker.saw_close());
        }
    }

    #[test]
    fn a_bad_header_is_noticed_before_its_payload_and_nothing_after_it_is_walked_over() {
        let good = frame(0x81, b"good");
        let in_message = frame(0x01, b"half");
        for (before, header) in [
            (&good, "c180 00000000"),
            (&good, "a180 00000000"),
            (&good, "9180 00000000"),
            (&good, "8105"),
            (&good, "81fe 007d 00000000"),
            (&good, "82ff 000000000000ffff 00000000"),
            (&good, "82ff 8000000000010000 00000000"),
            (&good, "8080 00000000"),
            (&good, "8380 00000000"),
            (&good, "8b80 00000000"),
            (&good, "0980 00000000"),
            (&good, "89fe 007e 00000000"),
            (&in_message, "8180 00000000"),
            (&in_message, "0280 00000000"),
        ] {
            let header = hex(header);
            let mut walker = Walker::default();
            let bytes = [before.clone(), header.clone(), good.clone()].concat();
            let readable = walker.advance(&bytes);
            let header_start = before.len();
            assert!(
                (header_start..header_start + header.len()).contains(&readable),
                "{header:02x?}"
            );
            assert!(walker.is_bad_header() && !walker.is_at_rest());
            assert_eq!(walker.advance(&good), 0);
            let mut walker = Walker::default();
            walker.advance(before);
            let (last, start) = header.split_last().expect("a header");
            assert_eq!(walker.advance(start), start.len());
            assert!(!walker.is_bad_header(), "{header:02x?}");
            assert_eq!(walker.advance(&[*last]), 0);
            assert!(walker.is_bad_header(), "{header:02x?}");
        }
    }

    #[test]
    fn a_header_at_the_edge_is_good() {
        for header in [
            "81fe 007e 00000000",
            "82ff 0000000000010000 00000000",
            "02ff 7fffffffffffffff 00000000",
            "89fd 00000000",
            "8afd 00000000",
            "88fd 00000000",
        ] {
            let header = hex(header);
            let mut walker = Walker::default();
            assert_eq!(walker.advance(&header), header.len(), "{header:02x?}");
            assert!(!walker.is_bad_header(), "{header:02x?}");
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.replace(' ', "");
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits"))
            .collect()
    }

    #[test]
    fn bad_utf8_is_noticed_at_the_first_byte_that_cannot_be() {
        // U+110000 would begin F4 90: the second byte is already impossible.
        let bytes = frame(0x81, b"\xce\xba\xf4\x90\x80\x80");
        let mut walker = Walker::default();
        walker.advance(&bytes[..bytes.len() - 2]);
        assert!(walker.is_bad_text());
        walker = Walker::default();
        walker.advance(&bytes[..bytes.len() - 3]);
        assert!(!walker.is_bad_text());
    }

    /// Whether these frames, each walked over whole, are bad text.
    fn is_bad(frames: &[Vec<u8>]) -> bool {
        let mut walker = Walker::default();
        for frame in frames {
            walker.advance(frame);
        }
        walker.is_bad_text()
    }

    #[test]
    fn fragments_of_text_are_checked_and_those_of_binary_are_not() {
        let bad = frame(0x00, b"\xff");
        assert!(is_bad(&[frame(0x01, b"\xff")]));
        assert!(is_bad(&[frame(0x01, b"a"), bad.clone()]));
        assert!(is_bad(&[frame(0x01, b"a"), frame(0x80, b"\xff")]));
        assert!(!is_bad(&[frame(0x02, b"\xff"), bad.clone()]));
        assert!(!is_bad(&[frame(0x01, b"a"), frame(0x89, b"\xff")]));
        let text_then_binary = [
            frame(0x01, b"a"),
            frame(0x80, b"b"),
            frame(0x02, b"\xff"),
            bad,
        ];
        assert!(!is_bad(&text_then_binary));
    }

    #[test]
    fn text_in_one_whole_frame_is_left_to_the_reader_of_messages() {
        assert!(!is_bad(&[frame(0x81, b"\xff")]));
    }

    #[test]
    fn a_character_may_be_split_between_fragments_and_pieces() {
        let text = "가나다🎈".as_bytes();
        let mut bytes = frame(0x01, &text[..4]);
        bytes.extend(frame(0x00, &text[4..11]));
        bytes.extend(frame(0x80, &text[11..]));
        let mut walker = Walker::default();
        for byte in &bytes {
            walker.advance(std::slice::from_ref(byte));
            assert!(!walker.is_bad_text());
        }
        assert!(walker.is_at_rest());
    }

    #[test]
    fn a_message_under_way_is_as_large_as_it_was_announced() {
        let mut walker = Walker::default();
        walker.advance(&frame(0x01, &[b'a'; 300]));
        assert_eq!(walker.message_bytes(), 300);
        walker.advance(&frame(0x89, b"ping"));
        assert_eq!(walker.message_bytes(), 300);
        let last = frame(0x80, &[b'b'; 200]);
        walker.advance(&last[..20]);
        assert_eq!(walker.message_bytes(), 500);
        walker.advance(&last[20..]);
        assert_eq!(walker.message_bytes(), 0);
    }

    #[test]
    fn a_close_frame_is_seen_when_it_is_whole() {
        let bytes = frame(0x88, &1000u16.to_be_bytes());
        let mut walker = Walker::default();
        walker.advance(&bytes[..bytes.len() - 1]);
        assert!(!walker.saw_close());
        walker.advance(&bytes[bytes.len() - 1..]);
        assert!(walker.saw_close());
    }

    #[test]
    fn the_code_of_the_first_close_frame_is_known_however_it_is_split() {
        let bytes = [
            frame(0x89, b"ping"),
            frame(0x88, b"\x03\xf6reason"),
            frame(0x88, &1000u16.to_be_bytes()),
        ]
        .concat();
        for size in [1, 2, 3, 7, bytes.len()] {
            let mut walker = Walker::default();
            for piece in bytes.chunks(size) {
                walker.advance(piece);
            }
            assert_eq!(walker.close_code(), 1014, "pieces of {size}");
        }
        let mut walker = Walker::default();
        walker.advance(&frame(0x88, b""));
        assert_eq!(walker.close_code(), 0);
    }
}
