//! Channels of one's own: events posted to them, who gets them, several channels in one stream, and their limits.

use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::support::backend::{Backend, SECRET};
use crate::support::subscriber::{Event, Subscriber, ids, publish, tell};
use crate::support::token::{bearer, minted};
use crate::support::{PATIENCE, Server, assert_no_failures};

/// Channels of one's own at a time, and events kept, as the contract has them.
const CHANNELS: u64 = 64;
const KEPT: u64 = 200;

/// The events of channels of one's own; the clock sends others in between.
fn own(events: &[Event]) -> Vec<(&str, u64, &Value)> {
    let own = events.iter().filter(|one| !one.name.ends_with("_metrics"));
    own.map(|one| (&*one.name, one.id.expect("an id"), &one.data))
        .collect()
}

/// Waits until a request is answered with this status: the server may notice later that a subscriber has gone.
fn await_status(server: &Server, target: &str, status: u16) {
    let patience = Instant::now() + PATIENCE;
    while server.connect().request("HEAD", target, "").status != status {
        assert!(Instant::now() < patience, "{target} is never {status}");
        std::thread::yield_now();
    }
}

#[test]
fn a_posted_event_goes_to_its_channel_and_to_all_under_its_name_and_not_to_the_dashboard() {
    let server = Server::start(&[]);
    let mut deploys = Subscriber::new(&server, "deploys");
    let mut all = Subscriber::new(&server, "all");
    let mut dashboard = Subscriber::new(&server, "dashboard");
    let mut other = Subscriber::new(&server, "deploys2");
    let data = json!({"version": "1.2", "by": {"name": "홍길동"}, "steps": [1, null]});
    let first = tell(&server, "deploys", &data);
    let second = tell(&server, "deploys", &json!({}));
    assert!(second > first);
    for (id, data) in [(first, &data), (second, &json!({}))] {
        let event = deploys.next();
        assert_eq!(
            (&*event.name, event.id, &event.data),
            ("deploys", Some(id), data)
        );
    }
    let events = all.until(second);
    let expected = [("deploys", first, &data), ("deploys", second, &json!({}))];
    assert_eq!(own(&events), expected);
    // One sequence: what `all` has is without holes.
    let first_id = events[0].id.expect("an id");
    assert!(ids(&events).into_iter().eq(first_id..=second));
    let last = publish(&server, &json!({}));
    assert_eq!(own(&dashboard.until(last)), []);
    let only = tell(&server, "deploys2", &json!({"n": 1}));
    assert_eq!(other.next().id, Some(only));
}

#[test]
fn a_posted_event_is_kept_whether_anybody_listens_or_not() {
    let server = Server::start(&[]);
    let posted: Vec<u64> = (0..5)
        .map(|n| tell(&server, ["a", "b"][n % 2], &json!({"n": n})))
        .collect();
    assert_eq!(posted, [1, 2, 3, 4, 5]);
    let latest = Subscriber::new(&server, "b").next();
    assert_eq!((latest.id, &latest.data), (Some(4), &json!({"n": 3})));
    let first = Subscriber::new(&server, "all").take(2);
    assert_eq!(ids(&first), [4, 5], "the latest of each name comes first");
    for (seen, channel, missed) in [(0, "a", &[1, 3, 5][..]), (1, "a", &[3, 5]), (2, "b", &[4])] {
        let mut resumed = Subscriber::resuming(&server, channel, seen);
        assert_eq!(
            ids(&resumed.take(missed.len())),
            missed,
            "{channel} after {seen}"
        );
    }
}

