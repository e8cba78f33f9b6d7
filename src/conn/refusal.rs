//! Error responses: `{"error":{"code","message"}}` with the right status, in Korean or English.

use std::time::Duration;

use serde_json::json;

use crate::domain::ErrorCode;
use crate::wire::http::HeadError;
use crate::wire::response::Response;

/// Why a request is refused: a status, a code for programs and a sentence for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    code: &'static str,
    korean: &'static str,
    english: &'static str,
    /// What exactly is wrong with a malformed request or a token.
    detail: &'static str,
    /// For Retry-After, in seconds; 0 is none.
    retry_after_secs: u64,
}

impl Refusal {
    const fn new(
        status: u16,
        code: &'static str,
        korean: &'static str,
        english: &'static str,
    ) -> Self {
        Self {
            status,
            code,
            korean,
            english,
            detail: "",
            retry_after_secs: 0,
        }
    }

    /// A page or channel that does not exist.
    pub const NOT_FOUND: Self = Self::new(
        404,
        "not_found",
        "찾을 수 없습니다",
        "There is nothing here",
    );
    /// A method the resource does not have; Allow names those it has.
    pub const METHOD_NOT_ALLOWED: Self = Self::new(
        405,
        "method_not_allowed",
        "이 주소에서는 쓸 수 없는 메서드입니다",
        "That method is not allowed here",
    );
    /// A request that did not come whole in time.
    pub const REQUEST_TIMEOUT: Self = Self::new(
        408,
        "request_timeout",
        "요청이 너무 늦습니다",
        "The request took too long",
    );
    /// A body of unknown length.
    pub const LENGTH_REQUIRED: Self = Self::new(
        411,
        "length_required",
        "Content-Length가 필요합니다",
        "Content-Length is required",
    );
    /// A body over the limit.
    pub const CONTENT_TOO_LARGE: Self = Self::new(
        413,
        "content_too_large",
        "본문이 너무 큽니다",
        "The content is too large",
    );
    /// A body that is not announced as JSON.
    pub const UNSUPPORTED_MEDIA_TYPE: Self = Self::new(
        415,
        "unsupported_media_type",
        "application/json만 받습니다",
        "Send application/json",
    );
    /// A WebSocket address asked for by plain HTTP.
    pub const UPGRADE_REQUIRED: Self = Self::new(
        426,
        "upgrade_required",
        "WebSocket으로 접속하세요",
        "Connect with WebSocket",
    );
    /// A change asked for by a page that is not ours.
    pub const FORBIDDEN_ORIGIN: Self = Self::new(
        403,
        "forbidden_origin",
        "허용되지 않은 출처입니다",
        "That origin is not allowed",
    );
    /// An opening handshake that is none.
    pub const BAD_HANDSHAKE: Self = Self {
        detail: "malformed WebSocket handshake",
        ..Self::new(
            400,
            "bad_request",
            "잘못된 요청입니다",
            "The request is malformed",
        )
    };

    /// A name or password that is wrong; which one is not said.
    pub const INVALID_CREDENTIALS: Self = Self::new(
        401,
        "invalid_credentials",
        "이름이나 비밀번호가 올바르지 않습니다",
        "The name or the password is wrong",
    );
    /// Something is full for a moment.
    pub const UNAVAILABLE: Self = Self {
        retry_after_secs: 1,
        ..Self::new(
            503,
            "unavailable",
            "지금은 너무 바쁩니다",
            "The server is too busy right now",
        )
    };

    /// A bearer token that is no good, and why.
    pub const fn invalid_token(why: &'static str) -> Self {
        Self {
            detail: why,
            ..Self::new(
                401,
                "invalid_token",
                "토큰이 유효하지 않습니다",
                "The token is not valid",
            )
        }
    }

    /// Too many attempts; when to try again.
    pub fn too_many_requests(wait: Duration) -> Self {
        let retry_after_secs = wait.as_millis().div_ceil(1000) as u64;
        let korean = "시도가 너무 잦습니다. 잠시 후 다시 해 주세요";
        Self {
            retry_after_secs,
            ..Self::new(
                429,
                "too_many_requests",
                korean,
                "Too many attempts; please wait a moment",
            )
        }
    }

    /// The error response, in the language the client prefers.
    pub fn response(self, english: bool) -> Response {
        let sentence = if english { self.english } else { self.korean };
        let message = match self.detail {
            "" => sentence.to_owned(),
            detail => format!("{sentence} ({detail})"),
        };
        let body = json!({"error": {"code": self.code, "message": message}}).to_string();
        let mut response = Response::with(
            self.status,
            "application/json; charset=utf-8",
            body.into_bytes(),
        )
        .field("Cache-Control", "no-store")
        .field("X-Content-Type-Options", "nosniff");
        if self.status == 401 {
            response = response.field("WWW-Authenticate", self.challenge());
        }
        if self.retry_after_secs > 0 {
            response = response.field("Retry-After", self.retry_after_secs.to_string());
        }
        response
    }

    /// What a client is asked for (RFC 6750 section 3).
    fn challenge(self) -> String {
        match self.detail {
            "" => "Bearer".into(),
            why => format!(
                "Bearer error=\"{}\", error_description=\"{why}\"",
                self.code
            ),
        }
    }
}

impl From<HeadError> for Refusal {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::BadRequest(detail) => Self {
                detail,
                ..Self::new(
                    400,
                    "bad_request",
                    "잘못된 요청입니다",
                    "The request is malformed",
                )
            },
            HeadError::LengthRequired => Self::LENGTH_REQUIRED,
            HeadError::TargetTooLong => Self::new(
                414,
                "uri_too_long",
                "주소가 너무 깁니다",
                "The target is too long",
            ),
            HeadError::ExpectationFailed => Self::new(
                417,
                "expectation_failed",
                "들어줄 수 없는 Expect입니다",
                "That expectation cannot be met",
            ),
            HeadError::FieldsTooLarge => Self::new(
                431,
                "header_fields_too_large",
                "헤더가 너무 큽니다",
                "The header fields are too large",
            ),
            HeadError::NotImplemented => Self::new(
                501,
                "not_implemented",
                "지원하지 않는 기능입니다",
                "That is not implemented",
            ),
            HeadError::VersionNotSupported => Self::new(
                505,
                "http_version_not_supported",
                "HTTP/1.1로 보내 주세요",
                "Please speak HTTP/1.1",
            ),
        }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        let status = match code {
            ErrorCode::Unauthorized => 401,
            ErrorCode::NotInRoom | ErrorCode::RoomFull => 403,
            ErrorCode::RoomNotFound | ErrorCode::UserNotFound => 404,
            ErrorCode::AlreadyInRoom | ErrorCode::RoomExists => 409,
            ErrorCode::ContentTooLong => 413,
            ErrorCode::RateLimited => 429,
            ErrorCode::TooManyRooms => 503,
            ErrorCode::BadJson
            | ErrorCode::BadRequest
            | ErrorCode::UnknownType
            | ErrorCode::BadRoomName => 400,
        };
        Self::new(status, code.name(), code.korean(), code.english())
    }
}
