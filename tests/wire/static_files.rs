//! The files under `/static`: by their usual names, and by names that their content determines, which are kept for good (RFC 8246).

use std::collections::BTreeSet;

use crate::support::{Response, Server, assert_no_failures};

/// The scripts that are asked for; all others in the folder are parts of them.
pub const SCRIPTS: [&str; 4] = ["chat.js", "dashboard.js", "sarang.js", "theme.js"];

const KEPT: &str = "public, max-age=31536000, immutable";

/// The text between all pairs of two texts.
fn between<'t>(text: &'t str, start: &str, end: char) -> Vec<&'t str> {
    let parts = text.split(start).skip(1);
    parts.filter_map(|rest| rest.split(end).next()).collect()
}

/// The targets of all parts of a page: those that it names, and those that they name.
fn parts(server: &Server, page: &str) -> BTreeSet<String> {
    let page = server.get(page);
    let mut waiting: Vec<String> = between(page.text(), "\"static/", '"')
        .iter()
        .map(|name| format!("/static/{name}"))
        .collect();
    let mut found = BTreeSet::new();
    while let Some(target) = waiting.pop() {
        let part = server.get(&target);
        assert_eq!(part.status, 200, "{target}");
        if target.ends_with(".webmanifest") {
            let names = between(part.text(), "\"src\": \"", '"');
            waiting.extend(names.iter().map(|name| format!("/static/{name}")));
        }
        found.insert(target);
    }
    found
}

/// The usual name of a file, from that of its content.
fn usual(target: &str) -> String {
    let parts: Vec<&str> = target.split('.').collect();
    let (hash, extension) = (parts.len() - 2, parts.len() - 1);
    format!("{}.{}", parts[..hash].join("."), parts[extension])
}

#[test]
fn every_part_of_a_page_is_named_by_its_content_and_kept_for_good() {
    let server = Server::start(&[]);
    for (page, least) in [("/", 8), ("/dashboard", 8)] {
        let parts = parts(&server, page);
        assert!(parts.len() >= least, "{parts:?}");
        for target in parts {
            let part = server.get(&target);
            assert_eq!(part.required("cache-control"), KEPT, "{target}");
            let same = server.get(&usual(&target));
            assert_eq!(same.required("cache-control"), "no-cache", "{target}");
            assert!(same.body == part.body, "{target}");
            assert_eq!(same.required("etag"), part.required("etag"));
            assert!(target.contains(part.required("etag").trim_matches('"')));
        }
    }
}

/// Each file costs a browser some milliseconds.
#[test]
fn the_scripts_that_a_page_starts_and_the_module_import_nothing_more() {
    let server = Server::start(&[]);
    let mut scripts = BTreeSet::from(["/static/sarang.js".to_owned()]);
    for page in ["/", "/dashboard"] {
        scripts.extend(parts(&server, page));
    }
    scripts.retain(|target| target.ends_with(".js"));
    assert_eq!(scripts.len(), 4, "{scripts:?}");
    for target in scripts {
        let script = server.get(&target);
        for begins in ["import ", "import{", "export {", "export *"] {
            let line = script.text().lines().find(|line| line.starts_with(begins));
            assert_eq!(line, None, "{target}");
        }
        assert!(!script.text().contains(" import("), "{target}");
    }
}

#[test]
fn a_page_is_asked_for_each_time_and_answered_without_content_while_it_is_the_same() {
    let server = Server::start(&[]);
    let page = server.get("/");
    assert_eq!(page.required("cache-control"), "no-cache");
    let known = format!("If-None-Match: {}\r\n", page.required("etag"));
    let again = server.connect().request("GET", "/", &known);
    assert_eq!(again.status, 304);
}

/// A tab that was opened before the server was replaced, or a page of another node, asks for what it knows.
#[test]
fn the_name_of_other_content_leads_to_the_file_of_today_which_is_not_kept() {
    let server = Server::start(&[]);
    let other = server.get("/static/chat.0123456789abcdef.js");
    assert_eq!(other.status, 200);
    assert_eq!(other.required("cache-control"), "no-cache");
    assert!(other.body == server.get("/static/chat.js").body);
    for none in [
        "/static/none.0123456789abcdef.js",
        "/static/chat.0123456789abcde.js",
        "/static/chat.0123456789ABCDEF.js",
        "/static/chat.0123456789abcdef",
        "/static/index.0123456789abcdef.html",
        "/static/openapi.json",
        "/static/.0123456789abcdef.",
    ] {
        server.get(none).assert_error(404, "not_found");
    }
}

