//! Errors: one table of every error code, over HTTP and over WebSocket.

use serde::{Serialize, Serializer};

/// A row of the table.
struct Row {
    name: &'static str,
    status: u16,
    korean: &'static str,
    english: &'static str,
}

/// Makes [`ErrorCode`] from the table: `Code = "name on the wire", HTTP status, Korean, English;`.
macro_rules! error_codes {
    ($($code:ident = $name:literal, $status:literal, $korean:literal, $english:literal;)*) => {
        /// Why a request or command was refused. The names on the wire never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each is explained by its sentence in the table")]
        pub enum ErrorCode { $($code,)* }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            const fn row(self) -> &'static Row {
                match self {
                    $(Self::$code => &Row {
                        name: $name,
                        status: $status,
                        korean: $korean,
                        english: $english,
                    },)*
                }
            }
        }
    };
}

error_codes! {
    BadJson = "bad_json", 400, "올바른 JSON이 아닙니다", "That is not valid JSON";
    BadRequest = "bad_request", 400, "잘못된 요청입니다", "The request is malformed, or a field is missing or not as it should be";
    UnknownType = "unknown_type", 400, "알 수 없는 메시지 종류입니다", "There is no message of that type";
    BadRoomName = "bad_room_name", 400, "방 이름은 보이지 않는 문자나 앞뒤 공백 없이 1~64자여야 합니다", "A room name has 1 to 64 characters, none of them invisible, and no spaces at its ends";
    BadChannelName = "bad_channel_name", 400, "채널 이름은 a-z, 0-9, _, -로 1~64자여야 합니다", "A channel name has 1 to 64 characters of a-z, 0-9, _ and -";
    Unauthorized = "unauthorized", 401, "인증이 필요합니다", "Please sign in first";
    InvalidCredentials = "invalid_credentials", 401, "이름이나 비밀번호가 올바르지 않습니다", "The name or the password is wrong";
    InvalidToken = "invalid_token", 401, "토큰이 유효하지 않습니다", "The token is not valid";
    NotInRoom = "not_in_room", 403, "이 방에 들어가 있지 않습니다", "You are not in that room";
    RoomFull = "room_full", 403, "방이 가득 찼습니다", "The room is full";
    Forbidden = "forbidden", 403, "권한이 없습니다", "You may not do that";
    ForbiddenOrigin = "forbidden_origin", 403, "허용되지 않은 출처입니다", "That origin is not allowed";
    ChannelReserved = "channel_reserved", 403, "서버가 쓰는 채널 이름입니다", "That channel name is the server's own";
    NotFound = "not_found", 404, "찾을 수 없습니다", "There is nothing here";
    RoomNotFound = "room_not_found", 404, "그런 방이 없습니다", "There is no such room";
    UserNotFound = "user_not_found", 404, "그런 사용자가 접속해 있지 않습니다", "That user is not here";
    MethodNotAllowed = "method_not_allowed", 405, "이 주소에서는 쓸 수 없는 메서드입니다", "That method is not allowed here";
    RequestTimeout = "request_timeout", 408, "요청이 너무 늦습니다", "The request took too long";
    AlreadyInRoom = "already_in_room", 409, "이미 이 방에 있습니다", "You are in that room already";
    RoomExists = "room_exists", 409, "같은 이름의 방이 이미 있습니다", "A room of that name exists already";
    IdReused = "id_reused", 409, "같은 id로 다른 내용을 이미 보냈습니다", "That id was used for other content";
    LengthRequired = "length_required", 411, "Content-Length가 필요합니다", "Content-Length is required";
    ContentTooLong = "content_too_long", 413, "메시지가 너무 깁니다", "The message is too long";
    ContentTooLarge = "content_too_large", 413, "본문이 너무 큽니다", "The content is too large";
    UriTooLong = "uri_too_long", 414, "주소가 너무 깁니다", "The target is too long";
    UnsupportedMediaType = "unsupported_media_type", 415, "application/json만 받습니다", "Send application/json";
    ExpectationFailed = "expectation_failed", 417, "들어줄 수 없는 Expect입니다", "That expectation cannot be met";
    MisdirectedRequest = "misdirected_request", 421, "이 호스트 이름에는 답하지 않습니다. 서버의 --host 옵션으로 허용할 수 있습니다", "This server does not answer for that host name; its option --host can allow it";
    UpgradeRequired = "upgrade_required", 426, "WebSocket으로 접속하세요", "Connect with WebSocket";
    RateLimited = "rate_limited", 429, "메시지를 너무 자주 보냈습니다", "Too many messages in a short time";
    TooManyRequests = "too_many_requests", 429, "시도가 너무 잦습니다. 잠시 후 다시 해 주세요", "Too many attempts; please wait a moment";
    HeaderFieldsTooLarge = "header_fields_too_large", 431, "헤더가 너무 큽니다", "The header fields are too large";
    NotImplemented = "not_implemented", 501, "지원하지 않는 기능입니다", "That is not implemented";
    TooManyRooms = "too_many_rooms", 503, "방이 너무 많습니다", "There are too many rooms";
    TooManyChannels = "too_many_channels", 503, "채널이 너무 많습니다", "There are too many channels";
    Unavailable = "unavailable", 503, "지금은 너무 바쁩니다", "The server is too busy right now";
    StorageUnavailable = "storage_unavailable", 503, "지금은 저장할 수 없습니다", "It cannot be kept right now; send it again with the same id";
    BackendUnavailable = "backend_unavailable", 503, "지금은 다른 서버가 응답하지 않습니다", "The back end does not answer right now";
    HttpVersionNotSupported = "http_version_not_supported", 505, "HTTP/1.1로 보내 주세요", "Please speak HTTP/1.1";
}

