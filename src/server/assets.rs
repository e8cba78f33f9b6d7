//! The pages, embedded in the binary.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use crate::wire::http::Request;
use crate::wire::response::Response;

/// Scripts, styles and connections from this origin only, nothing inline, and no framing by other pages.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
/// Always UTF-8 (RFC 8259 section 8.1).
const JSON: &str = "application/json";

const ASSETS: &[Asset] = &[
    Asset {
        name: "index.html",
        content_type: HTML,
        bytes: include_bytes!("../../static/index.html"),
    },
    Asset {
        name: "chat.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/chat.js"),
    },
    Asset {
        name: "chat.css",
        content_type: STYLE,
        bytes: include_bytes!("../../static/chat.css"),
    },
    Asset {
        name: "lists.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/lists.js"),
    },
    Asset {
        name: "log.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/log.js"),
    },
    Asset {
        name: "sarang.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/sarang.js"),
    },
    Asset {
        name: "entry.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/entry.js"),
    },
    Asset {
        name: "session.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/session.js"),
    },
    Asset {
        name: "view.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/view.js"),
    },
    Asset {
        name: "words.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/words.js"),
    },
    Asset {
        name: "dashboard.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/dashboard.js"),
    },
    Asset {
        name: "dashboard.css",
        content_type: STYLE,
        bytes: include_bytes!("../../static/dashboard.css"),
    },
    Asset {
        name: "dashboard-words.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/dashboard-words.js"),
    },
    Asset {
        name: "chart.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/chart.js"),
    },
    Asset {
        name: "figure.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/figure.js"),
    },
    Asset {
        name: "gauge.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/gauge.js"),
    },
    Asset {
        name: "series.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/series.js"),
    },
    Asset {
        name: "stream.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../static/stream.js"),
    },
    Asset {
        name: "dashboard.html",
        content_type: HTML,
        bytes: include_bytes!("../../static/dashboard.html"),
    },
    Asset {
        name: "grafana.json",
        content_type: JSON,
        bytes: include_bytes!("../../static/grafana.json"),
    },
];

/// Entity tags (RFC 9110 section 8.8.3), from a hash of the content: computed with the first request for a file.
static ENTITY_TAGS: LazyLock<Vec<String>> =
    LazyLock::new(|| ASSETS.iter().map(|asset| entity_tag(asset.bytes)).collect());

/// An embedded file.
#[derive(Clone, Copy, Debug)]
pub struct AssetId(usize);

/// The file with this name, among those under `/static` (`is_part`) or those with a path of their own.
pub fn find(name: &str, is_part: bool) -> Option<AssetId> {
    let is_it = |asset: &Asset| {
        asset.name == name && matches!(asset.content_type, SCRIPT | STYLE) == is_part
    };
    ASSETS.iter().position(is_it).map(AssetId)
}

/// The content codings that proxies apply to a file.
const CODINGS: [&str; 4] = ["gzip", "br", "zstd", "deflate"];

/// What proxies put between an entity tag and the content coding that they applied.
const SEPARATORS: [&str; 3] = ["--", "-", ";"];

/// The response with a file; 304 if the client's copy is current (RFC 9110 section 13.1.2).
pub fn response(AssetId(index): AssetId, request: &Request) -> Response {
    let (asset, tag) = (&ASSETS[index], &ENTITY_TAGS[index]);
    let known = request.fields.if_none_match.as_deref().unwrap_or_default();
    let is_known = known
        .split(',')
        .map(str::trim)
        .any(|other| other == "*" || is_same_content(other, tag));
    let response = match is_known {
        true => Response::empty(304),
        false => Response::with(200, asset.content_type, asset.bytes),
    };
    response
        .field("ETag", tag.as_str())
        .field("Cache-Control", "no-cache")
        .field("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        .field("Referrer-Policy", "no-referrer")
}

/// Whether a client's tag is ours, by weak comparison (RFC 9110 section 8.8.3.2). A proxy that compresses a file gives it a
/// tag of its own, as it must, by appending the coding (Apache: `"abc-gzip"`). Many pass that tag on as it is, and without
/// this a compressed file would be sent whole each time.
fn is_same_content(other: &str, tag: &str) -> bool {
    let other = other.strip_prefix("W/").unwrap_or(other);
    if other == tag {
        return true;
    }
    let Some(suffix) = other
        .strip_suffix('"')
        .and_then(|other| other.strip_prefix(tag.trim_end_matches('"')))
    else {
        return false;
    };
    let coding = SEPARATORS
        .iter()
        .find_map(|separator| suffix.strip_prefix(separator));
    coding.is_some_and(|coding| CODINGS.contains(&coding))
}

fn entity_tag(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_ours_whatever_coding_a_proxy_appended_and_no_other_is() {
        let ours = "\"0123456789abcdef\"";
        for (other, expected) in [
            (r#""0123456789abcdef""#, true),
            (r#"W/"0123456789abcdef""#, true),
            (r#""0123456789abcdef-gzip""#, true),
            (r#"W/"0123456789abcdef-br""#, true),
            (r#""0123456789abcdef--zstd""#, true),
            (r#""0123456789abcdef;gzip""#, true),
            (r#""0123456789abcdef-deflate""#, true),
            (r#"w/"0123456789abcdef""#, false),
            (r#"W/W/"0123456789abcdef""#, false),
            (r#""0123456789abcde-gzip""#, false),
            (r#""0123456789abcdefgzip""#, false),
            (r#""0123456789abcdef-""#, false),
            (r#""0123456789abcdef-gzip"#, false),
            (r#""0123456789abcdef-gzip-br""#, false),
            (r#""0123456789abcdef-v2""#, false),
            (r#"0123456789abcdef"#, false),
            (r#"""#, false),
            (r#""""#, false),
            ("", false),
        ] {
            assert_eq!(is_same_content(other, ours), expected, "{other}");
        }
    }
}
