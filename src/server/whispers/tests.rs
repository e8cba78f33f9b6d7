//! Whispers over sockets that are buffers, to users whose connections come and go.

use std::time::Duration;

use slab::Slab;

use super::*;
use crate::config::SENDS_PER_TURN;
use crate::conn::http::Http;
use crate::ledger::Ledger;
use crate::server::fan_out::testing::{Dice, Socket, Sockets};
use crate::server::fan_out::{Sending, Troubled};

const KIM: UserId = UserId(0);
const LEE: UserId = UserId(1);
/// The connection of a sender who is neither of them.
const NOBODY: ConnectionId = ConnectionId(1_000);

/// Whispers, and the connections of [`KIM`] and [`LEE`].
#[derive(Default)]
struct Stage {
    whispers: Whispers,
    connections: Slab<Connection>,
    sockets: Sockets,
    users: [Vec<ConnectionId>; 2],
}

impl Stage {
    /// So many connections of each user.
    fn with(counts: [usize; 2]) -> Self {
        let mut stage = Self::default();
        for (user, count) in [KIM, LEE].into_iter().zip(counts) {
            (0..count).for_each(|_| _ = stage.open(user));
        }
        stage
    }

    fn open(&mut self, user: UserId) -> ConnectionId {
        self.sockets.all.push(Socket::default());
        let connection = Connection::new(Http::default());
        let id = ConnectionId(self.connections.insert(connection) as u32);
        self.users[user.index()].push(id);
        self.whispers.entered(id, user);
        id
    }

    fn exit(&mut self, user: UserId, id: ConnectionId) {
        self.users[user.index()].retain(|other| *other != id);
        let connection = &mut self.connections[id.index()];
        self.whispers.exited(id, user, connection);
    }

    fn whisper(&mut self, to: UserId, text: &str) {
        let connections = &self.users[to.index()];
        self.whispers.send(to, connections, NOBODY, text.as_bytes());
    }

    /// Answers one connection, after the whispers so far.
    fn answer(&mut self, user: UserId, id: ConnectionId, text: &str) {
        let connection = &mut self.connections[id.index()];
        self.whispers.catch_up(id, user, connection);
        connection.outbox().push_frames(text.as_bytes());
    }

    /// One slice, with this many sends.
    fn run(&mut self, sends: usize) {
        self.whispers.fan_out().run(&mut Sending {
            sends,
            now: Duration::ZERO,
            until: Duration::MAX,
            outbox_bytes_max: usize::MAX,
            connections: &mut self.connections,
            io: &mut self.sockets,
            troubled: &mut Troubled::default(),
            ledger: &Ledger::default(),
        });
        self.whispers.close_idle();
        self.check();
    }

    fn check(&self) {
        self.whispers
            .check(|user| self.users[user.index()].as_slice());
    }

    fn run_all(&mut self) {
        while self.whispers.is_active() {
            self.run(SENDS_PER_TURN);
        }
    }

    /// What each connection was sent once its socket took everything.
    fn heard(&mut self) -> Vec<String> {
        let ids = 0..self.connections.len() as u32;
        for id in ids.map(ConnectionId) {
            self.connections[id.index()].unblock();
            self.connections[id.index()].flush(id, &mut self.sockets);
        }
        let sent = self.sockets.all.iter().map(|socket| socket.sent.clone());
        sent.map(|bytes| String::from_utf8(bytes).expect("is text"))
            .collect()
    }
}

fn id(number: u32) -> ConnectionId {
    ConnectionId(number)
}

#[test]
fn a_user_is_a_topic_only_while_whispers_are_under_way() {
    let mut stage = Stage::with([3, 2]);
    stage.whisper(KIM, "a");
    assert!(stage.whispers.are_under_way(KIM) && !stage.whispers.are_under_way(LEE));
    stage.run(2);
    assert!(stage.whispers.are_under_way(KIM));
    stage.run(1);
    assert!(!stage.whispers.are_under_way(KIM) && !stage.whispers.is_active());
    assert!(stage.whispers.users.is_empty());
    stage.whisper(KIM, "b");
    stage.whisper(LEE, "c");
    stage.run_all();
    assert_eq!(stage.heard(), ["ab", "ab", "ab", "c", "c"]);
}

#[test]
fn whispers_of_one_turn_leave_with_one_send_for_each_connection() {
    let mut stage = Stage::with([4, 0]);
    stage.whisper(KIM, "a");
    stage.whisper(KIM, "b");
    stage.run_all();
    assert_eq!(stage.sockets.sends, 4);
    assert_eq!(stage.heard(), ["ab"; 4]);
}

#[test]
fn a_connection_that_opens_in_the_middle_of_a_pass_gets_the_later_whispers_only() {
    let mut stage = Stage::with([3, 0]);
    stage.whisper(KIM, "a");
    stage.run(1);
    stage.open(KIM);
    stage.whisper(KIM, "b");
    stage.open(KIM);
    stage.whisper(KIM, "c");
    stage.run_all();
    assert_eq!(stage.heard(), ["abc", "abc", "abc", "bc", "c"]);
}

#[test]
fn a_connection_that_closes_in_the_middle_of_a_pass_gets_the_earlier_whispers() {
    let mut stage = Stage::with([4, 0]);
    stage.whisper(KIM, "a");
    stage.run(2);
    stage.whisper(KIM, "b");
    // One that the pass has reached, and one that it has not.
    stage.exit(KIM, id(0));
    stage.exit(KIM, id(3));
    stage.whisper(KIM, "c");
    stage.run_all();
    assert_eq!(stage.heard(), ["ab", "abc", "abc", "ab"]);
}

