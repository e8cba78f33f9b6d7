//! What the server's description of itself, `static/asyncapi.json`, says of messages, events and close codes. Whatever a test
//! receives is compared with it.

use std::collections::HashMap;
use std::sync::LazyLock;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// `/asyncapi.json`.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../static/asyncapi.json")).expect("is JSON")
});

/// The schemas of all messages, by the names they have there.
static MESSAGES: LazyLock<HashMap<&str, Validator>> = LazyLock::new(|| {
    let messages = DOCUMENT["components"]["messages"].as_object();
    let compiled = messages.expect("an object").iter().map(|(name, message)| {
        let schema = json!({
            "allOf": [message["payload"]],
            "components": {"schemas": DOCUMENT["components"]["schemas"]},
        });
        let options = jsonschema::options().with_draft(Draft::Draft7);
        (
            name.as_str(),
            options.build(&schema).expect("is a JSON schema"),
        )
    });
    compiled.collect()
});

/// Fails if it is not the message that is described under this name.
pub fn assert_is(name: &str, message: &Value) {
    let Some(schema) = MESSAGES.get(name) else {
        panic!("static/asyncapi.json has no message {name}: {message}");
    };
    let faults: Vec<String> = schema
        .iter_errors(message)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(
        faults.is_empty(),
        "static/asyncapi.json has another {name}: {faults:#?} in {message}"
    );
}

/// A message of the server over WebSocket.
pub fn assert_message(message: &Value) {
    let kind = message["type"].as_str().expect("a type");
    assert_is(kind, message);
}

/// A command of a client that the server takes.
pub fn assert_command(message: &Value) {
    let kind = message["type"].as_str().expect("a type");
    assert_is(&format!("command_{kind}"), message);
}

/// An event of a stream. Those of channels of one's own have names of their own.
pub fn assert_event(name: &str, id: Option<u64>, data: &Value) {
    match name {
        "system_metrics" | "api_metrics" | "business_metrics" | "audit" | "gap" => {
            assert_is(name, data);
        }
        _ => assert_is("own_event", data),
    }
    assert_eq!(id.is_none(), name == "gap", "only a gap has no id: {name}");
}

/// A comment of a stream, without its colon.
pub fn assert_comment(comment: &str) {
    assert_is("heartbeat", &comment.into());
}

/// The code of a close frame of the server.
pub fn assert_close_code(code: u16) {
    let codes = DOCUMENT["channels"]["chat"]["x-close-codes"].as_array();
    let mut codes = codes.expect("a list").iter();
    assert!(
        codes.any(|described| described["code"] == code),
        "static/asyncapi.json has no close code {code}"
    );
}
