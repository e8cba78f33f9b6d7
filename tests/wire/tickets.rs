//! Tickets and the lifetime of a session: single use, expiry, `expires_at`, 4001, 4002, `auth`.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::backend::{Backend, SECRET};
use crate::support::frames::{self, opening};
use crate::support::token::minted_of;
use crate::support::{Chatter, Http, Response};

const REFUSED: (u16, &str) = (4001, "유효하지 않은 티켓");
/// The lifetime in seconds of a session whose end a test awaits: longer than any machine needs to begin it.
const SHORT: u64 = 5;
const EXPIRED: (u16, &str) = (4002, "토큰이 만료되었습니다");

impl Backend {
    fn post(&self, target: &str, token: &str) -> Response {
        self.request("POST", target, token)
    }

    /// A connection opened with a ticket, of which nothing was read yet.
    fn show(&self, ticket: &str) -> Chatter {
        Chatter::open(&self.server, &format!("/ws?ticket={ticket}"), &[])
    }

    /// A client that has been welcomed, and the welcome.
    fn enter(&self, token: &str) -> (Chatter, Value) {
        let mut chatter = self.show(&self.ticket(token));
        let welcome = chatter.expect("welcome");
        (chatter, welcome)
    }

    /// A client that has been welcomed where tickets live for a second: a busy machine may need more than one ticket.
    fn enter_in_time(&self, token: &str) -> Chatter {
        loop {
            let (asked, mut chatter) = (Instant::now(), self.show(&self.ticket(token)));
            if !chatter.socket.read().expect("a message").is_close() {
                return chatter;
            }
            assert!(asked.elapsed() > Duration::from_secs(1), "it was fresh");
        }
    }

    fn assert_refused(&self, target: &str) {
        let close = Chatter::open(&self.server, target, &[]).close_frame();
        assert_eq!((close.0, &*close.1), REFUSED, "{target}");
    }
}

fn clock() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock after 1970")
}

/// A time in whole seconds, so far in the future.
fn from_now(seconds: u64) -> u64 {
    clock().as_secs() + seconds
}

