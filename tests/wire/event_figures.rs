//! The figures that a back end posts, and those that are simulated until then.

use serde_json::{Map, Value, json};

use crate::support::Server;
use crate::support::backend::{Backend, SECRET};
use crate::support::subscriber::{Event, Subscriber, publish};
use crate::support::token::{bearer, minted};

#[test]
fn what_is_posted_replaces_what_was_simulated_and_is_kept() {
    let server = Server::start(&[]);
    let mut subscriber = Subscriber::new(&server, "business");
    let mut events = subscriber.take(1);
    let id = publish(
        &server,
        &json!({"revenue": 1.5, "visits": {"today": [1, null]}}),
    );
    // The clock may cause a business event in between, here and below.
    events.extend(subscriber.until(id));
    let [.., Event { data: before, .. }, event] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(event.data["revenue"], 1.5);
    assert_eq!(event.data["visits"], json!({"today": [1, null]}));
    assert_eq!(event.data["orders"], before["orders"]);
    assert_eq!(event.data["simulated"], json!(["orders"]));
    let id = publish(&server, &json!({"orders": 7}));
    let event = subscriber.until(id).pop().expect("one");
    assert_eq!(
        (&event.data["revenue"], &event.data["orders"]),
        (&json!(1.5), &json!(7))
    );
    assert_eq!(event.data["simulated"], json!([]));
    let latest = Subscriber::new(&server, "business").next();
    assert!(latest.id >= event.id, "{latest:?}");
    assert_eq!(latest.data, event.data);
    // The next event comes from the clock, not from a back end.
    let event = subscriber.next();
    assert_eq!(
        (&event.data["revenue"], &event.data["orders"]),
        (&json!(1.5), &json!(7))
    );
    assert_eq!(event.data["visits"]["today"], json!([1, null]));
}

#[test]
fn figures_the_server_knows_better_cannot_be_posted() {
    let server = Server::start(&[]);
    let mut subscriber = Subscriber::new(&server, "business");
    let first = subscriber.next().data;
    let id = publish(&server, &json!({"active_users": 99, "simulated": "no"}));
    let event = subscriber.until(id).pop().expect("one");
    assert_eq!(event.data["active_users"], 0);
    assert_eq!(event.data["simulated"], first["simulated"]);
}

#[test]
fn only_an_object_of_json_can_be_posted() {
    let server = Server::start(&[]);
    let target = "/events/business";
    for body in ["[]", "1", "null", "\"x\""] {
        server.post(target, body).assert_error(400, "bad_request");
    }
    for body in ["{", "{}{}", "x"] {
        server.post(target, body).assert_error(400, "bad_json");
    }
    let other = server
        .connect()
        .post_with(target, "Content-Type: text/plain\r\n", "{}");
    other.assert_error(415, "unsupported_media_type");
    let foreign = server
        .connect()
        .post_with(target, "Origin: https://evil.example\r\n", "{}");
    foreign.assert_error(403, "forbidden_origin");
    let without = server.connect().request("POST", target, "");
    without.assert_error(411, "length_required");
    let mut subscriber = Subscriber::new(&server, "business");
    assert!(subscriber.next().id <= Some(3), "a refused post was told");
}

/// This many figures with numbers as names.
fn many(names: std::ops::Range<u32>) -> Value {
    let figures: Map<_, _> = names.map(|n| (n.to_string(), json!(n))).collect();
    Value::Object(figures)
}

#[test]
fn the_figures_that_are_kept_are_bounded() {
    let server = Server::start(&[]);
    publish(&server, &many(0..64));
    let more = server.post("/events/business", &many(64..65).to_string());
    more.assert_error(413, "content_too_large");
    assert!(more.text().contains("64 figures"), "{}", more.text());
    publish(&server, &many(10..50));
    let large = json!({"0": "x".repeat(4096)}).to_string();
    let refused = server.connect().post("/events/business", &large);
    refused.assert_error(413, "content_too_large");
    let fits = json!({"0": "x".repeat(4096 - 8)}).to_string();
    assert_eq!(fits.len(), 4096);
    assert_eq!(server.post("/events/business", &fits).status, 200);
}

#[test]
fn revenue_and_orders_fit_whatever_else_is_kept() {
    let server = Server::start(&[]);
    publish(&server, &many(0..64));
    let id = publish(
        &server,
        &json!({"revenue": 5, "orders": 6, "active_users": 7}),
    );
    let latest = Subscriber::new(&server, "business").next();
    assert!(latest.id >= Some(id), "{latest:?}");
    assert_eq!(latest.data["revenue"], 5);
    assert_eq!(latest.data["orders"], 6);
    assert_eq!(latest.data["simulated"], json!([]));
}

#[test]
fn null_removes_a_figure_and_makes_room_for_another() {
    let server = Server::start(&[]);
    let mut subscriber = Subscriber::new(&server, "business");
    subscriber.next();
    publish(&server, &many(0..64));
    let refused = server.post("/events/business", r#"{"more": 1, "revenue": 1}"#);
    refused.assert_error(413, "content_too_large");
    publish(&server, &json!({"0": null, "never": null}));
    // Also one that is not there any more.
    let id = publish(&server, &json!({"0": null, "more": 1}));
    let event = subscriber.until(id).pop().expect("one");
    assert_eq!(
        (&event.data["0"], &event.data["1"]),
        (&Value::Null, &json!(1))
    );
    assert!(event.data.get("0").is_none(), "{event:?}");
    assert_eq!(event.data["more"], 1);
    assert_eq!(event.data["simulated"], json!(["revenue", "orders"]));
    let one_for_another = json!({"more": null, "0": 1});
    publish(&server, &one_for_another);
}

#[test]
fn in_the_demo_a_removed_figure_that_was_simulated_is_simulated_again() {
    let server = Server::start(&[]);
    let mut subscriber = Subscriber::new(&server, "business");
    subscriber.next();
    publish(&server, &json!({"revenue": 5, "orders": 6}));
    let id = publish(&server, &json!({"revenue": null}));
    let event = subscriber.until(id).pop().expect("one");
    assert!(event.data["revenue"].as_u64() > Some(5), "{event:?}");
    assert_eq!(event.data["orders"], 6);
    assert_eq!(event.data["simulated"], json!(["revenue"]));
}

#[test]
fn outside_the_demo_no_figure_is_simulated() {
    let backend = Backend::start("figures", &["--public-dashboard"]);
    let token = minted(&json!({"sub": "가게", "exp": 9_999_999_999_u64}), SECRET);
    let mut subscriber = Subscriber::new(&backend.server, "business");
    let figures_of = |mut data: Value| {
        data.as_object_mut().expect("an object").remove("time");
        data
    };
    let none = json!({"active_users": 0, "simulated": []});
    assert_eq!(figures_of(subscriber.next().data), none);
    let mut posted = |figures: Value| {
        let fields = bearer(&token);
        let mut http = backend.server.connect();
        let response = http.post_with("/events/business", &fields, figures.to_string());
        let id = response.json()["id"].as_u64().expect("an id");
        figures_of(subscriber.until(id).pop().expect("one").data)
    };
    let one = json!({"active_users": 0, "orders": 3, "simulated": []});
    assert_eq!(posted(json!({"orders": 3})), one);
    assert_eq!(posted(json!({"orders": null})), none);
}
