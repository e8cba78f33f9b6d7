//! How much is logged.

/// The severity of an event in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work.
    Error,
    /// A limit was reached, or a request of the administrator failed.
    Warn,
    /// An occasional event of a healthy server.
    Info,
    /// An event of each connection.
    Debug,
}

impl Level {
    /// The names, as `--log` takes them.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}
