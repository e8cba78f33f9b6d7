//! Who may do what: each route and method, on each kind of server, for each kind of client. README's table of authority
//! ("Who may do what") is the same in short.

mod sites;

use std::collections::{BTreeMap, BTreeSet};

use sarang::server::routes;
use tungstenite::Message;

use self::sites::{SITES, Site, VISITORS, sites};
use crate::support::{Chatter, Response, Server, assert_no_failures};

/// Method, path, an example of the path, the status if it is served, and who gets what.
struct Row(
    &'static str,
    &'static str,
    &'static str,
    u16,
    [&'static str; SITES.len()],
);

/// For each server one group, and in it a character for each client:
///
/// | | |
/// |---|---|
/// | `+` | is served |
/// | `-` | 401 `unauthorized`: no token |
/// | `x` | 401 `invalid_token`: the token is not accepted |
/// | `p` | 401 `invalid_credentials`: no such account |
/// | `f` | 403 `forbidden`: no moderator |
///
/// The clients are: nothing, a guest's name, a user's token, another user's token, an expired token, a revoked token, a
/// forged token, an unsigned token, a moderator's token, an API key. In the demo a user is a moderator. HEAD is answered as GET; OPTIONS to everybody; another method is 405 for everybody.
#[rustfmt::skip]
const ROUTES: [Row; 42] = [
    //                                                            demo          accounts      + guests      secrets       + public dashboard
    Row("GET",  "/",                "/",                   200, ["++++++++++", "++++++++++", "++++++++++", "++++++++++", "++++++++++"]),
    Row("GET",  "/dashboard",       "/dashboard",          200, ["++++++++++", "++++++++++", "++++++++++", "++++++++++", "++++++++++"]),
    Row("GET",  "/dashboard/",      "/dashboard/",         308, ["++++++++++", "++++++++++", "++++++++++", "++++++++++", "++++++++++"]),
    Row("GET",  "/grafana.json",    "/grafana.json",       200, ["++++++++++", "++++++++++", "++++++++++", "++++++++++", "++++++++++"]),
    Row("GET",  "/openapi.json",    "/openapi.json",       200, ["++++++++++", "++++++++++", "++++++++++", "++++++++++", "++++++++++"]),
    Row("GET",  "/asyncapi.json",   "/asyncapi.json",      200, ["++++++++++", "++++++++++", "++++++++++", "++++++++++", "++++++++++"]),
    Row("GET",  "/static/*",        "/static/sarang.js",   200, ["++++++++++", "++++++++++", "++++++++++", "++++++++++", "++++++++++"]),
    Row("GET",  "/livez",           "/livez",              200, ["++++++++++", "++++++++++", "++++++++++", "++++++++++", "++++++++++"]),
    Row("GET",  "/readyz",          "/readyz",             200, ["++++++++++", "++++++++++", "++++++++++", "++++++++++", "++++++++++"]),
    Row("GET",  "/auth",            "/auth",               200, ["++++++++++", "++++++++++", "++++++++++", "++++++++++", "++++++++++"]),

    Row("GET",  "/rooms",           "/rooms",              200, ["++++++++++", "--++xxxx++", "--++xxxx++", "--++xxxx++", "--++xxxx++"]),
    Row("POST", "/rooms",           "/rooms",              201, ["++++++++++", "--++xxxx++", "--++xxxx++", "--++xxxx++", "--++xxxx++"]),
    Row("GET",  "/rooms/*",         "/rooms/tech",         200, ["++++++++++", "--++xxxx++", "--++xxxx++", "--++xxxx++", "--++xxxx++"]),
    Row("GET",  "/rooms/*",         "/rooms/none",         404, ["++++++++++", "--++xxxx++", "--++xxxx++", "--++xxxx++", "--++xxxx++"]),
    Row("GET",  "/rooms/*/history", "/rooms/tech/history", 200, ["++++++++++", "--++xxxx++", "--++xxxx++", "--++xxxx++", "--++xxxx++"]),
    Row("POST", "/events/business", "/events/business",    200, ["++++++++++", "--++xxxx++", "--++xxxx++", "--++xxxx++", "--++xxxx++"]),
    Row("POST", "/events/*",        "/events/deploys",     200, ["++++++++++", "--++xxxx++", "--++xxxx++", "--++xxxx++", "--++xxxx++"]),

    Row("GET",  "/sse/*",           "/sse/all",            200, ["++++++++++", "--++xxxx++", "--++xxxx++", "--++xxxx++", "++++++++++"]),
    Row("GET",  "/sse/*",           "/sse/deploys,api",    200, ["++++++++++", "--++xxxx++", "--++xxxx++", "--++xxxx++", "++++++++++"]),
    Row("GET",  "/sse/*",           "/sse/dashboard",      200, ["++++++++++", "--++xxxx++", "--++xxxx++", "--++xxxx++", "++++++++++"]),
    Row("GET",  "/metrics",         "/metrics",            200, ["++++++++++", "--++xxxx++", "--++xxxx++", "--++xxxx++", "++++++++++"]),
    Row("GET",  "/series",          "/series",             200, ["++++++++++", "--++xxxx++", "--++xxxx++", "--++xxxx++", "++++++++++"]),

    // For moderators: {position} is that of a message in tech, somebody is connected and in tech, banned is banned, gone is a room.
    Row("POST",   "/rooms/*/messages",      "/rooms/tech/messages",            201, ["--++xxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++"]),
    Row("DELETE", "/rooms/*/messages/*",    "/rooms/tech/messages/{position}", 204, ["--++xxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++"]),
    Row("PATCH",  "/rooms/*",               "/rooms/tech",                     200, ["--++xxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++"]),
    Row("DELETE", "/rooms/*",               "/rooms/gone",                     204, ["--++xxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++"]),
    Row("GET",    "/users",                 "/users",                          200, ["--++xxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++"]),
    Row("GET",    "/users/*",               "/users/somebody",                 200, ["--++xxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++"]),
    Row("POST",   "/users/*/messages",      "/users/somebody/messages",        202, ["--++xxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++"]),
    Row("DELETE", "/users/*/connections",   "/users/somebody/connections",     204, ["--++xxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++"]),
    Row("PUT",    "/users/*/ban",           "/users/banned/ban",               204, ["--++xxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++"]),
    Row("DELETE", "/users/*/ban",           "/users/banned/ban",               204, ["--++xxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++"]),
    Row("POST",   "/users/*/revocations",   "/users/banned/revocations",       204, ["--++xxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++"]),
    Row("GET",    "/bans",                  "/bans",                           200, ["--++xxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++"]),
    Row("GET",    "/sse/audit",             "/sse/audit",                      200, ["--++xxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++", "--ffxxxx++"]),

    // A name and its password, whatever token comes with them.
    Row("POST", "/auth/login",      "/auth/login",         200, ["++++++++++", "++++++++++", "++++++++++", "pppppppppp", "++++++++++"]),
    // Only tokens that this server has issued are refreshed.
    Row("POST", "/auth/refresh",    "/auth/refresh",       200, ["--++xxxx+x", "--++xxxxxx", "--++xxxxxx", "--xxxxxxxx", "--++xxxxxx"]),
    Row("POST", "/auth/ws-ticket",  "/auth/ws-ticket",     200, ["--++xxxx+x", "--++xxxx+x", "--++xxxx+x", "--++xxxx+x", "--++xxxx+x"]),
    // An expired token still ends its sign-in if this server has issued it, as that of the demo: there may be newer ones.
    Row("POST", "/auth/logout",     "/auth/logout",        204, ["--+++xxx+x", "--++xxxx+x", "--++xxxx+x", "--++xxxx+x", "--++xxxx+x"]),

    // Who enters is decided by the name or ticket in the address (below); these are not opening handshakes.
    Row("GET",  "/ws",              "/ws",                 426, ["++++++++++", "++++++++++", "++++++++++", "++++++++++", "++++++++++"]),
    // Where --echo is given, for conformance suites.
    Row("GET",  "/ws-echo",         "/ws-echo",            426, ["++++++++++", "++++++++++", "++++++++++", "++++++++++", "++++++++++"]),
    Row("POST", "/http-echo",       "/http-echo",          200, ["++++++++++", "++++++++++", "++++++++++", "++++++++++", "++++++++++"]),
];

/// What is shown in an address, and what comes of it: `+` enters, `1` is closed with 4001, `2` with 4002. The bearer
/// token of a user beside it changes nothing.
#[rustfmt::skip]
const SOCKETS: [(&str, [char; SITES.len()]); 10] = [
    //                                   demo accounts guests secrets public
    ("nothing",                         ['1', '1', '1', '1', '1']),
    ("a guest's name",                  ['+', '1', '+', '1', '1']),
    ("an account's name",               ['1', '1', '1', '1', '1']),
    ("a ticket of a user",              ['+', '+', '+', '+', '+']),
    ("a ticket of another user",        ['+', '+', '+', '+', '+']),
    ("a used ticket",                   ['1', '1', '1', '1', '1']),
    ("a ticket whose token expired",    ['2', '2', '2', '2', '2']),
    ("a ticket whose token was revoked", ['1', '1', '1', '1', '1']),
    ("a forged ticket",                 ['1', '1', '1', '1', '1']),
    ("a token instead of a ticket",     ['1', '1', '1', '1', '1']),
];

/// The same for `GET /sse/all`: `+` is served, `-` and `x` as for the routes. Where streams are open, nobody looks at a
/// ticket.
#[rustfmt::skip]
const STREAMS: [(&str, [char; SITES.len()]); 10] = [
    //                                   demo accounts guests secrets public
    ("nothing",                         ['+', '-', '-', '-', '+']),
    ("a guest's name",                  ['+', '-', '-', '-', '+']),
    ("an account's name",               ['+', '-', '-', '-', '+']),
    ("a ticket of a user",              ['+', '+', '+', '+', '+']),
    ("a ticket of another user",        ['+', '+', '+', '+', '+']),
    ("a used ticket",                   ['+', 'x', 'x', 'x', '+']),
    ("a ticket whose token expired",    ['+', 'x', 'x', 'x', '+']),
    ("a ticket whose token was revoked", ['+', 'x', 'x', 'x', '+']),
    ("a forged ticket",                 ['+', 'x', 'x', 'x', '+']),
    ("a token instead of a ticket",     ['+', 'x', 'x', 'x', '+']),
];

/// The same for `GET /sse/audit`, which is open nowhere; `f` is no moderator's.
#[rustfmt::skip]
const AUDITS: [(&str, [char; SITES.len()]); 11] = [
    //                                   demo accounts guests secrets public
    ("nothing",                         ['-', '-', '-', '-', '-']),
    ("a guest's name",                  ['-', '-', '-', '-', '-']),
    ("an account's name",               ['-', '-', '-', '-', '-']),
    ("a ticket of a user",              ['+', 'f', 'f', 'f', 'f']),
    ("a ticket of another user",        ['+', 'f', 'f', 'f', 'f']),
    ("a ticket of a moderator",         ['+', '+', '+', '+', '+']),
    ("a used ticket",                   ['x', 'x', 'x', 'x', 'x']),
    ("a ticket whose token expired",    ['x', 'x', 'x', 'x', 'x']),
    ("a ticket whose token was revoked", ['x', 'x', 'x', 'x', 'x']),
    ("a forged ticket",                 ['x', 'x', 'x', 'x', 'x']),
    ("a token instead of a ticket",     ['x', 'x', 'x', 'x', 'x']),
];

/// The methods that a route may have, in the order of its `Allow` field.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

#[test]
fn every_route_of_the_server_is_in_the_table() {
    let mut entered = BTreeMap::<&str, BTreeSet<&str>>::new();
    for Row(method, path, ..) in &ROUTES {
        let methods = entered.entry(path).or_default();
        methods.extend([method, "OPTIONS"]);
        if *method == "GET" {
            methods.insert("HEAD");
        }
    }
    let allow = |methods: &BTreeSet<&str>| {
        let methods = METHODS.iter().filter(|method| methods.contains(*method));
        methods.copied().collect::<Vec<_>>().join(", ")
    };
    let entered: BTreeMap<String, String> = entered
        .iter()
        .map(|(path, methods)| ((*path).to_owned(), allow(methods)))
        .collect();
    let served: BTreeMap<String, String> = routes::table()
        .map(|(path, allow)| (path, allow.to_owned()))
        .collect();
    assert_eq!(entered, served);
}

#[test]
fn each_client_may_do_on_each_server_what_the_table_says() {
    let mut failures = Vec::new();
    for (number, site) in sites("routes").iter().enumerate() {
        for row in &ROUTES {
            let expected: Vec<char> = row.4[number].chars().collect();
            assert_eq!(expected.len(), VISITORS.len(), "{} {}", row.0, row.1);
            for (visitor, expected) in VISITORS.into_iter().zip(expected) {
                failures.extend(failures_of(site, row, visitor, expected));
            }
        }
        failures.extend(failures_of_other_methods(site));
    }
    assert_no_failures(&failures);
}

/// What goes wrong with one client's requests to one route.
fn failures_of(site: &Site, row: &Row, visitor: &str, expected: char) -> Vec<String> {
    let methods = match row.0 {
        "GET" => &["GET", "HEAD"][..],
        _ => std::slice::from_ref(&row.0),
    };
    let answers = methods.iter().map(|method| {
        let (target, _present) = site.stage(row.0, row.2);
        let response = site.ask(visitor, method, &target, &site.body(row.1));
        (method, judge(&response, method, expected, row.3))
    });
    let name = site.name;
    answers
        .filter_map(|(method, verdict)| {
            let why = verdict.err()?;
            Some(format!("{name}, {visitor}: {method} {}: {why}", row.2))
        })
        .collect()
}

/// OPTIONS is answered to everybody, and a method that a route does not have refused to everybody.
fn failures_of_other_methods(site: &Site) -> Vec<String> {
    let mut failures = Vec::new();
    for (path, allow) in routes::table() {
        let path = path
            .replace('*', "sarang.js")
            .replace("/sse/sarang.js", "/sse/all");
        let allowed: Vec<&str> = allow.split(", ").collect();
        for method in ["GET", "POST", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"] {
            let expected = match (allowed.contains(&method), method) {
                (true, "OPTIONS") => 204,
                (true, _) => continue,
                (false, _) => 405,
            };
            for visitor in VISITORS {
                let status = site.ask(visitor, method, &path, "").status;
                if status != expected {
                    let name = site.name;
                    failures.push(format!("{name}, {visitor}: {method} {path}: {status}"));
                }
            }
        }
    }
    failures
}

/// Whether a response is what the character of the table says; `served` is the status of a success.
fn judge(response: &Response, method: &str, expected: char, served: u16) -> Result<(), String> {
    let (status, code) = match expected {
        '+' => (served, None),
        '-' => (401, Some("unauthorized")),
        'x' => (401, Some("invalid_token")),
        'p' => (401, Some("invalid_credentials")),
        'f' => (403, Some("forbidden")),
        other => panic!("{other} is not in the legend"),
    };
    if response.status != status {
        return Err(format!("{} instead of {status}", response.status));
    }
    match code {
        Some(code) if method != "HEAD" && response.error_code() != code => {
            Err(format!("{} instead of {code}", response.error_code()))
        }
        _ => Ok(()),
    }
}

#[test]
fn a_socket_and_a_stream_open_for_whom_the_table_says() {
    let mut failures = Vec::new();
    for (number, site) in sites("entries").iter().enumerate() {
        for (shown, expected) in SOCKETS {
            let own = format!("Bearer {}", site.token("user"));
            for fields in [&[][..], &[("Authorization", &*own)]] {
                if let Err(why) = judge_socket(site, shown, fields, expected[number]) {
                    failures.push(format!("{}, {shown}: socket: {why}", site.name));
                }
            }
        }
        let streams = STREAMS.map(|(shown, expected)| ("all", shown, expected));
        let audits = AUDITS.map(|(shown, expected)| ("audit", shown, expected));
        for (channel, shown, expected) in streams.into_iter().chain(audits) {
            let target = format!("/sse/{channel}{}", site.query(shown));
            let response = site.server_of(shown).connect().head_of_stream(&target, "");
            if let Err(why) = judge(&response, "GET", expected[number], 200) {
                failures.push(format!("{}, {shown}: {channel}: {why}", site.name));
            }
        }
    }
    assert_no_failures(&failures);
}

/// Whether a socket enters or is closed as the character of the table says.
fn judge_socket(
    site: &Site,
    shown: &str,
    fields: &[(&'static str, &str)],
    expected: char,
) -> Result<(), String> {
    let target = format!("/ws{}", site.query(shown));
    let mut chatter = Chatter::open(site.server_of(shown), &target, fields);
    let found = match chatter.socket.read().expect("a message") {
        Message::Text(text) if text.contains("\"welcome\"") => '+',
        Message::Close(Some(frame)) if u16::from(frame.code) == 4001 => '1',
        Message::Close(Some(frame)) if u16::from(frame.code) == 4002 => '2',
        other => return Err(format!("{other:?}")),
    };
    match found == expected {
        true => Ok(()),
        false => Err(format!("{found} instead of {expected}")),
    }
}

#[test]
fn the_echo_needs_no_identity_and_exists_on_request_only() {
    let echoing = Server::start(&["--echo"]);
    echoing.upgraded("/ws-echo");
    let plain = Server::start(&[]);
    for target in ["/ws-echo", "/http-echo"] {
        plain.post(target, "{}").assert_error(404, "not_found");
    }
}
