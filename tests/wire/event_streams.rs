//! Event streams over the wire: their first events, when events come, which channels get posted figures, how they end.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use serde_json::json;

use crate::support::subscriber::{Event, Subscriber, ids, publish};
use crate::support::{self, Http, PATIENCE, Response, Server, assert_no_failures};

const CHANNELS: [&str; 5] = ["dashboard", "all", "system", "api", "business"];
const KINDS: [&str; 3] = ["system_metrics", "api_metrics", "business_metrics"];

/// The kinds of event a channel has.
fn kinds(channel: &str) -> Vec<&'static str> {
    let whole = matches!(channel, "dashboard" | "all");
    let of_channel = |kind: &&str| whole || kind.starts_with(channel);
    KINDS.into_iter().filter(of_channel).collect()
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| &*event.name).collect()
}

/// Waits until so many streams of a channel are counted in `/metrics`.
fn await_subscribers(server: &Server, channel: &str, count: usize) {
    let wanted = format!("sarang_subscribers{{channel=\"{channel}\"}} {count}");
    let patience = Instant::now() + PATIENCE;
    loop {
        let page = server.get("/metrics");
        if page.text().lines().any(|line| line == wanted) {
            return;
        }
        assert!(Instant::now() < patience, "no {wanted} in {}", page.text());
        std::thread::yield_now();
    }
}

fn assert_stream_head(head: &Response) {
    let type_and_charset = "text/event-stream; charset=utf-8";
    assert_eq!(head.required("content-type"), type_and_charset);
    assert_eq!(head.required("cache-control"), "no-store, no-transform");
    assert_eq!(head.required("x-accel-buffering"), "no");
    assert!(head.lists("connection", "close"), "{head:?}");
    head.required("date");
    assert_eq!(head.field("content-length"), None, "{head:?}");
}

#[test]
fn a_stream_has_its_response_fields_on_every_channel() {
    let server = Server::start(&[]);
    for channel in CHANNELS {
        assert_stream_head(&Subscriber::new(&server, channel).head);
    }
}

#[test]
fn a_new_server_has_one_event_of_each_kind_at_once_and_they_are_the_first() {
    let server = Server::start(&[]);
    let mut subscriber = Subscriber::new(&server, "all");
    for (kind, id) in KINDS.iter().zip(1..) {
        let block = subscriber.block();
        assert_eq!(block.len(), 3, "{block:?}");
        assert_eq!(block[0], format!("event: {kind}"));
        assert!(block[1].starts_with("data: {"), "{block:?}");
        assert_eq!(block[2], format!("id: {id}"));
    }
}

#[test]
fn figures_of_the_machine_are_percent_with_one_decimal() {
    let server = Server::start(&[]);
    for event in Subscriber::new(&server, "system").take(2) {
        for figure in ["cpu", "memory", "disk"] {
            let value = event.data[figure].as_f64().expect("a number");
            assert!((0.0..=100.0).contains(&value), "{event:?}");
            let tenths = value * 10.0;
            assert!((tenths - tenths.round()).abs() < 1e-6, "{event:?}");
        }
        assert!(event.data["memory"].as_f64() > Some(0.0), "{event:?}");
        assert!(event.data["disk"].as_f64() > Some(0.0), "{event:?}");
    }
}

#[test]
fn figures_of_the_traffic_are_this_servers_own() {
    let server = Server::start(&[]);
    for target in ["/rooms", "/rooms", "/rooms", "/rooms/none"] {
        server.get(target);
    }
    let event = Subscriber::new(&server, "api").expect("api_metrics");
    let figure = |name: &str| event.data[name].as_f64().expect("a number");
    // Whether the request for the stream itself is counted already is not specified.
    let requests = figure("requests");
    assert!(requests == 4.0 || requests == 5.0, "{event:?}");
    assert_eq!(figure("total_requests"), requests);
    let rate = (1000.0 / requests).round() / 10.0;
    assert_eq!(figure("error_rate"), rate);
    assert_eq!(figure("total_error_rate"), rate);
    assert!(figure("avg_response_ms") >= 0.0);
    assert_eq!(event.data["subscribers"], 1);
}

