//! Error responses: `{"error":{"code","message"}}` with its status, in Korean or English.

use std::time::Duration;

use serde_json::json;

use crate::config::{
    CHANNEL_NAME_CHARS_MAX, CHANNELS_PER_STREAM_MAX, OWN_CHANNELS_MAX, POSTED_FIGURES_BYTES_MAX,
    POSTED_FIGURES_MAX,
};
use crate::domain::error::ErrorCode;
use crate::wire::chunked::ChunkedError;
use crate::wire::http::HeadError;
use crate::wire::response::Response;

/// Why a request is refused: a row of the table of errors, and the details of this case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The row of the table.
    pub code: ErrorCode,
    /// The exact fault of a malformed request or of a token, in English; empty if there is none.
    detail: &'static str,
    /// For Retry-After (RFC 9110 section 10.2.3), in seconds; 0 omits the field.
    retry_after_secs: u64,
    /// For Allow: the methods that the resource supports (RFC 9110 section 10.2.1).
    allow: Option<&'static str>,
}

/// The challenge to a token that is good, but not for this (RFC 6750 section 3.1).
const INSUFFICIENT_SCOPE: &str = "Bearer error=\"insufficient_scope\"";

// The numbers in the details below.
const _: () = assert!(CHANNEL_NAME_CHARS_MAX == 64 && CHANNELS_PER_STREAM_MAX == 16);
const _: () = assert!(OWN_CHANNELS_MAX == 64 && POSTED_FIGURES_MAX == 64);
const _: () = assert!(POSTED_FIGURES_BYTES_MAX == 64 * 1024);

impl Refusal {
    /// A malformed opening handshake (RFC 6455 section 4.2.1).
    pub const BAD_HANDSHAKE: Self =
        Self::detailed(ErrorCode::BadRequest, "malformed WebSocket handshake");

    /// A resource of the server is exhausted for now: retry after a second.
    pub const UNAVAILABLE: Self = Self {
        retry_after_secs: 1,
        ..Self::detailed(ErrorCode::Unavailable, "")
    };

    /// A name in a list of channels that no channel may have.
    pub const NO_CHANNEL: Self = Self::detailed(
        ErrorCode::NotFound,
        "a channel has 1 to 64 characters of a-z, 0-9, _ and -, and is none of the server's reserved names",
    );

    /// A list of too many channels.
    pub const TOO_MANY_LISTED: Self =
        Self::detailed(ErrorCode::NotFound, "a stream has at most 16 channels");

    /// Content with a coding: none is understood (RFC 9110 section 15.5.16).
    pub const ENCODED: Self = Self::detailed(
        ErrorCode::UnsupportedMediaType,
        "the content must not have a Content-Encoding",
    );

    /// Figures that would be too many with those that are kept.
    pub const TOO_MANY_FIGURES: Self = Self::detailed(
        ErrorCode::ContentTooLarge,
        "64 figures of 64 KiB fit beside revenue and orders; null removes one",
    );

    /// A channel of one's own for which there is no place.
    pub const TOO_MANY_CHANNELS: Self = Self::detailed(
        ErrorCode::TooManyChannels,
        "64 fit at a time; one without subscribers and recent events makes way",
    );

    /// Channels that nobody has selected together, for which there is no place.
    pub const TOO_MANY_SELECTIONS: Self = Self::detailed(
        ErrorCode::TooManyChannels,
        "too many different selections of channels have subscribers",
    );

    /// A good token of somebody who is no moderator (RFC 6750 section 3.1).
    pub const NOT_A_MODERATOR: Self =
        Self::detailed(ErrorCode::Forbidden, "this is for moderators and API keys");

    const fn detailed(code: ErrorCode, detail: &'static str) -> Self {
        Self {
            code,
            detail,
            retry_after_secs: 0,
            allow: None,
        }
    }

    /// A bearer token that is not accepted, and the reason.
    pub const fn invalid_token(why: &'static str) -> Self {
        Self::detailed(ErrorCode::InvalidToken, why)
    }

    /// A method that the resource does not support; `allow` lists those it does.
    pub const fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::detailed(ErrorCode::MethodNotAllowed, "")
        }
    }

    /// Too many attempts; `wait` is the time until the next one is allowed, told in seconds and so at least one.
    pub fn too_many_requests(wait: Duration) -> Self {
        Self {
            retry_after_secs: wait.as_nanos().div_ceil(1_000_000_000).max(1) as u64,
            ..ErrorCode::TooManyRequests.into()
        }
    }

    /// The error response, in the language the client prefers.
    pub fn response(self, english: bool) -> Response {
        let sentence = if english {
            self.code.english()
        } else {
            self.code.korean()
        };
        let message = match self.detail {
            "" => sentence.to_owned(),
            detail => format!("{sentence} ({detail})"),
        };
        let body = json!({"error": {"code": self.code, "message": message}}).to_string();
        let status = self.code.status();
        let content_type = "application/json; charset=utf-8";
        let mut response = Response::with(status, content_type, body.into_bytes())
            .field("Cache-Control", "no-store");
        if status == 401 {
            response = response.field("WWW-Authenticate", self.challenge());
        }
        if self == Self::NOT_A_MODERATOR {
            response = response.field("WWW-Authenticate", INSUFFICIENT_SCOPE);
        }
        if status == 426 {
            response = response
                .field("Upgrade", "websocket")
                .field("Sec-WebSocket-Version", "13");
        }
        if self == Self::ENCODED {
            response = response.field("Accept-Encoding", "identity");
        }
        if let Some(allow) = self.allow {
            response = response.field("Allow", allow);
        }
        if self.retry_after_secs > 0 {
            response = response.field("Retry-After", self.retry_after_secs.to_string());
        }
        response
    }

    /// The challenge of a 401 (RFC 6750 section 3).
    fn challenge(self) -> String {
        match self.detail {
            "" => "Bearer".into(),
            why => format!(
                "Bearer error=\"{}\", error_description=\"{why}\"",
                self.code.name()
            ),
        }
    }
}

impl From<HeadError> for Refusal {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::BadRequest(detail) => Self::detailed(ErrorCode::BadRequest, detail),
            HeadError::TargetTooLong => ErrorCode::UriTooLong.into(),
            HeadError::ExpectationFailed => ErrorCode::ExpectationFailed.into(),
            HeadError::FieldsTooLarge => ErrorCode::HeaderFieldsTooLarge.into(),
            HeadError::NotImplemented => ErrorCode::NotImplemented.into(),
            HeadError::VersionNotSupported => ErrorCode::HttpVersionNotSupported.into(),
        }
    }
}

impl From<ChunkedError> for Refusal {
    fn from(error: ChunkedError) -> Self {
        match error {
            ChunkedError::Malformed(detail) => Self::detailed(ErrorCode::BadRequest, detail),
            ChunkedError::ContentTooLarge => ErrorCode::ContentTooLarge.into(),
            ChunkedError::TrailersTooLarge => ErrorCode::HeaderFieldsTooLarge.into(),
        }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::detailed(code, "")
    }
}
