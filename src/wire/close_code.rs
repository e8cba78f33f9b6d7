//! Close codes: why a WebSocket is closed (RFC 6455 section 7.4).

use tungstenite::protocol::frame::coding;

/// A close code and its reason: a code of RFC 6455 section 7.4.1, or one of ours from 4000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(pub u16, pub &'static str);

impl CloseCode {
    /// The server is going away.
    pub const GOING_AWAY: Self = Self(1001, "서버를 종료합니다");
    /// The peer violated the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002, "");
    /// The peer's close frame has a code that an endpoint may not send.
    pub const INVALID_CODE: Self = Self(1002, "Protocol violation");
    /// A binary message on a route that takes only text.
    pub const UNSUPPORTED_DATA: Self = Self(1003, "텍스트 메시지만 받습니다");
    /// Text that is not UTF-8.
    pub const INVALID_TEXT: Self = Self(1007, "");
    /// A message over the size limit.
    pub const MESSAGE_TOO_BIG: Self = Self(1009, "");
    /// The user has as many connections as one may have: try again later (IANA's WebSocket Close Code Number Registry).
    pub const TOO_MANY_CONNECTIONS: Self = Self(1013, "한 사람의 연결이 너무 많습니다");
    /// Not identified: the ticket is missing, unknown, used or expired, or the name is not allowed for a guest.
    pub const INVALID_TICKET: Self = Self(4001, "유효하지 않은 티켓");
    /// The token of the session has expired.
    pub const TOKEN_EXPIRED: Self = Self(4002, "토큰이 만료되었습니다");
    /// The token of the session was revoked, or its account was removed.
    pub const SESSION_ENDED: Self = Self(4002, "로그인이 끝났습니다");
    /// A browser sent an Origin that is not allowed.
    pub const FORBIDDEN_ORIGIN: Self = Self(4003, "허용되지 않은 출처");
    /// A guest's name that another guest holds, or that guests without a key are using.
    pub const NAME_TAKEN: Self = Self(4005, "이미 쓰고 있는 이름");
    /// A moderator has put the user out, or banned them; the reason is the moderator's.
    pub const PUT_OUT: Self = Self(4006, "내보내졌습니다");
    /// The peer reads too slowly: its outbox is over the limit.
    pub const SLOW_CONSUMER: Self = Self(4008, "수신이 너무 느립니다");
    /// The peer kept sending over the rate limit after it was warned.
    pub const RATE_LIMITED: Self = Self(4009, "메시지를 너무 자주 보냈습니다");

    /// Whether an endpoint may send this code in a close frame (RFC 6455 section 7.4, and IANA's registry).
    pub fn may_be_sent(code: u16) -> bool {
        // tungstenite does not know this code.
        code == BAD_GATEWAY || coding::CloseCode::from(code).is_allowed()
    }
}

/// A gateway got an invalid response from its upstream server. IANA registered the code after RFC 6455.
const BAD_GATEWAY: u16 = 1014;