#[test]
fn every_kind_of_file_has_its_type() {
    let server = Server::start(&[]);
    let mut failures = Vec::new();
    for entry in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/static")).expect("a folder")
    {
        let name = entry.expect("an entry").file_name();
        let name = name.to_str().expect("UTF-8");
        let expected = match name.rsplit('.').next() {
            Some("js") if SCRIPTS.contains(&name) => "text/javascript; charset=utf-8",
            // A part of these.
            Some("js") => {
                assert_eq!(server.get(&format!("/static/{name}")).status, 404, "{name}");
                continue;
            }
            Some("css") => "text/css; charset=utf-8",
            Some("webmanifest") => "application/manifest+json",
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            Some("ts") => "text/plain; charset=utf-8",
            // These have addresses of their own.
            Some("html" | "json") => continue,
            _ => "unknown",
        };
        let file = server.get(&format!("/static/{name}"));
        if file.status != 200 || file.field("content-type") != Some(expected) {
            failures.push(format!("{name}: {file:?}"));
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn what_does_not_get_shorter_is_not_compressed() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let icon = http.request("GET", "/static/icon-192.png", "Accept-Encoding: gzip\r\n");
    assert_eq!(icon.field("content-encoding"), None);
    assert_eq!(icon.field("vary"), None);
    assert!(icon.body.starts_with(b"\x89PNG"));
    let known = format!("If-None-Match: {}\r\n", icon.required("etag"));
    let head = http.request("HEAD", "/static/icon-192.png", "");
    let length = icon.body.len().to_string();
    assert_eq!(head.required("content-length"), length);
    assert_eq!(head.required("etag"), icon.required("etag"));
    let again = http.request("GET", "/static/icon-192.png", &known);
    assert_eq!(again.status, 304);
}

const APP: &str = "https://app.example";

fn asked_by(server: &Server, target: &str, origin: &str) -> Response {
    let origin = format!("Origin: {origin}\r\n");
    server.connect().request("GET", target, &origin)
}

/// A module of another origin is asked for with CORS (HTML standard, module scripts).
#[test]
fn a_page_of_an_allowed_origin_may_import_the_module() {
    let server = Server::start(&["--allow-origin", APP]);
    let allowed = asked_by(&server, "/static/sarang.js", APP);
    assert_eq!(allowed.required("access-control-allow-origin"), APP);
    assert!(allowed.lists("vary", "origin"), "{allowed:?}");
    let other = asked_by(&server, "/static/sarang.js", "https://evil.example");
    assert_eq!(other.field("access-control-allow-origin"), None);
    assert!(other.lists("vary", "origin"), "{other:?}");
}

#[test]
fn the_pages_can_be_installed() {
    let server = Server::start(&[]);
    for page in ["/", "/dashboard"] {
        let page = server.get(page);
        let policy = page.required("content-security-policy");
        assert!(policy.contains("manifest-src 'self'"), "{policy}");
        let names = between(page.text(), "rel=\"manifest\" href=\"", '"');
        let manifest = server.get(&format!("/{}", names[0]));
        let manifest: serde_json::Value =
            serde_json::from_slice(&manifest.body).expect("a manifest is JSON");
        assert_eq!(manifest["start_url"], "../");
        let icons = manifest["icons"].as_array().expect("icons");
        for (purpose, sizes) in [
            ("any", "192x192"),
            ("any", "512x512"),
            ("maskable", "512x512"),
        ] {
            let icon = icons
                .iter()
                .find(|icon| icon["purpose"] == purpose && icon["sizes"] == sizes)
                .unwrap_or_else(|| panic!("no icon {purpose} {sizes}"));
            let name = icon["src"].as_str().expect("an address");
            let icon = server.get(&format!("/static/{name}"));
            assert_eq!(icon.required("content-type"), "image/png");
            // The width and the height, in the first chunk of a PNG.
            let read = |at: usize| u32::from_be_bytes(icon.body[at..at + 4].try_into().expect("4"));
            assert_eq!(format!("{}x{}", read(16), read(20)), sizes);
        }
    }
}