#[test]
fn who_resumes_on_channels_of_ones_own_gets_a_gap_only_when_events_are_gone() {
    let server = Server::start(&[]);
    let first = tell(&server, "a", &json!({"n": 0}));
    let mut newest = 0;
    for n in 0..KEPT {
        newest = tell(&server, "b", &json!({"n": n}));
    }
    let mut late = Subscriber::resuming(&server, "a,b", first);
    assert_eq!(late.next().id, Some(first + 1), "all later ones are kept");
    newest = newest.max(tell(&server, "b", &json!({})));
    let mut too_late = Subscriber::resuming(&server, "a,b", first);
    let gap = too_late.expect("gap");
    assert_eq!(gap.data["requested"], first);
    assert_eq!(gap.data["restarted"], false);
    let oldest = gap.data["oldest"].as_u64().expect("an id");
    assert!(oldest > first + 1 && oldest + KEPT > newest, "{gap:?}");
    assert_eq!(too_late.next().id, Some(oldest));
    // Its event is not kept for those who resume, but its place is not needed.
    assert_eq!(Subscriber::new(&server, "a").next().id, Some(first));
}

#[test]
fn a_stream_may_have_several_channels() {
    let server = Server::start(&[]);
    let targets = [
        "/sse/a,b,api",
        "/sse/a%2Cb%2capi",
        "/sse/b,api,a,a,b,api",
        "/sse/%61,b,%61pi",
    ];
    let mut streams = targets.map(|target| Subscriber::with(&server, target, ""));
    let mut single = Subscriber::new(&server, "b");
    let a = tell(&server, "a", &json!({"n": 1}));
    tell(&server, "c", &json!({"n": 2}));
    let b = tell(&server, "b", &json!({"n": 3}));
    for stream in &mut streams {
        let events = stream.until(b);
        let expected = [("a", a, &json!({"n": 1})), ("b", b, &json!({"n": 3}))];
        assert_eq!(own(&events), expected);
        let others = events.iter().filter(|one| one.name.ends_with("_metrics"));
        let kinds: Vec<&str> = others.map(|one| &*one.name).collect();
        assert!(kinds.iter().all(|kind| *kind == "api_metrics"), "{kinds:?}");
    }
    assert_eq!(single.next().id, Some(b));
    let mut whole = Subscriber::new(&server, "a,all");
    let c = tell(&server, "c", &json!({"n": 4}));
    assert_eq!(whole.until(c).pop().expect("one").name, "c");
}

#[test]
fn a_list_with_what_is_no_channel_or_with_too_many_is_not_found() {
    let server = Server::start(&[]);
    let names: Vec<String> = (0..16).map(|n| format!("c{n}")).collect();
    let longest = names.join(",");
    for list in [
        ",",
        "a,",
        ",a",
        "a,,b",
        "a,B",
        "all,none!",
        "a, b",
        "api,gap",
        "가",
    ] {
        let target = format!("/sse/{}", list.replace(' ', "%20"));
        let refused = server.get(&target);
        refused.assert_error(404, "not_found");
        assert!(
            refused.text().contains("a channel has"),
            "{}",
            refused.text()
        );
    }
    let long = "x".repeat(65);
    server
        .get(&format!("/sse/{long}"))
        .assert_error(404, "not_found");
    let refused = server.get(&format!("/sse/{longest},c16"));
    refused.assert_error(404, "not_found");
    assert!(refused.text().contains("at most 16"), "{}", refused.text());
    Subscriber::new(&server, &format!("{longest},c0,c15"));
    Subscriber::new(&server, &long[..64]);
}

#[test]
fn a_name_is_refused_that_is_not_allowed_or_the_servers_own() {
    let server = Server::start(&[]);
    let mut failures = Vec::new();
    let long = "a".repeat(65);
    for (names, status, code) in [
        (
            &["All", "a%20b", "%EA%B0%80", "a,b", "a.b", "%0A", &long][..],
            400,
            "bad_channel_name",
        ),
        (
            &[
                "dashboard",
                "all",
                "system",
                "api",
                "system_metrics",
                "api_metrics",
                "business_metrics",
                "gap",
                "open",
                "error",
                "audit",
            ],
            403,
            "channel_reserved",
        ),
    ] {
        for name in names {
            let response = server.post(&format!("/events/{name}"), "{}");
            if (response.status, &*response.error_code()) != (status, code) {
                failures.push(format!("{name}: {response:?}"));
            }
        }
    }
    assert_no_failures(&failures);
    for name in [&long[..64], "0", "-_-", "message", "business2"] {
        tell(&server, name, &json!({}));
    }
}

