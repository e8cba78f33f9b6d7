//! What the server reports about itself: `/metrics` in the Prometheus exposition format, `/livez`, `/readyz`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::support::subscriber::Subscriber;
use crate::support::{Chatter, PATIENCE, Server};

/// Names that scrapers are configured with, with their types.
const PROMISED: [(&str, &str); 21] = [
    ("sarang_connections", "gauge"),
    ("sarang_subscribers", "gauge"),
    ("sarang_rooms", "gauge"),
    ("sarang_users", "gauge"),
    ("sarang_messages_total", "counter"),
    ("sarang_deliveries_total", "counter"),
    ("sarang_events_total", "counter"),
    ("sarang_bytes_total", "counter"),
    ("sarang_responses_total", "counter"),
    ("sarang_closes_total", "counter"),
    ("sarang_logins_total", "counter"),
    ("sarang_outbox_high_water_bytes", "gauge"),
    ("sarang_resident_memory_bytes", "gauge"),
    ("sarang_turn_duration_seconds", "histogram"),
    ("sarang_build_info", "gauge"),
    ("process_start_time_seconds", "gauge"),
    ("sarang_members_in_grace", "gauge"),
    ("sarang_guest_names_held", "gauge"),
    ("sarang_own_channels", "gauge"),
    ("sarang_password_checks_waiting", "gauge"),
    ("sarang_forwarded_addresses_total", "counter"),
];

/// The samples of `/metrics` by name and labels, as they are written.
fn samples(server: &Server) -> HashMap<String, f64> {
    let page = server.get("/metrics");
    assert_eq!(page.status, 200, "{page:?}");
    let mut samples = HashMap::new();
    for line in page.text().lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a sample has a value");
        let value = value
            .parse()
            .unwrap_or_else(|_| panic!("no number: {line}"));
        let twice = samples.insert(name.to_owned(), value);
        assert_eq!(twice, None, "{name} is there twice");
    }
    samples
}

/// Waits for a sample: the server may notice the end of a connection a moment later.
fn await_sample(server: &Server, name: &str, value: f64) {
    let patience = Instant::now() + PATIENCE;
    while samples(server).get(name) != Some(&value) {
        assert!(
            Instant::now() < patience,
            "{name} never was {value}: {:?}",
            samples(server)
        );
    }
}

#[test]
fn metrics_come_in_the_text_format_with_the_names_of_the_contract() {
    let server = Server::start(&[]);
    let page = server.get("/metrics");
    let format = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(page.required("content-type"), format);
    assert!(page.text().ends_with('\n'));
    for (name, kind) in PROMISED {
        let line = format!("# TYPE {name} {kind}");
        assert!(page.text().lines().any(|known| known == line), "no {line}");
    }
}

/// Those of a server with a store, beside the others.
const PROMISED_OF_A_STORE: [(&str, &str); 6] = [
    ("sarang_store_up", "gauge"),
    ("sarang_store_queue", "gauge"),
    ("sarang_store_commit_seconds", "histogram"),
    ("sarang_store_batch_size", "histogram"),
    ("sarang_store_failures_total", "counter"),
    ("sarang_store_file_bytes", "gauge"),
];

#[test]
fn a_server_with_a_store_shows_how_that_does_and_one_without_has_no_such_figures() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("metrics-store-{}", std::process::id()));
    let server = Server::start(&["--data", folder.to_str().expect("a path in UTF-8")]);
    let page = server.get("/metrics");
    for (name, kind) in PROMISED_OF_A_STORE {
        let line = format!("# TYPE {name} {kind}");
        assert!(page.text().lines().any(|known| known == line), "no {line}");
    }
    let mut one = Chatter::guest(&server, "홍길동");
    one.join("r");
    let before = samples(&server);
    let message = json!({"type": "chat", "room": "r", "content": "hello", "id": "1"});
    one.send(message);
    one.expect("chat");
    one.expect("ack");
    let samples = samples(&server);
    for name in ["commit_seconds", "batch_size"] {
        let count = format!("sarang_store_{name}_count");
        assert_eq!(samples[&count], before[&count] + 1.0, "{name}");
    }
    assert_eq!(samples["sarang_store_up"], 1.0);
    assert_eq!(samples["sarang_store_queue"], 0.0);
    assert_eq!(samples["sarang_store_failures_total"], 0.0);
    let file = fs::metadata(folder.join("sarang.redb")).expect("is there");
    assert_eq!(samples["sarang_store_file_bytes"], file.len() as f64);
    drop(server);
    fs::remove_dir_all(&folder).expect("is ours");
    let without = Server::start(&[]);
    assert!(!without.get("/metrics").text().contains("sarang_store"));
}

