use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde_json::json;

use super::*;
use crate::domain::ban::Ban;
use crate::domain::changes::Change;
use crate::domain::ids::HolderId;
use crate::domain::message_keys::Person;
use crate::domain::random::split_mix;
use crate::domain::rules::Writers;

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

fn person(name: &str, is_account: bool, holder: Option<u8>) -> Person {
    Person {
        name: name.into(),
        is_account,
        holder: holder.map(|byte| HolderId([byte; 16])),
    }
}

fn message(epoch: u64, seq: u64, room: &str) -> Rc<ChatMessage> {
    Rc::new(ChatMessage {
        room: room.into(),
        username: "홍길동".into(),
        content: format!("안녕하세요! {seq}").into(),
        timestamp: Timestamp(1_705_314_600 + seq),
        position: Position { epoch, seq },
        guest: seq.is_multiple_of(2),
        deleted_at: None,
    })
}

fn room(name: &str, epoch: u64, seqs: std::ops::Range<u64>) -> KeptRoom {
    let messages: Vec<_> = seqs.map(|seq| message(epoch, seq, name)).collect();
    KeptRoom {
        name: name.into(),
        room: OpenedRoom {
            epoch,
            max_users: 7,
            is_kept: epoch % 2 == 1,
            rules: Rules::default(),
            created_at: Timestamp(1_705_314_000 + epoch),
            newest: messages.last().map_or(9, |last| last.position.seq),
            messages,
            is_made: false,
        },
        creator: match epoch {
            1 => Some(Creator::new(Some("김철수".into()), [192, 0, 2, 1].into())),
            3 => Some(Creator::new(
                None,
                "2001:db8:1:2::".parse().expect("is one"),
            )),
            _ => None,
        },
    }
}

fn ban(key: &str, room: &str, until: Option<u64>) -> KeptBan {
    KeptBan {
        room: room.into(),
        key: key.into(),
        ban: Ban {
            at: 1_705_314_600_123,
            until,
            is_lifted: until.is_none(),
            username: key.to_uppercase().into(),
            by: "admin".into(),
            reason: "광고".into(),
        },
    }
}

fn event_of(id: u64, name: &str) -> KeptEvent {
    KeptEvent {
        id,
        name: name.into(),
        data: json!({"n": id}).to_string().into(),
    }
}

/// Something of everything that format 1 has.
#[cfg(feature = "durable")]
pub(crate) fn everything_of_format_1() -> WorkingSet {
    let mut all = everything();
    all.bans.clear();
    all.rooms[2] = room("광장", 3, 1..6);
    all
}

/// Something of everything.
pub(crate) fn everything() -> WorkingSet {
    let id = |at, to: Option<Person>, sender| KeptId {
        at,
        second: 1_705_314_600,
        fingerprint: 77,
        sender,
        to,
        id: "id-1".into(),
    };
    let in_room = SaidAt::Position(Position { epoch: 1, seq: 3 });
    let guest = person("이영희", false, Some(3));
    let mut square = room("광장", 3, 1..6);
    let newest = NonZeroU64::new(5).expect("is none");
    square.room.messages[1] = Rc::new(square.room.messages[1].deleted(newest));
    square.room.rules = Rules {
        history_messages: 7,
        history_seconds: NonZeroU32::new(60),
        write: Writers::SignedIn,
    };
    WorkingSet {
        rooms: vec![room("empty", 2, 1..1), room("tech", 1, 2..5), square],
        ids: vec![
            id(in_room, None, person("홍길동", true, None)),
            id(SaidAt::Whisper(5), Some(guest.clone()), guest),
        ],
        families: vec![KeptFamily {
            family: "kim\nsid".into(),
            until: 1_705_318_200,
            second: 1_705_314_600,
        }],
        marks: vec![("lee".into(), 1_705_314_601)],
        bans: vec![
            ban("kim", "", None),
            ban("lee", "tech", Some(1_705_318_200)),
        ],
        floor: Some(3),
        events: vec![event_of(11, "system_metrics"), event_of(12, "deploys")],
        latest: vec![event_of(12, "deploys"), event_of(4, "other")],
        event_base: Some(3),
        figures: serde_json::from_value(json!({"revenue": 5, "visits": [1]})).expect("an object"),
        secret: Some([9; 32]),
        ..WorkingSet::default()
    }
}

fn records(set: &WorkingSet) -> Records {
    let changes = set.changes();
    let puts = changes.iter().map(|change| match change {
        Change::Put(key, value) => (key.to_vec(), value.to_vec()),
        Change::Remove(_) => panic!("nothing is removed"),
    });
    puts.collect()
}

fn load(records: &Records) -> Result<WorkingSet, Damaged> {
    let mut loader = Loader::default();
    for (key, value) in records {
        loader.add(key, value)?;
    }
    loader.finish()
}

/// The records without one.
fn without(record: &Record<'_>) -> Records {
    let mut all = records(&everything());
    let mut change = Changes::default();
    change.remove(&record.key());
    for change in change.iter() {
        let Change::Remove(key) = change else {
            continue;
        };
        assert!(all.remove(key).is_some(), "it is there");
    }
    all
}

