//! Close codes: why a WebSocket ends (RFC 6455 section 7.4).

/// A close code and its reason: RFC 6455 section 7.4.1, and ours from 4000 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(pub u16, pub &'static str);

impl CloseCode {
    /// The server is going away.
    pub const GOING_AWAY: Self = Self(1001, "서버를 종료합니다");
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002, "");
    /// A binary message where only text is spoken.
    pub const UNSUPPORTED_DATA: Self = Self(1003, "텍스트 메시지만 받습니다");
    /// Text that is not UTF-8.
    pub const INVALID_TEXT: Self = Self(1007, "");
    /// A message over the limit.
    pub const MESSAGE_TOO_BIG: Self = Self(1009, "");
    /// The server upstream of a gateway failed. IANA registered it after RFC 6455, and tungstenite does not know it.
    pub const BAD_GATEWAY: Self = Self(1014, "");
    /// No identity: no ticket, an unknown, used or expired one, or a name no guest can have.
    pub const INVALID_TICKET: Self = Self(4001, "유효하지 않은 티켓");
    /// The token behind the session has expired.
    pub const TOKEN_EXPIRED: Self = Self(4002, "토큰이 만료되었습니다");
    /// The token behind the session was revoked, or its account is gone.
    pub const SESSION_ENDED: Self = Self(4002, "로그인이 끝났습니다");
    /// A browser on a page that is not ours.
    pub const FORBIDDEN_ORIGIN: Self = Self(4003, "허용되지 않은 출처");
    /// The peer took too little of what was sent to it.
    pub const SLOW_CONSUMER: Self = Self(4008, "수신이 너무 느립니다");
    /// The peer sent too much in too short a time, and did not heed the warnings.
    pub const RATE_LIMITED: Self = Self(4009, "메시지를 너무 자주 보냈습니다");
}
