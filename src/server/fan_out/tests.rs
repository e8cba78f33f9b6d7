//! Passes over sockets that are buffers, on a clock that advances with each send.

use std::collections::BTreeSet;

use super::testing::{Dice, Socket, Sockets};
use super::*;
use crate::config::SENDS_PER_TURN;
use crate::conn::http::Http;
use crate::conn::outbox::Flushed;

const ROOM: RoomId = RoomId(0);
const OTHER: RoomId = RoomId(1);
/// The limit of a subscriber's outbox, in bytes.
const OUTBOX_BYTES_MAX: usize = 10;

#[derive(Default)]
struct Stage {
    fan_out: FanOut,
    connections: Slab<Connection>,
    sockets: Sockets,
    troubled: Troubled,
    ledger: Ledger,
}

impl Stage {
    /// This many connections, all in one room.
    fn with_members(count: u32) -> Self {
        let mut stage = Self::default();
        for _ in 0..count {
            let id = stage.connect();
            stage.fan_out.subscribe(id, ROOM);
        }
        stage
    }

    fn connect(&mut self) -> ConnectionId {
        self.sockets.all.push(Socket::default());
        ConnectionId(self.connections.insert(Connection::new(Http::default())) as u32)
    }

    fn leave(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.index()];
        self.fan_out.unsubscribe(id, connection, ROOM);
    }

    fn say(&mut self, text: &str) {
        self.fan_out.broadcast(ROOM, text.as_bytes());
    }

    /// Broadcasts to all members except one.
    fn say_except(&mut self, id: ConnectionId, text: &str) {
        self.catch_up(id);
        self.say(text);
        self.fan_out.skip(id, ROOM);
    }

    fn catch_up(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.index()];
        self.fan_out.catch_up(id, connection, &[ROOM]);
    }

    /// Answers one connection, after what was broadcast in its room so far.
    fn answer(&mut self, id: ConnectionId, text: &str) {
        self.catch_up(id);
        let connection = &mut self.connections[id.index()];
        connection.outbox().push_frames(text.as_bytes());
    }

    /// One slice, with this many sends and this much time.
    fn run(&mut self, sends: usize, time: Duration) {
        let now = self.sockets.now;
        self.fan_out.run(&mut Sending {
            sends,
            now,
            until: now + time,
            outbox_bytes_max: OUTBOX_BYTES_MAX,
            connections: &mut self.connections,
            io: &mut self.sockets,
            troubled: &mut self.troubled,
            ledger: &self.ledger,
        });
        self.fan_out.check();
    }

    fn run_all(&mut self) {
        while self.fan_out.is_active() {
            self.run(SENDS_PER_TURN, Duration::MAX / 2);
        }
    }

    fn flush(&mut self, id: ConnectionId) -> Flushed {
        self.connections[id.index()].flush(id, &mut self.sockets)
    }

    /// All bytes a connection is sent once its socket accepts everything.
    fn heard(&mut self, id: ConnectionId) -> String {
        self.sockets.all[id.index()].room = None;
        self.connections[id.index()].unblock();
        self.flush(id);
        let sent = &self.sockets.all[id.index()].sent;
        String::from_utf8(sent.clone()).expect("is text")
    }

    fn all_heard(&mut self) -> Vec<String> {
        let ids = 0..self.connections.len() as u32;
        ids.map(|id| self.heard(ConnectionId(id))).collect()
    }
}

fn id(number: u32) -> ConnectionId {
    ConnectionId(number)
}

#[test]
fn what_is_said_in_one_turn_leaves_with_one_send_for_each() {
    let mut stage = Stage::with_members(3);
    stage.say("a");
    stage.say("b");
    stage.run_all();
    assert_eq!(stage.sockets.sends, 3);
    assert_eq!(stage.fan_out.deliveries, 6);
    assert_eq!(stage.all_heard(), ["ab"; 3]);
}

#[test]
fn what_is_said_where_nobody_is_goes_nowhere() {
    let mut stage = Stage::with_members(1);
    stage.fan_out.broadcast(OTHER, b"a");
    stage.leave(id(0));
    stage.say("b");
    assert!(!stage.fan_out.is_active());
    assert_eq!(stage.fan_out.deliveries, 0);
    stage.fan_out.subscribe(id(0), ROOM);
    stage.say("c");
    stage.run_all();
    assert_eq!(stage.all_heard(), ["c"]);
}

