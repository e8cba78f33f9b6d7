//! The pages, embedded in the binary.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use crate::wire::http::Request;
use crate::wire::response::Response;

/// Scripts, styles and connections only from here; nothing inline, no frames around us.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

struct Asset {
    path: &'static [&'static str],
    content_type: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

const ASSETS: &[Asset] = &[
    Asset {
        path: &[""],
        content_type: HTML,
        bytes: include_bytes!("../../static/index.html"),
    },
    Asset {
        path: &["static", "chat.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/chat.js"),
    },
    Asset {
        path: &["static", "chat.css"],
        content_type: STYLE,
        bytes: include_bytes!("../../static/chat.css"),
    },
    Asset {
        path: &["static", "lists.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/lists.js"),
    },
    Asset {
        path: &["static", "log.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/log.js"),
    },
    Asset {
        path: &["static", "sarang.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/sarang.js"),
    },
    Asset {
        path: &["static", "entry.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/entry.js"),
    },
    Asset {
        path: &["static", "session.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/session.js"),
    },
    Asset {
        path: &["static", "view.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/view.js"),
    },
    Asset {
        path: &["static", "words.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/words.js"),
    },
    Asset {
        path: &["static", "dashboard.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/dashboard.js"),
    },
    Asset {
        path: &["static", "dashboard.css"],
        content_type: STYLE,
        bytes: include_bytes!("../../static/dashboard.css"),
    },
    Asset {
        path: &["static", "dashboard-words.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/dashboard-words.js"),
    },
    Asset {
        path: &["static", "chart.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/chart.js"),
    },
    Asset {
        path: &["static", "figure.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/figure.js"),
    },
    Asset {
        path: &["static", "gauge.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/gauge.js"),
    },
    Asset {
        path: &["static", "series.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/series.js"),
    },
    Asset {
        path: &["static", "stream.js"],
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/stream.js"),
    },
    Asset {
        path: &["dashboard"],
        content_type: HTML,
        bytes: include_bytes!("../../static/dashboard.html"),
    },
];

/// Entity tags (RFC 9110 section 8.8.3), by the content: computed when the first page is asked for.
static ENTITY_TAGS: LazyLock<Vec<String>> =
    LazyLock::new(|| ASSETS.iter().map(|asset| entity_tag(asset.bytes)).collect());

/// An embedded file.
#[derive(Clone, Copy, Debug)]
pub struct AssetId(usize);

/// The file at a path.
pub fn find(path: &[&str]) -> Option<AssetId> {
    ASSETS
        .iter()
        .position(|asset| asset.path == path)
        .map(AssetId)
}

/// The response with a file; 304 when the client has it (RFC 9110 section 13.1.2).
pub fn response(AssetId(index): AssetId, request: &Request) -> Response {
    let (asset, tag) = (&ASSETS[index], &ENTITY_TAGS[index]);
    let known = request.fields.if_none_match.as_deref().unwrap_or_default();
    let is_known = known
        .split(',')
        .map(str::trim)
        .any(|other| other == "*" || other.trim_start_matches("W/") == tag);
    let response = match is_known {
        true => Response::empty(304),
        false => Response::with(200, asset.content_type, asset.bytes),
    };
    response
        .field("ETag", tag.as_str())
        .field("Cache-Control", "no-cache")
        .field("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        .field("X-Content-Type-Options", "nosniff")
        .field("Referrer-Policy", "no-referrer")
}

fn entity_tag(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}
