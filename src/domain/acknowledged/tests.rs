use super::*;
use crate::domain::ids::{ConnectionId, HolderId, Origin, RoomId};

const START: Duration = Duration::from_secs(1000);
const POSITION: Option<Position> = Some(Position { epoch: 1, seq: 1 });
const ROOM: Destination = Destination::Room(RoomKey {
    id: RoomId(1),
    epoch: 7,
});

fn at(monotonic: Duration) -> Now {
    Now {
        monotonic,
        ..Now::default()
    }
}

fn origin(n: u32) -> Waiter {
    Waiter::Socket(Origin {
        connection: ConnectionId(n),
        generation: n,
    })
}

fn person(name: &str, is_account: bool) -> Person {
    Person {
        name: name.into(),
        is_account,
        holder: None,
    }
}

fn key(name: &str, destination: Destination, id: &str) -> MessageKey {
    let sender = person(name, false);
    let id = id.into();
    MessageKey {
        sender,
        destination,
        id,
    }
}

/// Publishes a message with this `id`, and acknowledges it at once.
fn say(acknowledged: &mut Acknowledged, key: MessageKey, now: Duration) -> Claim {
    let claim = acknowledged.claim(key, "hi", origin(1), now);
    if let Claim::New(id) = claim {
        acknowledged.done(id, POSITION, None, at(now));
    }
    claim
}

fn is_new(claim: &Claim) -> bool {
    matches!(claim, Claim::New(_))
}

#[test]
fn an_id_is_remembered_for_five_minutes() {
    let mut acknowledged = Acknowledged::default();
    let mut say = |now| say(&mut acknowledged, key("김", ROOM, "a"), now);
    assert!(is_new(&say(START)));
    assert_eq!(say(START + ACKNOWLEDGED_FOR), Claim::Done(POSITION));
    let later = START + ACKNOWLEDGED_FOR + Duration::from_secs(1);
    assert!(is_new(&say(later)));
}

#[test]
fn another_person_another_place_and_another_id_are_other_messages() {
    let mut acknowledged = Acknowledged::default();
    let mut account = key("김", ROOM, "a");
    account.sender.is_account = true;
    let [mut holder, mut other] = [key("김", ROOM, "a"), key("김", ROOM, "a")];
    holder.sender.holder = Some(HolderId([1; 16]));
    other.sender.holder = Some(HolderId([2; 16]));
    let again = RoomKey {
        id: RoomId(1),
        epoch: 8,
    };
    for key in [
        key("김", ROOM, "a"),
        key("이", ROOM, "a"),
        account,
        holder,
        other,
        key("김", Destination::Room(again), "a"),
        key("김", Destination::Person(person("이", false)), "a"),
        key("김", Destination::Person(person("이", true)), "a"),
        key("김", Destination::Person(person("박", false)), "a"),
        key("김", ROOM, "b"),
    ] {
        assert!(
            is_new(&say(&mut acknowledged, key.clone(), START)),
            "{key:?}"
        );
        assert_eq!(say(&mut acknowledged, key, START), Claim::Done(POSITION));
    }
}

#[test]
fn a_whisper_to_somebody_who_has_gone_is_known_whoever_had_the_name() {
    let mut acknowledged = Acknowledged::default();
    for n in 0..3 {
        let mut target = person("이", n == 0);
        target.holder = (n > 1).then_some(HolderId([n; 16]));
        let key = key("김", Destination::Person(target), "a");
        let claim = acknowledged.claim(key, &n.to_string(), origin(1), START);
        let Claim::New(id) = claim else {
            panic!("unexpected: {claim:?}");
        };
        acknowledged.done(id, None, None, at(START));
    }
    let mut ask = |from, to, id, content| {
        let from = person(from, false);
        acknowledged.claim_of_absent(from, to, id, content, START)
    };
    for content in ["0", "1", "2"] {
        assert_eq!(ask("김", "이", "a", content), Some(Claim::Done(None)));
    }
    assert_eq!(ask("김", "이", "a", "3"), Some(Claim::OtherContent));
    for (from, to, id) in [("박", "이", "a"), ("김", "박", "a"), ("김", "이", "b")] {
        assert_eq!(ask(from, to, id, "0"), None);
    }
}