#[test]
fn who_joins_in_the_middle_of_a_pass_hears_what_is_said_from_there_on() {
    let mut stage = Stage::default();
    let ids: Vec<ConnectionId> = (0..5).map(|_| stage.connect()).collect();
    for n in [1, 2, 3] {
        stage.fan_out.subscribe(ids[n], ROOM);
    }
    stage.say("a");
    stage.run(2, Duration::MAX / 2);
    stage.say("b");
    // Before and after the cursor.
    for n in [0, 4] {
        stage.fan_out.subscribe(ids[n], ROOM);
    }
    stage.say("c");
    stage.run_all();
    assert_eq!(stage.all_heard(), ["c", "abc", "abc", "abc", "c"]);
}

#[test]
fn who_leaves_in_the_middle_of_a_pass_hears_what_was_said_before() {
    let mut stage = Stage::with_members(4);
    stage.say("a");
    stage.run(2, Duration::MAX / 2);
    stage.say("b");
    // A subscriber that the pass has reached, and one that it has not.
    for number in [0, 3] {
        stage.leave(id(number));
    }
    stage.say("c");
    stage.run_all();
    assert_eq!(stage.all_heard(), ["ab", "abc", "abc", "ab"]);
}

#[test]
fn when_all_leave_in_the_middle_of_a_pass_it_ends() {
    let mut stage = Stage::with_members(3);
    stage.say("a");
    stage.run(1, Duration::MAX / 2);
    stage.say("b");
    (0..3).for_each(|number| stage.leave(id(number)));
    stage.fan_out.check();
    stage.run_all();
    assert_eq!(stage.all_heard(), ["ab"; 3]);
    stage.fan_out.subscribe(id(1), ROOM);
    stage.say("c");
    stage.run_all();
    assert_eq!(stage.all_heard(), ["ab", "abc", "ab"]);
}

#[test]
fn who_is_answered_has_heard_what_was_said_before_and_hears_it_once() {
    let mut stage = Stage::with_members(4);
    stage.say("a");
    stage.answer(id(1), "1");
    stage.run(2, Duration::MAX / 2);
    stage.say("b");
    stage.answer(id(0), "2");
    stage.answer(id(3), "3");
    stage.answer(id(3), "4");
    stage.say("c");
    stage.run_all();
    assert_eq!(stage.all_heard(), ["ab2c", "a1bc", "abc", "ab34c"]);
}

#[test]
fn who_is_excluded_hears_all_but_that() {
    let mut stage = Stage::with_members(4);
    stage.say_except(id(0), "a");
    stage.say("b");
    stage.run(2, Duration::MAX / 2);
    // A subscriber that the pass has reached, and one that it has not.
    stage.say_except(id(1), "c");
    stage.say_except(id(3), "d");
    stage.say("e");
    stage.run_all();
    assert_eq!(stage.all_heard(), ["bcde", "abde", "abcde", "abce"]);
}

#[test]
fn a_slice_ends_after_so_many_sends_and_the_next_goes_on_there() {
    let mut stage = Stage::with_members(5);
    stage.say("a");
    for sends in [2, 4, 5] {
        stage.run(2, Duration::MAX / 2);
        assert_eq!(stage.sockets.sends, sends);
        assert_eq!(stage.fan_out.is_active(), sends < 5);
    }
    assert_eq!(stage.all_heard(), ["a"; 5]);
}

#[test]
fn a_slice_ends_when_its_time_is_over_and_the_next_goes_on_there() {
    let members = 3 * STEPS_PER_CLOCK as u32 + 1;
    let mut stage = Stage::with_members(members);
    stage.sockets.send_time = Duration::from_millis(1);
    stage.say("a");
    let mut slices = 0;
    while stage.fan_out.is_active() {
        let before = stage.sockets.sends;
        stage.run(SENDS_PER_TURN, Duration::from_millis(1));
        assert!(stage.sockets.sends - before <= STEPS_PER_CLOCK);
        slices += 1;
    }
    assert_eq!(slices, 4);
    assert_eq!(stage.all_heard(), vec!["a"; members as usize]);
}

#[test]
fn sends_that_cost_little_are_not_cut_short() {
    let mut stage = Stage::with_members(100);
    stage.sockets.send_time = Duration::from_micros(5);
    stage.say("a");
    stage.run(SENDS_PER_TURN, Duration::from_millis(2));
    assert_eq!(stage.sockets.sends, 100);
    assert!(!stage.fan_out.is_active());
}

#[test]
fn rooms_take_turns() {
    let mut stage = Stage::with_members(3);
    for _ in 0..3 {
        let id = stage.connect();
        stage.fan_out.subscribe(id, OTHER);
    }
    stage.say("a");
    stage.fan_out.broadcast(OTHER, b"b");
    stage.run(2, Duration::MAX / 2);
    stage.run(2, Duration::MAX / 2);
    assert_eq!(stage.all_heard(), ["a", "a", "", "b", "b", ""]);
    stage.run_all();
    assert_eq!(stage.all_heard(), ["a", "a", "a", "b", "b", "b"]);
}

