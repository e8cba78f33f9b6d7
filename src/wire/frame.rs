//! One WebSocket frame of a client: its header, and the rules for that header (RFC 6455 section 5).

use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::close_code::CloseCode;

/// The longest frame header of a client: 2 bytes, 8 of length, 4 of masking key (RFC 6455 section 5.2).
const HEADER_BYTES_MAX: usize = 14;
/// In the first byte of a header: the frame is the last of its message.
const FIN: u8 = 0x80;
/// In the first byte: the reserved bits, which extensions define.
const RESERVED: u8 = 0x70;
/// In the first byte: the reserved bit that permessage-deflate uses (RFC 7692 section 6).
const RSV1: u8 = 0x40;
/// In the second byte: a masking key follows.
const MASKED: u8 = 0x80;
/// The longest payload of a control frame (RFC 6455 section 5.5), in bytes.
const CONTROL_BYTES_MAX: u64 = 125;

/// The limits for the frames of a client.
#[derive(Clone, Copy, Debug)]
pub struct FrameLimits {
    /// The largest message, in bytes.
    pub message_bytes: usize,
    /// Whether an extension was negotiated that defines RSV1 in the first frame of a message.
    pub allows_rsv1: bool,
}

impl FrameLimits {
    /// For discarded messages: any length.
    pub const DISCARDED: Self = Self {
        message_bytes: usize::MAX,
        allows_rsv1: false,
    };
}

/// The bytes received so far of an incomplete header.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeaderStart {
    bytes: [u8; HEADER_BYTES_MAX],
    length: usize,
}

impl HeaderStart {
    /// Whether no byte of a header is received.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes a header from the front of the input if it is complete; else takes all of the input and keeps it.
    pub fn read(&mut self, input: &mut &mut [u8]) -> Option<Header> {
        if self.length == 0
            && let Some(header) = Header::parse(input)
        {
            cut(input, header.size);
            return Some(header);
        }
        let before = self.length;
        let taken = input.len().min(HEADER_BYTES_MAX - before);
        self.bytes[before..][..taken].copy_from_slice(&input[..taken]);
        let header = Header::parse(&self.bytes[..before + taken]);
        match &header {
            Some(header) => {
                cut(input, header.size - before);
                self.length = 0;
            }
            None => self.length += cut(input, taken).len(),
        }
        header
    }
}

/// Takes the first `length` bytes of an input that has that many.
fn cut<'b>(input: &mut &'b mut [u8], length: usize) -> &'b mut [u8] {
    input.split_off_mut(..length).unwrap_or_default()
}

/// A complete header, not checked yet.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// FIN, the reserved bits and the opcode.
    first: u8,
    opcode: OpCode,
    mask: Option<[u8; 4]>,
    /// The length of the payload, in bytes.
    length: u64,
    /// The length of the header itself, in bytes.
    size: usize,
}