/// The records with another one.
fn with(record: &Record<'_>) -> Records {
    let mut all = records(&everything());
    let mut change = Changes::default();
    change.put(record);
    for change in change.iter() {
        if let Change::Put(key, value) = change {
            all.insert(key.to_vec(), value.to_vec());
        }
    }
    all
}

#[test]
fn everything_that_is_written_is_loaded() {
    let all = everything();
    let loaded = load(&records(&all)).expect("is whole");
    let mut expected = everything();
    // Channels are loaded in the order of their names, rooms in that of their last use.
    expected.latest.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(loaded, expected);
    assert_eq!(loaded.newest_event(), Some(12));
}

#[test]
fn a_store_with_nothing_in_it_is_whole() {
    assert_eq!(load(&Records::new()), Ok(WorkingSet::default()));
}

#[test]
fn what_is_missing_or_does_not_fit_is_damage() {
    let of_tech = |seq| message(1, seq, "tech");
    let name = |name| Record::Room {
        epoch: 99,
        max_users: 1,
        is_kept: false,
        created_at: Timestamp(0),
        creator: None,
        name,
    };
    let position = |seq| Position { epoch: 1, seq };
    for (damaged, expected) in [
        (without(&of_tech(3).record()), "a message is missing"),
        (
            without(&of_tech(4).record()),
            "the newest messages of a room are missing",
        ),
        (
            without(&Record::Newest(position(4))),
            "the newest messages of a room are missing",
        ),
        (with(&name("tech")), "two rooms have the same name"),
        (
            with(&Record::Newest(Position { epoch: 8, seq: 1 })),
            "a room is missing",
        ),
        (with(&message(8, 1, "x").record()), "a room is missing"),
        (
            with(&Record::Event {
                id: 14,
                name: "deploys",
                data: "{}",
            }),
            "an event is missing",
        ),
        (
            with(&Record::Newest(position(u64::MAX))),
            "a number is too large",
        ),
        (
            with(&Record::Deleted {
                position: position(u64::MAX),
                timestamp: Timestamp(0),
                newest: NonZeroU64::MIN,
            }),
            "a number is too large",
        ),
        (
            with(&Record::Ban {
                room: "",
                key: "kim",
                ban: Ban {
                    at: u64::MAX,
                    until: None,
                    is_lifted: false,
                    username: "kim".into(),
                    by: "mod".into(),
                    reason: "noise".into(),
                },
            }),
            "a number is too large",
        ),
        (with(&Record::Figures("[]")), "the figures cannot be read"),
    ] {
        assert_eq!(load(&damaged), Err(Damaged(expected)));
    }
    let mut unknown = records(&everything());
    unknown.insert(vec![200, 1], Vec::new());
    assert_eq!(load(&unknown), Err(Damaged("a record cannot be read")));
}

#[test]
fn no_byte_of_a_record_can_be_missing() {
    for (key, value) in records(&everything()) {
        assert!(Record::decode(&key, &value).is_some());
        for longer in [[&key[..], &[0]].concat(), vec![]] {
            let record = Record::decode(&longer, &value);
            // A name may be longer.
            let is_name = record.is_some_and(|record| {
                matches!(
                    record.key(),
                    Key::Family(_) | Key::Mark(_) | Key::Latest(_) | Key::Ban(..)
                )
            });
            assert!(is_name || Record::decode(&longer, &value).is_none());
        }
        let kinds_that_end_in_text = [1, 3, 4, 5, 9, 10, 11, 15];
        for length in 0..value.len() {
            let record = Record::decode(&key, &value[..length]);
            assert!(record.is_none() || kinds_that_end_in_text.contains(&key[0]));
        }
    }
}

#[test]
fn an_id_of_a_room_that_was_evicted_is_removed() {
    let mut all = everything();
    let gone = SaidAt::Position(Position { epoch: 50, seq: 1 });
    all.ids[0].at = gone;
    let loaded = load(&records(&all)).expect("is whole");
    assert_eq!(loaded.ids, all.ids[1..]);
    let mut expected = Changes::default();
    expected.remove(&Key::Said(gone));
    assert_eq!(loaded.stale, expected);
}

#[test]
fn what_clients_have_seen_of_a_restored_backup_is_no_place_to_resume_from() {
    let mut seed = 1;
    let mut renewed = everything();
    renewed.renew(|| split_mix(&mut seed));
    for (before, after) in everything().rooms.iter().zip(&renewed.rooms) {
        assert_ne!(before.room.epoch, after.room.epoch);
        assert_eq!(before.room.newest, after.room.newest);
        let epochs = after.room.messages.iter().map(|one| one.position.epoch);
        assert!(epochs.into_iter().all(|epoch| epoch == after.room.epoch));
    }
    let tech = renewed.rooms[1].room.epoch;
    assert_eq!(
        renewed.ids[0].at,
        SaidAt::Position(Position {
            epoch: tech,
            seq: 3
        })
    );
    assert_eq!(renewed.newest_event(), Some(12 + RESTORED_EVENT_IDS));
    assert!(renewed.events.is_empty() && renewed.latest.is_empty());
    let loaded = load(&records(&renewed)).expect("is whole");
    assert_eq!(loaded.newest_event(), renewed.newest_event());
}