#[test]
fn only_an_object_of_at_most_4_kib_is_told() {
    let server = Server::start(&[]);
    let target = "/events/deploys";
    for (body, code) in [
        ("[]", "bad_request"),
        ("null", "bad_request"),
        ("{", "bad_json"),
    ] {
        server.post(target, body).assert_error(400, code);
    }
    let fits = json!({"x": "x".repeat(4096 - 8)}).to_string();
    assert_eq!(fits.len(), 4096);
    assert_eq!(server.post(target, &fits).status, 200);
    let large = fits.replace("xx\"", "xxx\"");
    server
        .post(target, &large)
        .assert_error(413, "content_too_large");
    let mut http = server.connect();
    let other = http.post_with(target, "Content-Type: text/plain\r\n", "{}");
    other.assert_error(415, "unsupported_media_type");
    let foreign = http.post_with(target, "Origin: https://evil.example\r\n", "{}");
    foreign.assert_error(403, "forbidden_origin");
    http.request("PUT", target, "")
        .assert_error(405, "method_not_allowed");
}

#[test]
fn no_text_that_is_posted_can_break_out_of_its_event_or_break_its_line() {
    let server = Server::start(&[]);
    let mut subscriber = Subscriber::new(&server, "business,deploys");
    subscriber.next();
    let hostile =
        "a\nevent: forged\ndata: {}\r\rid: 9\r\n\n\u{2028}\u{2029}\u{85}\u{b}\u{c}\u{1d}\0";
    let mut object = Map::new();
    object.insert(hostile.to_owned(), json!([hostile, {hostile: hostile}]));
    let object = Value::Object(object);
    // The parser fails on a line with a character at which some clients would break it.
    let id = publish(&server, &object);
    let event = subscriber.until(id).pop().expect("one");
    assert_eq!(event.data[hostile], object[hostile]);
    let id = tell(&server, "deploys", &object);
    assert_eq!(subscriber.until(id).pop().expect("one").data, object);
    // Line breaks between the tokens of what is posted, too.
    let response = server.post("/events/deploys", "{\r\n\"a\":\n\r1\n}\n");
    let id = response.json()["id"].as_u64().expect("an id");
    assert_eq!(
        subscriber.until(id).pop().expect("one").data,
        json!({"a": 1})
    );
    let target = "/sse/deploys?last_event_id=%E2%80%A8a%C2%85%0A";
    let gap = Subscriber::with(&server, target, "").expect("gap");
    assert_eq!(gap.data["requested"], "\u{2028}a\u{85}\n");
}

#[test]
fn one_channel_more_than_there_are_places_is_refused_until_one_is_free() {
    let server = Server::start(&[]);
    let mut held: Vec<Subscriber> = Vec::new();
    // Posted to, or subscribed to, or both.
    for n in 0..CHANNELS {
        let name = format!("c{n}");
        if n % 2 == 0 {
            held.push(Subscriber::new(&server, &name));
        }
        if n % 3 != 0 {
            tell(&server, &name, &json!({"n": n}));
        } else if n % 2 == 1 {
            held.push(Subscriber::new(&server, &format!("{name},system")));
        }
    }
    let refused = server.post("/events/more", "{}");
    refused.assert_error(503, "too_many_channels");
    for target in ["/sse/more", "/sse/c1,more", "/sse/more,system"] {
        server.get(target).assert_error(503, "too_many_channels");
        assert_eq!(server.connect().request("HEAD", target, "").status, 503);
    }
    Subscriber::new(&server, "more,all");
    // What is known goes on.
    tell(&server, "c0", &json!({}));
    let _several = Subscriber::new(&server, "c1,c2,c3");
    // Nobody has posted to c6, and now nobody subscribes to it.
    let c6 = held.remove(4);
    drop(c6);
    await_status(&server, "/sse/more", 200);
    tell(&server, "more", &json!({}));
    server.get("/sse/c6").assert_error(503, "too_many_channels");
}