impl Header {
    /// Parses a header, if `bytes` has all of it.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else {
            return None;
        };
        let (length, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u16::from_be_bytes(*length).into(), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            length => (length.into(), rest),
        };
        let (mask, rest) = match second & MASKED {
            0 => (None, rest),
            _ => {
                let (mask, rest) = rest.split_first_chunk()?;
                (Some(*mask), rest)
            }
        };
        Some(Self {
            first: *first,
            opcode: OpCode::from(first & 0x0f),
            mask,
            length,
            size: bytes.len() - rest.len(),
        })
    }

    /// The frame, if a client may send it now (RFC 6455 sections 5.1, 5.2, 5.4 and 5.5). `message` is the length of the
    /// fragments received so far, in bytes, or `None` between messages.
    ///
    /// # Errors
    /// The close code: 1002, or 1009 for a message over the limit.
    pub fn check(self, limits: FrameLimits, message: Option<usize>) -> Result<Frame, CloseCode> {
        let Some(mask) = self.mask else {
            return Err(CloseCode::PROTOCOL_ERROR);
        };
        if !self.is_well_formed(limits) || !self.is_in_place(message.is_some()) {
            return Err(CloseCode::PROTOCOL_ERROR);
        }
        let room = limits.message_bytes.saturating_sub(message.unwrap_or(0));
        if matches!(self.opcode, OpCode::Data(_)) && self.length > room as u64 {
            return Err(CloseCode::MESSAGE_TOO_BIG);
        }
        Ok(Frame {
            opcode: self.opcode,
            is_final: self.first & FIN != 0,
            has_rsv1: self.first & RSV1 != 0,
            mask,
            remaining: self.length,
        })
    }

    fn is_well_formed(&self, limits: FrameLimits) -> bool {
        let starts_message = matches!(self.opcode, OpCode::Data(Data::Text | Data::Binary));
        let allowed = match limits.allows_rsv1 && starts_message {
            true => RSV1,
            false => 0,
        };
        // The header with the masking key and the shortest encoding of the length.
        let shortest = match self.length {
            0..=125 => 6,
            126..=0xffff => 8,
            _ => 14,
        };
        let is_length = self.length <= i64::MAX as u64;
        self.first & RESERVED & !allowed == 0 && self.size == shortest && is_length
    }

    fn is_in_place(&self, is_in_message: bool) -> bool {
        match self.opcode {
            OpCode::Data(Data::Continue) => is_in_message,
            OpCode::Data(Data::Text | Data::Binary) => !is_in_message,
            OpCode::Control(Control::Close | Control::Ping | Control::Pong) => {
                self.first & FIN != 0 && self.length <= CONTROL_BYTES_MAX
            }
            OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => false,
        }
    }
}

/// A frame whose payload is being received.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Its opcode.
    pub opcode: OpCode,
    /// Whether it ends its message.
    pub is_final: bool,
    /// Whether the bit RSV1 is set.
    pub has_rsv1: bool,
    /// The masking key, rotated so that its first byte is for the next payload byte.
    mask: [u8; 4],
    /// The payload bytes not received yet.
    pub remaining: u64,
}

