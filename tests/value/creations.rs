//! Who creates rooms without end, by requests or by joins, and what is left to the others.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use sarang::config::{
    Config, KEPT_ROOM_IDLE_FOR, KEPT_ROOM_UNUSED_FOR, ROOM_CREATION_REFILL, ROOM_CREATIONS,
};
use sarang::domain::ids::ConnectionId;
use sarang::wire::jwt::Key;
use serde_json::json;

use crate::late::{Late, kinds};
use crate::world::World;

const HERE: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [192, 0, 2, 1];
/// The attack of the audit.
const MANY: usize = 1_000;

/// The line of a bearer token of a user from another back end.
fn bearer(user: &str) -> String {
    let key = Key::new(None, &[2; 32]).expect("is long enough");
    let token = key.sign(&json!({"sub": user, "exp": 4_000_000_000_u64}));
    format!("Authorization: Bearer {token}\r\n")
}

fn creation(name: &str, fields: &str) -> String {
    let body = json!({"name": name}).to_string();
    let length = body.len();
    format!("POST /rooms HTTP/1.1\r\nHost: x\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}

/// Creates so many rooms at once; returns how often each status came, 429 with the seconds to wait.
fn create(
    world: &mut World,
    address: impl Into<IpAddr>,
    fields: &str,
    names: impl IntoIterator<Item = String>,
) -> BTreeMap<String, usize> {
    let id = world.connect_from(address.into());
    let mut counts = BTreeMap::new();
    for name in names {
        world.receive(id, creation(&name, fields).as_bytes());
        world.turn();
        let bytes = std::mem::take(&mut world.wire(id).bytes);
        let text = String::from_utf8(bytes).expect("is text");
        let mut status = text[9..12].to_owned();
        if let Some((_, rest)) = text.split_once("Retry-After: ") {
            let (seconds, _) = rest.split_once("\r\n").expect("is a line");
            status += &format!(" after {seconds}");
        }
        if status == "503" {
            assert!(text.contains("too_many_rooms"), "{text}");
        }
        *counts.entry(status).or_default() += 1;
    }
    world.server.closed(id, world.now);
    world.turn();
    counts
}

fn names(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |n| format!("{prefix}{n}"))
}

fn counts<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts
        .map(|(status, count)| (status.to_owned(), count))
        .into()
}

fn with_accounts() -> Config {
    Config {
        users: Some(PathBuf::from("users")),
        ..Config::default()
    }
}

/// Whether a join makes a new room.
fn joins_a_new_room(world: &mut World, member: ConnectionId, name: &str) -> bool {
    world.say(member, json!({"type": "join", "room": name}));
    world.turn();
    kinds(&world.told(member)) == ["room_joined"]
}

#[test]
fn a_thousand_creations_from_one_address_leave_room_for_everybody_else() {
    let mut world = World::new(Config::default());
    let in_a_row = ROOM_CREATIONS as usize;
    let flood = create(&mut world, ELSEWHERE, "", names("a", MANY));
    let expected = counts([("201", in_a_row), ("429 after 1", MANY - in_a_row)]);
    assert_eq!(flood, expected);
    let one = counts([("201", 1)]);
    assert_eq!(create(&mut world, HERE, "", names("b", 1)), one);
    assert_eq!(create(&mut world, [127, 0, 0, 2], "", names("c", 1)), one);
    let member = world.member("kim", "tech");
    assert!(joins_a_new_room(&mut world, member, "new"));
    // One a second goes on until the share is full; the table is not.
    let mut more = BTreeMap::new();
    for n in 0..200 {
        world.pass(ROOM_CREATION_REFILL);
        for (status, count) in create(&mut world, ELSEWHERE, "", [format!("more{n}")]) {
            *more.entry(status).or_insert(0) += count;
        }
    }
    assert_eq!(more, counts([("201", 150), ("503", 50)]));
    assert_eq!(create(&mut world, HERE, "", names("d", 1)), one);
    // They were never used: after ten minutes the oldest make way for new ones of the same address.
    world.pass(KEPT_ROOM_UNUSED_FOR);
    let again = create(&mut world, ELSEWHERE, "", names("again", 100));
    assert_eq!(again, counts([("201", 100)]));
    let rooms = world.server.rooms();
    assert!(rooms.find("a0").is_err() && rooms.find("more149").is_ok());
}

#[test]
fn a_network_of_ipv6_is_one_address() {
    let mut world = World::new(Config::default());
    let mut created = 0;
    for n in 0..MANY {
        let address = format!("2001:db8:1:2::{n:x}").parse::<IpAddr>();
        let done = create(&mut world, address.expect("is one"), "", [n.to_string()]);
        created += done.get("201").copied().unwrap_or(0);
    }
    assert_eq!(created, ROOM_CREATIONS as usize);
    let neighbour = "2001:db8:1:3::1".parse::<IpAddr>().expect("is one");
    let done = create(&mut world, neighbour, "", names("b", 1));
    assert_eq!(done, counts([("201", 1)]));
}

