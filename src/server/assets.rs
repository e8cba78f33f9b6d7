//! The files of `static`, embedded in the binary in the coding gzip where that is shorter. Most clients take them so; for others
//! they are inflated.
//!
//! `build/pages.rs` gives each a name that its content determines, by which the pages refer to it: what such a name leads to never
//! changes, and is kept by browsers for good. By its usual name a file is asked for again each time.

use std::borrow::Cow;
use std::sync::OnceLock;

use miniz_oxide::inflate::decompress_to_vec;

use crate::wire::http::Request;
use crate::wire::response::Response;

/// Scripts, styles, connections and the manifest from this origin only, nothing inline, and no framing by other pages.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// For a file by its usual name: a copy is used once the server has said that it is current.
const ASK_EACH_TIME: &str = "no-cache";

/// For a file by a name that its content determines: a copy is used for a year without a question, a reload included (RFC 8246).
const KEEP: &str = "public, max-age=31536000, immutable";

struct Asset {
    name: &'static str,
    /// The entity tag of the content as it is (RFC 9110 section 8.8.3): its hash, in quotation marks.
    entity_tag: &'static str,
    /// Whether `content` is in the coding gzip (RFC 1952).
    is_gzip: bool,
    /// The content, as `build/pages.rs` made it.
    content: &'static [u8],
    /// The content as it is: inflated for the first client that does not take gzip, and kept.
    plain: OnceLock<Box<[u8]>>,
}

const HTML: &str = "text/html; charset=utf-8";
/// Always UTF-8 (RFC 8259 section 8.1).
const JSON: &str = "application/json";
const UNKNOWN: &str = "application/octet-stream";

/// A row of the table that the build script writes.
const fn file(
    name: &'static str,
    entity_tag: &'static str,
    is_gzip: bool,
    content: &'static [u8],
) -> Asset {
    Asset {
        name,
        entity_tag,
        is_gzip,
        content,
        plain: OnceLock::new(),
    }
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// An embedded file, by one of its names.
#[derive(Clone, Copy, Debug)]
pub struct AssetId {
    index: usize,
    /// Whether the name is that of its content.
    is_by_content: bool,
}

/// The page or description with this name, which has a path of its own.
pub fn find(name: &str) -> Option<AssetId> {
    named(name, false)
}

/// The file with this name under `/static`: its usual name, or that of its content.
///
/// The name of other content leads to the file as it is now, as its usual name does: a tab that was opened before the server was
/// replaced, or a page from a node that is of another version, still gets all its parts.
pub fn find_part(name: &str) -> Option<AssetId> {
    let Some((usual, hash)) = without_hash(name) else {
        return named(name, true);
    };
    let found = named(&usual, true)?;
    Some(AssetId {
        is_by_content: ASSETS[found.index].entity_tag.trim_matches('"') == hash,
        ..found
    })
}

fn named(name: &str, is_part: bool) -> Option<AssetId> {
    let is_it = |asset: &Asset| {
        asset.name == name && is_part != matches!(content_type(asset.name), HTML | JSON)
    };
    Some(AssetId {
        index: ASSETS.iter().position(is_it)?,
        is_by_content: false,
    })
}

/// The digits of a hash in a name.
const HASH_DIGITS: usize = 16;

/// The usual name of a file, and the hash, from a name by content: `chat.js` from `chat.0123456789abcdef.js`.
fn without_hash(name: &str) -> Option<(String, &str)> {
    let (stem, extension) = name.rsplit_once('.')?;
    let (stem, hash) = stem.rsplit_once('.')?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_hash = hash.len() == HASH_DIGITS && hash.bytes().all(is_digit);
    is_hash.then(|| (format!("{stem}.{extension}"), hash))
}

/// The type of a file, by its extension.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => HTML,
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => JSON,
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        // Declarations for editors; the registered type of the extension is that of films.
        "ts" => "text/plain; charset=utf-8",
        _ => UNKNOWN,
    }
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
        if !self.is_gzip {
            return self.content;
        }
        self.plain.get_or_init(|| {
            let compressed = &self.content[GZIP_HEADER..self.content.len() - GZIP_TRAILER];
            decompress_to_vec(compressed)
                .expect("build.rs compressed it, and a test inflates every file")
                .into()
        })
    }

    /// Each coding has a tag of its own (RFC 9110 section 8.8.3.3).
    fn entity_tag(&self, is_gzip: bool) -> Cow<'static, str> {
        match is_gzip {
            true => format!("{}-gzip\"", self.entity_tag.trim_end_matches('"')).into(),
            false => self.entity_tag.into(),
        }
    }
}