#[test]
fn figures_of_the_server_itself_are_measured() {
    let server = Server::start(&[]);
    let mut subscriber = Subscriber::new(&server, "api");
    let mut event = subscriber.expect("api_metrics");
    let mut tabs = ["홍길동", "김철수"].map(|name| server.member(name, "방"));
    tabs[0].say("방", "안녕하세요");
    tabs[1].until("chat");
    server.get("/rooms/none");
    let figure = |event: &Event, name: &str| {
        let value = event.data[name].as_f64();
        value.unwrap_or_else(|| panic!("{name}: {event:?}"))
    };
    // The clock may have taken a sample in between.
    let counted = ["messages", "refused", "deliveries", "slow_consumers"];
    let mut sums = [0.0; 4];
    while sums[0] < 1.0 || sums[1] < 1.0 {
        event = subscriber.expect("api_metrics");
        for (sum, name) in sums.iter_mut().zip(counted) {
            *sum += figure(&event, name);
        }
        assert!(figure(&event, "seconds") > 0.0, "{event:?}");
    }
    let [messages, refused, deliveries, slow_consumers] = sums;
    assert_eq!([messages, refused, slow_consumers], [1.0, 1.0, 0.0]);
    // The message to both, and the second one's entry to the first.
    assert!(deliveries >= 3.0, "{deliveries}");
    for (name, expected) in [
        ("rooms", 1.0),
        ("users", 2.0),
        ("websockets", 2.0),
        ("event_streams", 1.0),
    ] {
        assert_eq!(figure(&event, name), expected, "{name}: {event:?}");
    }
    assert!(figure(&event, "connections") >= 3.0, "{event:?}");
    assert!(figure(&event, "outbox_peak_bytes") > 0.0, "{event:?}");
    let percentiles = ["p50_ms", "p95_ms", "p99_ms"].map(|name| figure(&event, name));
    assert!(percentiles.is_sorted() && percentiles[0] > 0.0, "{event:?}");
    for absent in ["store_up", "store_queue", "store_commit_ms", "engine_up"] {
        assert!(event.data[absent].is_null(), "{absent}: {event:?}");
    }
}

#[test]
fn a_store_tells_how_long_it_takes() {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("figures-{}", std::process::id()));
    _ = fs::remove_dir_all(&folder);
    let server = Server::start(&["--data", folder.to_str().expect("a path in UTF-8")]);
    publish(&server, &json!({"orders": 1}));
    let mut subscriber = Subscriber::new(&server, "api");
    let mut event = subscriber.expect("api_metrics");
    // The clock may have taken a sample before.
    while event.data["store_commit_ms"].is_null() {
        event = subscriber.expect("api_metrics");
    }
    assert_eq!(event.data["store_up"], true);
    assert!(event.data["store_queue"].is_u64(), "{event:?}");
    assert!(
        event.data["store_commit_ms"].as_f64() > Some(0.0),
        "{event:?}"
    );
    drop(server);
    _ = fs::remove_dir_all(&folder);
}

#[test]
fn active_users_are_the_connected_ones_and_the_other_figures_say_that_they_are_simulated() {
    let server = Server::start(&[]);
    let mut subscriber = Subscriber::new(&server, "business");
    let first = subscriber.next();
    assert_eq!(first.data["active_users"], 0);
    assert_eq!(first.data["simulated"], json!(["revenue", "orders"]));
    assert!(first.data["revenue"].is_u64() && first.data["orders"].is_u64());
    let _tabs = [server.guest("홍길동"), server.guest("홍길동")];
    let kim = server.guest("김철수");
    // The clock may cause a business event in between.
    let event = subscriber.until(publish(&server, &json!({}))).pop();
    assert_eq!(event.expect("one").data["active_users"], 2);
    kim.close();
    let event = subscriber.until(publish(&server, &json!({}))).pop();
    assert_eq!(event.expect("one").data["active_users"], 1);
}

#[test]
fn every_subscriber_gets_posted_figures_once_on_the_channels_that_have_them() {
    let server = Server::start(&[]);
    let mut first = Subscriber::new(&server, "all");
    first.take(3);
    let rounds = CHANNELS.iter().cycle().take(50);
    let mut everyone: Vec<_> = rounds
        .map(|channel| (*channel, Subscriber::new(&server, channel)))
        .collect();
    let posted: Vec<u64> = (0..20)
        .map(|visits| publish(&server, &json!({"visits": visits})))
        .collect();
    for (channel, subscriber) in &mut everyone {
        if !kinds(channel).contains(&KINDS[2]) {
            continue;
        }
        let events = subscriber.until(posted[19]);
        let business = events.iter().filter(|event| event.data["visits"].is_u64());
        let got: Vec<_> = business
            .map(|event| event.id.expect("an id"))
            .filter(|id| posted.contains(id))
            .collect();
        assert_eq!(got, posted, "{channel}");
    }
    for (channel, subscriber) in &mut everyone {
        let event = subscriber.next();
        assert!(kinds(channel).contains(&&*event.name), "{event:?}");
    }
}

