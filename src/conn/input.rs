//! Received bytes on their way to requests: the bytes of one read or, while some have to be kept, a buffer.
//!
//! They may contain passwords: copied bytes are wiped when they are consumed.

use crate::wire::secret_bytes::SecretBytes;

/// Received bytes that are consumed from the front.
#[derive(Debug, Default)]
pub struct Input<'b> {
    /// Bytes copied because they were kept beyond a read, or were received behind kept ones.
    copied: SecretBytes,
    /// The bytes of one read; used only while `copied` is empty.
    borrowed: &'b [u8],
    consumed: usize,
}

impl<'b> Input<'b> {
    /// The bytes that are not consumed.
    pub fn rest(&self) -> &[u8] {
        match self.copied.is_empty() {
            true => &self.borrowed[self.consumed..],
            false => &self.copied[self.consumed..],
        }
    }

    /// Consumes `count` bytes.
    pub fn consume(&mut self, count: usize) {
        if !self.copied.is_empty() {
            self.copied.wipe(self.consumed, count);
        }
        self.consumed += count;
    }

    /// This input followed by the bytes of the next read. Those are copied only if some of this input is not consumed.
    pub fn followed_by<'n>(self, bytes: &'n [u8]) -> Input<'n> {
        if self.rest().is_empty() {
            return Input {
                borrowed: bytes,
                ..Input::default()
            };
        }
        let mut next = self.into_owned();
        if !bytes.is_empty() {
            if next.consumed > 0 {
                next.copied = next.copied[next.consumed..].into();
                next.consumed = 0;
            }
            next.copied.append(bytes, usize::MAX);
        }
        next
    }

    /// The unconsumed bytes, in a form that outlives the read.
    pub fn into_owned(mut self) -> Input<'static> {
        let (copied, consumed) = match self.rest() {
            [] => Default::default(),
            rest if self.copied.is_empty() => (rest.into(), 0),
            _ => (std::mem::take(&mut self.copied), self.consumed),
        };
        Input {
            copied,
            borrowed: &[],
            consumed,
        }
    }

    /// The memory the copied bytes take, in bytes.
    pub fn capacity(&self) -> usize {
        self.copied.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_copied_only_while_some_wait() {
        let mut input = Input::default().followed_by(b"abc");
        input.consume(3);
        let input = input.into_owned();
        assert_eq!((input.rest(), input.capacity()), (&b""[..], 0));
        let mut input = input.followed_by(b"defg");
        assert_eq!((input.rest(), input.capacity()), (&b"defg"[..], 0));
        input.consume(2);
        let input = input.into_owned();
        assert_eq!((input.rest(), input.capacity()), (&b"fg"[..], 2));
        let mut input = input.followed_by(b"hi").followed_by(b"");
        assert_eq!(input.rest(), b"fghi");
        input.consume(3);
        let mut input = input.into_owned().followed_by(b"jk");
        assert_eq!(input.rest(), b"ijk");
        input.consume(3);
        assert_eq!(input.followed_by(b"l").capacity(), 0);
    }

    #[test]
    fn copied_bytes_are_wiped_when_they_are_consumed() {
        let mut input = Input::default().followed_by(b"password rest").into_owned();
        input.consume(8);
        assert_eq!(&*input.copied, b"\0\0\0\0\0\0\0\0 rest");
        let input = input.into_owned();
        assert_eq!((input.rest(), input.copied.len()), (&b" rest"[..], 13));
    }
}
