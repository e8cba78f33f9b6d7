//! Why the head of an HTTP request is refused.

/// Why a head is refused. Each is answered with the status given here, then the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// 400, with the reason in English.
    BadRequest(&'static str),
    /// 414: a target over [`TARGET_BYTES_MAX`](crate::config::TARGET_BYTES_MAX) bytes.
    TargetTooLong,
    /// 417: an expectation other than 100-continue.
    ExpectationFailed,
    /// 431: more than [`HEAD_BYTES_MAX`](crate::config::HEAD_BYTES_MAX) bytes or
    /// [`HEAD_FIELDS_MAX`](crate::config::HEAD_FIELDS_MAX) fields.
    FieldsTooLarge,
    /// 501: an unknown method or transfer coding.
    NotImplemented,
    /// 505: neither HTTP/1.0 nor HTTP/1.1.
    VersionNotSupported,
}