#[test]
fn every_family_is_described_once_and_before_its_samples() {
    let server = Server::start(&[]);
    let page = server.get("/metrics");
    let mut described = HashSet::new();
    let mut current = "";
    for line in page.text().lines() {
        let mut words = line.split(' ');
        if line.starts_with("# HELP ") {
            current = words.nth(2).expect("a name");
            assert!(described.insert(current), "{current} is described twice");
            assert!(words.next().is_some(), "{current} has no words");
        } else if line.starts_with("# TYPE ") {
            assert_eq!(words.nth(2), Some(current));
        } else {
            let name = line.split(['{', ' ']).next().expect("a name");
            let own = ["", "_bucket", "_sum", "_count"].map(|part| format!("{current}{part}"));
            assert!(own.iter().any(|own| own == name), "{name} below {current}");
            // What the clients of Prometheus name alike in every program.
            let is_common = name == "process_start_time_seconds";
            assert!(name.starts_with("sarang_") || is_common, "{name}");
        }
    }
}

#[test]
fn turns_are_a_histogram_that_adds_up() {
    let server = Server::start(&[]);
    server.member("홍길동", "tech").say("tech", "안녕");
    let page = server.get("/metrics");
    let lines = page.text().lines();
    let buckets: Vec<(f64, f64)> = lines
        .filter_map(|line| line.strip_prefix("sarang_turn_duration_seconds_bucket{le=\""))
        .map(|line| line.split_once("\"} ").expect("a bucket"))
        .map(|(bound, count)| (bound.parse(), count.parse()))
        .map(|(bound, count)| (bound.expect("a bound"), count.expect("a count")))
        .collect();
    let rising = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
    assert!(buckets.windows(2).all(rising), "{buckets:?}");
    let (bound, all) = buckets[buckets.len() - 1];
    assert!(bound.is_infinite() && all > 0.0, "{buckets:?}");
    let count = format!("sarang_turn_duration_seconds_count {all}");
    assert!(page.text().lines().any(|line| line == count));
}

#[test]
fn connections_rooms_and_users_are_counted() {
    let server = Server::start(&[]);
    await_sample(&server, "sarang_connections{kind=\"websocket\"}", 0.0);
    let hong = server.member("홍길동", "tech");
    let kim = server.member("김철수", "random");
    let mut stream = server.connect();
    stream.send("GET /sse/system HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(stream.head().status, 200);
    let counted = samples(&server);
    assert_eq!(counted["sarang_rooms"], 2.0);
    assert_eq!(counted["sarang_users"], 2.0);
    assert_eq!(counted["sarang_connections{kind=\"websocket\"}"], 2.0);
    assert_eq!(counted["sarang_connections{kind=\"event_stream\"}"], 1.0);
    assert_eq!(counted["sarang_subscribers{channel=\"system\"}"], 1.0);
    assert_eq!(counted["sarang_subscribers{channel=\"all\"}"], 0.0);
    assert!(counted["sarang_connections{kind=\"http\"}"] >= 1.0);
    kim.close();
    hong.reset();
    drop(stream);
    await_sample(&server, "sarang_connections{kind=\"websocket\"}", 0.0);
    await_sample(&server, "sarang_connections{kind=\"event_stream\"}", 0.0);
    await_sample(&server, "sarang_users", 0.0);
}

#[test]
fn messages_deliveries_and_bytes_are_counted() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let mut kim = server.member("김철수", "tech");
    let _elsewhere = server.member("이영희", "random");
    let before = samples(&server);
    let content = "안녕하세요!".repeat(100);
    for _ in 0..10 {
        hong.say("tech", &content);
        kim.until("chat");
    }
    let after = samples(&server);
    let grown = |name: &str| after[name] - before[name];
    assert_eq!(grown("sarang_messages_total"), 10.0);
    let deliveries = grown("sarang_deliveries_total{kind=\"chat\"}");
    assert_eq!(deliveries, 20.0);
    let said = 10.0 * content.len() as f64;
    assert!(grown("sarang_bytes_total{direction=\"received\"}") > said);
    assert!(grown("sarang_bytes_total{direction=\"sent\"}") > 2.0 * said);
}

