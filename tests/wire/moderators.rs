//! Who is a moderator: by a claim, by the mark of an account, by an API key; and who is it no more.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::accounts::{
    Folder, HONG, HONGS, KIM, KIMS, add, assert_done, errors, logged_in, names, refusal_fault, run,
    ticket_target, until,
};
use crate::support::backend::{Backend, SECRET};
use crate::support::subscriber::Subscriber;
use crate::support::token::{bearer, minted};
use crate::support::{Chatter, Response, Server, assert_no_failures};

const NEVER: u64 = 4_000_000_000;
const KEY: &str = "one-key-of-this-test:with-a-colon";
const OTHER: &str = "~another/key+of!this@test#34567890";

/// A token of another back end.
fn token(sub: &str, admin: Option<bool>) -> String {
    let mut claims = json!({"sub": sub, "exp": NEVER});
    if let Some(admin) = admin {
        claims["admin"] = admin.into();
    }
    minted(&claims, SECRET)
}

fn ask(server: &Server, target: &str, token: &str) -> Response {
    server.connect().request("GET", target, &bearer(token))
}

/// The status of a route for moderators.
fn moderates(server: &Server, token: &str) -> u16 {
    ask(server, "/users", token).status
}

#[test]
fn a_route_for_moderators_tells_others_that_their_token_is_good_but_not_for_this() {
    let backend = Backend::start("scope", &[]);
    backend
        .server
        .get("/sse/audit")
        .assert_error(401, "unauthorized");
    ask(&backend.server, "/sse/audit", "no.token.this").assert_error(401, "invalid_token");
    for admin in [None, Some(false)] {
        let refused = ask(&backend.server, "/sse/audit", &token("홍길동", admin));
        refused.assert_error(403, "forbidden");
        let challenge = refused.required("www-authenticate");
        assert_eq!(challenge, "Bearer error=\"insufficient_scope\"");
    }
    let moderator = token("운영자", Some(true));
    assert_eq!(moderates(&backend.server, &moderator), 200);
    let ticket = |token: &str| format!("/sse/audit?ticket={}", backend.ticket(token));
    let opened = Subscriber::with(&backend.server, &ticket(&moderator), "");
    assert_eq!(opened.head.status, 200);
    let refused = backend.server.get(&ticket(&token("홍길동", None)));
    refused.assert_error(403, "forbidden");
}

#[test]
fn a_moderator_is_welcomed_as_one_and_by_a_newer_token_too() {
    let backend = Backend::start("welcomed", &[]);
    let until = |exp: u64, admin: bool| {
        minted(
            &json!({"sub": "운영자", "exp": exp, "admin": admin}),
            SECRET,
        )
    };
    let open = |token: &str| {
        let target = format!("/ws?ticket={}", backend.ticket(token));
        Chatter::open(&backend.server, &target, &[])
    };
    assert_eq!(
        open(&until(NEVER, false)).expect("welcome").get("admin"),
        None
    );
    let mut chatter = open(&until(NEVER, true));
    assert_eq!(chatter.expect("welcome")["admin"], true);
    let mut extend = |exp: u64, admin: bool| {
        let ticket = backend.ticket(&until(exp, admin));
        chatter.send(json!({"type": "auth", "ticket": ticket}));
        chatter.expect("welcome")["admin"].clone()
    };
    assert_eq!(extend(NEVER + 1, false), Value::Null);
    assert_eq!(extend(NEVER + 2, true), true);
    // A token that ends sooner is not the session's.
    assert_eq!(extend(NEVER + 1, false), true);
}

#[test]
fn an_account_is_a_moderator_as_long_as_it_has_its_mark() {
    let folder = Folder::new("mark");
    let marked = format!("{HONG}:admin\n{KIM}\n");
    let users = folder.write("users", &marked);
    let server = folder.serve(&["--users", &users]);
    let [hong, kim] = [("홍길동", HONGS), ("김철수", KIMS)]
        .map(|(name, password)| logged_in(&server, name, password));
    let claims = hong.split('.').nth(1).expect("three parts");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!(claims.get("admin"), None);
    assert_eq!(
        [moderates(&server, &hong), moderates(&server, &kim)],
        [200, 403]
    );
    let mut chatter = Chatter::open(&server, &ticket_target(&server, &hong), &[]);
    assert_eq!(chatter.expect("welcome")["admin"], true);
    let mut streams =
        [&hong, &kim].map(|token| Subscriber::with(&server, "/sse/all", &bearer(token)));
    let ticket_of_before = ticket_target(&server, &hong);

    // The other has the mark now: nobody's token ends, and each is at once what they are.
    folder.write("users", &format!("{HONG}\n{KIM}:admin\n"));
    server.signal(Signal::HUP);
    until("the mark is another's", || moderates(&server, &hong) == 403);
    assert_eq!(moderates(&server, &kim), 200);
    assert_eq!(ask(&server, "/rooms", &hong).status, 200);
    // What was opened as a moderator ends or is none's any more; other streams go on.
    streams[0].expect_end();
    streams[1].take(3);
    let mut late = Chatter::open(&server, &ticket_of_before, &[]);
    assert_eq!(late.expect("welcome").get("admin"), None);
    let ticket = ticket_target(&server, &hong);
    let ticket = ticket.rsplit_once('=').expect("a ticket").1;
    chatter.send(json!({"type": "auth", "ticket": ticket}));
    assert_eq!(chatter.expect("welcome").get("admin"), None);
}

#[test]
fn the_account_of_the_demo_is_a_moderators() {
    let server = Server::start(&[]);
    let admin = logged_in(&server, "admin", "secret");
    assert_eq!(moderates(&server, &admin), 200);
    let mut chatter = Chatter::open(&server, &ticket_target(&server, &admin), &[]);
    assert_eq!(chatter.expect("welcome")["admin"], true);
    server.get("/sse/audit").assert_error(401, "unauthorized");
}

