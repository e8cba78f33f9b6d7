//! What moderators do to rooms, at bare nodes: on the model, and on real engines as in `alike.rs`.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use sarang::domain::position::Position;
use sarang::domain::rules::{Rules, Writers};
use sarang::server::node::news::News;

use crate::bare::{Nodes, on_all_engines, short, shown};
use crate::peer::Said;

const ROOM: &str = "tech";

fn room() -> Rc<str> {
    ROOM.into()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// All nodes have the room open, and so many messages, `a`, `b` and so on, were said at the first.
fn gathered(nodes: &mut Nodes, messages: u8) -> u64 {
    let mut epoch = 0;
    for number in 0..nodes.all.len() {
        epoch = nodes.open(number, ROOM).epoch;
    }
    for number in 0..messages {
        let content = char::from(b'a' + number).to_string();
        nodes.say(0, ROOM, &content);
        nodes.settle();
    }
    nodes.forget();
    epoch
}

fn delete(nodes: &mut Nodes, number: usize, epoch: u64, seq: u64) -> Result<(), &'static str> {
    let position = Position { epoch, seq };
    nodes.ask(number, |node, serial, now| {
        node.delete_message(serial, &room(), position, now);
    })
}

fn remove(nodes: &mut Nodes, number: usize) -> Result<(), &'static str> {
    nodes.ask(number, |node, serial, now| {
        node.remove_room(serial, &room(), now);
    })
}

fn keep(nodes: &mut Nodes, number: usize, messages: u32) -> Result<(), &'static str> {
    let rules = Rules {
        history_messages: messages,
        history_seconds: NonZeroU32::new(60),
        write: Writers::SignedIn,
    };
    nodes.ask(number, |node, serial, now| {
        node.change_room(serial, &room(), 7, true, rules, now);
    })
}

/// So many messages the engine has of the room.
fn kept(nodes: &mut Nodes) -> Said {
    let Said::List(_, keys) = nodes.engine.operate(&["ZRANGE", "sg:rooms", "0", "-1"]) else {
        panic!("the rooms are listed");
    };
    assert_eq!(keys, [Said::Bulk(ROOM.into())]);
    let script = "return redis.call('XLEN', KEYS[1])";
    let key = "sg:{133}h:tech";
    nodes.engine.operate(&["EVAL", script, "1", key])
}

#[test]
fn a_deleted_message_is_gone_at_all_nodes_and_leaves_its_position() {
    on_all_engines(3, |mut nodes| {
        let epoch = gathered(&mut nodes, 3);
        assert_eq!(delete(&mut nodes, 1, epoch, 2), Ok(()));
        for number in 0..3 {
            assert_eq!(short(nodes.told(number)), "deleted 2 at 3", "{number}");
        }
        // Again, and the newest one.
        assert_eq!(delete(&mut nodes, 0, epoch, 2), Ok(()));
        assert_eq!(short(nodes.told(0)), "");
        assert_eq!(delete(&mut nodes, 0, epoch, 3), Ok(()));
        assert_eq!(delete(&mut nodes, 0, epoch, 4), Err("not_found"));
        assert_eq!(delete(&mut nodes, 0, epoch + 1, 1), Err("not_found"));
        nodes.forget();
        nodes.all[2].node.close(&room());
        assert_eq!(shown(&nodes.open(2, ROOM)), "1a 2-3 3-3");
        // A room whose newest message was deleted has lost nothing.
        nodes.pass(seconds(25));
        nodes.say(1, ROOM, "d");
        nodes.settle();
        for number in 0..3 {
            assert_eq!(short(nodes.told(number)), "4d", "{number}");
        }
    });
}