#[test]
fn a_chat_that_is_acknowledged_again_is_no_second_message() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    for _ in 0..2 {
        hong.send(json!({"type": "chat", "room": "tech", "content": "하나", "id": "1"}));
        hong.until("ack");
    }
    assert_eq!(samples(&server)["sarang_messages_total"], 1.0);
}

#[test]
fn responses_are_counted_by_status_and_logins_by_outcome() {
    let server = Server::start(&[]);
    for target in ["/rooms/none", "/none", "/sse/None"] {
        assert_eq!(server.get(target).status, 404);
    }
    server.connect().send("nonsense\r\n\r\n");
    for (password, status) in [("secret", 200), ("wrong", 401)] {
        let body = json!({"username": "admin", "password": password});
        let response = server.post("/auth/login", &body.to_string());
        assert_eq!(response.status, status);
    }
    await_sample(&server, "sarang_responses_total{status=\"400\"}", 1.0);
    let counted = samples(&server);
    assert_eq!(counted["sarang_responses_total{status=\"404\"}"], 3.0);
    assert_eq!(counted["sarang_responses_total{status=\"401\"}"], 1.0);
    let logins = counted
        .iter()
        .filter(|(name, _)| name.starts_with("sarang_logins_total{outcome="));
    let told: Vec<_> = logins.filter(|(_, count)| **count == 1.0).collect();
    assert_eq!(told.len(), 2, "{counted:?}");
}

#[test]
fn websockets_that_the_server_closes_are_counted_by_code() {
    let server = Server::start(&[]);
    let refused = server.upgraded("/ws?ticket=unknown").expect_close(4001);
    assert!(!refused.is_empty());
    await_sample(&server, "sarang_closes_total{code=\"4001\"}", 1.0);
}

#[test]
fn queue_peaks_and_the_memory_in_use_are_reported() {
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    hong.say("tech", &"x".repeat(4000));
    // A history is queued before it is sent.
    let _kim = server.member("김철수", "tech");
    let counted = samples(&server);
    let high_water = counted["sarang_outbox_high_water_bytes"];
    assert!(high_water >= 4000.0, "{high_water}");
    let told = counted["sarang_resident_memory_bytes"] / 1024.0;
    let seen = server.resident_kib() as f64;
    assert!(
        (seen / 2.0..seen * 2.0).contains(&told),
        "{told} KiB, not {seen}"
    );
}

#[test]
fn health_is_reported_in_one_word() {
    let server = Server::start(&[]);
    for (target, word) in [("/livez", "ok"), ("/readyz", "ready")] {
        let response = server.get(target);
        assert_eq!(response.status, 200);
        assert_eq!(response.text().trim_end(), word);
        assert!(response.required("content-type").starts_with("text/plain"));
    }
}

#[test]
fn metrics_and_health_can_only_be_read() {
    let server = Server::start(&[]);
    for target in ["/metrics", "/livez", "/readyz"] {
        let mut http = server.connect();
        let head = http.request("HEAD", target, "");
        assert_eq!(head.status, 200, "{target}");
        head.required("content-length");
        server
            .post(target, "{}")
            .assert_error(405, "method_not_allowed");
        assert_eq!(http.get(target).required("cache-control"), "no-store");
    }
}