#[test]
fn an_answer_comes_after_the_whispers_before_it_and_before_those_after_it() {
    let mut stage = Stage::with([3, 0]);
    stage.whisper(KIM, "a");
    stage.run(1);
    stage.answer(KIM, id(0), "1");
    stage.whisper(KIM, "b");
    stage.answer(KIM, id(2), "2");
    stage.whisper(KIM, "c");
    stage.run_all();
    assert_eq!(stage.heard(), ["a1bc", "abc", "ab2c"]);
}

#[test]
fn the_connection_that_has_a_whisper_already_does_not_get_it_again() {
    let mut stage = Stage::with([3, 0]);
    for text in ["a", "b"] {
        // As the chat does it: it answers the sender's own connection.
        stage.answer(KIM, id(1), text);
        let connections = &stage.users[0];
        stage
            .whispers
            .send(KIM, connections, id(1), text.as_bytes());
        stage.whisper(KIM, ".");
    }
    stage.run_all();
    assert_eq!(stage.heard(), ["a.b."; 3]);
}

#[test]
fn a_user_in_the_slot_of_one_who_has_left_gets_nothing_of_theirs() {
    let mut stage = Stage::with([3, 0]);
    stage.whisper(KIM, "a");
    stage.run(1);
    stage.whisper(KIM, "b");
    (0..3).for_each(|number| stage.exit(KIM, id(number)));
    stage.check();
    assert!(!stage.whispers.are_under_way(KIM));
    // The old topic is not done, and the new user is another.
    (0..2).for_each(|_| _ = stage.open(KIM));
    stage.whisper(KIM, "c");
    stage.check();
    stage.open(KIM);
    stage.run_all();
    assert_eq!(stage.heard(), ["ab", "ab", "ab", "c", "c", ""]);
    assert!(stage.whispers.users.is_empty() && stage.whispers.topics.is_empty());
}

#[test]
fn who_whispers_to_somebody_to_whom_there_is_much_to_send_is_held_until_it_is_in_a_pass() {
    let mut stage = Stage::with([2, 2]);
    let by = id(7);
    stage.whisper(KIM, &"a".repeat(WHISPERS_PENDING_HIGH_WATER_BYTES));
    stage.whispers.hold_if_congested(by, [LEE, KIM]);
    assert!(!stage.whispers.is_held(by));
    stage.whisper(KIM, "b");
    stage.whispers.hold_if_congested(by, [LEE, KIM]);
    assert!(stage.whispers.is_held(by) && !stage.whispers.is_held(id(8)));
    stage.run(1);
    assert!(!stage.whispers.is_held(by));
    assert!(stage.whispers.held.is_empty());
}

#[test]
fn all_who_whisper_are_held_while_there_is_too_much_to_send_in_all() {
    let mut stage = Stage::with([2, 2]);
    let by = id(7);
    stage.whisper(KIM, &"a".repeat(WHISPERS_UNSENT_HIGH_WATER_BYTES));
    stage.run(1);
    stage.whisper(LEE, "b");
    stage.whispers.hold_if_congested(by, [KIM, LEE]);
    assert!(stage.whispers.is_held(by));
    stage.run(1);
    assert!(!stage.whispers.is_held(by));
}

#[test]
fn no_more_is_taken_when_many_who_are_not_held_yet_send_one_more_each() {
    let mut stage = Stage::with([2, 0]);
    stage.whisper(KIM, &"a".repeat(WHISPERS_UNSENT_BYTES_MAX));
    assert!(!stage.whispers.are_full());
    stage.whisper(KIM, "b");
    assert!(stage.whispers.are_full());
    stage.run_all();
    assert!(!stage.whispers.are_full());
}

#[test]
fn who_is_held_and_closes_is_forgotten() {
    let mut stage = Stage::with([2, 1]);
    stage.whisper(KIM, &"a".repeat(WHISPERS_PENDING_HIGH_WATER_BYTES + 1));
    stage.whispers.hold_if_congested(id(2), [LEE, KIM]);
    stage.exit(LEE, id(2));
    assert!(stage.whispers.held.is_empty());
}

#[test]
fn whatever_happens_in_between_each_connection_gets_each_whisper_to_its_user_once_in_order() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let mut stage = Stage::with([4, 4]);
        let mut expected = vec![String::new(); 8];
        for step in 0..200 {
            let user = [KIM, LEE][dice.roll(2) as usize];
            let connections = stage.users[user.index()].clone();
            let one = match connections.len() as u32 {
                0 => None,
                count => Some(connections[dice.roll(count) as usize]),
            };
            let text = format!("{step};");
            match (dice.roll(8), one) {
                (0..=2, Some(_)) => {
                    stage.whisper(user, &text);
                    for id in connections {
                        expected[id.index()] += &text;
                    }
                }
                (3, Some(one)) => {
                    stage.answer(user, one, &text);
                    expected[one.index()] += &text;
                }
                (4, Some(one)) => stage.exit(user, one),
                (5, _) => {
                    stage.open(user);
                    expected.push(String::new());
                }
                _ => stage.run(dice.roll(5) as usize),
            }
            stage.check();
        }
        stage.run_all();
        assert_eq!(stage.heard(), expected, "seed {seed}");
        assert!(stage.whispers.users.is_empty(), "seed {seed}");
    }
}