#[test]
fn a_node_that_was_away_learns_what_was_deleted_and_changed_meanwhile() {
    on_all_engines(2, |mut nodes| {
        let epoch = gathered(&mut nodes, 3);
        nodes.cut(0);
        assert_eq!(delete(&mut nodes, 1, epoch, 1), Ok(()));
        for content in ["d", "e"] {
            nodes.say(1, ROOM, content);
        }
        nodes.settle();
        assert_eq!(delete(&mut nodes, 1, epoch, 4), Ok(()));
        nodes.mend(0);
        let told = short(nodes.told(0));
        assert_eq!(told, "changed 100 false 1000, deleted 1 at 3, 4-5, 5e");
        nodes.cut(0);
        assert_eq!(keep(&mut nodes, 1, 500), Ok(()));
        nodes.mend(0);
        let told = short(nodes.told(0));
        assert_eq!(told, "changed 7 true 500, deleted 1 at 3, deleted 4 at 5");
    });
}

#[test]
fn a_message_that_is_missing_and_was_deleted_holds_up_nothing() {
    on_all_engines(2, |mut nodes| {
        let epoch = gathered(&mut nodes, 1);
        nodes.cut(0);
        for content in ["b", "c", "d"] {
            nodes.say(1, ROOM, content);
        }
        nodes.settle();
        for seq in [2, 3] {
            assert_eq!(delete(&mut nodes, 1, epoch, seq), Ok(()));
        }
        // So that only messages are missing: nothing was changed as far as anybody knows.
        let meta = "sg:{133}m:tech";
        nodes.engine.operate(&["HDEL", meta, "n"]);
        nodes.mend(0);
        assert_eq!(short(nodes.told(0)), "2-4, 3-4, 4d");
    });
}

#[test]
fn rules_hold_at_all_nodes_and_no_more_is_kept_than_they_say() {
    on_all_engines(3, |mut nodes| {
        gathered(&mut nodes, 5);
        assert_eq!(keep(&mut nodes, 1, 2), Ok(()));
        for number in 0..3 {
            assert_eq!(short(nodes.told(number)), "changed 7 true 2", "{number}");
        }
        assert_eq!(kept(&mut nodes), Said::Integer("2".into()));
        nodes.say(0, ROOM, "f");
        nodes.settle();
        assert_eq!(kept(&mut nodes), Said::Integer("2".into()));
        nodes.all[2].node.close(&room());
        let opened = nodes.open(2, ROOM);
        assert_eq!((&*shown(&opened), opened.newest), ("5e 6f", 6));
        assert_eq!((opened.max_users, opened.is_kept), (7, true));
        assert_eq!(opened.rules.history_seconds, NonZeroU32::new(60));
        assert_eq!(opened.rules.write, Writers::SignedIn);
        let nowhere: Rc<str> = "nowhere".into();
        let none = nodes.ask(0, |node, serial, now| {
            node.change_room(serial, &nowhere, 7, true, Rules::default(), now);
        });
        assert_eq!(none, Err("room_not_found"));
    });
}

#[test]
fn of_a_room_without_a_history_nothing_is_kept_and_nothing_is_lost() {
    on_all_engines(2, |mut nodes| {
        let epoch = gathered(&mut nodes, 2);
        assert_eq!(keep(&mut nodes, 0, 0), Ok(()));
        nodes.forget();
        for content in ["secret", "secret"] {
            nodes.pass(seconds(25));
            nodes.say(0, ROOM, content);
            nodes.settle();
        }
        nodes.pass(seconds(25));
        assert_eq!(short(nodes.told(1)), "3secret, 4secret");
        assert_eq!(delete(&mut nodes, 0, epoch, 4), Err("not_found"));
        let kept = nodes
            .engine
            .operate(&["XRANGE", "sg:{133}h:tech", "-", "+"])
            .shown();
        assert!(!kept.contains("secret") && kept.contains("4-0"), "{kept}");
        nodes.all[1].node.close(&room());
        let opened = nodes.open(1, ROOM);
        assert_eq!((&*shown(&opened), opened.newest), ("", 4));
    });
}

