//! Logins by the hundred: throttles that expire, a full queue, memory that stays bounded, and chat at the same time.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{self, Http, PATIENCE, Response, Server, assert_no_failures};

const ADMIN: (&str, &str) = ("admin", "secret");

fn body((username, password): (&str, &str)) -> String {
    json!({"username": username, "password": password}).to_string()
}

fn login(server: &Server, account: (&str, &str)) -> Response {
    server.post("/auth/login", &body(account))
}

/// A login that is under way on a connection of its own.
fn begin(server: &Server, account: (&str, &str)) -> Http {
    let mut http = server.connect();
    patient(&http);
    http.send(http.post_request("/auth/login", &body(account)));
    http
}

/// A connection that waits for many password checks before its own: they are slow on a busy machine, as they run at low
/// priority.
fn patient(http: &Http) {
    http.stream
        .set_read_timeout(Some(8 * PATIENCE))
        .expect("a read timeout");
}

/// Whether nothing has come on a connection yet.
fn is_silent(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("nonblocking");
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("blocking");
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// The seconds after which another attempt is allowed.
fn retry_after(response: &Response) -> u64 {
    let seconds = response.required("retry-after").parse();
    let seconds = seconds.expect("Retry-After in seconds");
    assert!((1..=60).contains(&seconds), "{response:?}");
    seconds
}

/// Logins pipelined in one packet, so that less than a second passes between two of them.
fn login_at_once(server: &Server, accounts: &[(&str, &str)]) -> Vec<Response> {
    let mut http = server.connect();
    patient(&http);
    let requests = accounts.iter();
    let requests = requests.map(|account| http.post_request("/auth/login", &body(*account)));
    http.send(requests.collect::<String>());
    accounts.iter().map(|_| http.response()).collect()
}

/// Sends wrong passwords until one is refused unchecked; returns how many were checked.
fn guess_until_throttled(server: &Server, name: &str) -> (usize, Response) {
    for tried in 0..30 {
        let guess = begin(server, (name, "wrong")).response();
        if guess.status == 429 {
            return (tried, guess);
        }
        guess.assert_error(401, "invalid_credentials");
    }
    panic!("thirty guesses in a row are let through");
}

#[test]
fn who_sends_guess_after_guess_has_to_wait_whatever_the_name() {
    // The throttle must not reveal which accounts exist.
    let [admin, nobody] = ["admin", "nobody"]
        .map(|name| thread::spawn(move || guess_until_throttled(&Server::start(&[]), name)))
        .map(|guesses| guesses.join().expect("ends"));
    for (tried, throttled) in [&admin, &nobody] {
        // Five are free; then two schedules let one through now and then.
        assert!((10..=14).contains(tried), "{tried}");
        throttled.assert_error(429, "too_many_requests");
        retry_after(throttled);
    }
    assert_eq!(admin.1.text(), nobody.1.text());
}

#[test]
fn an_owner_signs_in_beside_a_guesser_of_the_same_address_who_waits_as_long_as_told() {
    let server = Server::start(&[]);
    let mut guesses = login_at_once(&server, &[("admin", "wrong"); 5]);
    // What a 429 would tell the guesser after each guess.
    for wait in [1, 2, 4] {
        for _ in 0..4 {
            let response = login(&server, ADMIN);
            assert_eq!(response.status, 200, "{response:?} {}", response.text());
        }
        thread::sleep(Duration::from_secs(wait));
        guesses.append(&mut login_at_once(&server, &[("admin", "wrong")]));
    }
    // No guess was checked beyond those of the schedule.
    let statuses: Vec<u16> = guesses.iter().map(|guess| guess.status).collect();
    assert_eq!(statuses, [401; 8]);
}

#[test]
fn an_attempt_refused_during_the_wait_does_not_extend_it() {
    let server = Server::start(&[]);
    let (_, throttled) = guess_until_throttled(&server, "admin");
    let patient = Instant::now() + Duration::from_secs(retry_after(&throttled));
    // An attacker keeps trying all the time.
    while Instant::now() < patient {
        let left = patient.saturating_duration_since(Instant::now());
        let response = login(&server, ("admin", "wrong"));
        if response.status != 429 {
            break;
        }
        let told = Duration::from_secs(retry_after(&response));
        assert!(
            told <= left + Duration::from_secs(1),
            "{told:?} instead of {left:?}"
        );
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_throttle_of_one_name_does_not_affect_others() {
    let server = Server::start(&[]);
    let token = login(&server, ADMIN).json()["access_token"].clone();
    login_at_once(&server, &[("nobody", "wrong"); 6]);
    assert_eq!(login(&server, ADMIN).status, 200);
    login_at_once(&server, &[("admin", "wrong"); 6]);
    // Users who are signed in already are not affected.
    let token = token.as_str().expect("a token");
    let field = format!("Authorization: Bearer {token}\r\n");
    for target in ["/auth/ws-ticket", "/auth/refresh"] {
        let response = server.connect().request("POST", target, &field);
        assert_eq!(response.status, 200, "{response:?}");
    }
}

#[test]
fn successes_are_not_throttled_and_clear_failures() {
    let server = Server::start(&[]);
    for _ in 0..3 {
        for _ in 0..4 {
            login(&server, ("admin", "wrong")).assert_error(401, "invalid_credentials");
        }
        assert_eq!(login(&server, ADMIN).status, 200);
    }
}

#[test]
fn guesses_at_the_same_time_are_bounded_too() {
    let server = Server::start(&[]);
    let mut guesses: Vec<Http> = (0..40)
        .map(|_| begin(&server, ("admin", "wrong")))
        .collect();
    let statuses: Vec<u16> = guesses
        .iter_mut()
        .map(|guess| guess.response().status)
        .collect();
    let tried = statuses.iter().filter(|status| **status == 401).count();
    // Several users may share an address: 16 at once may try before five have failed. While the others wait the second
    // schedule lets one through every 5 seconds.
    assert!(
        tried <= 16 + 5 + 3,
        "{tried} of 40 guesses were tried: {statuses:?}"
    );
    let others = statuses.iter().filter(|status| **status != 401);
    let unexpected: Vec<_> = others
        .filter(|status| !matches!(status, 429 | 503))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

#[test]
fn chat_goes_on_while_hundreds_of_logins_are_under_way() {
    let _alone = support::crowd();
    let server = Server::start(&[]);
    let mut hong = server.member("홍길동", "tech");
    let mut kim = server.member("김철수", "tech");
    hong.expect("user_joined");
    let names: Vec<String> = (0..700).map(|n| format!("nobody {n}")).collect();
    let mut logins: Vec<Http> = names
        .iter()
        .map(|name| begin(&server, (name, "wrong")))
        .collect();
    let mut under_way = 0;
    for n in 0..20 {
        let content = n.to_string();
        hong.say("tech", &content);
        assert_eq!(kim.expect("chat")["content"], content);
        let silent = logins.iter().filter(|http| is_silent(&http.stream));
        under_way = under_way.max(silent.count());
    }
    assert_eq!(server.get("/auth").status, 200);
    // If the chat's thread hashed passwords, every earlier login would have been answered first.
    assert!(under_way > 0, "no login was left while people talked");
    let mut refused = 0;
    for http in &mut logins {
        let response = http.response();
        match response.status {
            401 => {}
            429 | 503 => {
                refused += 1;
                retry_after(&response);
                let code = response.error_code();
                assert!(matches!(&*code, "too_many_requests" | "unavailable"));
            }
            _ => panic!("{response:?}"),
        }
    }
    assert!(refused > 0, "a queue without an end");
    assert_eq!(login(&server, ADMIN).status, 200);
}

#[test]
fn memory_stays_after_many_logins() {
    let server = Server::start(&[]);
    for n in 0..200 {
        let response = login(&server, ADMIN);
        assert_eq!(response.status, 200, "login {n}: {response:?}");
    }
    let resident = server.resident_kib();
    assert!(resident < 40 * 1024, "{resident} KiB after 200 logins");
}

#[test]
fn memory_stays_after_a_flood_of_names() {
    let _alone = support::crowd();
    let server = Server::start(&[]);
    for round in 0..4 {
        let long = "가".repeat(50);
        let names = (0..500).map(|n| format!("{long} {round} {n}"));
        let mut logins: Vec<Http> = names.map(|name| begin(&server, (&name, "no"))).collect();
        for http in &mut logins {
            let status = http.response().status;
            assert!(matches!(status, 401 | 429 | 503), "{status}");
        }
    }
    let resident = server.resident_kib();
    assert!(resident < 40 * 1024, "{resident} KiB after 2,000 names");
    assert_eq!(login(&server, ADMIN).status, 200);
}

/// The CPU time of a process, independent of other load: utime and stime of proc_pid_stat(5).
fn computed(server: &Server) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid()));
    let stat = stat.expect("the server is there");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.map(|n| n.parse::<u64>().expect("a number")).sum();
    Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32
}

/// The average CPU time per login, and the shortest time that one took.
fn cost_and_shortest(server: &Server, names: &[String]) -> (Duration, Duration) {
    let before = computed(server);
    let times = names.iter().map(|name| {
        let begun = Instant::now();
        login(server, (name, "wrong")).assert_error(401, "invalid_credentials");
        begun.elapsed()
    });
    let shortest = times.min().expect("some names");
    ((computed(server) - before) / names.len() as u32, shortest)
}

#[test]
fn an_unknown_name_is_not_refused_sooner_than_a_wrong_password() {
    let server = Server::start(&[]);
    let known = vec!["admin".to_owned(); 4];
    let unknown: Vec<String> = (0..4).map(|n| format!("nobody {n}")).collect();
    let [known, unknown] = [known, unknown].map(|names| cost_and_shortest(&server, &names));
    // Without the hash the CPU time would be a hundredth; and an answered client has waited for that time. A busy
    // machine makes the wait longer, but not the CPU time.
    assert!(
        unknown.0 * 3 > known.0 && known.0 * 3 > unknown.0,
        "{known:?} for a wrong password, {unknown:?} for an unknown name"
    );
    assert!(
        unknown.1 * 3 > known.0 && known.1 * 3 > unknown.0,
        "{known:?} for a wrong password, {unknown:?} for an unknown name"
    );
}

#[test]
fn a_client_that_disconnects_during_a_login_leaves_nothing_behind() {
    let server = Server::start(&[]);
    let mut failures = Vec::new();
    for round in 0..10 {
        for _ in 0..3 {
            begin(&server, ADMIN).reset();
        }
        drop(begin(&server, ADMIN));
        // A later client, perhaps in the same slot of a table, must not get another client's answer.
        let mut next: Vec<Http> = (0..4).map(|_| server.connect()).collect();
        assert_eq!(login(&server, ADMIN).status, 200);
        for http in &mut next {
            let answer = http.get("/auth").json();
            if answer != json!({"guests": true, "demo": true}) {
                failures.push(format!("round {round}: {answer}"));
            }
        }
    }
    assert_no_failures(&failures);
}

#[test]
fn requests_after_a_login_are_answered_after_it() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let (host, body) = (http.host(), body(ADMIN));
    let login = http.post_request("/auth/login", &body);
    let auth = format!("GET /auth HTTP/1.1\r\nHost: {host}\r\n\r\n");
    http.send(format!("{auth}{login}{auth}{login}{auth}"));
    let answers: Vec<Value> = (0..5).map(|_| http.response().json()).collect();
    for (number, answer) in answers.iter().enumerate() {
        let key = if number % 2 == 0 {
            "demo"
        } else {
            "access_token"
        };
        assert!(answer.get(key).is_some(), "answer {number}: {answer}");
    }
    // A half-closed connection still gets its answer.
    let length = body.len();
    let http_1_0 = format!("POST /auth/login HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
    let mut http = server.connect();
    http.send(http_1_0);
    http.half_close();
    assert_eq!(http.response().status, 200);
    http.expect_end();
}

#[test]
fn a_drain_does_not_wait_for_a_queue_of_logins() {
    let _alone = support::crowd();
    let mut server = Server::start(&[]);
    let names: Vec<String> = (0..200).map(|n| format!("nobody {n}")).collect();
    let _logins: Vec<Http> = names
        .iter()
        .map(|name| begin(&server, (name, "wrong")))
        .collect();
    assert_eq!(server.get("/auth").status, 200);
    server.signal(Signal::TERM);
    // The contract says 5 s; a busy machine may take a little more.
    let status = server.exit_within(Duration::from_secs(9));
    assert_eq!(status.code(), Some(0), "{status}");
}
