//! At the limit of file descriptors: a new client is refused at once, and the loop does not spin.

use std::io::Write as _;

use crate::support::{Http, Server, sarang};

const DESCRIPTORS: usize = 64;

/// A server that may not open more descriptors, whatever limit it asks for.
fn start(options: &[&str]) -> Server {
    let mut command = std::process::Command::new("sh");
    let binary = sarang().get_program().to_owned();
    let script = format!("ulimit -n {DESCRIPTORS}; exec \"$0\" --listen 127.0.0.1:0 \"$@\"");
    command.args(["-c", &script]).arg(binary).args(options);
    Server::spawn(command)
}

/// Opens connections that stay, until one is refused.
fn fill(server: &Server) -> Vec<Http> {
    let mut kept = Vec::new();
    for _ in 0..DESCRIPTORS {
        let mut http = server.connect();
        http.send_if_open(format!(
            "GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n",
            server.host()
        ));
        match http.response().status {
            200 => kept.push(http),
            503 => return kept,
            other => panic!("{other}"),
        }
    }
    panic!("{DESCRIPTORS} descriptors are enough for {DESCRIPTORS} connections");
}

/// How many turns the loop has made, read over a connection that is open.
fn turns(http: &mut Http) -> u64 {
    let page = http.get("/metrics");
    let line = page
        .text()
        .lines()
        .find_map(|line| line.strip_prefix("sarang_turn_duration_seconds_count "));
    line.and_then(|number| number.parse().ok())
        .expect("the number of turns")
}

#[test]
fn without_a_descriptor_a_peer_gets_a_whole_503_and_open_connections_go_on() {
    let server = start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let mut kim = server.member("김철수", "tech");
    hong.until("user_joined");
    let mut kept = fill(&server);
    for n in 0..20 {
        let mut http = server.connect();
        http.send_if_open("GET /rooms HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let refused = http.response();
        refused.assert_error(503, "unavailable");
        assert_eq!(refused.required("retry-after"), "1");
        http.expect_end();
        hong.say("tech", &format!("{n}"));
        assert_eq!(kim.expect("chat")["content"], format!("{n}"));
    }
    // One leaves, and so one more may connect.
    let metrics = kept[0].get("/metrics");
    let refused = metrics.text().lines().find_map(|line| {
        line.strip_prefix("sarang_connections_refused_total ")?
            .parse::<u64>()
            .ok()
    });
    assert!(refused.is_some_and(|count| count >= 21), "{refused:?}");
    drop(kept.pop());
    let comes = (0..1000).any(|_| server.connect().get("/livez").status == 200);
    assert!(comes, "a descriptor that became free is used");
}

#[test]
fn at_the_limit_of_descriptors_the_loop_does_not_spin() {
    let server = start(&[]);
    let mut kept = fill(&server);
    let before = turns(&mut kept[0]);
    // All these peers send nothing and are refused all the same.
    for _ in 0..10 {
        let mut silent = server.connect();
        assert_eq!(silent.response().status, 503);
    }
    let made = turns(&mut kept[0]) - before;
    // A turn or two each, and some for the metrics: a loop that spins makes thousands.
    assert!(made < 100, "{made} turns for 10 refusals");
}

#[test]
fn a_flood_at_the_limit_is_logged_in_a_few_lines() {
    let mut server = start(&["--log", "warn"]);
    let kept = fill(&server);
    for _ in 0..50 {
        assert_eq!(server.connect().response().status, 503);
    }
    drop(kept);
    let errors = server.stop();
    let lines: Vec<_> = errors
        .lines()
        .filter(|line| line.contains(" level=warn event=connection_refused limit=descriptors "))
        .collect();
    assert!((1..=10).contains(&lines.len()), "{errors}");
    assert!(lines[0].contains("address=127.0.0.1"), "{errors}");
}

#[test]
fn what_a_refused_peer_has_sent_does_not_break_its_refusal() {
    let server = start(&[]);
    let _kept = fill(&server);
    for _ in 0..20 {
        let mut http = server.connect();
        // The refusal may be there before all of this is sent.
        _ = http.stream.write_all(&[b'x'; 4096]);
        http.response().assert_error(503, "unavailable");
    }
}
