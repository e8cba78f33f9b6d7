//! Guests who hold their name by a key, in many orders: who is let in is compared with a model.

use std::time::Duration;

use sarang::config::Config;
use sarang::domain::ids::ConnectionId;
use sarang::domain::random::Random;
use serde_json::{Value, json};

use crate::late::{Late, kinds};
use crate::world::{World, opening};

const KEYS: [Option<&str>; 4] = [
    None,
    Some("key number one!!"),
    Some("key number two!!"),
    Some("key number three"),
];
/// Spellings of two names.
const NAMES: [&str; 3] = ["Alex", "alex", "kim"];
const GRACE: Duration = Duration::from_secs(3);
const STEPS: usize = 400;

/// A guest's connection; it has sent its opening handshake, and the answer is read.
fn enter(world: &mut World, name: &str, key: Option<&str>) -> (ConnectionId, Value) {
    let key = key.map_or(String::new(), |key| {
        format!("&key={}", key.replace(' ', "+"))
    });
    let id = world.connect();
    world.receive(id, opening(&format!("{name}{key}")).as_bytes());
    world.turn();
    let bytes = &mut world.wire(id).bytes;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    bytes.drain(..end.expect("has answered") + 4);
    let told = world.told(id);
    assert_eq!(told.len(), 1, "{told:?}");
    (id, told[0].clone())
}

/// A name as the server compares it.
#[derive(Default)]
struct Name {
    /// Who is here, with their key.
    here: Vec<(ConnectionId, usize)>,
    /// Whose it was, and until when it is theirs.
    last: Option<(usize, Duration)>,
}

impl Name {
    fn admits(&self, key: usize, now: Duration) -> bool {
        let owner = match (self.here.first(), self.last) {
            (Some((_, owner)), _) => *owner,
            (None, Some((owner, until))) if now < until => owner,
            _ => return true,
        };
        owner == key
    }
}

#[test]
fn whoever_is_let_in_under_a_name_shares_it_with_themselves_only() {
    let mut reached = [0; 5];
    for seed in 0..16 {
        let mut random = Random::new(&[seed; 32]);
        let mut below = |limit: usize| random.number() as usize % limit;
        let mut world = World::new(Config {
            presence_grace: GRACE,
            ..Config::default()
        });
        let [mut alex, mut kim] = [Name::default(), Name::default()];
        for _ in 0..STEPS {
            let which = below(NAMES.len());
            let name = if which < 2 { &mut alex } else { &mut kim };
            let now = world.now.monotonic;
            match below(8) {
                0..=3 => {
                    let key = below(KEYS.len());
                    let (id, told) = enter(&mut world, NAMES[which], KEYS[key]);
                    let is_admitted = told["type"] == "welcome";
                    assert_eq!(is_admitted, name.admits(key, now), "{seed} {told}");
                    if is_admitted {
                        reached[usize::from(!name.here.is_empty())] += 1;
                        name.here.push((id, key));
                    } else {
                        assert_eq!(told, json!({"close": 4005}));
                        reached[2] += 1;
                        reached[3] += usize::from(name.here.is_empty());
                        world.server.closed(id, world.now);
                    }
                }
                4..=6 if !name.here.is_empty() => {
                    let (id, key) = name.here.swap_remove(below(name.here.len()));
                    world.server.closed(id, world.now);
                    world.turn();
                    if name.here.is_empty() {
                        name.last = (key > 0).then_some((key, now + GRACE));
                    }
                }
                _ => {
                    reached[4] += 1;
                    world.pass(Duration::from_millis(below(2_000) as u64));
                }
            }
        }
        for (id, _) in alex.here.into_iter().chain(kim.here) {
            assert!(world.is_open(id));
        }
    }
    assert!(reached.iter().all(|count| *count > 50), "{reached:?}");
}

#[test]
fn guests_of_all_spellings_of_a_name_have_the_connections_of_one_user() {
    let mut world = World::new(Config {
        connections_per_user: 3,
        ..Config::default()
    });
    for (name, expected) in [
        ("Alex", 0),
        ("alex", 0),
        ("aLEX", 0),
        ("ALEX", 1013),
        ("kim", 0),
    ] {
        let (_, told) = enter(&mut world, name, None);
        assert_eq!(
            told["close"].as_u64().unwrap_or_default(),
            expected,
            "{name}"
        );
    }
}

/// Two guests with different keys can have one name, one after the other, while what the first has said is under way.
#[test]
fn a_holder_who_left_has_left_before_the_next_one_of_the_name_enters() {
    let mut late = Late::new(Config {
        presence_grace: Duration::ZERO,
        ..Config::default()
    });
    let [kim] = late.members(["kim"], "r");
    late.world.told(kim);
    for key in &KEYS[1..] {
        let (alex, _) = enter(&mut late.world, "Alex", *key);
        late.say(alex, json!({"type": "join", "room": "r"}));
        let joined = late.world.told(alex);
        assert_eq!(joined[0]["online_users"], json!(["kim"]), "{key:?}");
        late.say(alex, json!({"type": "chat", "room": "r", "content": "hi"}));
        late.world.server.closed(alex, late.world.now);
        late.world.turn();
    }
    let told = late.world.told(kim);
    let (joined, left) = ("user_joined", "user_left");
    assert_eq!(kinds(&told), [joined, left, joined, left, joined]);
}
