//! A backend that answers late: what is held, delayed, refused, answered twice, or answered after the client has left.

use std::time::Duration;

use sarang::config::{BACKEND_PATIENCE, Config, PONG_TIMEOUT};
use sarang::server::jobs::Done;
use serde_json::{Value, json};

use crate::late::{Late, chat, kinds};
use crate::world::{frame, text_frame};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_message_is_neither_shown_nor_acknowledged_before_the_backend_has_it() {
    let mut late = Late::new(Config::default());
    let [a, b] = late.members(["a", "b"], "r");
    late.say(a, chat("r", "hello", "1"));
    let asked = late.publication();
    assert_eq!(asked.1.message_id.as_deref(), Some("1"));
    assert_eq!(late.world.told(a), [json!(null); 0]);
    assert_eq!(late.world.told(b), [json!(null); 0]);
    late.publish(asked);
    assert_eq!(kinds(&late.world.told(b)), ["chat"]);
    let told = late.world.told(a);
    assert_eq!(kinds(&told), ["chat", "ack"]);
    assert_eq!(told[0]["position"], told[1]["position"]);
}

#[test]
fn a_connection_that_reuses_the_authors_slot_gets_no_answer() {
    let mut late = Late::new(Config::default());
    let [a, b] = late.members(["a", "b"], "r");
    late.say(a, chat("r", "kept", "1"));
    late.say(a, chat("r", "refused", "2"));
    let (kept, refused) = (late.publication(), late.publication());
    late.world.server.closed(a, late.world.now);
    late.world.turn();
    let stranger = late.world.guest("stranger");
    assert_eq!(stranger, a, "the slot is used again");
    late.publish(kept);
    late.fail(refused.0, refused.1.serial);
    assert_eq!(late.world.told(stranger), [json!(null); 0]);
    assert_eq!(kinds(&late.world.told(b)), ["chat"]);
    late.world.pass(Config::default().presence_grace);
    assert_eq!(kinds(&late.world.told(b)), ["user_left"]);
}

#[test]
fn a_message_that_is_sent_again_before_it_is_kept_is_published_once() {
    let mut late = Late::new(Config::default());
    let [a, b] = late.members(["a", "a"], "r");
    late.say(a, chat("r", "hello", "1"));
    late.say(b, chat("r", "hello", "1"));
    late.say(b, chat("r", "other", "1"));
    assert_eq!(kinds(&late.world.told(b)), ["id_reused"]);
    let asked = late.publication();
    assert!(late.world.jobs.is_empty());
    let again = late.keep(&asked.1);
    late.finish(asked.0, Done::Answered(again));
    for id in [a, b] {
        assert_eq!(kinds(&late.world.told(id)), ["chat", "ack"]);
    }
    // Once stored, it is acknowledged at once.
    late.say(a, chat("r", "hello", "1"));
    assert_eq!(kinds(&late.world.told(a)), ["ack"]);
    assert!(late.world.jobs.is_empty());
}

#[test]
fn a_message_that_failed_is_refused_once_and_may_be_sent_again() {
    let mut late = Late::new(Config::default());
    let [a] = late.members(["a"], "r");
    late.say(a, chat("r", "hello", "1"));
    let (serial, publication) = late.publication();
    late.fail(serial, publication.serial);
    late.fail(serial, publication.serial);
    let told = late.world.told(a);
    assert_eq!(kinds(&told), ["storage_unavailable"]);
    assert_eq!(told[0]["id"], "1");
    late.say(a, chat("r", "hello", "1"));
    let asked = late.publication();
    late.publish(asked);
    assert_eq!(kinds(&late.world.told(a)), ["chat", "ack"]);
}

#[test]
fn an_answer_that_comes_twice_is_passed_on_once() {
    let mut late = Late::new(Config::default());
    let [a] = late.members(["a"], "r");
    late.say(a, chat("r", "hello", "1"));
    let (serial, publication) = late.publication();
    let outcome = late.keep(&publication);
    for _ in 0..2 {
        late.finish(serial, Done::Answered(outcome.clone()));
    }
    assert_eq!(kinds(&late.world.told(a)), ["chat", "ack"]);
}