#[test]
fn events_come_at_their_intervals_with_consecutive_ids() {
    let server = Server::start(&[]);
    let start = Instant::now();
    let mut everything = Subscriber::new(&server, "all");
    let mut events = everything.take(3);
    let mut seconds = Vec::new();
    while names(&events[3..]).iter().all(|name| *name != KINDS[2]) {
        let event = everything.next();
        if event.name == KINDS[0] {
            seconds.push(start.elapsed());
        }
        events.push(event);
    }
    assert!(ids(&events).into_iter().eq(1..=events.len() as u64));
    let count = |kind| {
        names(&events[3..])
            .iter()
            .filter(|name| **name == kind)
            .count()
    };
    let (system, api) = (count(KINDS[0]), count(KINDS[1]));
    // Due times are multiples of the period: the first may come at once, and a busy machine may leave some out.
    assert!((5..=11).contains(&system), "{system} in up to 10 s");
    assert!((1..=3).contains(&api), "{api} in up to 10 s");
    // The period starts before the first event was sent: it may be read late.
    let whole = seconds[system - 1];
    let least = Duration::from_secs(system as u64 - 1).mul_f64(0.8);
    assert!(whole > least, "{system} events in {whole:?}");
    let timed = names(&events[3..]);
    let at = |kind| timed.iter().rposition(|name| *name == kind).expect("one");
    assert!(at(KINDS[1]) < at(KINDS[2]), "{timed:?}");
}

#[test]
fn a_later_subscriber_gets_the_latest_of_each_kind_at_once() {
    let server = Server::start(&[]);
    let mut first = Subscriber::new(&server, "all");
    let mut latest = first.take(3);
    let id = publish(&server, &json!({"orders": 5}));
    for event in first.until(id) {
        latest.retain(|known| known.name != event.name);
        latest.push(event);
    }
    for channel in CHANNELS {
        let expected: Vec<_> = latest
            .iter()
            .filter(|event| kinds(channel).contains(&&*event.name))
            .collect();
        let got = Subscriber::new(&server, channel).take(expected.len());
        let mut newer = got.iter().zip(&expected);
        // A second may have passed meanwhile.
        assert!(
            newer.all(|(got, known)| got.id >= known.id),
            "{channel}: {got:?}"
        );
        let mut of_channel = names(&got);
        of_channel.sort_unstable();
        let mut wanted = kinds(channel);
        wanted.sort_unstable();
        assert_eq!(of_channel, wanted, "{channel}");
    }
}

#[test]
fn a_silent_stream_is_kept_alive_by_a_comment_with_the_time() {
    let server = Server::start(&[]);
    let comment = Subscriber::new(&server, "business").comment();
    let time = comment.strip_prefix("heartbeat ").unwrap_or_default();
    assert!(time.len() == 20 && time.ends_with('Z'), "{comment}");
    let time = humantime::parse_rfc3339(time).expect("RFC 3339");
    let age = SystemTime::now()
        .duration_since(time)
        .expect("not of the future");
    assert!(age < PATIENCE, "{comment}");
}

#[test]
fn what_cannot_be_a_channel_is_not_found() {
    let server = Server::start(&[]);
    for target in ["/sse", "/sse/", "/sse/all/", "/sse/all/more", "/sse/All"] {
        server.get(target).assert_error(404, "not_found");
    }
}

#[test]
fn a_stream_can_only_be_read() {
    let server = Server::start(&[]);
    let mut failures = Vec::new();
    for (method, target, allowed) in [
        ("PUT", "/sse/all", "GET"),
        ("DELETE", "/sse/system", "HEAD"),
        ("PATCH", "/events/business", "POST"),
        ("GET", "/events/business", "POST"),
    ] {
        let response = server.connect().request(method, target, "");
        if response.status != 405 || !response.lists("allow", allowed) {
            failures.push(format!("{method} {target}: {response:?}"));
        }
    }
    server
        .post("/sse/all", "{}")
        .assert_error(405, "method_not_allowed");
    assert_no_failures(&failures);
}

#[test]
fn head_gives_the_fields_of_a_stream_without_a_subscription() {
    let server = Server::start(&[]);
    let head = server.connect().request("HEAD", "/sse/all", "");
    assert_eq!(head.status, 200);
    assert_eq!(
        head.required("content-type"),
        "text/event-stream; charset=utf-8"
    );
    assert_eq!(head.required("cache-control"), "no-store, no-transform");
    assert_eq!(head.field("content-length"), None);
    await_subscribers(&server, "all", 0);
    let mut http = server.connect();
    http.request("HEAD", "/sse/all", "Connection: close\r\n");
    http.expect_end();
}

#[test]
fn an_http_1_0_client_gets_its_stream() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send("GET /sse/all HTTP/1.0\r\n\r\n");
    let head = http.head();
    assert_stream_head(&head);
    assert_eq!(head.field("transfer-encoding"), None, "{head:?}");
    let begin = "retry: 3000\nevent: system_metrics\ndata: ";
    assert_eq!(http.take(begin.len()), begin.as_bytes());
}