#[test]
fn those_who_lag_share_one_batch() {
    let mut stage = Stage::with_members(20);
    for number in 0..20 {
        stage.sockets.all[number].room = Some(1);
    }
    stage.say(&"a".repeat(1_000));
    let capacity = stage.fan_out.streams[0].pending.capacity();
    stage.run_all();
    assert_eq!(stage.ledger.total(), capacity);
    assert_eq!(stage.all_heard(), vec!["a".repeat(1_000); 20]);
    assert_eq!(stage.ledger.total(), 0);
}

#[test]
fn the_buffer_of_a_batch_is_used_for_the_next_unless_somebody_lags_or_it_is_large() {
    let mut stage = Stage::with_members(2);
    stage.say("a");
    let buffer = stage.fan_out.streams[0].pending.as_ptr();
    stage.run_all();
    assert_eq!(stage.fan_out.spare.as_ptr(), buffer);
    assert!(stage.fan_out.spare.is_empty());
    stage.say("b");
    assert_eq!(stage.fan_out.streams[0].pending.as_ptr(), buffer);
    stage.sockets.all[0].room = Some(0);
    stage.run_all();
    assert_eq!(stage.fan_out.spare.capacity(), 0);
    stage.heard(id(0));
    stage.say(&"c".repeat(SPARE_BUFFER_BYTES_MAX + 1));
    stage.run_all();
    assert_eq!(stage.fan_out.spare.capacity(), 0);
}

#[test]
fn those_who_are_blocked_slow_or_broken_are_named() {
    let mut stage = Stage::with_members(4);
    stage.sockets.all[1].room = Some(0);
    stage.sockets.all[2].room = Some(0);
    stage.sockets.broken.insert(id(3));
    let connection = &mut stage.connections[2];
    connection.outbox().push_frames(&[b'1'; OUTBOX_BYTES_MAX]);
    stage.say("a");
    stage.run_all();
    assert_eq!(stage.troubled.blocked, [id(1), id(2)]);
    assert_eq!(stage.troubled.slow, [id(2)]);
    assert_eq!(stage.troubled.gone, [id(3)]);
}

#[test]
fn members_of_a_room_that_has_much_to_send_are_congested() {
    let mut stage = Stage::with_members(1);
    stage.say(&"a".repeat(ROOM_PENDING_HIGH_WATER_BYTES));
    assert!(!stage.fan_out.is_congested(&[ROOM]));
    stage.say("b");
    assert!(stage.fan_out.is_congested(&[OTHER, ROOM]));
    assert!(!stage.fan_out.is_congested(&[OTHER]));
    stage.run_all();
    assert!(!stage.fan_out.is_congested(&[ROOM]));
}

#[test]
fn whatever_happens_in_between_each_hears_all_that_is_for_it_in_order() {
    const PEERS: u32 = 12;
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let mut stage = Stage::with_members(PEERS);
        let mut expected = vec![String::new(); PEERS as usize];
        let mut members: BTreeSet<ConnectionId> = (0..PEERS).map(id).collect();
        for step in 0..200 {
            let (peer, text) = (id(dice.roll(PEERS)), format!("{step};"));
            let is_member = members.contains(&peer);
            let mut hears = BTreeSet::new();
            match dice.roll(8) {
                0 | 1 => {
                    stage.say(&text);
                    hears.clone_from(&members);
                }
                2 if is_member => {
                    stage.say_except(peer, &text);
                    hears.clone_from(&members);
                    hears.remove(&peer);
                }
                3 => {
                    stage.answer(peer, &text);
                    hears.insert(peer);
                }
                4 if is_member => {
                    members.remove(&peer);
                    stage.leave(peer);
                }
                4 => {
                    members.insert(peer);
                    stage.fan_out.subscribe(peer, ROOM);
                }
                5 => stage.sockets.all[peer.index()].room = Some(dice.roll(9) as usize),
                6 => drop(stage.heard(peer)),
                _ => stage.run(dice.roll(7) as usize, Duration::MAX / 2),
            }
            for hearer in hears {
                expected[hearer.index()] += &text;
            }
        }
        stage.run_all();
        assert_eq!(stage.all_heard(), expected, "seed {seed}");
        assert_eq!(stage.ledger.total(), 0, "seed {seed}");
        assert!(stage.fan_out.streams[0].ahead.is_empty(), "seed {seed}");
    }
}