#[test]
fn a_room_with_messages_under_way_is_not_evicted_and_its_author_leaves_after_them() {
    let mut config = Config::default();
    config.rooms.rooms = 2;
    let mut late = Late::new(config);
    let [a, b] = late.members(["a", "b"], "r");
    let [c] = late.members(["c"], "other");
    late.say(a, chat("r", "last words", "1"));
    let asked = late.publication();
    late.world.server.closed(a, late.world.now);
    late.say(b, json!({"type": "leave", "room": "r"}));
    late.world.told(b);
    // Its only user is one whose departure is not stored yet, and another room needs the place.
    late.say(c, json!({"type": "join", "room": "third"}));
    assert_eq!(kinds(&late.world.told(c)), ["too_many_rooms"]);
    late.say(b, json!({"type": "join", "room": "r"}));
    let joined = late.world.told(b);
    assert_eq!(joined[0]["online_users"], json!(["a"]));
    late.world.pass(2 * Config::default().presence_grace);
    assert_eq!(kinds(&late.world.told(b)), [""; 0]);
    late.publish(asked);
    assert_eq!(kinds(&late.world.told(b)), ["chat", "user_left"]);
    late.say(b, json!({"type": "leave", "room": "r"}));
    late.say(c, json!({"type": "join", "room": "third"}));
    let opening = late.opening();
    late.open(opening);
    assert_eq!(kinds(&late.world.told(c)), ["room_joined"]);
}

#[test]
fn a_user_who_comes_back_before_their_last_message_is_kept_has_never_left() {
    let mut late = Late::new(Config::default());
    let [a, b] = late.members(["a", "b"], "r");
    late.say(a, chat("r", "brb", "1"));
    let asked = late.publication();
    late.say(a, json!({"type": "leave", "room": "r"}));
    late.say(a, json!({"type": "join", "room": "r"}));
    late.publish(asked);
    assert_eq!(kinds(&late.world.told(b)), ["chat"]);
    let told = kinds(&late.world.told(a));
    assert_eq!(told, ["room_left", "room_joined", "chat", "ack"]);
    late.say(a, json!({"type": "leave", "room": "r"}));
    assert_eq!(kinds(&late.world.told(b)), ["user_left"]);
}

#[test]
fn a_room_overtakes_another_and_each_keeps_its_order() {
    let mut late = Late::new(Config::default());
    let [a] = late.members(["a"], "one");
    late.say(a, json!({"type": "join", "room": "two"}));
    let opening = late.opening();
    late.open(opening);
    late.world.told(a);
    for (room, content) in [("one", "1"), ("two", "2"), ("one", "3"), ("two", "4")] {
        late.say(a, chat(room, content, content));
    }
    let [first, second, third, fourth] = std::array::from_fn(|_| late.publication());
    for asked in [second, fourth, first, third] {
        late.publish(asked);
    }
    let told = late.world.told(a);
    let said = told.iter().filter(|one| one["type"] == "chat");
    let contents: Vec<&str> = said.filter_map(|one| one["content"].as_str()).collect();
    assert_eq!(contents, ["2", "4", "1", "3"]);
}

#[test]
fn commands_behind_a_join_that_waits_are_carried_out_after_it_and_in_order() {
    let mut late = Late::new(Config::default());
    let a = late.world.guest("a");
    late.say(a, json!({"type": "join", "room": "r", "id": "j"}));
    let opening = late.opening();
    for n in 0..20 {
        late.say(a, chat("r", &n.to_string(), &n.to_string()));
    }
    assert_eq!(late.world.told(a), [json!(null); 0]);
    assert!(late.world.jobs.is_empty(), "nothing overtakes the join");
    late.open(opening);
    assert_eq!(kinds(&late.world.told(a)), ["room_joined"]);
    for n in 0..20 {
        let asked = late.publication();
        assert_eq!(&*asked.1.content, n.to_string());
        late.publish(asked);
    }
    let acks = late.world.told(a).into_iter();
    let acks: Vec<Value> = acks.filter(|one| one["type"] == "ack").collect();
    assert_eq!(acks.len(), 20);
}

