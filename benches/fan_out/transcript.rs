//! The transcript of a room: the bytes of all its chat frames, in the order all clients must receive them.
//!
//! The first client to receive a message checks it in full and appends it; the others only compare
//! bytes. A comparison is as strict as parsing and much cheaper, which keeps the generator faster than
//! the servers it measures.

use std::ops::Range;

use serde::Deserialize;

use crate::Result;

/// The length of `content` in every message, in bytes.
pub const CONTENT_BYTES: usize = 100;
/// The padding of `content`.
const FILL: char = '.';

#[derive(Default)]
pub struct Transcript {
    bytes: Vec<u8>,
    messages: Vec<Entry>,
    /// For each sender, the number of its messages received, over all rounds.
    seen: Vec<u64>,
}

struct Entry {
    sender: usize,
    end: usize,
}

/// The fields of a `chat` that are checked.
#[derive(Deserialize)]
struct Chat<'a> {
    username: &'a str,
    content: &'a str,
}

impl Transcript {
    /// Clears the messages, but not the numbers of the next ones expected.
    pub fn start_round(&mut self) {
        self.bytes.clear();
        self.messages.clear();
    }

    /// The bytes from `offset` on.
    pub fn from(&self, offset: usize) -> &[u8] {
        &self.bytes[offset..]
    }

    /// The bytes in `range`.
    pub fn range(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    pub fn bytes_count(&self) -> usize {
        self.bytes.len()
    }

    pub fn messages_count(&self) -> usize {
        self.messages.len()
    }

    /// Whether message number `index` exists and ends at or before `offset`.
    pub fn is_read(&self, index: usize, offset: usize) -> bool {
        self.messages
            .get(index)
            .is_some_and(|message| message.end <= offset)
    }

    /// The client that wrote message number `index`.
    pub fn sender(&self, index: usize) -> usize {
        self.messages[index].sender
    }

    /// The start of the message that contains `offset`.
    pub fn message_start(&self, offset: usize) -> usize {
        match self
            .messages
            .partition_point(|message| message.end <= offset)
        {
            0 => 0,
            whole => self.messages[whole - 1].end,
        }
    }

    /// Appends a `chat` that is new to the transcript. It is an error if it is not the next one of its sender.
    pub fn append(&mut self, frame: &[u8], payload: &[u8]) -> Result<()> {
        let chat: Chat = serde_json::from_slice(payload)?;
        let sender = chat
            .username
            .strip_prefix('u')
            .and_then(|number| number.parse::<usize>().ok())
            .ok_or_else(|| format!("a chat by a stranger, {:?}", chat.username))?;
        if self.seen.len() <= sender {
            self.seen.resize(sender + 1, 0);
        }
        let owed = content(sender, self.seen[sender]);
        if chat.content.as_bytes() != owed {
            return Err(format!(
                "a message is missing, doubled, changed or out of order: {:?} came instead of {:?}",
                chat.content.trim_end_matches(FILL),
                String::from_utf8_lossy(&owed).trim_end_matches(FILL)
            )
            .into());
        }
        self.seen[sender] += 1;
        self.bytes.extend_from_slice(frame);
        self.messages.push(Entry {
            sender,
            end: self.bytes.len(),
        });
        Ok(())
    }
}

/// The content of message number `sequence` of `sender`.
pub fn content(sender: usize, sequence: u64) -> [u8; CONTENT_BYTES] {
    let mut content = [FILL as u8; CONTENT_BYTES];
    let text = format!("message {sequence:08} of client {sender:05} ");
    content[..text.len()].copy_from_slice(text.as_bytes());
    content
}