fn mint(claims: &str) -> String {
    minted_of(r#"{"alg":"HS256","typ":"JWT"}"#, claims, SECRET)
}

/// A token of its own session.
fn token(sub: &str, exp: u64) -> String {
    static SESSIONS: AtomicU64 = AtomicU64::new(0);
    let jti = SESSIONS.fetch_add(1, Ordering::Relaxed).to_string();
    mint(&json!({"sub": sub, "exp": exp, "jti": jti}).to_string())
}

fn hour(sub: &str) -> String {
    token(sub, from_now(3600))
}

fn rfc_3339(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

fn assert_expired(chatter: &mut Chatter) {
    let close = chatter.close_frame();
    assert_eq!((close.0, &*close.1), EXPIRED);
}

#[test]
fn a_ticket_is_256_bits_that_nobody_can_guess() {
    let backend = Backend::start("bits", &[]);
    let token = hour("홍길동");
    let response = backend.post("/auth/ws-ticket", &token);
    assert_eq!(response.required("cache-control"), "no-store");
    assert_eq!(response.json()["expires_in"], 30);
    let sessions = (0..10).map(|_| hour("홍길동"));
    let tickets: HashSet<String> = sessions
        .flat_map(|token| [(); 10].map(|()| backend.ticket(&token)))
        .collect();
    assert_eq!(tickets.len(), 100);
    let mut bits = [0_u32; 256];
    for ticket in &tickets {
        let bytes = URL_SAFE_NO_PAD.decode(ticket).expect("base64url");
        assert_eq!(bytes.len(), 32, "{ticket}");
        for (bit, ones) in bits.iter_mut().enumerate() {
            *ones += u32::from(bytes[bit / 8] >> (bit % 8) & 1);
        }
    }
    // A bit that is the same in a hundred tickets has no entropy.
    assert!(
        bits.iter().all(|ones| (1..100).contains(ones)),
        "bits that never change: {bits:?}"
    );
}

#[test]
fn a_ticket_is_asked_for_with_or_without_a_body() {
    let backend = Backend::start("body", &[]);
    let field = format!("Authorization: Bearer {}\r\n", hour("홍길동"));
    for more in ["", "Content-Length: 0\r\n", "Content-Type: text/plain\r\n"] {
        let fields = format!("{field}{more}");
        let mut http = backend.server.connect();
        let response = http.request("POST", "/auth/ws-ticket", &fields);
        assert_eq!(response.status, 200, "{more} {response:?}");
    }
    let mut http = backend.server.connect();
    http.request("POST", "/auth/ws-ticket", "")
        .assert_error(401, "unauthorized");
    let challenged = http.request("POST", "/auth/ws-ticket", "");
    assert_eq!(challenged.required("www-authenticate"), "Bearer");
}

#[test]
fn a_ticket_opens_the_session_of_its_user() {
    let backend = Backend::start("session", &[]);
    let exp = from_now(3600);
    let (mut hong, welcome) = backend.enter(&token("홍길동", exp));
    assert_eq!(
        welcome,
        json!({"type": "welcome", "username": "홍길동", "expires_at": rfc_3339(exp)})
    );
    hong.join("tech");
    let (mut kim, _) = backend.enter(&hour("김철수"));
    assert_eq!(kim.join("tech")["online_users"], json!(["홍길동"]));
    assert_eq!(hong.expect("user_joined")["username"], "김철수");
    assert_eq!(hong.say("tech", "안녕")["username"], "홍길동");
    // Another session of the same user is not another user.
    let (mut again, _) = backend.enter(&hour("홍길동"));
    assert_eq!(again.join("tech")["online_users"], json!(["김철수"]));
    kim.expect("chat");
    kim.expect_no_news();
}

#[test]
fn a_ticket_is_used_once() {
    let backend = Backend::start("once", &[]);
    let token = hour("홍길동");
    let ticket = backend.ticket(&token);
    let mut hong = backend.show(&ticket);
    hong.expect("welcome");
    let target = format!("/ws?ticket={ticket}");
    backend.assert_refused(&target);
    hong.close();
    backend.assert_refused(&target);
    backend.enter(&token);
}

#[test]
fn a_ticket_raced_by_many_connections_serves_one() {
    const RACERS: usize = 8;
    let backend = Backend::start("race", &[]);
    let token = hour("홍길동");
    for _ in 0..20 {
        let target = format!("/ws?ticket={}", backend.ticket(&token));
        let barrier = Barrier::new(RACERS);
        let race = |mut http: Http| {
            let request = opening(&target, &http.host(), "");
            barrier.wait();
            http.send(request);
            http.expect_upgrade();
            http.frame().close_code()
        };
        let closed: Vec<Option<u16>> = thread::scope(|scope| {
            let connections = (0..RACERS).map(|_| backend.server.connect());
            let racers: Vec<_> = connections.map(|http| scope.spawn(|| race(http))).collect();
            let ends = racers.into_iter().map(|racer| racer.join());
            ends.map(|end| end.expect("a racer ends")).collect()
        });
        let refused = closed.iter().filter(|code| **code == Some(4001)).count();
        assert_eq!(refused, RACERS - 1, "{closed:?}");
    }
}

#[test]
fn a_ticket_is_valid_for_its_lifetime_and_no_longer() {
    let backend = Backend::start("ttl", &["--ticket-ttl", "1"]);
    let token = hour("홍길동");
    let response = backend.post("/auth/ws-ticket", &token);
    assert_eq!(response.json()["expires_in"], 1);
    let late = backend.ticket(&token);
    let mut hong = backend.enter_in_time(&token);
    let mine = backend.ticket(&token);
    thread::sleep(Duration::from_millis(1200));
    backend.assert_refused(&format!("/ws?ticket={late}"));
    hong.refused(json!({"type": "auth", "ticket": mine}), "unauthorized");
    backend.enter_in_time(&token);
}

#[test]
fn a_ticket_does_not_outlive_its_token() {
    let backend = Backend::start("bound", &[]);
    let token = token("홍길동", from_now(SHORT));
    let tickets = [(); 2].map(|()| backend.ticket(&token));
    let (mut hong, _) = backend.enter(&token);
    let (mut other, _) = backend.enter(&hour("홍길동"));
    assert_expired(&mut hong);
    // Both codes are right: the ticket has expired, and so has the token behind it.
    let target = format!("/ws?ticket={}", tickets[0]);
    let first = backend.server.upgraded(&target).frame().close_code();
    assert!(matches!(first, Some(4001 | 4002)), "{first:?}");
    let request = json!({"type": "auth", "ticket": tickets[1]});
    other.refused(request, "unauthorized");
    let refused = backend.post("/auth/ws-ticket", &token);
    refused.assert_error(401, "invalid_token");
}

#[test]
fn a_connection_without_a_valid_ticket_is_refused_after_the_handshake() {
    let backend = Backend::start("refused", &["--guests"]);
    let token = hour("홍길동");
    let ticket = backend.ticket(&token);
    let last = ticket.chars().last().expect("43 characters");
    let next = char::from_u32(last as u32 + 1).expect("a character");
    let swapped: String = ticket
        .chars()
        .map(|c| match c {
            'a'..='z' => c.to_ascii_uppercase(),
            other => other.to_ascii_lowercase(),
        })
        .collect();
    for query in [
        "",
        "?",
        "?ticket",
        "?ticket=",
        "?ticket=unknown",
        "?ticket=%00",
        "?ticket=%ED%8B%B0%EC%BC%93",
        &format!("?ticket={}", "A".repeat(43)),
        &format!("?ticket={}", "A".repeat(7000)),
        &format!("?ticket={}", &ticket[..42]),
        &format!("?ticket={}{next}", &ticket[..42]),
        &format!("?ticket={ticket}="),
        &format!("?ticket={ticket}A"),
        &format!("?ticket=%20{ticket}"),
        &format!("?ticket={swapped}"),
        &format!("?Ticket={ticket}"),
        &format!("?ticket={token}"),
        &format!("?access_token={token}"),
        "?username=guest&ticket=unknown",
        "?ticket=unknown&username=guest",
        "?username=guest&ticket=",
    ] {
        backend.assert_refused(&format!("/ws{query}"));
    }
    // None of these attempts has used the ticket up.
    backend.show(&ticket).expect("welcome");
    let closed = Backend::start("closed", &[]);
    closed.assert_refused("/ws?username=guest");
    closed.assert_refused("/ws");
}

#[test]
fn a_session_ends_when_its_token_does() {
    let backend = Backend::start("exp", &[]);
    let exp = from_now(SHORT);
    let token = token("홍길동", exp);
    let (mut hong, welcome) = backend.enter(&token);
    assert_eq!(welcome["expires_at"], rfc_3339(exp));
    let (mut tab, _) = backend.enter(&token);
    let (mut kim, _) = backend.enter(&hour("김철수"));
    hong.join("tech");
    tab.join("tech");
    kim.join("tech");
    assert_expired(&mut hong);
    assert!(clock() >= Duration::from_secs(exp));
    assert_expired(&mut tab);
    assert_eq!(kim.expect("user_left")["username"], "홍길동");
    kim.say("tech", "잘 가요");
}

#[test]
fn auth_extends_a_session_before_it_ends() {
    let backend = Backend::start("auth", &[]);
    let (short, long) = (from_now(SHORT), from_now(3600));
    let old = token("홍길동", short);
    let (mut hong, _) = backend.enter(&old);
    let (mut left_alone, _) = backend.enter(&old);
    hong.join("tech");
    let new = token("홍길동", long);
    hong.send(json!({"type": "auth", "ticket": backend.ticket(&new)}));
    assert_eq!(
        hong.expect("welcome"),
        json!({"type": "welcome", "username": "홍길동", "expires_at": rfc_3339(long)})
    );
    assert_expired(&mut left_alone);
    // Still in the room, with nothing missed.
    hong.say("tech", "아직 있어요");
    // From now on it is the session of the new token.
    assert_eq!(backend.post("/auth/logout", &new).status, 204);
    assert_eq!(hong.close_frame().0, 4002);
}

#[test]
fn a_session_is_extended_again_and_again() {
    let backend = Backend::start("again", &[]);
    let mut exp = from_now(SHORT);
    let (mut hong, _) = backend.enter(&token("홍길동", exp));
    for _ in 0..3 {
        // It contains the time when the session would have ended.
        let (mut clock, _) = backend.enter(&token("시계", exp));
        exp += SHORT;
        let ticket = backend.ticket(&token("홍길동", exp));
        hong.send(json!({"type": "auth", "ticket": ticket}));
        assert_eq!(hong.expect("welcome")["expires_at"], rfc_3339(exp));
        assert_expired(&mut clock);
    }
    assert_expired(&mut hong);
    assert!(clock() >= Duration::from_secs(exp));
}

#[test]
fn a_session_is_extended_only_by_a_valid_ticket_of_its_user() {
    let backend = Backend::start("auth-refused", &["--guests"]);
    let own = hour("홍길동");
    let (mut hong, _) = backend.enter(&own);
    let used = backend.ticket(&own);
    backend.show(&used).expect("welcome");
    let gone = hour("홍길동");
    let void = backend.ticket(&gone);
    assert_eq!(backend.post("/auth/logout", &gone).status, 204);
    let kims = backend.ticket(&hour("김철수"));
    for ticket in [&*used, &void, &kims, "unknown", "", &own] {
        hong.refused(json!({"type": "auth", "ticket": ticket}), "unauthorized");
    }
    for request in [
        json!({"type": "auth"}),
        json!({"type": "auth", "ticket": null}),
        json!({"type": "auth", "ticket": 5}),
        json!({"type": "auth", "ticket": [used]}),
    ] {
        hong.refused(request, "bad_request");
    }
    hong.join("tech");
    let mut guest = backend.server.guest("손님");
    let ticket = backend.ticket(&hour("손님"));
    guest.refused(json!({"type": "auth", "ticket": ticket}), "unauthorized");
    guest.join("tech");
}

#[test]
fn a_ticket_of_a_session_that_logged_out_is_invalid() {
    let backend = Backend::start("void", &[]);
    let [left, kept] = ["홍길동"; 2].map(hour);
    let [void, good] = [&left, &kept].map(|token| backend.ticket(token));
    assert_eq!(backend.post("/auth/logout", &left).status, 204);
    backend.assert_refused(&format!("/ws?ticket={void}"));
    backend.show(&good).expect("welcome");
}

#[test]
fn sessions_of_guests_do_not_expire() {
    let backend = Backend::start("guests", &["--guests", "--token-ttl", "1"]);
    let (mut clock, _) = backend.enter(&token("시계", from_now(SHORT)));
    let mut guest = Chatter::open(&backend.server, "/ws?username=guest", &[]);
    assert_eq!(guest.expect("welcome")["expires_at"], Value::Null);
    assert_expired(&mut clock);
    guest.join("tech");
}

/// Many requests for tickets on one connection, without waiting for each.
fn flood(http: &mut Http, token: &str, count: usize) -> Vec<Response> {
    let host = http.host();
    let request = format!(
        "POST /auth/ws-ticket HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    http.send(request.repeat(count));
    (0..count).map(|_| http.response()).collect()
}

#[test]
fn no_user_can_use_up_the_tickets_of_others() {
    let backend = Backend::start("flood", &["--ticket-ttl", "300"]);
    let kim = hour("김철수");
    let early = backend.ticket(&kim);
    let before = backend.server.resident_kib();
    let mut http = backend.server.connect();
    let mut newest = None;
    // One user with many sessions, as each `refresh` gives a new one.
    for _ in 0..1100 {
        for response in flood(&mut http, &hour("홍길동"), 64) {
            match response.status {
                200 => newest = Some(response.json()["ticket"].clone()),
                429 | 503 => drop(response.required("retry-after")),
                _ => panic!("{response:?}"),
            }
        }
    }
    let grown = backend.server.resident_kib().saturating_sub(before);
    assert!(grown < 40 * 1024, "{grown} KiB for the tickets of one user");
    let newest = newest.expect("some of them were granted");
    let newest = newest.as_str().expect("a ticket");
    for ticket in [&*early, newest, &backend.ticket(&kim)] {
        backend.show(ticket).expect("welcome");
    }
}

#[test]
fn a_foreign_page_cannot_use_a_ticket() {
    let backend = Backend::start("origin", &["--allow-origin", "https://app.example"]);
    let token = hour("홍길동");
    let target = |ticket: &str| format!("/ws?ticket={ticket}");
    let foreign = [("Origin", "https://evil.example")];
    for origin in [&foreign[..], &[("Origin", "null")]] {
        let mut page = Chatter::open(&backend.server, &target(&backend.ticket(&token)), origin);
        assert_eq!(page.close_frame().0, 4003, "{origin:?}");
    }
    let own = format!("http://{}", backend.server.host());
    for origin in ["https://app.example", &own] {
        let fields = [("Origin", origin)];
        let mut page = Chatter::open(&backend.server, &target(&backend.ticket(&token)), &fields);
        page.expect("welcome");
    }
}

#[test]
fn an_expiry_in_the_last_second_of_the_calendar_is_accepted() {
    let backend = Backend::start("far", &[]);
    let (mut hong, welcome) = backend.enter(&token("홍길동", 253_402_300_799));
    assert_eq!(welcome["expires_at"], "9999-12-31T23:59:59Z");
    hong.join("tech");
    hong.expect_no_news();
}

#[test]
fn messages_after_the_end_of_a_session_are_not_delivered() {
    let backend = Backend::start("after", &[]);
    let (mut kim, _) = backend.enter(&hour("김철수"));
    kim.join("tech");
    let ticket = backend.ticket(&token("홍길동", from_now(SHORT)));
    let mut hong = backend.server.upgraded(&format!("/ws?ticket={ticket}"));
    hong.send(frames::text(r#"{"type":"join","room":"tech"}"#));
    // This client neither answers the close frame nor stops sending.
    while hong.frame().close_code() != Some(4002) {}
    hong.send_if_open(frames::text(
        r#"{"type":"chat","room":"tech","content":"늦었나요?"}"#,
    ));
    assert_eq!(kim.until("user_left")["username"], "홍길동");
    kim.expect_no_news();
}
