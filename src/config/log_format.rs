//! How the log is written.

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value`, separated by blanks (logfmt).
    #[default]
    Text,
    /// One JSON object.
    Json,
}

impl LogFormat {
    /// The formats by their names as an option.
    pub const NAMES: [(&str, Self); 2] = [("text", Self::Text), ("json", Self::Json)];
}
