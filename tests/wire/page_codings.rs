//! Pages in the coding gzip and as they are (RFC 9110 sections 8.8.3.3 and 12.5.3).

use std::io::Read as _;

use flate2::read::GzDecoder;

use crate::http_pages::FILES;
use crate::support::{Response, Server};

/// The content of a compressed response.
fn inflated(response: &Response) -> Vec<u8> {
    let mut content = Vec::new();
    let mut decoder = GzDecoder::new(&*response.body);
    decoder.read_to_end(&mut content).expect("gzip");
    content
}

#[test]
fn a_page_comes_compressed_to_a_client_that_takes_gzip_and_as_it_is_to_others() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    for (target, kind) in FILES {
        let whole = http.get(target);
        assert_eq!(whole.field("content-encoding"), None, "{target}");
        for (codings, is_gzip) in [
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, X-GZIP;q=0.2", true),
            ("*", true),
            ("identity;q=0.5\r\nAccept-Encoding: gzip", true),
            ("", false),
            ("br", false),
            ("identity", false),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("gzip;q=0.1, identity;q=0.2", false),
            ("gzip;q=yes", false),
        ] {
            let fields = format!("Accept-Encoding: {codings}\r\n");
            let page = http.request("GET", target, &fields);
            assert_eq!(page.status, 200, "{target} {codings}");
            assert_eq!(page.required("content-type"), kind);
            assert_eq!(page.required("cache-control"), "no-cache");
            assert_eq!(page.all("vary"), ["Accept-Encoding"]);
            let coding = page.field("content-encoding");
            assert_eq!(coding, is_gzip.then_some("gzip"), "{target} {codings}");
            if is_gzip {
                assert!(page.body.len() * 2 < whole.body.len(), "{target}");
                assert!(inflated(&page) == whole.body, "{target}");
            } else {
                assert!(page.body == whole.body, "{target} {codings}");
            }
            let head = http.request("HEAD", target, &fields);
            assert_eq!(without_date(&head), without_date(&page), "{target}");
        }
    }
}

fn without_date(response: &Response) -> Vec<&(String, String)> {
    let fields = response.fields.iter();
    fields.filter(|(name, _)| name != "date").collect()
}

/// So that a cache confuses them neither by the tag nor by the address (RFC 9110 section 8.8.3.3).
#[test]
fn each_coding_of_a_page_has_a_tag_of_its_own_and_a_copy_in_either_is_current() {
    let server = Server::start(&["--allow-origin", "https://app.example"]);
    let mut http = server.connect();
    for (target, _) in FILES {
        let whole = http.get(target).required("etag").to_owned();
        let page = http.request("GET", target, "Accept-Encoding: gzip\r\n");
        let compressed = page.required("etag").to_owned();
        assert_eq!(
            compressed,
            format!("{}-gzip\"", whole.trim_end_matches('"'))
        );
        for known in [&whole, &compressed] {
            for (codings, expected) in [("gzip", &compressed), ("br", &whole)] {
                let again = http.request(
                    "GET",
                    target,
                    &format!("If-None-Match: {known}\r\nAccept-Encoding: {codings}\r\n"),
                );
                assert_eq!(again.status, 304, "{target} {known} {codings}");
                assert_eq!(again.required("etag"), expected);
                assert_eq!(again.all("vary"), ["Accept-Encoding, Origin"]);
                assert_eq!(again.field("content-encoding"), None);
            }
        }
    }
}

#[test]
fn only_pages_are_compressed() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    for (target, status) in [
        ("/rooms", 200),
        ("/metrics", 200),
        ("/dashboard/", 308),
        ("/none", 404),
        ("/static/none.js", 404),
    ] {
        let answer = http.request("GET", target, "Accept-Encoding: gzip\r\n");
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.field("content-encoding"), None, "{target}");
        assert_eq!(answer.field("vary"), None, "{target}");
    }
}