impl ErrorCode {
    /// The name on the wire, for programs.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The HTTP status it is answered with (RFC 9110 section 15).
    pub const fn status(self) -> u16 {
        self.row().status
    }

    /// The sentence in Korean.
    pub const fn korean(self) -> &'static str {
        self.row().korean
    }

    /// The sentence in English.
    pub const fn english(self) -> &'static str {
        self.row().english
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_a_name_of_its_own_a_status_and_a_sentence_in_each_language() {
        let mut texts = std::collections::BTreeSet::new();
        for code in ErrorCode::ALL {
            let written = serde_json::to_string(code).expect("is written");
            assert_eq!(written, format!("\"{}\"", code.name()));
            let is_korean = |c| ('가'..='힣').contains(&c);
            assert!(code.korean().contains(is_korean), "{written}");
            assert!(
                code.english().is_ascii() && code.english().contains(' '),
                "{written}"
            );
            assert!((400..600).contains(&code.status()), "{written}");
            texts.extend([code.name(), code.korean(), code.english()]);
        }
        assert_eq!(texts.len(), 3 * ErrorCode::ALL.len());
    }

    #[test]
    fn the_codes_of_the_contract_have_their_statuses() {
        for (code, name, status) in [
            (ErrorCode::BadJson, "bad_json", 400),
            (ErrorCode::NotInRoom, "not_in_room", 403),
            (ErrorCode::Forbidden, "forbidden", 403),
            (ErrorCode::RoomNotFound, "room_not_found", 404),
            (ErrorCode::RoomExists, "room_exists", 409),
            (ErrorCode::IdReused, "id_reused", 409),
            (ErrorCode::ContentTooLong, "content_too_long", 413),
            (ErrorCode::MisdirectedRequest, "misdirected_request", 421),
            (ErrorCode::RateLimited, "rate_limited", 429),
            (ErrorCode::StorageUnavailable, "storage_unavailable", 503),
            (ErrorCode::BackendUnavailable, "backend_unavailable", 503),
        ] {
            assert_eq!((code.name(), code.status()), (name, status));
        }
    }
}