#[test]
fn an_account_is_added_with_the_mark_and_again_without_it() {
    let folder = Folder::new("add-mark");
    let file = folder.path("users");
    let add_moderator = |name: &str| {
        let arguments = ["user", "add", name, "--admin", "--users", &file];
        run(&arguments, "비밀번호")
    };
    assert_done(&add_moderator("홍길동"));
    assert_done(&add("김철수", &file, "비밀번호"));
    assert_eq!(names(&file), ["홍길동:admin", "김철수"]);
    assert!(
        folder
            .read("users")
            .lines()
            .next()
            .is_some_and(|line| line.ends_with(":admin"))
    );
    assert_done(&add_moderator("김철수"));
    let told = add("홍길동", &file, "비밀번호").stdout;
    assert!(String::from_utf8_lossy(&told).contains("no moderator's any more"));
    assert_eq!(names(&file), ["김철수:admin", "홍길동"]);
    let mut failures = Vec::new();
    for arguments in [
        &["user", "list", "--admin", "--users", &file][..],
        &["user", "remove", "홍길동", "--admin", "--users", &file],
        &["user", "add", "홍길동", "--admin=no", "--users", &file],
        &["check", "--admin"],
        &["--admin"],
    ] {
        failures.extend(refusal_fault(&run(arguments, "비밀번호"), "--admin"));
    }
    assert_no_failures(&failures);
    assert_eq!(names(&file), ["김철수:admin", "홍길동"]);
}

#[test]
fn an_api_key_is_a_moderators_bearer_and_no_users() {
    let folder = Folder::new("keys");
    let users = folder.write("users", &format!("{HONG}\n"));
    let keys = folder.write("keys", &format!("# back ends\nshop:{KEY}\nblog:{OTHER}\n"));
    let with_accounts = folder.serve(&["--users", &users, "--api-key-file", &keys]);
    let demo = folder.serve(&["--api-key-file", &keys]);
    assert!(
        !demo.get("/rooms").text().contains("error"),
        "it is still a demo"
    );
    for server in [&with_accounts, &demo] {
        for key in [KEY, OTHER] {
            assert_eq!(moderates(server, key), 200);
            assert_eq!(ask(server, "/rooms", key).status, 200);
            let mut http = server.connect();
            let name = json!({"name": format!("방 {key}")}).to_string();
            assert_eq!(http.post_with("/rooms", &bearer(key), name).status, 201);
            Subscriber::with(server, "/sse/all", &bearer(key)).take(3);
            for target in ["/auth/ws-ticket", "/auth/refresh", "/auth/logout"] {
                let refused = server.connect().request("POST", target, &bearer(key));
                refused.assert_error(401, "invalid_token");
            }
        }
        for wrong in ["shop", &KEY[1..], &format!("{KEY}x"), &KEY.to_uppercase()] {
            let refused = ask(server, "/sse/audit", wrong);
            refused.assert_error(401, "invalid_token");
        }
    }
}

#[test]
fn a_key_that_is_gone_is_refused_and_its_streams_end() {
    let folder = Folder::new("keys-again");
    let users = folder.write("users", &format!("{HONG}\n"));
    let keys = folder.write("keys", &format!("shop:{KEY}\nblog:{OTHER}\n"));
    let server = folder.serve(&["--users", &users, "--api-key-file", &keys, "--log", "info"]);
    let mut streams = [KEY, OTHER].map(|key| Subscriber::with(&server, "/sse/all", &bearer(key)));
    // What is not valid changes nothing.
    folder.write("keys", "shop:short\n");
    server.signal(Signal::HUP);
    until("it is refused", || {
        folder.read("errors").contains("reload_failed")
    });
    assert_eq!(
        [moderates(&server, KEY), moderates(&server, OTHER)],
        [200, 200]
    );
    let newer = KEY.to_uppercase();
    folder.write("keys", &format!("shop:{newer}\nblog:{OTHER}\n"));
    server.signal(Signal::HUP);
    until("there is another key", || moderates(&server, &newer) == 200);
    ask(&server, "/rooms", KEY).assert_error(401, "invalid_token");
    streams[0].expect_end();
    assert_eq!(moderates(&server, OTHER), 200);
    streams[1].take(3);
    let told = folder.read("errors");
    assert!(
        ![KEY, OTHER, &newer].iter().any(|key| told.contains(*key)),
        "{told}"
    );
}

#[test]
fn a_file_of_keys_that_is_wrong_keeps_the_server_from_starting_and_is_never_shown() {
    let folder = Folder::new("bad-keys");
    let mut failures = Vec::new();
    for text in [
        KEY.to_owned(),
        format!("shop:{}", &KEY[..31]),
        format!(":{KEY}"),
        format!("shop:{KEY}\nshop:{OTHER}"),
        format!("shop:{KEY} {OTHER}"),
    ] {
        let path = folder.write("bad", &text);
        let output = run(&["--listen", "127.0.0.1:0", "--api-key-file", &path], "");
        failures.extend(refusal_fault(&output, &path).map(|fault| format!("{text}: {fault}")));
        let told = errors(&output);
        if [&KEY[..31], OTHER].iter().any(|key| told.contains(key)) {
            failures.push(format!("told: {told}"));
        }
    }
    let missing = folder.path("missing");
    let output = run(&["--listen", "127.0.0.1:0", "--api-key-file", &missing], "");
    failures.extend(refusal_fault(&output, &missing));
    assert_no_failures(&failures);
}