#[test]
fn the_version_and_the_start_of_the_process_are_told() {
    let before = unix_seconds();
    let server = Server::start(&[]);
    let counted = samples(&server);
    let version = env!("CARGO_PKG_VERSION");
    let info = format!("sarang_build_info{{version=\"{version}\"}}");
    assert_eq!(counted[&info], 1.0);
    let started = counted["process_start_time_seconds"];
    assert!(
        (before..=unix_seconds()).contains(&started),
        "{started} after {before}"
    );
    await_sample(&server, "process_start_time_seconds", started);
}

fn unix_seconds() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("the clock is set").as_secs_f64()
}

#[test]
fn members_in_grace_and_names_held_are_counted_until_they_are_free() {
    let server = Server::start(&["--presence-grace", "60"]);
    let enter = || {
        let mut alex = Chatter::open(&server, "/ws?username=Alex&key=0123456789abcdef", &[]);
        alex.expect("welcome");
        alex.join("tech");
        alex
    };
    let mut alex = enter();
    let counted = samples(&server);
    assert_eq!(counted["sarang_members_in_grace"], 0.0);
    assert_eq!(counted["sarang_guest_names_held"], 1.0);
    alex.reset();
    await_sample(&server, "sarang_members_in_grace", 1.0);
    assert_eq!(samples(&server)["sarang_guest_names_held"], 1.0);
    alex = enter();
    assert_eq!(samples(&server)["sarang_members_in_grace"], 0.0);
    alex.leave("tech");
    // Without a grace both are free with the connection.
    let server = Server::start(&["--presence-grace", "0"]);
    let target = "/ws?username=Alex&key=0123456789abcdef";
    let alex = Chatter::open(&server, target, &[]);
    await_sample(&server, "sarang_guest_names_held", 1.0);
    alex.close();
    await_sample(&server, "sarang_guest_names_held", 0.0);
}

#[test]
fn channels_of_ones_own_are_counted() {
    let server = Server::start(&[]);
    assert_eq!(samples(&server)["sarang_own_channels"], 0.0);
    let stream = Subscriber::new(&server, "awaited");
    server.post("/events/deploys", r#"{"version":"1.2"}"#);
    assert_eq!(samples(&server)["sarang_own_channels"], 2.0);
    drop(stream);
    await_sample(&server, "sarang_own_channels", 1.0);
}

#[test]
fn sign_ins_that_have_to_wait_are_counted() {
    let server = Server::start(&[]);
    let guess = r#"{"username":"admin","password":"wrong"}"#;
    while server.post("/auth/login", guess).status == 401 {
        let mut waiting = server.connect();
        waiting.send(waiting.post_request("/auth/login", guess));
        if samples(&server)["sarang_password_checks_waiting"] > 0.0 {
            drop(waiting);
            return await_sample(&server, "sarang_password_checks_waiting", 0.0);
        }
    }
    panic!("no attempt ever waited");
}

#[test]
fn addresses_that_proxies_tell_are_counted_by_what_became_of_them() {
    let outcomes = |server: &Server| {
        let counted = samples(server);
        ["taken", "missing", "differing", "ignored"].map(|outcome| {
            let name = format!("sarang_forwarded_addresses_total{{outcome=\"{outcome}\"}}");
            counted[&name]
        })
    };
    let one = "X-Forwarded-For: 192.0.2.1\r\n";
    let both = "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.2\r\n";
    let server = Server::start(&["--trusted-proxy", "127.0.0.1"]);
    // The page itself is asked for without a field.
    assert_eq!(outcomes(&server), [0.0, 1.0, 0.0, 0.0]);
    for fields in [one, both, one] {
        assert_eq!(
            server.connect().request("GET", "/rooms", fields).status,
            200
        );
    }
    assert_eq!(outcomes(&server), [2.0, 2.0, 1.0, 0.0]);
    let server = Server::start(&[]);
    for fields in [one, both, ""] {
        assert_eq!(
            server.connect().request("GET", "/rooms", fields).status,
            200
        );
    }
    assert_eq!(outcomes(&server), [0.0, 0.0, 0.0, 2.0]);
}
