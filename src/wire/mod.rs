//! Floor 0, the codecs: bytes to values and back, by the RFCs. They know nothing of ours but the limits.

pub mod close_code;
pub mod event_stream;
pub mod http;
pub mod jwt;
pub mod response;
pub mod target;
pub mod walker;
pub mod websocket;
