//! Tokens that must be refused, over the wire at `POST /auth/ws-ticket`, and valid ones of another back end.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::support::{Response, Server, assert_no_failures};

const FIRST: &str = "first secret, long enough for HS256";
const SECOND: &str = "second secret: it has a colon, and spaces";
const FOREIGN: &str = "a secret that this server never heard of";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// A server that shares two secrets with another back end; its file is removed when the test ends.
struct Backend {
    server: Server,
    file: PathBuf,
}

impl Backend {
    fn start(name: &str) -> Self {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("tokens-{name}-{}", std::process::id()));
        fs::write(
            &file,
            format!("# shared\n\none:{FIRST}\n# older\ntwo:{SECOND}\n"),
        )
        .expect("a file of secrets");
        let path = file.to_str().expect("a path in UTF-8");
        let server = Server::start(&["--secret-file", path]);
        Self { server, file }
    }

    /// Asks for a ticket with any text after `Bearer`.
    fn present(&self, token: impl AsRef<[u8]>) -> Response {
        let mut http = self.server.connect();
        let host = http.host();
        let start = format!(
            "POST /auth/ws-ticket HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nAuthorization: Bearer "
        );
        http.send_if_open([start.as_bytes(), token.as_ref(), b"\r\n\r\n"].concat());
        http.response()
    }

    /// The rows whose token was not refused as it should be.
    fn judge(&self, tokens: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
        let tokens = tokens.into_iter();
        let verdicts = tokens.map(|(name, token)| (name, self.refusal_fault(&token)));
        verdicts
            .filter_map(|(name, fault)| Some(format!("{name}: {}", fault?)))
            .collect()
    }

    /// What is wrong with the refusal of a token, if anything is.
    fn refusal_fault(&self, token: &str) -> Option<String> {
        let response = self.present(token);
        let body = String::from_utf8_lossy(&response.body).into_owned();
        if response.status != 401 {
            return Some(format!("status {} {body}", response.status));
        }
        let challenge = response.field("www-authenticate").unwrap_or_default();
        let named = challenge.starts_with("Bearer error=\"invalid_token\"")
            && challenge.contains("error_description=\"")
            && challenge.is_ascii();
        if !named {
            return Some(format!("WWW-Authenticate: {challenge}"));
        }
        let longest = token
            .split('.')
            .max_by_key(|part| part.len())
            .unwrap_or_default();
        let seen = longest.len() > 8 && (challenge.contains(longest) || body.contains(longest));
        if seen {
            return Some("the token is repeated to whoever reads the answer".to_owned());
        }
        (response.error_code() != "invalid_token").then_some(body)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock after 1970").as_secs()
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn hmac<M: Mac + KeyInit>(key: impl AsRef<[u8]>, input: &str) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key.as_ref()).expect("a key of any length");
    mac.update(input.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hs256(key: impl AsRef<[u8]>, input: &str) -> Vec<u8> {
    hmac::<Hmac<Sha256>>(key, input)
}

/// A correct signature over encoded parts, taken unchanged.
fn signed(header_part: &str, claims_part: &str) -> String {
    let input = format!("{header_part}.{claims_part}");
    let signature = encoded(hs256(FIRST, &input));
    format!("{input}.{signature}")
}

/// A correct signature over any header and claims.
fn mint(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    signed(&encoded(header), &encoded(claims))
}

fn mint_with(key: &str, header: &str, claims: &str) -> String {
    let input = format!("{}.{}", encoded(header), encoded(claims));
    format!("{input}.{}", encoded(hs256(key, &input)))
}

fn exp() -> u64 {
    now() + 600
}

fn good_claims() -> String {
    json!({"sub": "홍길동", "exp": exp()}).to_string()
}

/// Valid claims with more members after them.
fn claims_and(more: &str) -> String {
    format!(r#"{{"sub":"홍길동","exp":{},{more}}}"#, exp())
}

fn claims_with_exp(exp: &str) -> String {
    format!(r#"{{"sub":"홍길동","exp":{exp}}}"#)
}

fn claims_with_sub(sub: &str) -> String {
    format!(r#"{{"exp":{},"sub":{sub}}}"#, exp())
}

fn row(name: &str, token: String) -> (String, String) {
    (name.to_owned(), token)
}

fn named<'a>(
    rows: impl IntoIterator<Item = &'a str>,
    make: impl Fn(&str) -> String,
) -> Vec<(String, String)> {
    let rows = rows.into_iter();
    rows.map(|row| (row.to_owned(), make(row))).collect()
}

#[test]
fn a_token_that_another_back_end_issued_is_accepted() {
    let backend = Backend::start("good");
    let rfc_7515_header = "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}";
    let rfc_7515_claims = format!(
        "{{\"iss\":\"joe\",\r\n \"exp\":{},\r\n \"http://example.com/is_root\":true, \"sub\":\"joe\"}}",
        exp()
    );
    let good = good_claims();
    let mut tokens = vec![
        mint(rfc_7515_header, &rfc_7515_claims),
        mint_with(SECOND, HEADER, &good),
        mint_with(FIRST, r#"{"alg":"HS256","kid":"one"}"#, &good),
        mint_with(SECOND, r#"{"alg":"HS256","kid":"two"}"#, &good),
    ];
    for header in r#"
        {"alg":"HS256"} {"alg":"HS256","typ":"jwt"} {"alg":"HS256","typ":"at+jwt"} {"alg":"HS256","typ":"AT+JWT"}
        {"alg":"HS256","typ":"JWT","more":[1,{"x":null}]} {"\u0061lg":"\u0048S256"}
        "#
    .split_whitespace()
    {
        tokens.push(mint(header, &good));
    }
    for exp in ["4000000000", "253402300799"] {
        tokens.push(mint(HEADER, claims_with_exp(exp)));
    }
    let (soon, past) = (now() + 30, now() - 3600);
    for more in [
        format!(r#""nbf":{soon},"iat":{soon}"#),
        format!(r#""nbf":{past},"iat":{past}"#),
        format!(r#""jti":"{}""#, "j".repeat(128)),
        r#""iss":"https://back.example","roles":["a","b"],"nested":{"sub":"x","exp":0}"#.to_owned(),
    ] {
        tokens.push(mint(HEADER, claims_and(&more)));
    }
    for sub in ["x".repeat(64), "가".repeat(64), "a b".to_owned()] {
        tokens.push(mint(HEADER, claims_with_sub(&json!(sub).to_string())));
    }
    let failures: Vec<String> = tokens
        .iter()
        .enumerate()
        .map(|(number, token)| (number, backend.present(token)))
        .filter(|(_, response)| response.status != 200)
        .map(|(number, response)| format!("token {number}: {} {response:?}", response.text()))
        .collect();
    assert_no_failures(&failures);
}

#[test]
fn only_hs256_is_an_algorithm_whatever_the_token_says() {
    let backend = Backend::start("alg");
    let claims = encoded(good_claims());
    let mut tokens = Vec::new();
    for alg in r#"
        "none" "None" "NONE" "nOnE" "" null true 256 ["HS256"] {"HS256":1} "hs256" "HS256\u0020" "HS256\u0000"
        "HS384" "HS512" "RS256" "PS256" "ES256" "EdDSA" "dir" "A128KW"
        "#
    .split_whitespace()
    {
        let header = encoded(format!(r#"{{"alg":{alg},"typ":"JWT"}}"#));
        tokens.push((format!("alg {alg}, signed"), signed(&header, &claims)));
        tokens.push((format!("alg {alg}, bare"), format!("{header}.{claims}.")));
    }
    let header = encoded(r#"{"typ":"JWT"}"#);
    tokens.push(row("no alg", signed(&header, &claims)));
    for (name, header) in [
        ("true HS384", r#"{"alg":"HS384"}"#),
        ("true HS512", r#"{"alg":"HS512"}"#),
        ("HS512 cut to 256 bits", HEADER),
    ] {
        let input = format!("{}.{claims}", encoded(header));
        let bytes = if name == "true HS384" {
            hmac::<Hmac<Sha384>>(FIRST, &input)
        } else {
            hmac::<Hmac<Sha512>>(FIRST, &input)
        };
        let length = if header == HEADER { 32 } else { bytes.len() };
        let token = format!("{input}.{}", encoded(&bytes[..length]));
        tokens.push(row(name, token));
    }
    assert_no_failures(&backend.judge(tokens));
}

#[test]
fn a_header_with_other_requirements_is_refused() {
    let backend = Backend::start("header");
    let good = good_claims();
    let foreign_key = json!({"kty": "oct", "k": encoded(FOREIGN)});
    let mut tokens = named(
        r#"
        "crit":["exp"],"exp":1 "crit":["b64"],"b64":false "crit":["b64"],"b64":true "crit":[] "crit":null
        "\u0063rit":["x"],"x":1 "typ":"JWE" "typ":"" "typ":5 "typ":null "typ":["JWT"] "typ":"JWT\u0020"
        "alg":"HS256" "\u0061lg":"HS256" "alg":"none" "kid":"one","kid":"one" "x":1,"x":1
        "kid":"three" "kid":"two" "kid":"ONE" "kid":"one\u0020" "kid":"" "kid":1 "kid":null "kid":["one"]
        "kid":"../../../../dev/null" "kid":"'OR'1'='1" "x":"\q" "x":01 "x": , "x"
        "#
        .split_whitespace(),
        |more| mint(format!(r#"{{"alg":"HS256",{more}}}"#), &good),
    );
    let headers = r#"
        {} [] null "HS256" { {"alg":"HS256"}} {"alg":"HS256"}, {'alg':'HS256'} {alg:"HS256"}
        {"alg":"none","alg":"HS256"} [{"alg":"HS256"}] {"ALG":"HS256"}
        "#;
    tokens.extend(named(headers.split_whitespace(), |header| {
        mint(header, &good)
    }));
    let controls = [
        "",
        "\u{feff}{\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\"}\0",
        "{\"alg\":\"HS256\",\"x\":\"\u{1}\"}",
    ];
    tokens.extend(named(controls, |header| mint(header, &good)));
    let embedded = json!({"alg": "HS256", "jwk": foreign_key}).to_string();
    tokens.push(row("its own key", mint_with(FOREIGN, &embedded, &good)));
    let empty = r#"{"alg":"HS256","kid":"/dev/null"}"#;
    tokens.push(row("an empty key", mint_with("", empty, &good)));
    tokens.push(row("UTF-16", mint(utf16(r#"{"alg":"HS256"}"#), &good)));
    tokens.push(row("not UTF-8", mint(b"{\"alg\":\"HS256\xff\"}", &good)));
    assert_no_failures(&backend.judge(tokens));
}

fn utf16(text: &str) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(u16::to_be_bytes).collect()
}

#[test]
fn a_token_without_a_valid_expiry_is_refused() {
    let backend = Backend::start("exp");
    let times = format!(
        r#"
        "{}" {} {} {}.5 0 -0 0.5 -1 -4000000000 253402300800 9007199254740991 9007199254740992 18446744073709551615 18446744073709551616 1e16 1e300
        99999999999999999999999999 1e400 -1e400 null true [] [4000000000] {{}} "" "never" NaN Infinity +4000000000
        04000000000 0xee6b2800 4000000000. 4000000000,"exp":4000000000 4000000000,"\u0065xp":1
        "#,
        exp(),
        now(),
        now() - 1,
        now() - 1
    );
    let mut tokens = named(times.split_whitespace(), |time| {
        mint(HEADER, claims_with_exp(time))
    });
    tokens.push(row("nothing", mint(HEADER, claims_with_exp(""))));
    tokens.push(row("missing", mint(HEADER, r#"{"sub":"홍길동"}"#)));
    let upper = r#"{"sub":"홍길동","EXP":4000000000}"#;
    tokens.push(row("EXP", mint(HEADER, upper)));
    assert_no_failures(&backend.judge(tokens));
}

#[test]
fn claims_of_another_type_or_time_are_refused() {
    let backend = Backend::start("claims");
    let (past, future, long) = (now() - 1, now() + 3600, "j".repeat(129));
    let more = format!(
        r#"
        "nbf":{future} "iat":{future} "iat":"{past}" "nbf":"{past}" "nbf":null "iat":null "iat":[] "nbf":1e400
        "iat":1e300 "iat":{future}.5 "nbf":{future}.5 "jti":5 "jti":null "jti":{{}} "jti":"{long}" "auth_time":"yesterday" "sub":"김철수"
        "s\u0075b":"김철수" "exp":4000000000 "x":1,"x":1 "x":1,"\u0078":2 "x":"\q" "x":1, "x":01 "x" "x":
        "#
    );
    let mut tokens = named(more.split_whitespace(), |more| {
        mint(HEADER, claims_and(more))
    });
    let newline = claims_and("\"x\":\"\n\"");
    tokens.push(row("a bare newline", mint(HEADER, newline)));
    let long = "가".repeat(256);
    let subjects = format!(
        r#"null 5 [] ["홍길동"] {{}} true "" "a\u0000b" "a\nb" "\ud800" "a\u007fb" "{long}" '홍길동'"#
    );
    tokens.extend(named(subjects.split_whitespace(), |sub| {
        mint(HEADER, claims_with_sub(sub))
    }));
    let nobody = format!(r#"{{"exp":{}}}"#, exp());
    tokens.push(row("no sub", mint(HEADER, nobody)));
    let good = good_claims();
    let whole =
        format!(r#"{{}} [] null true 5 "홍길동" {{ [{good}] {good}{good} {good}, {{{good}}}"#);
    tokens.extend(named(whole.split_whitespace(), |claims| {
        mint(HEADER, claims)
    }));
    let whole = [
        "",
        &format!("{good}\0"),
        &format!("\u{feff}{good}"),
        &format!("\u{a0}{good}"),
        &good.replace('"', "'"),
        &good[..good.len() - 1],
    ];
    tokens.extend(named(whole, |claims| mint(HEADER, claims)));
    tokens.push(row("UTF-16", mint(HEADER, utf16(&good))));
    let broken = [claims_and("\"x\":\"").as_bytes(), b"\xc0\x80\"}"].concat();
    tokens.push(row("overlong UTF-8", mint(HEADER, broken)));
    assert_no_failures(&backend.judge(tokens));
}

/// A token in its three parts.
fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().expect("three parts")
}

/// The same last character, but with the unused bits set that decoding drops.
fn with_trailing_bits(part: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_ne!(part.len() % 4, 0, "no bits are dropped");
    let (start, last) = part.split_at(part.len() - 1);
    let index = ALPHABET.find(last).expect("base64url");
    format!("{start}{}", &ALPHABET[index + 1..index + 2])
}

#[test]
fn base64url_is_strict_in_every_part() {
    let backend = Backend::start("base64");
    // Claims whose encoding needs padding, has `-` or `_`, and leaves bits over.
    let (header, claims) = (
        r#"{"alg":"HS256","x":"?>?>"}"#,
        claims_and(r#""x":"?>?>?>?~~~""#),
    );
    let [head, body] = [header, &claims].map(encoded);
    let good = signed(&head, &body);
    assert_eq!(backend.present(&good).status, 200);
    let mut tokens = Vec::new();
    let mut add = |name: &str, token: String| tokens.push(row(name, token));
    for (which, text) in [("header", header), ("claims", claims.as_str())] {
        // The three lengths cover every remainder modulo 3, and so every padding.
        for pad in ["", " ", "  "] {
            let text = format!("{text}{pad}");
            let (plain, standard) = (encoded(&text), STANDARD.encode(&text));
            let padded = URL_SAFE.encode(&text);
            let mut forms = vec![
                format!("{plain}="),
                format!("{plain}===="),
                format!("{plain}A==="),
                format!("{}%20{}", &plain[..8], &plain[8..]),
                format!("{}~{}", &plain[..8], &plain[8..]),
            ];
            if padded != plain {
                forms.push(padded);
                forms.push(with_trailing_bits(&plain));
            }
            if standard.trim_end_matches('=') != plain {
                forms.push(standard.trim_end_matches('=').to_owned());
            }
            if plain.len() % 4 == 0 {
                forms.push(format!("{plain}A"));
            }
            for form in forms {
                let token = if which == "header" {
                    signed(&form, &body)
                } else {
                    signed(&head, &form)
                };
                add(&format!("{which} as {form}"), token);
            }
        }
    }
    let signature = parts(&good)[2];
    let start = &good[..good.len() - signature.len()];
    add("padded signature", format!("{good}="));
    let loose = format!("{start}{}", with_trailing_bits(signature));
    add("bits left over in the signature", loose);
    assert_no_failures(&backend.judge(tokens));
}

#[test]
fn a_signature_is_checked_to_the_last_bit() {
    let backend = Backend::start("signature");
    let claims = good_claims();
    let good = mint(HEADER, &claims);
    let [head, body, signature] = parts(&good);
    let input = format!("{head}.{body}");
    let true_bytes = hs256(FIRST, &input);
    let mut tokens = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>| {
        tokens.push(row(name, format!("{input}.{}", encoded(bytes))));
    };
    for bit in 0..256 {
        let mut bytes = true_bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        add(&format!("bit {bit}"), bytes);
    }
    for length in 0..32 {
        let bytes = true_bytes[..length].to_vec();
        add(&format!("{length} bytes of it"), bytes);
    }
    add("zeros", vec![0; 32]);
    add("one byte more", [&true_bytes[..], b"\0"].concat());
    add("twice", [&true_bytes[..], &true_bytes].concat());
    add("of the claims alone", hs256(FIRST, body));
    let decoded = format!("{HEADER}.{claims}");
    add("of the decoded text", hs256(FIRST, &decoded));
    let digest = |text: &str| Sha256::digest(text).to_vec();
    add("a hash without a key", digest(&input));
    add("a hash after the key", digest(&format!("{FIRST}{input}")));
    for (name, key) in [
        ("another key", FOREIGN.to_owned()),
        ("no key", String::new()),
        ("a key and a newline", format!("{FIRST}\n")),
        ("a key and its kid", format!("one:{FIRST}")),
        ("a key in capitals", FIRST.to_uppercase()),
        ("most of a key", FIRST[..FIRST.len() - 1].to_owned()),
        ("up to the colon", "second secret".to_owned()),
        ("the comment", "# shared".to_owned()),
    ] {
        add(name, hs256(key, &input));
    }
    let swapped = signature.chars().rev().collect::<String>();
    tokens.push(row("backwards", format!("{input}.{swapped}")));
    let other = mint(HEADER, claims_with_sub(r#""admin""#));
    tokens.push(row(
        "of another token",
        format!("{head}.{}.{signature}", parts(&other)[1]),
    ));
    tokens.retain(|(_, token)| *token != good);
    assert_no_failures(&backend.judge(tokens));
    assert_eq!(backend.present(&good).status, 200);
}