#[test]
fn a_connection_that_waits_is_not_read_beyond_one_buffer() {
    let mut late = Late::new(Config::default());
    let a = late.world.guest("a");
    late.say(a, json!({"type": "join", "room": "r"}));
    let opening = late.opening();
    let flood = text_frame(&chat("r", "x", "1").to_string()).repeat(10_000);
    late.world.receive(a, &flood);
    late.world.turn();
    let unread = late.world.wire(a).sent.len();
    assert_eq!(unread, flood.len(), "it waits in the peer's socket");
    late.open(opening);
    assert_eq!(late.world.wire(a).sent.len(), 0);
}

#[test]
fn a_join_that_waits_too_long_is_refused_and_the_room_opens_for_others() {
    let mut late = Late::new(Config::default());
    let [a, b] = ["a", "b"].map(|name| late.world.guest(name));
    late.say(a, json!({"type": "join", "room": "r", "id": "j"}));
    late.say(a, json!({"type": "room_list"}));
    let opening = late.opening();
    late.world.pass(BACKEND_PATIENCE - SECOND);
    late.say(b, json!({"type": "join", "room": "r"}));
    assert!(late.world.jobs.is_empty(), "a room is opened once");
    late.world.pass(SECOND);
    let told = late.world.told(a);
    assert_eq!(kinds(&told), ["backend_unavailable", "room_list"]);
    assert_eq!(told[0]["id"], "j");
    late.open(opening);
    assert_eq!(late.world.told(a), [json!(null); 0]);
    assert_eq!(kinds(&late.world.told(b)), ["room_joined"]);
}

#[test]
fn a_room_that_cannot_be_opened_refuses_every_join_that_waits_for_it() {
    let mut late = Late::new(Config::default());
    let [a, b] = ["a", "b"].map(|name| late.world.guest(name));
    for (id, message_id) in [(a, "1"), (b, "2")] {
        late.say(id, json!({"type": "join", "room": "r", "id": message_id}));
    }
    let (serial, opening) = late.opening();
    late.world.server.closed(b, late.world.now);
    late.fail(serial, opening.serial);
    let told = late.world.told(a);
    assert_eq!(kinds(&told), ["storage_unavailable"]);
    assert_eq!(told[0]["id"], "1");
    assert_eq!(late.world.server.rooms().count(), 0);
}

#[test]
fn a_peer_whose_commands_wait_for_the_backend_is_not_silent_and_one_that_is_goes_soon_after() {
    for answers in [true, false] {
        let mut late = Late::new(Config::default());
        let a = late.world.guest("a");
        for n in 0..20 {
            late.world
                .say(a, json!({"type": "join", "room": n.to_string()}));
        }
        let mut refused = 0;
        // Each join is given up after five seconds; for all that time nothing of the peer is read.
        for _ in 0..100 {
            late.world.pass(SECOND);
            let told = late.world.told(a);
            if answers && told.contains(&json!({"ping": true})) {
                late.world.receive(a, &frame(0x8a, b""));
            }
            refused += told
                .iter()
                .filter(|one| one["code"] == "backend_unavailable")
                .count();
        }
        assert_eq!(refused, 20);
        late.world.pass(PONG_TIMEOUT);
        assert_eq!(late.world.is_open(a), answers);
    }
}

const CREATE: &[u8] =
    b"POST /rooms HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{\"name\":\"r\"}";

#[test]
fn a_room_is_created_when_the_backend_has_it_and_requests_behind_it_wait() {
    let mut late = Late::new(Config::default());
    let a = late.world.connect();
    let requests = [CREATE, b"GET /rooms/r HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    late.world.receive(a, &requests);
    let opening = late.opening();
    assert!(opening.1.is_kept);
    assert!(late.world.wire(a).bytes.is_empty());
    late.open(opening);
    let answers = String::from_utf8_lossy(&late.world.wire(a).bytes).into_owned();
    let statuses: Vec<&str> = answers
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &answers[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["201", "200"]);
}

#[test]
fn a_room_that_is_not_created_in_time_is_503_and_its_late_answer_harms_nobody() {
    let mut late = Late::new(Config::default());
    let a = late.world.connect();
    late.world.receive(a, CREATE);
    let opening = late.opening();
    late.world.pass(BACKEND_PATIENCE + SECOND);
    let answer = String::from_utf8_lossy(&late.world.wire(a).bytes).into_owned();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("backend_unavailable"), "{answer}");
    late.open(opening);
    assert_eq!(late.world.server.rooms().count(), 1);
}