#[test]
fn what_is_too_old_leaves_the_engine_and_the_room_stays_as_it_is() {
    on_all_engines(2, |mut nodes| {
        let epoch = gathered(&mut nodes, 3);
        for (seq, left) in [(3, "1"), (4, "0")] {
            let now = nodes.now();
            nodes.all[0]
                .node
                .trim(&room(), Position { epoch, seq }, now);
            nodes.settle();
            assert_eq!(kept(&mut nodes), Said::Integer(left.into()));
            nodes.pass(seconds(25));
            assert_eq!(short(nodes.told(0)) + &short(nodes.told(1)), "");
        }
        // That of another room of this name is none of its business.
        nodes.say(0, ROOM, "d");
        let (epoch, now) = (epoch + 1, nodes.now());
        nodes.all[0]
            .node
            .trim(&room(), Position { epoch, seq: 9 }, now);
        nodes.settle();
        assert_eq!(kept(&mut nodes), Said::Integer("1".into()));
    });
}

#[test]
fn a_history_that_is_kept_for_a_time_ends_by_itself_and_that_is_no_loss() {
    on_all_engines(2, |mut nodes| {
        gathered(&mut nodes, 2);
        let ends = |nodes: &mut Nodes| match nodes.engine.operate(&["TTL", "sg:{133}h:tech"]) {
            Said::Integer(seconds) => seconds.parse::<i64>().expect("a number"),
            other => panic!("{other:?}"),
        };
        assert_eq!(keep(&mut nodes, 0, 1_000), Ok(()));
        assert!((1..=60).contains(&ends(&mut nodes)));
        nodes.engine.operate(&["PERSIST", "sg:{133}h:tech"]);
        nodes.say(0, ROOM, "c");
        nodes.settle();
        assert!((1..=60).contains(&ends(&mut nodes)));
        // Neither who comes nor who looks makes it longer.
        nodes.all[1].node.close(&room());
        nodes.open(1, ROOM);
        nodes.pass(seconds(25));
        assert!((1..=60).contains(&ends(&mut nodes)));
        nodes.forget();
        nodes.engine.operate(&["DEL", "sg:{133}h:tech"]);
        nodes.pass(seconds(25));
        nodes.say(0, ROOM, "d");
        nodes.settle();
        for number in 0..2 {
            assert_eq!(short(nodes.told(number)), "4d", "{number}");
        }
        let endless = nodes.ask(0, |node, serial, now| {
            node.change_room(serial, &room(), 7, true, Rules::default(), now);
        });
        assert_eq!(endless, Ok(()));
        assert!(ends(&mut nodes) > 1_000);
    });
}

#[test]
fn a_removed_room_is_gone_at_all_nodes_with_what_is_under_way_in_it() {
    on_all_engines(2, |mut nodes| {
        let epoch = gathered(&mut nodes, 2);
        let (serial, now) = (nodes.serial(), nodes.now());
        nodes.all[1].node.seat(serial, &room(), "lee", true, now);
        nodes.settle();
        nodes.forget();
        // The removal comes before them.
        let (removal, now) = (nodes.serial(), nodes.now());
        nodes.all[0].node.remove_room(removal, &room(), now);
        nodes.say(1, ROOM, "late");
        let (serial, now) = (nodes.serial(), nodes.now());
        nodes.all[1].node.seat(serial, &room(), "kim", true, now);
        nodes.settle();
        assert_eq!(nodes.done(0, removal), Some(Ok(())));
        assert_eq!(short(nodes.told(0)), "removed tech");
        let told = short(nodes.told(1));
        let late = "failed room_not_found, failed room_not_found";
        assert_eq!(told, format!("removed tech, {late}"));
        assert_eq!(remove(&mut nodes, 1), Err("room_not_found"));
        let opened = nodes.open(1, ROOM);
        assert!(opened.epoch != epoch && opened.newest == 0 && opened.messages.is_empty());
        assert_eq!(nodes.open(0, ROOM).epoch, opened.epoch);
    });
}