#[test]
fn bytes_after_the_request_for_a_stream_are_not_a_request() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    http.send(
        [
            request("/rooms"),
            request("/sse/business"),
            request("/rooms"),
        ]
        .concat(),
    );
    assert_eq!(http.response().status, 200);
    assert_stream_head(&http.head());
    let mut begin = Vec::new();
    let id = publish(&server, &json!({"revenue": 1}));
    let end = format!("id: {id}\n\n");
    while !begin.ends_with(end.as_bytes()) {
        begin.extend(http.take(1));
    }
    let text = String::from_utf8(begin).expect("UTF-8");
    assert!(!text.contains("HTTP/"), "{text}");
}

#[test]
fn an_allowed_origin_may_read_a_stream_and_no_other() {
    const APP: &str = "https://app.example";
    let server = Server::start(&["--allow-origin", APP]);
    let with = |origin: &str| {
        let field = format!("Origin: {origin}\r\n");
        Subscriber::with(&server, "/sse/all", &field).head
    };
    let allowed = with(APP);
    assert_eq!(allowed.required("access-control-allow-origin"), APP);
    assert!(allowed.lists("vary", "origin"), "{allowed:?}");
    let foreign = server
        .connect()
        .request("HEAD", "/sse/all", "Origin: https://evil.example\r\n");
    assert_eq!(foreign.field("access-control-allow-origin"), None);
    // Clients other than EventSource send these two themselves, after a preflight.
    let preflight = server.connect().request(
        "OPTIONS",
        "/sse/all",
        &format!(
            "Origin: {APP}\r\nAccess-Control-Request-Method: GET\r\n\
             Access-Control-Request-Headers: authorization,last-event-id\r\n"
        ),
    );
    assert_eq!(preflight.required("access-control-allow-origin"), APP);
    for name in ["authorization", "last-event-id"] {
        let granted = preflight.lists("access-control-allow-headers", name);
        assert!(granted, "{name}: {preflight:?}");
    }
}

#[test]
fn a_subscriber_who_hangs_up_is_not_counted_any_more() {
    let server = Server::start(&[]);
    let mut ended = Subscriber::new(&server, "api");
    let dropped = Subscriber::new(&server, "api");
    let reset = Subscriber::new(&server, "api");
    await_subscribers(&server, "api", 3);
    await_subscribers(&server, "all", 0);
    ended.http.half_close();
    ended.http.rest();
    await_subscribers(&server, "api", 2);
    drop(dropped);
    await_subscribers(&server, "api", 1);
    reset.http.reset();
    await_subscribers(&server, "api", 0);
}

#[test]
fn a_stream_ends_when_the_server_does() {
    let mut server = Server::start(&[]);
    let mut subscribers = CHANNELS.map(|channel| Subscriber::new(&server, channel));
    server.signal(Signal::TERM);
    for subscriber in &mut subscribers {
        subscriber.expect_end();
    }
    assert_eq!(server.exit_within(PATIENCE).code(), Some(0));
}

/// A connection that accepts little before its client reads.
fn narrow(server: &Server) -> Http {
    let stream = support::narrow(server.address);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    Http::new(stream)
}

#[test]
fn a_subscriber_who_does_not_read_gets_the_latest_values_whole_and_none_twice() {
    let server = Server::start(&[]);
    let mut slow = Subscriber::over(narrow(&server), "/sse/all", "");
    let mut poster = server.connect();
    let padding = "가".repeat(1300);
    let mut last = 0;
    // More than the socket buffers of any system hold; several streams at once, as a stream that takes nothing is
    // dropped after a minute.
    for numbers in (0..4000).collect::<Vec<_>>().chunks(40) {
        let posts = numbers.iter().map(|number| {
            let figures = json!({"number": number, "padding": padding});
            poster.post_request("/events/business", &figures.to_string())
        });
        poster.send(posts.collect::<String>());
        for _ in numbers {
            let response = poster.response();
            assert_eq!(response.status, 200, "{}", response.text());
            last = response.json()["id"].as_u64().expect("an id");
        }
    }
    let mut seen = 0;
    let mut count = 0;
    while seen < last {
        let event = slow.next();
        assert_ne!(event.name, "gap");
        let id = event.id.expect("an id");
        assert!(id > seen, "{id} after {seen}");
        (seen, count) = (id, count + 1);
    }
    assert!(
        count < 4000,
        "the whole backlog was kept for {count} events"
    );
    let next = publish(&server, &json!({"padding": ""}));
    assert_eq!(slow.until(next).pop().expect("one").data["padding"], "");
}