impl Frame {
    /// Takes the payload of this frame, as far as it is received, from the front of the input.
    pub fn take_payload<'b>(&mut self, input: &mut &'b mut [u8]) -> &'b mut [u8] {
        let length = self.remaining.min(input.len() as u64);
        self.remaining -= length;
        cut(input, length as usize)
    }

    /// Unmasks the next part of the payload in place (RFC 6455 section 5.3), eight bytes at a time.
    pub fn unmask<'b>(&mut self, payload: &'b mut [u8]) -> &'b [u8] {
        let [a, b, c, d] = self.mask;
        let mask = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = payload.as_chunks_mut();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ mask).to_ne_bytes();
        }
        for (byte, mask) in rest.iter_mut().zip(mask.to_ne_bytes()) {
            *byte ^= mask;
        }
        self.mask.rotate_left(payload.len() % 4);
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameLimits = FrameLimits {
        message_bytes: 70_000,
        allows_rsv1: false,
    };

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.replace(' ', "");
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits"))
            .collect()
    }

    /// The frame of a header that is read in pieces of `size` bytes.
    fn read(
        header: &str,
        size: usize,
        limits: FrameLimits,
        message: Option<usize>,
    ) -> Result<Option<Frame>, CloseCode> {
        let mut start = HeaderStart::default();
        for mut piece in hex(header).chunks_mut(size) {
            if let Some(header) = start.read(&mut piece) {
                assert!(piece.is_empty() && start.is_empty());
                return header.check(limits, message).map(Some);
            }
            assert!(piece.is_empty() && !start.is_empty());
        }
        Ok(None)
    }

    fn is_refused(header: &str, limits: FrameLimits, message: Option<usize>) -> Option<u16> {
        let refused = [1, 2, 3, 7, 14].map(|size| {
            let mut header_without_its_end = header.to_owned();
            header_without_its_end.truncate(header.len() - 2);
            let early = read(&header_without_its_end, size, limits, message);
            assert!(matches!(early, Ok(None)), "{header} in pieces of {size}");
            read(header, size, limits, message).err()
        });
        assert!(refused.iter().all(|one| *one == refused[0]), "{header}");
        refused[0].map(|CloseCode(code, _)| code)
    }

    #[test]
    fn a_header_that_no_client_may_send_is_refused_at_its_last_byte() {
        for (message, header) in [
            (None, "c180 00000000"),
            (None, "a180 00000000"),
            (None, "9180 00000000"),
            (None, "8105"),
            (None, "81fe 007d 00000000"),
            (None, "82ff 000000000000ffff 00000000"),
            (None, "82ff 8000000000010000 00000000"),
            (None, "8080 00000000"),
            (None, "8380 00000000"),
            (None, "8b80 00000000"),
            (None, "0980 00000000"),
            (None, "89fe 007e 00000000"),
            (Some(4), "8180 00000000"),
            (Some(4), "0280 00000000"),
            (Some(4), "c080 00000000"),
        ] {
            assert_eq!(is_refused(header, LIMITS, message), Some(1002), "{header}");
        }
    }

    #[test]
    fn a_header_at_the_edge_is_good() {
        for (message, header) in [
            (None, "81fe 007e 00000000"),
            (None, "82ff 0000000000010000 00000000"),
            (None, "82ff 0000000000011170 00000000"),
            (None, "89fd 00000000"),
            (None, "8afd 00000000"),
            (None, "88fd 00000000"),
            (Some(4), "8080 00000000"),
            (Some(4), "89fd 00000000"),
        ] {
            assert_eq!(is_refused(header, LIMITS, message), None, "{header}");
        }
        let longest = "02ff 7fffffffffffffff 00000000";
        assert_eq!(is_refused(longest, FrameLimits::DISCARDED, None), None);
    }

    #[test]
    fn a_message_over_the_limit_is_refused_at_the_header_that_says_so() {
        for (message, header, code) in [
            (None, "82ff 0000000000011171 00000000", Some(1009)),
            (None, "02ff 7fffffffffffffff 00000000", Some(1009)),
            (Some(69_900), "80e4 00000000", None),
            (Some(69_900), "00e5 00000000", Some(1009)),
            // A control frame does not count.
            (Some(70_000), "89fd 00000000", None),
        ] {
            assert_eq!(is_refused(header, LIMITS, message), code, "{header}");
        }
    }

    #[test]
    fn rsv1_is_good_on_the_first_frame_of_a_message_where_it_was_negotiated() {
        let limits = FrameLimits {
            allows_rsv1: true,
            ..LIMITS
        };
        for (message, header, code) in [
            (None, "c180 00000000", None),
            (None, "4280 00000000", None),
            (None, "8180 00000000", None),
            (None, "e180 00000000", Some(1002)),
            (None, "d180 00000000", Some(1002)),
            (None, "c980 00000000", Some(1002)),
            (Some(1), "c080 00000000", Some(1002)),
        ] {
            assert_eq!(is_refused(header, limits, message), code, "{header}");
        }
    }

    #[test]
    fn a_mask_is_taken_off_whatever_the_pieces_of_the_payload() {
        let plain: Vec<u8> = (0..100).collect();
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let masked = plain.iter().zip(mask.iter().cycle());
        let masked: Vec<u8> = masked.map(|(byte, mask)| byte ^ mask).collect();
        for size in 1..=plain.len() {
            let mut frame = read("82e4 37fa213d", 14, LIMITS, None)
                .expect("is good")
                .expect("is whole");
            let mut unmasked = Vec::new();
            for mut piece in masked.clone().chunks_mut(size) {
                let payload = frame.take_payload(&mut piece);
                unmasked.extend_from_slice(frame.unmask(payload));
            }
            assert_eq!(unmasked, plain, "pieces of {size}");
            assert_eq!(frame.remaining, 0);
        }
    }
}
