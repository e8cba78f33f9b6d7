//! What the claims of another back end's tokens may be: subjects, dates and audiences.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::token::{bearer, minted, minted_of};
use crate::support::{Chatter, Response, Server, assert_no_failures};

const SECRET: &str = "a secret shared with another back end";
const NEVER: u64 = 4_000_000_000;

/// A server that shares a secret with another back end.
fn server(name: &str, options: &[&str]) -> Server {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("claims-{name}-{}", std::process::id()));
    fs::write(&file, format!("one:{SECRET}\n")).expect("a file of secrets");
    let path = file.to_str().expect("a path in UTF-8");
    let server = Server::start(&[&["--secret-file", path], options].concat());
    fs::remove_file(&file).expect("the file was read");
    server
}

/// Asks for a ticket with a token.
fn present(server: &Server, token: &str) -> Response {
    server
        .connect()
        .post_with("/auth/ws-ticket", &bearer(token), "")
}

fn present_claims(server: &Server, claims: &Value) -> Response {
    present(server, &minted(claims, SECRET))
}

#[test]
fn a_subject_may_be_any_string_or_uri() {
    let server = server("subjects", &[]);
    let longest = "가".repeat(255);
    let refused = [
        "user:42",
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "https://idp/u/7",
        "@kim:matrix.org",
        "kim@example.com",
        &longest,
    ]
    .map(|subject| present_claims(&server, &json!({"sub": subject, "exp": NEVER})))
    .map(|response| response.status);
    assert_eq!(refused, [200; 6]);
}

#[test]
fn somebody_with_such_a_subject_chats_and_is_whispered_to_by_it() {
    let server = server("talk", &[]);
    let token = minted(&json!({"sub": "@kim:matrix.org", "exp": NEVER}), SECRET);
    let ticket = present(&server, &token).json()["ticket"].clone();
    let target = format!("/ws?ticket={}", ticket.as_str().expect("a ticket"));
    let mut kim = Chatter::open(&server, &target, &[]);
    assert_eq!(kim.expect("welcome")["username"], "@kim:matrix.org");
    kim.send(json!({"type": "whisper", "to": "@kim:matrix.org", "content": "나에게"}));
    assert_eq!(kim.expect("whisper")["from"], "@kim:matrix.org");
}

#[test]
fn a_date_may_have_a_fraction() {
    let server = server("dates", &[]);
    let mut faults = Vec::new();
    for dates in [
        r#""exp":4e9"#,
        r#""exp":4000000000.0"#,
        r#""exp":4000000000.5"#,
        r#""exp":253402300799"#,
        r#""exp":4e9,"iat":1700000000.5"#,
        r#""exp":4e9,"nbf":1700000000.0"#,
        r#""exp":4e9,"nbf":-1"#,
        r#""exp":4e9,"auth_time":1700000000.25"#,
    ] {
        let claims = format!(r#"{{"sub":"홍길동",{dates}}}"#);
        let response = present(&server, &minted_of(r#"{"alg":"HS256"}"#, &claims, SECRET));
        if response.status != 200 {
            faults.push(format!("{dates}: {}", response.status));
        }
    }
    assert_no_failures(&faults);
}

#[test]
fn a_token_for_somebody_else_signs_nobody_in() {
    let (open, named) = (server("aud", &[]), server("named", &["--audience", "chat"]));
    for (aud, is_taken) in [
        (json!("password-reset"), false),
        (json!(["shop", "password-reset"]), false),
        (json!([]), false),
        (json!(null), false),
        (json!("CHAT"), false),
        (json!("chat"), true),
        (json!(["shop", "chat"]), true),
    ] {
        let claims = json!({"sub": "홍길동", "exp": NEVER, "aud": aud});
        let challenge = |response: &Response| {
            let challenge = response.field("www-authenticate").unwrap_or_default();
            assert!(challenge.contains("the token's aud"), "{challenge}");
        };
        let refused = present_claims(&open, &claims);
        refused.assert_error(401, "invalid_token");
        challenge(&refused);
        let response = present_claims(&named, &claims);
        assert_eq!(response.status == 200, is_taken, "{aud}");
        if !is_taken {
            challenge(&response);
        }
    }
    let without = json!({"sub": "홍길동", "exp": NEVER});
    assert_eq!(present_claims(&named, &without).status, 200);
}

#[test]
fn a_refusal_gives_the_true_reason() {
    let server = server("reasons", &[]);
    for (claims, reason) in [
        (json!({"exp": NEVER}), "the token has no sub"),
        (
            json!({"sub": 7, "exp": NEVER}),
            "the token's sub is not a string",
        ),
        (
            json!({"sub": "a".repeat(256), "exp": NEVER}),
            "the token's sub is too long",
        ),
        (json!({"sub": "a"}), "the token has no exp"),
        (
            json!({"sub": "a", "exp": "4000000000"}),
            "a date in the token is not a number",
        ),
        (
            json!({"sub": "a", "exp": 1000 * NEVER}),
            "it must be in seconds",
        ),
        (json!({"sub": "a", "exp": 1.5}), "the token has expired"),
        (json!({"sub": "a", "exp": -1}), "the token has expired"),
    ] {
        let response = present_claims(&server, &claims);
        let challenge = response.field("www-authenticate").unwrap_or_default();
        assert!(challenge.contains(reason), "{claims}: {challenge}");
    }
}
