//! The commands of moderators over WebSocket, sent by a broken or hostile client: each gets its error with its `id`, and nothing
//! is said or changed.

use crate::accounts::{logged_in, ticket_target};
use crate::hostile_acts::{Stage, deep};
use crate::support::Chatter;

/// Fields that are wrong for each command; what a command needs beside is added.
const COMMANDS: [(&str, &[&str]); 12] = [
    (
        "publish",
        &[
            r#""room":"tech""#,
            r#""room":7,"content":"x""#,
            r#""room":"","content":"x""#,
            r#""room":"tech","content":"x","username":"""#,
            r#""room":"tech","content":"x","username":"\u0000""#,
            r#""room":"tech","content":"x","room":"tech""#,
            r#""room":"tech","content":"x","username":"a","username":"b""#,
            r#""room":"tech","messages":[]"#,
        ],
    ),
    (
        "notify",
        &[
            r#""user":"길동""#,
            r#""content":"x""#,
            r#""user":"길동","content":[]"#,
            r#""user":"길동","content":"x","from":" ""#,
        ],
    ),
    (
        "users",
        &[
            r#""limit":-1"#,
            r#""limit":0"#,
            r#""limit":201"#,
            r#""limit":"5""#,
            r#""limit":1e2"#,
            r#""after":7"#,
        ],
    ),
    (
        "user",
        &[
            "",
            r#""user":null"#,
            r#""user":"""#,
            r#""user":{}"#,
            r#""user":"\u0085""#,
        ],
    ),
    (
        "kick",
        &[
            "",
            r#""user":"길동","room":"""#,
            r#""user":"길동","reason":"\n""#,
            r#""user":"길동","reason":7"#,
            r#""user":["길동"]"#,
        ],
    ),
    (
        "ban",
        &[
            "",
            r#""user":"길동","seconds":0"#,
            r#""user":"길동","seconds":-1"#,
            r#""user":"길동","seconds":99999999999999999999"#,
            r#""user":"길동","seconds":"1""#,
            r#""user":"길동","user":"길동""#,
        ],
    ),
    (
        "unban",
        &["", r#""user":"\u0007""#, r#""user":"길동","room":7"#],
    ),
    (
        "bans",
        &[r#""limit":-1"#, r#""limit":201"#, r#""after":{}"#],
    ),
    ("revoke", &["", r#""user":7"#, r#""user":" ""#]),
    (
        "set_room",
        &[
            "",
            r#""room":"tech","max_users":0"#,
            r#""room":"tech","max_users":1.0"#,
            r#""room":"tech","write":"all""#,
            r#""room":"tech","kept":0"#,
            r#""room":"tech","history_seconds":0"#,
        ],
    ),
    (
        "remove_room",
        &["", r#""room":null"#, r#""room":"""#, r#""room":["tech"]"#],
    ),
    (
        "delete",
        &[
            "",
            r#""room":"tech""#,
            r#""room":"tech","position":1"#,
            r#""room":"tech","position":"1""#,
            r#""room":"tech","position":"x:1""#,
        ],
    ),
];

/// Commands that are well-formed but about nothing.
const ABOUT_NOTHING: [(&str, &str); 14] = [
    (
        r#""type":"publish","room":"none","content":"x""#,
        "room_not_found",
    ),
    (
        r#""type":"publish","room":"..%2Ftech","content":"x""#,
        "room_not_found",
    ),
    (
        r#""type":"publish","room":"tech","content":"""#,
        "bad_request",
    ),
    (
        r#""type":"notify","user":"none","content":"x""#,
        "user_not_found",
    ),
    (r#""type":"user","user":"\ud83d""#, "user_not_found"),
    (r#""type":"kick","user":"none""#, "user_not_found"),
    (
        r#""type":"kick","user":"길동","room":"none""#,
        "user_not_found",
    ),
    (r#""type":"unban","user":"길동""#, "not_found"),
    (r#""type":"unban","user":"길동","room":"tech""#, "not_found"),
    (r#""type":"ban","user":"길동","room":".""#, "bad_room_name"),
    (r#""type":"set_room","room":"none""#, "room_not_found"),
    (r#""type":"remove_room","room":"none""#, "room_not_found"),
    (
        r#""type":"delete","room":"tech","position":"0000000000000000:1""#,
        "not_found",
    ),
    (
        r#""type":"delete","room":"none","position":"0000000000000000:1""#,
        "room_not_found",
    ),
];

#[test]
fn a_command_that_is_wrong_is_refused_with_its_id() {
    let stage = Stage::new("hostile-commands");
    let token = logged_in(&stage.server, "admin", "secret");
    let mut failures = Vec::new();
    let mut try_one = |text: &str, code: &str| {
        // Each has a connection of its own, as one that goes on so would be rate limited.
        let mut chatter = Chatter::open(&stage.server, &ticket_target(&stage.server, &token), &[]);
        chatter.expect("welcome");
        chatter.send_text(text);
        let error = chatter.receive();
        let found = (error["code"].as_str(), error["id"].as_str());
        if found != (Some(code), Some("7")) {
            let shown: String = text.chars().take(120).collect();
            failures.push(format!("{shown}: {error} instead of {code}"));
        }
        chatter.expect_no_news();
    };
    let deep = deep(20_000);
    for (kind, all) in COMMANDS {
        for fields in all {
            let comma = if fields.is_empty() { "" } else { "," };
            try_one(
                &format!(r#"{{"id":"7","type":"{kind}"{comma}{fields}}}"#),
                "bad_request",
            );
        }
        try_one(
            &format!(r#"{{"id":"7","type":"{kind}","room":{deep}}}"#),
            "bad_json",
        );
        try_one(&format!(r#"{{"id":"7","type":"{kind}""#), "bad_json");
    }
    for (fields, code) in ABOUT_NOTHING {
        try_one(&format!(r#"{{"id":"7",{fields}}}"#), code);
    }
    let long = "x".repeat(4097);
    let long = format!(r#"{{"id":"7","type":"publish","room":"tech","content":"{long}"}}"#);
    try_one(&long, "content_too_long");
    stage.end(&failures);
}
