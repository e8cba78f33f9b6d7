//! `GET /series`: the last 15 minutes for a page that opens, and the time that figures tell.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::backend::{Backend, SECRET};
use crate::support::subscriber::{Event, Subscriber, publish, tell};
use crate::support::token::minted;

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock after 1970").as_millis() as u64
}

/// When an event was sampled or posted, in milliseconds since 1970.
fn time(event: &Event) -> u64 {
    let text = event.data["time"].as_str().expect("a time");
    assert!(text.len() == 24 && text.ends_with('Z'), "{text}");
    let time = humantime::parse_rfc3339(text).expect("RFC 3339");
    let since = time.duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_millis() as u64
}

fn series(server: &Server) -> Value {
    let answer = server.get("/series");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.required("cache-control"), "no-store");
    answer.json()
}

fn column<'s>(series: &'s Value, kind: &str, figure: &str) -> &'s Vec<Value> {
    let column = series[kind][figure].as_array();
    column.unwrap_or_else(|| panic!("no {figure} in {}", series[kind]))
}

#[test]
fn figures_tell_when_they_were_sampled_or_posted() {
    let server = Server::start(&[]);
    let begin = now();
    let mut subscriber = Subscriber::new(&server, "dashboard");
    let mut events = subscriber.take(3);
    let posted = publish(
        &server,
        &json!({"orders": 3, "time": "2001-01-01T00:00:00.000Z"}),
    );
    events.extend(subscriber.until(posted));
    let mut last = begin;
    for event in &events {
        let time = time(event);
        assert!((last..=now()).contains(&time), "{event:?} after {last}");
        last = time;
    }
    assert_eq!(events.last().expect("some").data["orders"], 3);
}

#[test]
fn an_event_of_a_channel_of_ones_own_tells_what_was_posted_and_nothing_more() {
    let server = Server::start(&[]);
    let mut subscriber = Subscriber::new(&server, "deploys");
    for data in [json!({}), json!({"time": "soon", "version": "1.2"})] {
        let id = tell(&server, "deploys", &data);
        assert_eq!(subscriber.until(id).pop().expect("one").data, data);
    }
}

#[test]
fn a_page_gets_the_recent_figures_and_then_every_later_event() {
    let server = Server::start(&[]);
    assert_eq!(series(&server)["last_event_id"], "", "nobody has listened");
    let mut subscriber = Subscriber::new(&server, "dashboard");
    let mut events = subscriber.take(3);
    let posted = publish(&server, &json!({"orders": 7, "방문": 12.5, "note": "text"}));
    events.extend(subscriber.until(posted));
    let opened = series(&server);
    let newest: u64 = opened["last_event_id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .expect("an id");
    assert!(newest >= posted);
    let mut resumed = Subscriber::resuming(&server, "dashboard", newest);
    for (name, kind) in [("system_metrics", "system"), ("api_metrics", "api")] {
        let event = events.iter().find(|event| event.name == name).expect("one");
        let at = column(&opened, kind, "time")
            .iter()
            .position(|at| *at == time(event));
        let at = at.unwrap_or_else(|| panic!("{event:?} is not in {opened}"));
        for (figure, value) in event.data.as_object().expect("an object") {
            if value.is_number() {
                let shown = column(&opened, kind, figure)[at].as_f64();
                assert_eq!(shown, value.as_f64(), "{figure}");
            }
        }
    }
    let last = |figure| {
        column(&opened, "business", figure)
            .last()
            .and_then(Value::as_f64)
    };
    assert_eq!((last("orders"), last("방문")), (Some(7.0), Some(12.5)));
    assert!(opened["business"]["note"].is_null(), "numbers only");
    assert_eq!(opened["system"]["period_ms"], 1000);
    assert_eq!(opened["api"]["period_ms"], 5000);
    assert_eq!(resumed.next().id, Some(newest + 1));
}

#[test]
fn the_series_is_read_by_those_who_may_read_event_streams() {
    let backend = Backend::start("series", &[]);
    backend
        .server
        .get("/series")
        .assert_error(401, "unauthorized");
    let token = minted(
        &json!({"sub": "홍길동", "exp": now() / 1000 + 3600}),
        SECRET,
    );
    assert_eq!(backend.request("GET", "/series", &token).status, 200);
    let head = backend.request("HEAD", "/series", &token);
    assert_eq!((head.status, head.text().len()), (200, 0));
    let target = format!("/series?ticket={}", backend.ticket(&token));
    assert_eq!(backend.server.get(&target).status, 200);
    assert_eq!(
        backend.server.get(&target).status,
        401,
        "a ticket is used up"
    );
    let public = Backend::start("series-public", &["--public-dashboard"]);
    assert_eq!(public.server.get("/series").status, 200);
    let posted = public.server.post("/series", "{}");
    posted.assert_error(405, "method_not_allowed");
}

#[test]
fn what_is_kept_of_events_is_in_the_series_after_a_restart() {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("series-{}", std::process::id()));
    _ = fs::remove_dir_all(&folder);
    let options = ["--data", folder.to_str().expect("a path in UTF-8")];
    let mut server = Server::start(&options);
    Subscriber::new(&server, "all").take(3);
    publish(&server, &json!({"orders": 7}));
    let before = series(&server);
    server.stop();
    let server = Server::start(&options);
    let after = series(&server);
    for (kind, figure) in [
        ("system", "cpu"),
        ("api", "requests"),
        ("business", "orders"),
    ] {
        for figure in ["time", figure] {
            let column = column(&before, kind, figure);
            assert!(!column.is_empty(), "{before}");
            assert_eq!(
                self::column(&after, kind, figure)[..column.len()],
                column[..]
            );
        }
    }
    _ = fs::remove_dir_all(&folder);
}
