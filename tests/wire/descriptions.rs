//! `/openapi.json` and `/asyncapi.json` against the server's own tables and limits. That it does what they say, message by
//! message, is checked wherever a test receives one (`support::described`), and by `tests/clients/test_descriptions.py`.

use std::collections::{BTreeMap, BTreeSet};

use sarang::config::{self, Config};
use sarang::domain::error::ErrorCode;
use sarang::server::routes;
use serde_json::{Value, json};

use crate::support::{Server, described};

fn documents() -> [Value; 2] {
    let server = Server::start(&[]);
    ["/openapi.json", "/asyncapi.json"].map(|target| server.get(target).json())
}

/// A path with `*` for each parameter, as the table of routes has it.
fn with_stars(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment {
        parameter if parameter.starts_with('{') => "*",
        segment => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_and_method_is_described_and_no_other() {
    let [openapi, _] = documents();
    let mut described = BTreeMap::<String, BTreeSet<String>>::new();
    for (path, operations) in openapi["paths"].as_object().expect("an object") {
        let path = with_stars(path);
        let methods = operations.as_object().expect("an object").keys();
        let methods = methods.filter(|method| *method != "parameters");
        let methods = methods.map(|method| method.to_uppercase());
        described.insert(path, methods.collect());
    }
    let served: BTreeMap<String, BTreeSet<String>> = routes::table()
        // For conformance suites.
        .filter(|(path, _)| !path.ends_with("-echo"))
        .map(|(path, allow)| (path, allow.split(", ").map(str::to_owned).collect()))
        .collect();
    assert_eq!(described, served);
}

#[test]
fn every_error_code_is_described_with_its_sentence_and_no_other() {
    let [openapi, asyncapi] = documents();
    let all: BTreeSet<&str> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
    for document in [&openapi, &asyncapi] {
        let described = &document["components"]["schemas"]["ErrorCode"]["enum"];
        let described = described.as_array().expect("a list").iter();
        let described: BTreeSet<&str> = described
            .map(|code| code.as_str().expect("a code"))
            .collect();
        assert_eq!(described, all);
    }
    for code in ErrorCode::ALL {
        let example = &openapi["components"]["examples"][code.name()]["value"];
        let expected = json!({"error": {"code": code.name(), "message": code.english()}});
        assert_eq!(*example, expected);
    }
}

/// A refusal is described with codes of its own status only.
#[test]
fn a_code_is_described_under_its_status() {
    let [openapi, _] = documents();
    let status_of = |code: &str| {
        let code = ErrorCode::ALL.iter().find(|known| known.name() == code);
        code.map(|code| code.status().to_string())
    };
    let mut count = 0;
    for (path, operations) in openapi["paths"].as_object().expect("an object") {
        let operations = operations.as_object().expect("an object");
        let answers = operations
            .values()
            .filter_map(|one| one["responses"].as_object());
        for (status, answer) in answers.flatten().filter(|(status, _)| *status != "default") {
            let reference = answer["$ref"].as_str().map(|to| to.trim_start_matches('#'));
            let answer = reference.map_or(Some(answer), |to| openapi.pointer(to));
            let answer = answer.unwrap_or_else(|| panic!("no {reference:?}"));
            let schema = &answer["content"]["application/json"]["schema"];
            let codes = &schema["properties"]["error"]["properties"]["code"]["enum"];
            for code in codes.as_array().into_iter().flatten() {
                let expected = status_of(code.as_str().expect("a code"));
                let is_right = expected.is_none_or(|expected| expected == *status);
                assert!(is_right, "{path}: {code} is not {status}");
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn the_limits_described_are_those_of_the_server() {
    let [openapi, asyncapi] = documents();
    let defaults = Config::default();
    let schema = |path: &str| {
        let path = match path.starts_with("parameters/") {
            true => format!("/components/{path}"),
            false => format!("/components/schemas/{path}"),
        };
        openapi.pointer(&path).and_then(Value::as_u64)
    };
    for (path, limit) in [
        ("RoomName/maxLength", config::ROOM_NAME_CHARS_MAX),
        ("UserName/maxLength", config::SUBJECT_CHARS_MAX),
        ("Content/maxLength", defaults.rooms.content_chars),
        ("MessageId/maxLength", config::MESSAGE_ID_BYTES_MAX),
        (
            "RoomInfo/properties/max_users/maximum",
            config::ROOM_USERS_MAX as usize,
        ),
        (
            "RoomSettings/properties/history_messages/maximum",
            config::HISTORY_MESSAGES_MAX,
        ),
        (
            "RoomSettings/properties/history_seconds/maximum",
            config::RULE_SECONDS_MAX as usize,
        ),
        (
            "NewBan/properties/seconds/maximum",
            config::RULE_SECONDS_MAX as usize,
        ),
        ("Reason/maxLength", config::REASON_CHARS_MAX),
        (
            "Messages/properties/messages/maxItems",
            config::BATCH_MESSAGES_MAX,
        ),
        ("parameters/limit/schema/maximum", config::PEOPLE_LISTED_MAX),
        ("parameters/limit/schema/default", config::PEOPLE_LISTED),
        (
            "parameters/roomLimit/schema/maximum",
            config::ROOMS_LISTED_MAX,
        ),
        (
            "parameters/historyLimit/schema/maximum",
            config::HISTORY_PAGE_MAX,
        ),
        (
            "parameters/reason/schema/maxLength",
            config::REASON_CHARS_MAX,
        ),
        (
            "Credentials/properties/password/maxLength",
            config::PASSWORD_BYTES_MAX,
        ),
        (
            "Credentials/properties/username/maxLength",
            config::ACCOUNT_NAME_CHARS_MAX,
        ),
        (
            "StreamEvent/properties/retry/const",
            config::EVENT_RETRY_MILLISECONDS as usize,
        ),
    ] {
        assert_eq!(schema(path), Some(limit as u64), "{path}");
    }
    let described = asyncapi["info"]["x-limits"].as_object().expect("an object");
    for (name, limit) in [
        ("message_bytes", config::MESSAGE_BYTES_MAX),
        ("messages_per_second", defaults.messages_per_second as usize),
        ("rate_warnings", config::RATE_WARNINGS_MAX.into()),
        ("content_chars", defaults.rooms.content_chars),
        ("message_id_bytes", config::MESSAGE_ID_BYTES_MAX),
        ("room_name_chars", config::ROOM_NAME_CHARS_MAX),
        ("guest_name_chars", config::USERNAME_CHARS_MAX),
        ("guest_key_chars_min", config::GUEST_KEY_CHARS_MIN),
        ("guest_key_chars_max", config::GUEST_KEY_CHARS_MAX),
        ("history_on_entry", config::HISTORY_ON_ENTRY),
        ("names_of_a_room", config::PRESENCE_NAMES_MAX),
        ("rooms_per_connection", defaults.rooms.rooms_per_connection),
        ("connections_per_user", defaults.connections_per_user),
        ("room_users_max", config::ROOM_USERS_MAX as usize),
        (
            "acknowledged_seconds",
            config::ACKNOWLEDGED_FOR.as_secs() as usize,
        ),
        ("events_kept", config::EVENTS_KEPT),
        ("audit_events_kept", config::AUDIT_EVENTS_KEPT),
        ("channels_per_stream", config::CHANNELS_PER_STREAM_MAX),
        ("own_channels", config::OWN_CHANNELS_MAX),
        ("posted_bytes", config::POSTED_BYTES_MAX),
        (
            "event_retry_milliseconds",
            config::EVENT_RETRY_MILLISECONDS as usize,
        ),
    ] {
        assert_eq!(described[name], limit, "{name}");
    }
}

#[test]
fn the_version_described_is_that_of_the_server() {
    for document in documents() {
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn every_example_is_the_message_it_stands_for() {
    let messages = described::DOCUMENT["components"]["messages"].as_object();
    for (name, message) in messages.expect("an object") {
        let examples = message["examples"].as_array().expect("a list");
        assert!(!examples.is_empty(), "{name}");
        for example in examples {
            described::assert_is(name, &example["payload"]);
        }
    }
}

#[test]
fn what_is_not_described_is_noticed() {
    let left = |changed: Value| {
        let mut message = json!({"type": "user_left", "room": "a", "username": "b"});
        for (name, value) in changed.as_object().expect("an object") {
            message[name] = value.clone();
        }
        std::panic::catch_unwind(|| described::assert_message(&message)).is_ok()
    };
    assert!(left(json!({})));
    assert!(left(json!({"guest": true})));
    for changed in [
        json!({"guest": false}),
        json!({"other": 1}),
        json!({"room": 1}),
        json!({"username": ""}),
        json!({"type": "user_gone"}),
    ] {
        assert!(!left(changed.clone()), "{changed}");
    }
}