#[test]
fn a_channel_whose_events_are_not_kept_any_more_makes_way() {
    let server = Server::start(&[]);
    for n in 0..CHANNELS {
        tell(&server, &format!("c{n}"), &json!({"n": n}));
    }
    // Nothing is sampled without subscribers.
    for _ in CHANNELS..KEPT {
        publish(&server, &json!({}));
    }
    server
        .post("/events/more", "{}")
        .assert_error(503, "too_many_channels");
    // The first of them is gone.
    publish(&server, &json!({}));
    let id = tell(&server, "more", &json!({}));
    assert_eq!(id, KEPT + 2);
    // Then the second, which gives its place to the first.
    let mut first = Subscriber::new(&server, "c0");
    let id = tell(&server, "c0", &json!({}));
    assert_eq!(
        first.next().id,
        Some(id),
        "its event of before is forgotten"
    );
    let mut more = Subscriber::new(&server, "more");
    assert_eq!(more.next().id, Some(KEPT + 2));
}

#[test]
fn streams_of_other_channels_are_counted_together_in_the_metrics() {
    let server = Server::start(&[]);
    let streams = [
        "deploys",
        "a,b",
        "system,api",
        "system,api,business",
        "all,a",
        "api,api",
    ]
    .map(|list| Subscriber::new(&server, list));
    let page = server.get("/metrics");
    for (channel, count) in [
        ("other", 3),
        ("dashboard", 1),
        ("all", 1),
        ("api", 1),
        ("system", 0),
    ] {
        let line = format!("sarang_subscribers{{channel=\"{channel}\"}} {count}");
        assert!(page.text().lines().any(|known| known == line), "no {line}");
    }
    assert!(
        !page.text().contains("deploys"),
        "names do not add up for ever"
    );
    drop(streams);
}

#[test]
fn different_selections_are_limited_and_the_usual_channels_are_not_among_them() {
    let server = Server::start(&[]);
    // As many different pairs of 24 names, with connections that loopback does not limit.
    let pairs = (0..24).flat_map(|a| (0..a).map(move |b| format!("c{a},c{b}")));
    let mut streams: Vec<_> = pairs
        .take(256)
        .map(|pair| Subscriber::new(&server, &pair))
        .collect();
    server
        .get("/sse/c0,c1,c2")
        .assert_error(503, "too_many_channels");
    for list in ["all", "system", "c2,c1", "system,business,api"] {
        Subscriber::new(&server, list);
    }
    let id = tell(&server, "c0", &json!({}));
    // c1,c0 is the first, c2,c0 the second.
    for stream in &mut streams[..2] {
        assert_eq!(stream.next().id, Some(id));
    }
    drop(streams.pop());
    await_status(&server, "/sse/c0,c1,c2", 200);
}

#[test]
fn strangers_on_a_public_dashboard_leave_places_to_those_with_a_token() {
    let backend = Backend::start("strangers", &["--public-dashboard"]);
    let server = &backend.server;
    let token = bearer(&minted(
        &json!({"sub": "가게", "exp": 9_999_999_999_u64}),
        SECRET,
    ));
    let tell = |channel: &str| {
        let target = format!("/events/{channel}");
        server.connect().post_with(&target, &token, "{}").status
    };
    assert_eq!(tell("known"), 200);
    let _known = Subscriber::new(server, "known");
    let _strangers: Vec<_> = (0..CHANNELS / 2)
        .map(|n| Subscriber::new(server, &format!("s{n}")))
        .collect();
    server
        .get("/sse/more")
        .assert_error(503, "too_many_channels");
    Subscriber::new(server, "known,api");
    for n in 0..CHANNELS / 2 - 1 {
        assert_eq!(tell(&format!("own{n}")), 200, "{n}");
    }
    assert_eq!(tell("more"), 503);
    assert_eq!(tell("s0"), 200);
}
