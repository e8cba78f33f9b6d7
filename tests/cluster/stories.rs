//! Stories drawn by a seed: people talk at several nodes while everything that can fail does. Afterwards what they were told must
//! fit together.

use std::time::Duration;

use crate::engine::Data;
use crate::ledger::{check_acknowledged, check_order, check_presence};
use crate::member::Member;
use crate::world::{ROOMS, World};

const NODES: usize = 3;
const MEMBERS: usize = 9;
/// What may happen.
const FAULTS: u64 = 12;

/// A story under way.
struct Story {
    world: World,
    /// What a replica has, which may take over.
    replica: Option<Data>,
    /// When the engine has memory again.
    memory_at: Duration,
    writable_at: Duration,
    happened: [usize; FAULTS as usize],
}

fn seconds(chance: u64) -> Duration {
    Duration::from_secs(chance)
}

impl Story {
    fn new(seed: u64) -> Self {
        Self {
            world: World::new(seed, NODES, MEMBERS),
            replica: None,
            memory_at: Duration::ZERO,
            writable_at: Duration::ZERO,
            happened: [0; FAULTS as usize],
        }
    }

    /// People come, talk, whisper and go.
    fn act(&mut self) {
        let world = &mut self.world;
        for number in 0..MEMBERS {
            let clock = world.clock;
            if world.members[number].at.is_none() {
                if world.chance.once_in(20) {
                    let node = world.chance.below(NODES as u64) as usize;
                    world.members[number].connect(node, &mut world.nodes[node], clock);
                }
                continue;
            }
            let room = ROOMS[world.chance.below(ROOMS.len() as u64) as usize];
            match world.chance.below(2_000) {
                0 => {
                    let (_, id) = world.members[number].at.expect("is connected");
                    world.act(number, |_, node, _| node.hang_up(id));
                    world.members[number].lose();
                }
                1..=20 => world.act(number, |member, node, clock| member.join(room, node, clock)),
                21..=60 => world.act(number, |member, node, clock| member.say(room, node, clock)),
                61..=64 => {
                    let to = format!("m{}", world.chance.below(MEMBERS as u64));
                    world.act(number, |member, node, _| member.whisper(&to, node));
                }
                65..=90 => world.act(number, |member, node, clock| member.say_again(node, clock)),
                _ => {}
            }
        }
    }

    fn fail(&mut self) {
        let world = &mut self.world;
        let clock = world.clock;
        if self.memory_at <= clock {
            world.engine.set_out_of_memory(false);
        }
        if self.writable_at <= clock {
            world.engine.set_read_only(false);
        }
        if world.chance.once_in(900) {
            self.replica = Some(world.engine.snapshot());
        }
        if !world.chance.once_in(700) {
            return;
        }
        let fault = world.chance.below(FAULTS);
        let node = world.chance.below(NODES as u64) as usize;
        let time = world.chance.below(25);
        self.happened[fault as usize] += 1;
        println!("FAULT {fault} node {node} time {time} at {clock:?}");
        match fault {
            0 => world.engine.restart(),
            1 => world.paused_until = clock + seconds(time.min(20)),
            2 => world.engine.flush_all(),
            3 => {
                if let Some(data) = self.replica.take() {
                    world.engine.promote(data);
                }
            }
            4 => world.engine.flush_scripts(),
            5 => {
                world.engine.set_out_of_memory(true);
                self.memory_at = clock + seconds(time / 2);
            }
            6 => world.nodes[node].cut(&mut world.engine, clock),
            7 => world.nodes[node].cut_until = clock + seconds(time),
            8 => {
                world.nodes[node].kill(&mut world.engine);
                for member in &mut world.members {
                    if member.at.is_some_and(|(at, _)| at == node) {
                        member.lose();
                    }
                }
                world.nodes[node] = world.start_node();
            }
            9 => world.nodes[node].stopped_until = clock + seconds(time),
            10 => {
                world.engine.set_read_only(true);
                self.writable_at = clock + seconds(time / 4);
            }
            _ => world.delay_max = Duration::from_millis(world.chance.below(400)),
        }
    }

    /// Everything works again, and everybody comes back.
    fn heal(&mut self) {
        let world = &mut self.world;
        world.paused_until = Duration::ZERO;
        world.engine.set_out_of_memory(false);
        world.engine.set_read_only(false);
        world.delay_max = Duration::from_millis(10);
        for node in &mut world.nodes {
            (node.cut_until, node.stopped_until) = (Duration::ZERO, Duration::ZERO);
        }
        world.pass(seconds(45));
        for _ in 0..200 {
            if world.is_settled() {
                break;
            }
            for number in 0..MEMBERS {
                let clock = world.clock;
                if world.members[number].at.is_none() {
                    let node = number % NODES;
                    world.members[number].connect(node, &mut world.nodes[node], clock);
                }
                let rooms: Vec<String> = world.members[number].rooms.keys().cloned().collect();
                for room in rooms {
                    world.act(number, |member, node, clock| {
                        member.join(&room, node, clock)
                    });
                }
                world.act(number, |member, node, clock| member.say_again(node, clock));
            }
            world.pass(Duration::from_millis(500));
        }
        let away: Vec<String> = world.members.iter().filter_map(Member::lacks).collect();
        assert!(away.is_empty(), "everybody is back: {away:?}");
        // Whoever was taken out is told to have left by now.
        world.pass(seconds(25));
        for number in 0..NODES {
            let clock = world.clock;
            let is_ready = world.nodes[number].is_ready(&mut world.engine, clock);
            assert!(is_ready, "node {number} is ready again");
        }
    }

    fn check(&mut self) {
        check_order(&self.world.members);
        for (room, text, (epoch, seq)) in check_acknowledged(&self.world.members) {
            let room = room.replace("사랑방", "%EC%82%AC%EB%9E%91%EB%B0%A9");
            let target = format!("/rooms/{room}/history?since={epoch}:{}", seq - 1);
            let (_, history) = self.world.get(0, &target);
            assert_eq!(
                history["messages"][0]["content"], *text,
                "{target}: {history}"
            );
        }
        let members = &self.world.members;
        check_presence(members);
        for (text, count) in members.iter().flat_map(|member| &member.whispers) {
            assert_eq!(*count, 1, "{text:?} came once");
        }
        for node in &self.world.nodes {
            node.server.rooms().check();
        }
    }
}

fn tell(seed: u64) -> [usize; FAULTS as usize] {
    let mut story = Story::new(seed);
    let end = story.world.clock + seconds(90);
    while story.world.clock < end {
        story.act();
        story.fail();
        story.world.step();
    }
    story.heal();
    story.check();
    story.happened
}

/// The seeds that are told: one, if it is named.
fn seeds() -> std::ops::Range<u64> {
    match std::env::var("SARANG_CLUSTER_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("is a number");
            seed..seed + 1
        }
        Err(_) => 1..33,
    }
}

#[test]
fn whatever_fails_what_people_were_told_fits_together() {
    let mut happened = [0; FAULTS as usize];
    for seed in seeds() {
        println!("seed {seed}");
        for (sum, count) in happened.iter_mut().zip(tell(seed)) {
            *sum += count;
        }
    }
    if seeds().count() > 1 {
        assert!(
            happened.iter().all(|count| *count > 3),
            "everything has happened: {happened:?}"
        );
    }
}
