//! Events on their way through the backend: a draft, then an id.

use super::channels::Kind;
use super::error::ErrorCode;
use super::ids::Serial;

/// An event that has no id yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its kind.
    pub kind: Kind,
    /// The name of its channel.
    pub name: Box<str>,
    /// Its data, as JSON.
    pub data: String,
    /// All figures posted so far, as a JSON object, if some were posted with it.
    pub figures: Option<String>,
}

/// The answer to an event.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// The request that waits for it; `None` if the server itself has sampled it.
    pub serial: Option<Serial>,
    /// The event.
    pub draft: Draft,
    /// Its id, or why it has none.
    pub id: Result<u64, ErrorCode>,
}
