//! Floor 0, the codecs: bytes to values and back, as the RFCs define them. Of the server they know only the limits.

pub mod body_length;
pub mod chunked;
pub mod close_code;
pub mod content_coding;
pub mod event_stream;
pub mod field_lines;
pub mod forwarded;
pub mod frame;
pub mod frame_reader;
pub mod head;
pub mod head_error;
pub mod http;
pub mod jwt;
pub mod language;
pub mod method;
pub mod origin;
pub mod partial_head;
pub mod proxy_header;
pub mod resp;
pub mod response;
pub mod secret_bytes;
pub mod target;
pub mod text;
pub mod websocket;
pub mod weight;