#[test]
fn a_seat_in_a_removed_room_that_is_given_up_late_is_none_in_the_next_one() {
    on_all_engines(2, |mut nodes| {
        gathered(&mut nodes, 1);
        let sit = |nodes: &mut Nodes, number: usize| {
            let (serial, now) = (nodes.serial(), nodes.now());
            nodes.all[number]
                .node
                .seat(serial, &room(), "lee", true, now);
            nodes.settle();
        };
        sit(&mut nodes, 0);
        sit(&mut nodes, 1);
        nodes.cut(1);
        assert_eq!(remove(&mut nodes, 0), Ok(()));
        nodes.open(0, ROOM);
        sit(&mut nodes, 0);
        nodes.forget();
        let now = nodes.now();
        nodes.all[1].node.leave(&room(), &"lee".into(), now);
        nodes.mend(1);
        assert_eq!(short(nodes.told(1)), "removed tech");
        assert_eq!(short(nodes.told(0)), "");
        let now = nodes.now();
        nodes.all[0].node.leave(&room(), &"lee".into(), now);
        nodes.settle();
        assert!(short(nodes.told(0)).contains("left lee of 0"));
    });
}

#[test]
fn who_was_away_comes_from_a_removed_room_to_none_and_to_a_new_one_by_itself() {
    for is_made_again in [true, false] {
        on_all_engines(2, |mut nodes| {
            gathered(&mut nodes, 2);
            nodes.cut(0);
            assert_eq!(remove(&mut nodes, 1), Ok(()));
            let made = is_made_again.then(|| nodes.open(1, ROOM).epoch);
            // What was said while it was away is not said in a room of another time.
            nodes.say(0, ROOM, "late");
            nodes.mend(0);
            let told = short(nodes.told(0));
            assert_eq!(told, "removed tech, failed room_not_found");
            let opened = nodes.open(0, ROOM);
            assert_eq!(opened.newest, 0);
            assert!(made.is_none_or(|epoch| epoch == opened.epoch));
        });
    }
}

#[test]
fn what_is_done_while_its_answer_is_lost_is_done_once_and_answered() {
    on_all_engines(2, |mut nodes| {
        let epoch = gathered(&mut nodes, 2);
        let (serial, now) = (nodes.serial(), nodes.now());
        let position = Position { epoch, seq: 1 };
        let node = &mut nodes.all[0].node;
        node.delete_message(serial, &room(), position, now);
        nodes.lose_answers(0);
        nodes.mend(0);
        assert_eq!(nodes.done(0, serial), Some(Ok(())));
        let told = short(nodes.told(0));
        assert_eq!(told, "changed 100 false 1000, deleted 1 at 2");
        let (serial, now) = (nodes.serial(), nodes.now());
        nodes.all[0].node.remove_room(serial, &room(), now);
        nodes.lose_answers(0);
        nodes.mend(0);
        assert_eq!(nodes.done(0, serial), Some(Ok(())));
        assert_eq!(short(nodes.told(0)), "removed tech");
    });
}

#[test]
fn a_message_whose_answer_was_lost_and_that_was_deleted_is_not_said_again() {
    on_all_engines(2, |mut nodes| {
        let epoch = gathered(&mut nodes, 0);
        let serial = nodes.say(0, ROOM, "a");
        nodes.lose_answers(0);
        nodes.settle();
        assert_eq!(delete(&mut nodes, 1, epoch, 1), Ok(()));
        nodes.forget();
        nodes.mend(0);
        let is_acknowledged =
            |news: &News| matches!(news, News::Acknowledged(of, _) if *of == serial);
        assert!(nodes.all[0].news.iter().any(is_acknowledged));
        let told = short(nodes.told(0));
        assert_eq!(told, "changed 100 false 1000, 1-1");
        assert_eq!(short(nodes.told(1)), "");
    });
}
