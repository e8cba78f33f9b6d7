//! Error responses: `{"error":{"code","message"}}` with the right status, in Korean or English.

use std::time::Duration;

use serde_json::json;

use crate::domain::error::ErrorCode;
use crate::wire::http::HeadError;
use crate::wire::response::Response;

/// Why a request is refused: a row of the table of errors, and what belongs to this case only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The row of the table.
    pub code: ErrorCode,
    /// What exactly is wrong with a malformed request or a token, in English.
    detail: &'static str,
    /// For Retry-After, in seconds; 0 is none.
    retry_after_secs: u64,
}

impl Refusal {
    /// A malformed opening handshake (RFC 6455 section 4.2.1).
    pub const BAD_HANDSHAKE: Self =
        Self::detailed(ErrorCode::BadRequest, "malformed WebSocket handshake");

    /// Something is full for a moment.
    pub const UNAVAILABLE: Self = Self {
        retry_after_secs: 1,
        ..Self::detailed(ErrorCode::Unavailable, "")
    };

    const fn detailed(code: ErrorCode, detail: &'static str) -> Self {
        Self {
            code,
            detail,
            retry_after_secs: 0,
        }
    }

    /// A bearer token that is not accepted, and why.
    pub const fn invalid_token(why: &'static str) -> Self {
        Self::detailed(ErrorCode::InvalidToken, why)
    }

    /// Too many attempts; when to try again.
    pub fn too_many_requests(wait: Duration) -> Self {
        Self {
            retry_after_secs: wait.as_millis().div_ceil(1000) as u64,
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
            .field("Cache-Control", "no-store")
            .field("X-Content-Type-Options", "nosniff");
        if status == 401 {
            response = response.field("WWW-Authenticate", self.challenge());
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
            HeadError::LengthRequired => ErrorCode::LengthRequired.into(),
            HeadError::TargetTooLong => ErrorCode::UriTooLong.into(),
            HeadError::ExpectationFailed => ErrorCode::ExpectationFailed.into(),
            HeadError::FieldsTooLarge => ErrorCode::HeaderFieldsTooLarge.into(),
            HeadError::NotImplemented => ErrorCode::NotImplemented.into(),
            HeadError::VersionNotSupported => ErrorCode::HttpVersionNotSupported.into(),
        }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::detailed(code, "")
    }
}
