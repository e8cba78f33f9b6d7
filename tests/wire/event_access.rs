//! Access to event streams and metrics on a server with accounts, and when a stream ends with its session.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::support::backend::{Backend, SECRET};
use crate::support::subscriber::{Subscriber, ids};
use crate::support::token::{bearer, minted};
use crate::support::{Chatter, Response};

impl Backend {
    fn subscribe(&self, token: &str) -> Subscriber {
        Subscriber::with(&self.server, "/sse/all", &bearer(token))
    }

    fn subscribe_by_ticket(&self, ticket: &str) -> Subscriber {
        let target = format!("/sse/all?ticket={ticket}");
        Subscriber::with(&self.server, &target, "")
    }

    fn publish(&self, fields: &str) -> Response {
        let mut http = self.server.connect();
        http.post_with("/events/business", fields, r#"{"orders": 5}"#)
    }
}

/// A token of its own session that is valid for so many seconds.
fn token(sub: &str, seconds: u64) -> String {
    static SESSIONS: AtomicU64 = AtomicU64::new(0);
    let jti = SESSIONS.fetch_add(1, Ordering::Relaxed).to_string();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let exp = now.expect("a clock after 1970").as_secs() + seconds;
    minted(&json!({"sub": sub, "exp": exp, "jti": jti}), SECRET)
}

fn assert_challenged(response: &Response, code: &str) {
    response.assert_error(401, code);
    let challenge = response.required("www-authenticate");
    assert!(challenge.starts_with("Bearer"), "{response:?}");
}

#[test]
fn where_there_are_accounts_a_stream_needs_a_token_or_a_ticket() {
    let backend = Backend::start("needs", &[]);
    for channel in ["dashboard", "all", "system", "api", "business"] {
        let target = format!("/sse/{channel}");
        assert_challenged(&backend.server.get(&target), "unauthorized");
        let head = backend.server.connect().request("HEAD", &target, "");
        assert_eq!(head.status, 401);
        assert_challenged(
            &backend.request("GET", &target, "no.token.this"),
            "invalid_token",
        );
    }
    let hong = token("홍길동", 3600);
    backend.subscribe(&hong).take(3);
    let ticket = backend.ticket(&hong);
    backend.subscribe_by_ticket(&ticket).take(3);
}

#[test]
fn a_ticket_opens_one_stream_or_one_socket() {
    let backend = Backend::start("stream-once", &[]);
    let hong = token("홍길동", 3600);
    let ticket = backend.ticket(&hong);
    let _stream = backend.subscribe_by_ticket(&ticket);
    let target = format!("/sse/all?ticket={ticket}");
    assert_eq!(backend.server.get(&target).status, 401);
    let close = Chatter::open(&backend.server, &format!("/ws?ticket={ticket}"), &[]).close_frame();
    assert_eq!(close.0, 4001);
    let ticket = backend.ticket(&hong);
    Chatter::open(&backend.server, &format!("/ws?ticket={ticket}"), &[]).expect("welcome");
    let target = format!("/sse/all?ticket={ticket}");
    assert_eq!(backend.server.get(&target).status, 401);
    assert_eq!(backend.server.get("/sse/all?ticket=").status, 401);
    assert_eq!(backend.server.get("/sse/all?ticket=unknown").status, 401);
}

#[test]
fn a_ticket_may_come_with_the_id_where_a_stream_was_cut() {
    let backend = Backend::start("resume", &[]);
    let hong = token("홍길동", 3600);
    let mut first = backend.subscribe(&hong);
    let seen = ids(&first.take(3));
    for _ in 0..3 {
        assert_eq!(backend.publish(&bearer(&hong)).status, 200);
    }
    let ticket = backend.ticket(&hong);
    let target = format!("/sse/all?ticket={ticket}&last_event_id={}", seen[1]);
    let mut resumed = Subscriber::with(&backend.server, &target, "");
    assert_eq!(ids(&resumed.take(2)), [seen[2], seen[2] + 1]);
}

#[test]
fn posting_figures_needs_a_token() {
    for options in [&[][..], &["--public-dashboard"]] {
        let backend = Backend::start("post", options);
        assert_challenged(&backend.publish(""), "unauthorized");
        assert_challenged(&backend.publish(&bearer("x")), "invalid_token");
        let hong = token("홍길동", 3600);
        let ticket = backend.ticket(&hong);
        let target = format!("/events/business?ticket={ticket}");
        let by_ticket = backend.server.post(&target, "{}");
        assert_eq!(
            by_ticket.status, 401,
            "a ticket in an address posts nothing"
        );
        assert_eq!(backend.publish(&bearer(&hong)).status, 200);
    }
}

#[test]
fn the_servers_own_metrics_need_a_token_and_its_health_does_not() {
    let backend = Backend::start("metrics", &[]);
    assert_challenged(&backend.server.get("/metrics"), "unauthorized");
    assert_challenged(&backend.request("GET", "/metrics", "x"), "invalid_token");
    let hong = token("홍길동", 3600);
    assert_eq!(backend.request("GET", "/metrics", &hong).status, 200);
    assert_eq!(backend.server.get("/livez").status, 200);
    assert_eq!(backend.server.get("/readyz").status, 200);
}

#[test]
fn a_public_dashboard_is_open_and_the_rooms_are_not() {
    let backend = Backend::start("public", &["--public-dashboard"]);
    Subscriber::new(&backend.server, "dashboard").take(3);
    assert_eq!(backend.server.get("/metrics").status, 200);
    assert_eq!(backend.server.get("/dashboard").status, 200);
    assert_challenged(&backend.server.get("/rooms"), "unauthorized");
}

#[test]
fn a_logout_ends_the_streams_of_its_session_and_no_other() {
    let backend = Backend::start("logout", &[]);
    let [left, kept] = ["홍길동"; 2].map(|name| token(name, 3600));
    let ticket = backend.ticket(&left);
    let mut ended = [
        backend.subscribe(&left),
        backend.subscribe_by_ticket(&ticket),
    ];
    let mut goes_on = backend.subscribe(&kept);
    assert_eq!(backend.request("POST", "/auth/logout", &left).status, 204);
    for stream in &mut ended {
        stream.expect_end();
    }
    let response = backend.publish(&bearer(&kept));
    let id = response.json()["id"].as_u64().expect("an id");
    goes_on.until(id);
    assert_eq!(backend.request("GET", "/sse/all", &left).status, 401);
}

#[test]
fn a_stream_ends_with_its_token() {
    let backend = Backend::start("expiry", &[]);
    let short = token("홍길동", 5);
    let ticket = backend.ticket(&short);
    let mut ended = [
        backend.subscribe(&short),
        backend.subscribe_by_ticket(&ticket),
    ];
    let mut goes_on = backend.subscribe(&token("홍길동", 3600));
    for stream in &mut ended {
        stream.expect_end();
    }
    assert_eq!(backend.request("GET", "/sse/all", &short).status, 401);
    goes_on.take(4);
}