#[test]
fn users_behind_one_proxy_have_an_allowance_and_a_share_each() {
    let mut config = with_accounts();
    config.rooms.rooms = 800;
    let mut world = World::new(config);
    let [kim, lee] = ["kim", "lee"].map(bearer);
    let in_a_row = ROOM_CREATIONS as usize;
    for (user, prefix) in [(&kim, "k"), (&lee, "l")] {
        let flood = create(&mut world, HERE, user, names(prefix, in_a_row + 1));
        assert_eq!(flood, counts([("201", in_a_row), ("429 after 1", 1)]));
    }
    // The same user at another address is the same user.
    let moved = create(&mut world, ELSEWHERE, &kim, names("m", 1));
    assert_eq!(moved, counts([("429 after 1", 1)]));
    world.pass(Duration::from_secs(300));
    let rest = create(&mut world, HERE, &kim, names("n", in_a_row + 1));
    assert_eq!(rest, counts([("201", in_a_row), ("503", 1)]));
    let other = create(&mut world, HERE, &lee, names("o", 1));
    assert_eq!(other, counts([("201", 1)]));
}

#[test]
fn many_addresses_together_leave_a_quarter_of_the_rooms_to_joins_also_when_each_room_has_history() {
    let mut config = Config::default();
    config.rooms.rooms = 40;
    config.messages_per_second = 0;
    let mut world = World::new(config);
    let mut created = 0;
    for n in 0..8 {
        let names: Vec<_> = names(&format!("{n}-"), 10).collect();
        let done = create(&mut world, [192, 0, 2, n], "", names.clone());
        created += done.get("201").copied().unwrap_or(0);
        let visitor = world.guest(&n.to_string());
        for room in names {
            world.say(visitor, json!({"type": "join", "room": room}));
            world.say(
                visitor,
                json!({"type": "chat", "room": room, "content": "hi"}),
            );
            world.say(visitor, json!({"type": "leave", "room": room}));
        }
        world.turn();
        world.server.closed(visitor, world.now);
        world.turn();
    }
    assert_eq!(created, 30);
    world.pass(KEPT_ROOM_UNUSED_FOR);
    let member = world.guest("kim");
    for n in 0..10 {
        assert!(joins_a_new_room(&mut world, member, &format!("new{n}")));
    }
    assert!(!joins_a_new_room(&mut world, member, "one more"));
    world.server.closed(member, world.now);
    // What was said in them stays for a day.
    world.pass(KEPT_ROOM_IDLE_FOR - 2 * KEPT_ROOM_UNUSED_FOR);
    let done = create(&mut world, [192, 0, 2, 9], "", names("late", 1));
    assert_eq!(done, counts([("503", 1)]));
    world.pass(2 * KEPT_ROOM_UNUSED_FOR);
    let done = create(&mut world, [192, 0, 2, 9], "", names("late", 1));
    assert_eq!(done, counts([("201", 1)]));
}

#[test]
fn a_share_is_full_with_rooms_that_the_backend_has_not_opened_yet() {
    let mut config = Config::default();
    config.rooms.rooms = 8;
    let mut late = Late::new(config);
    let all = ["a", "b", "c"].map(|name| {
        let id = late.world.connect_from(ELSEWHERE.into());
        late.world.receive(id, creation(name, "").as_bytes());
        late.world.turn();
        id
    });
    let status = |late: &mut Late, id| {
        let bytes = std::mem::take(&mut late.world.wire(id).bytes);
        String::from_utf8_lossy(&bytes)
            .get(9..12)
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(all.map(|id| status(&mut late, id)), ["", "", "503"]);
    let (serial, opening) = late.opening();
    late.fail(serial, opening.serial);
    assert_eq!(status(&mut late, all[0]), "503");
    late.world.receive(all[2], creation("c", "").as_bytes());
    for _ in 0..2 {
        let opening = late.opening();
        late.open(opening);
    }
    assert_eq!(all.map(|id| status(&mut late, id)), ["", "201", "201"]);
}

#[test]
fn whoever_joins_and_leaves_all_the_time_does_not_wipe_the_history_of_empty_rooms() {
    let mut config = Config::default();
    config.rooms.rooms = 20;
    config.messages_per_second = 0;
    let mut world = World::new(config);
    let kim = world.member("kim", "talk");
    world.say(
        kim,
        json!({"type": "chat", "room": "talk", "content": "remember"}),
    );
    world.say(kim, json!({"type": "leave", "room": "talk"}));
    let stranger = world.guest("stranger");
    for n in 0..MANY {
        world.say(stranger, json!({"type": "join", "room": n.to_string()}));
        world.say(stranger, json!({"type": "leave", "room": n.to_string()}));
        world.turn();
    }
    world.told(kim);
    world.say(kim, json!({"type": "join", "room": "talk"}));
    world.turn();
    let joined = world.told(kim);
    assert_eq!(joined[0]["history"][0]["content"], "remember", "{joined:?}");
}