/// The response with a file, in the coding that the client takes; 304 if its copy is current (RFC 9110 section 13.1.2).
pub fn response(id: AssetId, request: &Request) -> Response {
    let asset = &ASSETS[id.index];
    let is_gzip = asset.is_gzip && request.fields.takes_gzip;
    let known = request.fields.if_none_match.as_deref().unwrap_or_default();
    let is_known = known
        .split(',')
        .map(str::trim)
        .any(|other| other == "*" || is_same_content(other, asset.entity_tag));
    let content_type = content_type(asset.name);
    let mut response = match (is_known, is_gzip) {
        (true, _) => Response::empty(304),
        (false, false) => Response::with(200, content_type, asset.plain()),
        (false, true) => {
            Response::with(200, content_type, asset.content).field("Content-Encoding", "gzip")
        }
    };
    if asset.is_gzip {
        response = response.varying_with("Accept-Encoding");
    }
    response
        .field("ETag", asset.entity_tag(is_gzip))
        .field(
            "Cache-Control",
            match id.is_by_content {
                true => KEEP,
                false => ASK_EACH_TIME,
            },
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Without what makes references lead to names by content: the hashes.
    fn without_hashes(content: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(content) else {
            return content.to_vec();
        };
        let mut text = text.to_owned();
        for asset in &ASSETS {
            let hash = asset.entity_tag.trim_matches('"');
            text = text.replace(&format!(".{hash}."), ".");
        }
        text.into_bytes()
    }

    fn plain_text(asset: &'static Asset) -> &'static str {
        std::str::from_utf8(asset.plain()).expect("UTF-8")
    }

    /// The lines of a module in a script: those behind the one that begins its function.
    fn module<'t>(script: &'t str, name: &str) -> Option<impl Iterator<Item = &'t str> + use<'t>> {
        let begin = format!(" = (() => {{ // {name}\n");
        let at = script.find(&begin)? + begin.len();
        Some(script[at..].lines())
    }

    /// Fails unless it is whole comments.
    fn assert_comments(name: &str, mut text: &str) {
        while !text.trim().is_empty() {
            text = text.trim_start();
            let end = match text.get(..2) {
                Some("//") => text.find('\n'),
                Some("/*") => text.find("*/").map(|at| at + 2),
                _ => None,
            };
            let rest = end.map(|end| &text[end..]);
            text = rest
                .filter(|rest| rest.starts_with('\n'))
                .unwrap_or_else(|| panic!("{name}: left out: {text}"));
        }
    }

    /// Fails unless the lines are those of the source, without comments, and with other words for what modules have of others.
    fn assert_lines<'t>(name: &str, source: &str, mut embedded: impl Iterator<Item = &'t str>) {
        let mut left_out = String::new();
        for line in source.lines() {
            let embedded = embedded.next().unwrap_or_else(|| panic!("{name}: {line}"));
            let code = line.strip_prefix("export ").unwrap_or(line);
            let is_import = line.starts_with("import {") && embedded.starts_with("const { ");
            let is_list = line.starts_with("export {") && embedded.is_empty();
            let begins_with_comment = code.trim_start().starts_with("/*")
                && !embedded.is_empty()
                && code.ends_with(&format!("*/ {embedded}"));
            if embedded == code || is_import || is_list || begins_with_comment {
                assert_comments(name, &std::mem::take(&mut left_out));
            } else {
                assert_eq!(embedded, "", "{name}: {line}");
                left_out.extend([line, "\n"]);
            }
        }
        assert_comments(name, &left_out);
    }

    #[test]
    fn every_file_is_embedded_as_it_is_in_the_folder_but_for_its_references_and_comments() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/static"));
        let mut names = std::collections::BTreeSet::new();
        for entry in folder.expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.expect("UTF-8");
            let content = std::fs::read(&path).expect("a file");
            let asset = ASSETS.iter().find(|asset| asset.name == name);
            let text = || std::str::from_utf8(&content).expect("UTF-8");
            match name.rsplit_once('.').expect("an extension").1 {
                "js" => {
                    let scripts = ASSETS.iter().filter(|asset| asset.name.ends_with(".js"));
                    let mut count = 0;
                    for lines in scripts.filter_map(|script| module(plain_text(script), name)) {
                        assert_lines(name, text(), lines);
                        count += 1;
                    }
                    if count == 0 {
                        let asset = asset.unwrap_or_else(|| panic!("{name} is in no script"));
                        assert_lines(name, text(), plain_text(asset).lines());
                    }
                }
                "css" => assert_lines(name, text(), plain_text(asset.expect(name)).lines()),
                _ => assert!(
                    without_hashes(asset.expect(name).plain()) == content,
                    "{name}"
                ),
            }
            names.insert(name.to_owned());
        }
        for asset in &ASSETS {
            assert!(names.contains(asset.name), "{}", asset.name);
            let last = asset.content.last_chunk();
            let length = last.map(|four| u32::from_le_bytes(*four));
            let is_whole = length == u32::try_from(asset.plain().len()).ok();
            assert!(!asset.is_gzip || is_whole, "{}", asset.name);
        }
    }

    #[test]
    fn every_file_has_a_type() {
        for asset in &ASSETS {
            assert_ne!(content_type(asset.name), UNKNOWN, "{}", asset.name);
        }
    }

    /// Every reference of a page or the manifest to another file.
    #[test]
    fn files_refer_to_each_other_by_their_content() {
        let mut count = 0;
        let referring =
            |asset: &&Asset| asset.name.ends_with(".html") || asset.name.ends_with(".webmanifest");
        for asset in ASSETS.iter().filter(referring) {
            let text = plain_text(asset);
            for part in &ASSETS {
                let name = part.name;
                for usual in [format!("\"static/{name}\""), format!("\"src\": \"{name}\"")] {
                    assert!(!text.contains(&usual), "{}: {usual}", asset.name);
                }
                let (stem, extension) = name.rsplit_once('.').expect("an extension");
                let hash = part.entity_tag.trim_matches('"');
                count += text.matches(&format!("{stem}.{hash}.{extension}")).count();
            }
        }
        assert!(count >= 12, "{count} references");
    }

    #[test]
    fn a_name_by_content_is_the_usual_name_and_a_hash() {
        let hash = "0123456789abcdef";
        for (name, usual) in [
            ("chat.0123456789abcdef.js", Some("chat.js")),
            ("sarang.d.0123456789abcdef.ts", Some("sarang.d.ts")),
            ("chat.js", None),
            ("sarang.d.ts", None),
            ("chat.0123456789abcdeF.js", None),
            ("chat.0123456789abcde.js", None),
            ("chat.0123456789abcdef0.js", None),
            ("0123456789abcdef.js", None),
            ("chat.0123456789abcdef", None),
            ("", None),
        ] {
            let found = without_hash(name);
            assert_eq!(found, usual.map(|usual| (usual.to_owned(), hash)), "{name}");
        }
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
