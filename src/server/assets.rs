//! The pages, embedded in the binary in the coding gzip. Most clients take them so; for others they are inflated.

use std::borrow::Cow;
use std::sync::OnceLock;

use miniz_oxide::inflate::decompress_to_vec;
use sha2::{Digest as _, Sha256};

use crate::wire::http::Request;
use crate::wire::response::Response;

/// Scripts, styles and connections from this origin only, nothing inline, and no framing by other pages.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

struct Asset {
    name: &'static str,
    content_type: &'static str,
    /// The content in the coding gzip (RFC 1952), as `build.rs` made it.
    gzip: &'static [u8],
    /// The content as it is: inflated for the first client that does not take gzip, and kept.
    plain: OnceLock<Box<[u8]>>,
    /// The entity tag of the content as it is (RFC 9110 section 8.8.3), from a hash: computed with the first request.
    entity_tag: OnceLock<String>,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
/// Always UTF-8 (RFC 8259 section 8.1).
const JSON: &str = "application/json";

/// A file of the folder `static`.
macro_rules! asset {
    ($name:literal, $content_type:expr) => {
        Asset {
            name: $name,
            content_type: $content_type,
            gzip: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz")),
            plain: OnceLock::new(),
            entity_tag: OnceLock::new(),
        }
    };
}

static ASSETS: [Asset; 32] = [
    asset!("index.html", HTML),
    asset!("chat.js", SCRIPT),
    asset!("chat.css", STYLE),
    asset!("lists.js", SCRIPT),
    asset!("log.js", SCRIPT),
    asset!("sarang.js", SCRIPT),
    asset!("past.js", SCRIPT),
    asset!("asking.js", SCRIPT),
    asset!("connection.js", SCRIPT),
    asset!("names.js", SCRIPT),
    asset!("outgoing.js", SCRIPT),
    asset!("composer.js", SCRIPT),
    asset!("conversation.js", SCRIPT),
    asset!("entry.js", SCRIPT),
    asset!("hearing.js", SCRIPT),
    asset!("house.js", SCRIPT),
    asset!("session.js", SCRIPT),
    asset!("stay.js", SCRIPT),
    asset!("view.js", SCRIPT),
    asset!("words.js", SCRIPT),
    asset!("dashboard.js", SCRIPT),
    asset!("dashboard.css", STYLE),
    asset!("dashboard-words.js", SCRIPT),
    asset!("chart.js", SCRIPT),
    asset!("figure.js", SCRIPT),
    asset!("gauge.js", SCRIPT),
    asset!("series.js", SCRIPT),
    asset!("stream.js", SCRIPT),
    asset!("dashboard.html", HTML),
    asset!("grafana.json", JSON),
    asset!("openapi.json", JSON),
    asset!("asyncapi.json", JSON),
];

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

/// The length of what stands before the compressed content and behind it (RFC 1952 section 2.3): `build.rs` writes none
/// of the optional parts.
const GZIP_HEADER: usize = 10;
const GZIP_TRAILER: usize = 8;

impl Asset {
    fn plain(&'static self) -> &'static [u8] {
        self.plain.get_or_init(|| {
            let compressed = &self.gzip[GZIP_HEADER..self.gzip.len() - GZIP_TRAILER];
            decompress_to_vec(compressed)
                .expect("build.rs compressed it, and a test inflates every file")
                .into()
        })
    }

    /// The hash is of the compressed content, from which the other follows. Each coding has a tag of its own (RFC 9110
    /// section 8.8.3.3).
    fn entity_tag(&'static self, is_gzip: bool) -> Cow<'static, str> {
        let plain = self.entity_tag.get_or_init(|| entity_tag(self.gzip));
        match is_gzip {
            true => format!("{}-gzip\"", plain.trim_end_matches('"')).into(),
            false => plain.as_str().into(),
        }
    }
}

/// The response with a file, in the coding that the client takes; 304 if its copy is current (RFC 9110 section 13.1.2).
pub fn response(AssetId(index): AssetId, request: &Request) -> Response {
    let asset = &ASSETS[index];
    let is_gzip = request.fields.takes_gzip;
    let known = request.fields.if_none_match.as_deref().unwrap_or_default();
    let plain_tag = asset.entity_tag(false);
    let is_known = known
        .split(',')
        .map(str::trim)
        .any(|other| other == "*" || is_same_content(other, &plain_tag));
    let response = match (is_known, is_gzip) {
        (true, _) => Response::empty(304),
        (false, false) => Response::with(200, asset.content_type, asset.plain()),
        (false, true) => {
            Response::with(200, asset.content_type, asset.gzip).field("Content-Encoding", "gzip")
        }
    };
    response
        .field("ETag", asset.entity_tag(is_gzip))
        .varying_with("Accept-Encoding")
        .field("Cache-Control", "no-cache")
        .field("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        .field("Referrer-Policy", "no-referrer")
}

/// Whether a client's tag is ours, whatever the coding, by weak comparison (RFC 9110 section 8.8.3.2): a copy in either coding
/// is current. A proxy that compresses a file gives it a tag of its own, as it must, by appending the coding (Apache:
/// `"abc-gzip"`). Many pass that tag on as it is, and without this a compressed file would be sent whole each time.
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
    fn every_file_is_embedded_as_it_is_in_the_folder() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/static"));
        let mut count = 0;
        for entry in folder.expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str());
            let asset = ASSETS.iter().find(|asset| Some(asset.name) == name);
            let asset = asset.unwrap_or_else(|| panic!("{name:?} is not embedded"));
            let content = std::fs::read(&path).expect("a file");
            assert!(asset.plain() == content, "{name:?}");
            assert!(asset.gzip.len() < content.len(), "{name:?}");
            let length = asset
                .gzip
                .last_chunk()
                .map(|four| u32::from_le_bytes(*four));
            assert_eq!(length, u32::try_from(content.len()).ok(), "{name:?}");
            count += 1;
        }
        assert_eq!(count, ASSETS.len());
    }

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
