//! WebSocket frames, as the traffic generators write and read them.

/// A complete frame at the start of some bytes.
pub struct Frame<'a> {
    pub opcode: u8,
    pub bytes: &'a [u8],
    pub payload: &'a [u8],
}

pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

impl<'a> Frame<'a> {
    /// The first frame, if it is complete.
    pub fn first(bytes: &'a [u8]) -> Option<Self> {
        let (head, length) = match *bytes {
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            [_, 127, a, b, c, d, e, f, g, h, ..] => {
                let length = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                (10, usize::try_from(length).ok()?)
            }
            [_, length @ 0..126, ..] => (2, usize::from(length)),
            _ => return None,
        };
        Some(Self {
            opcode: bytes[0] & 0x0f,
            bytes: bytes.get(..head + length)?,
            payload: &bytes[head..head + length],
        })
    }
}

/// A frame with a masking key of zero, which leaves the payload as it is.
pub fn push_client_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    push_head(out, opcode, 0x80, payload.len());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// A frame as a server sends it.
pub fn push_server_frame(out: &mut Vec<u8>, payload: &[u8]) {
    push_head(out, TEXT, 0, payload.len());
    out.extend_from_slice(payload);
}

fn push_head(out: &mut Vec<u8>, opcode: u8, mask_bit: u8, length: usize) {
    out.push(0x80 | opcode);
    match u8::try_from(length) {
        Ok(short @ 0..126) => out.push(mask_bit | short),
        _ => {
            let length = u16::try_from(length).expect("the generator's messages are short");
            out.push(mask_bit | 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
}