#[test]
fn an_id_with_other_content_is_refused_under_way_and_when_done() {
    let mut acknowledged = Acknowledged::default();
    let mut claim = |content| {
        let key = key("김", ROOM, "a");
        acknowledged.claim(key, content, origin(1), START)
    };
    assert!(is_new(&claim("one")));
    assert_eq!(claim("two"), Claim::OtherContent);
    acknowledged.done(PendingId(0), POSITION, None, at(START));
    let claim = acknowledged.claim(key("김", ROOM, "a"), "two", origin(1), START);
    assert_eq!(claim, Claim::OtherContent);
}

#[test]
fn everybody_who_sent_it_while_it_was_under_way_is_told() {
    let mut acknowledged = Acknowledged::default();
    for (n, expected) in [(1, true), (2, false), (3, false)] {
        let key = key("김", ROOM, "a");
        let claim = acknowledged.claim(key, "hi", origin(n), START);
        assert_eq!(is_new(&claim), expected);
    }
    let (id, waiters) = acknowledged.done(PendingId(0), POSITION, None, at(START));
    assert_eq!((&*id, &waiters[..]), ("a", &[1, 2, 3].map(origin)[..]));
    assert_eq!(acknowledged.pending(), 0);
}

#[test]
fn what_failed_may_be_said_again() {
    let mut acknowledged = Acknowledged::default();
    let claim = acknowledged.claim(key("김", ROOM, "a"), "hi", origin(1), START);
    assert_eq!(claim, Claim::New(PendingId(0)));
    let (id, waiters) = acknowledged.failed(PendingId(0));
    assert_eq!((&*id, waiters.len()), ("a", 1));
    assert!(is_new(&say(&mut acknowledged, key("김", ROOM, "a"), START)));
}

#[test]
fn one_user_with_many_ids_pushes_out_only_their_own() {
    let mut acknowledged = Acknowledged::default();
    assert!(is_new(&say(&mut acknowledged, key("이", ROOM, "a"), START)));
    for n in 0..ACKNOWLEDGED_MAX + 10 {
        let key = key("김", ROOM, &n.to_string());
        assert!(is_new(&say(&mut acknowledged, key, START)));
    }
    assert_eq!(acknowledged.done.len(), ACKNOWLEDGED_PER_USER_MAX + 1);
    assert_eq!(acknowledged.index.len(), acknowledged.done.len());
    let mut say = |name, id: usize| say(&mut acknowledged, key(name, ROOM, &id.to_string()), START);
    let last = ACKNOWLEDGED_MAX + 9;
    assert_eq!(say("김", last), Claim::Done(POSITION));
    assert!(is_new(&say("김", last - ACKNOWLEDGED_PER_USER_MAX)));
    let theirs = acknowledged.claim(key("이", ROOM, "a"), "hi", origin(1), START);
    assert_eq!(theirs, Claim::Done(POSITION));
}

#[test]
fn above_the_limit_of_all_the_oldest_is_forgotten() {
    let mut acknowledged = Acknowledged::default();
    for n in 0..=ACKNOWLEDGED_MAX {
        let key = key(&(n % 100).to_string(), ROOM, &n.to_string());
        assert!(is_new(&say(&mut acknowledged, key, START)));
    }
    assert_eq!(acknowledged.done.len(), ACKNOWLEDGED_MAX);
    assert_eq!(acknowledged.index.len(), ACKNOWLEDGED_MAX);
    assert_eq!(
        say(&mut acknowledged, key("1", ROOM, "1"), START),
        Claim::Done(POSITION)
    );
    assert!(is_new(&say(&mut acknowledged, key("0", ROOM, "0"), START)));
}

#[test]
fn nothing_is_left_of_users_whose_ids_are_forgotten() {
    let mut acknowledged = Acknowledged::default();
    for n in 0..1_000 {
        say(&mut acknowledged, key(&n.to_string(), ROOM, "a"), START);
    }
    let later = START + ACKNOWLEDGED_FOR * 2;
    say(&mut acknowledged, key("x", ROOM, "a"), later);
    assert_eq!(
        (acknowledged.done.len(), acknowledged.of_user.len()),
        (1, 1)
    );
    assert_eq!(acknowledged.index.len(), 1);
}
