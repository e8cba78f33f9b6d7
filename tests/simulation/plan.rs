//! What a seed stands for: limits, clients, and how long they live.

use std::path::PathBuf;
use std::time::Duration;

use sarang::config::{Config, RoomLimits};
use sarang::domain::time::Now;
use sarang::server::Server;
use sarang::server::backend::{self as server, Remote};

use super::backend::{Backend, Temper};
use super::chat::{Chat, Habits, Identity};
use super::files::{ACCOUNTS, Change, Files, secrets};
use super::model::Model;
use super::network::{Manner, Network, Pace, Reading};
use super::proxies;
use super::register::Register;
use super::run::{Client, World};
use super::seed::Seed;
use super::stage::{Agenda, Stage, Todo, post};
use super::stream::Stream;
use super::web::{Role, Web};

/// How large a world is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    Small,
    /// So few that rooms are empty now and then, and more of those than there may be: they make way for one another.
    Few,
    Hundreds,
    /// More in one room than a turn sends to.
    Crowd,
    /// Few, for a long time.
    Long,
}

/// Names that guests hold by a key.
const HELD: [&str; 2] = ["열쇠 0", "열쇠 1"];

struct Plan {
    scale: Scale,
    clients: usize,
    seconds: u64,
    rooms: Vec<String>,
    names: Vec<String>,
    /// How late the backend is, if there is one beside the server.
    temper: Option<Temper>,
}

impl Plan {
    fn new(seed: &mut Seed) -> Self {
        let (scale, clients, seconds) = match seed.below(16) {
            0..=1 => (Scale::Few, seed.between(4, 9), seed.between(60, 150)),
            2..=8 => (Scale::Small, seed.between(15, 50), seed.between(30, 90)),
            9..=12 => (
                Scale::Hundreds,
                seed.between(120, 240),
                seed.between(10, 25),
            ),
            13 => (Scale::Crowd, seed.between(850, 1_050), seed.between(5, 8)),
            _ => (Scale::Long, seed.between(8, 16), seed.between(350, 700)),
        };
        let rooms = match scale {
            Scale::Crowd => 1,
            Scale::Few => 6 + seed.below(4),
            _ => 1 + seed.below(7),
        };
        let names = (clients as usize * 2 / 3).max(2);
        let temper = Temper {
            delay: match scale {
                Scale::Crowd => seed.pick(&[(0, 20), (0, 300)]),
                _ => seed.pick(&[(0, 5), (0, 200), (50, 1_500), (0, 4_000)]),
            },
            failures: seed.pick(&[0, 3, 20]),
            stuck: seed.pick(&[0, 2, 10]),
            losses: seed.pick(&[0, 30, 100]),
        };
        Self {
            scale,
            clients: clients as usize,
            seconds,
            rooms: (0..rooms).map(|n| format!("방 {n}")).collect(),
            temper: seed.chance(50).then_some(temper),
            names: (0..names).map(|n| format!("사람 {n}")).collect(),
        }
    }

    fn config(&self, seed: &mut Seed) -> Config {
        let is_crowd = self.scale == Scale::Crowd;
        let limited = |limit: usize, few: usize, seed: &mut Seed| match is_crowd || seed.chance(70)
        {
            true => limit,
            false => few,
        };
        let is_demo = seed.chance(55);
        Config {
            users: (!is_demo).then(|| PathBuf::from("users")),
            guests: true,
            hosts: vec!["sarang".to_owned()],
            token_ttl_secs: seed.pick(&[20, 200, 3_600]),
            ticket_ttl: Duration::from_secs(seed.pick(&[2, 30])),
            presence_grace: Duration::from_secs([0, 3, 1, 3][self.clients % 4]),
            drain_delay: Duration::from_secs(seed.pick(&[0, 3])),
            keep_alive: [Some(20), Some(75), None][self.clients % 3].map(Duration::from_secs),
            messages_per_second: match self.temper {
                None => seed.pick(&[0, 100, 100, 20, 5]),
                Some(_) => seed.pick(&[0, 0, 100, 5]),
            },
            connections: limited(65_536, self.clients * 2 / 3, seed),
            connections_per_address: limited(256, 2, seed),
            outbox_bytes: seed.pick(&[4, 32, 256, 1024]) * 1024,
            rooms: RoomLimits {
                auto_rooms: is_crowd || seed.chance(90),
                rooms: match self.scale {
                    // Five are made by others, and stay.
                    Scale::Few => 7 + seed.below(2),
                    _ => limited(1_000, 2 + seed.below(2), seed),
                },
                rooms_per_connection: limited(64, 2, seed),
                room_users: limited(1_000, 4, seed) as u32,
                content_chars: seed.pick(&[40, 300, 4_096]),
                lobby: None,
            },
            ..Config::default()
        }
    }

    fn manner(&self, stage: &mut Stage) -> Manner {
        let address = match self.scale {
            Scale::Crowd => [
                10,
                1,
                stage.seed.below(250) as u8,
                stage.seed.below(250) as u8,
            ]
            .into(),
            _ => stage.address(),
        };
        let seed = &mut stage.seed;
        let is_crowd = self.scale == Scale::Crowd;
        let pace = match seed.below(10) {
            0..=6 => Pace::Whole,
            _ if is_crowd => Pace::Whole,
            7..=8 => Pace::Pieces(1 + seed.below(200), seed.between(1, 40)),
            _ => Pace::Pieces(6 + seed.below(8), seed.between(1, 10)),
        };
        let reading = match seed.below(12) {
            0 => Reading::Slow(1 + seed.below(3_000), seed.millis(20, 2_000)),
            1 if !is_crowd || seed.chance(20) => Reading::Stalled,
            _ => Reading::Prompt,
        };
        // A send into a narrow window takes long: a crowd of such is more than one thread can serve in time.
        let window = match seed.below(4) {
            0 if !is_crowd || seed.chance(30) => 40 + seed.below(900),
            1 => 4_096,
            _ => 256 * 1024,
        };
        Manner {
            address,
            pace,
            reading,
            window,
        }
    }

    fn chat(&self, me: usize, stage: &mut Stage) -> Chat {
        let mut manner = self.manner(stage);
        let is_limited = stage.model.config.messages_per_second > 0;
        let seed = &mut stage.seed;
        let identity = match seed.below(12) {
            0..=7 => Identity::Guest,
            8 => Identity::Holder(seed.pick(&[None, Some(1), Some(2), Some(3)])),
            9..=10 => Identity::Member(5, seed.pick(&[6, 40, 4_000])),
            _ => Identity::Impostor,
        };
        if matches!(identity, Identity::Impostor) {
            // So few that some try too many names.
            manner.address = [10, 0, 0, (me % 2) as u8].into();
        }
        let is_guest = matches!(identity, Identity::Guest);
        let name = match seed.chance(4) && matches!(identity, Identity::Impostor) {
            true => "admin".to_owned(),
            false if is_guest => seed.pick(&self.names),
            false if matches!(identity, Identity::Holder(_)) => seed.pick(&HELD).to_owned(),
            false if seed.chance(40) => seed.pick(&ACCOUNTS).to_owned(),
            false => format!("회원 {}", seed.below(4)),
        };
        let name = match identity {
            Identity::Impostor if me.is_multiple_of(3) => wide(&name),
            _ => name,
        };
        let think = match self.scale {
            Scale::Small | Scale::Few => seed.pick(&[(20, 400), (200, 3_000), (1_000, 9_000)]),
            Scale::Hundreds => seed.pick(&[(300, 2_000), (2_000, 9_000)]),
            Scale::Crowd => (2_000, 7_000),
            Scale::Long => seed.pick(&[(300, 4_000), (4_000, 60_000)]),
        };
        let is_crowd = self.scale == Scale::Crowd;
        let habits = Habits {
            rooms: self.rooms.clone(),
            friends: self.names.clone(),
            think,
            burst: if is_crowd {
                1
            } else {
                seed.pick(&[1, 1, 2, 4, 30])
            },
            // Where the end of what was said comes later, and other commands are refused in between, only its `id` tells
            // what a refusal is about.
            ids: match self.temper.is_some() && is_limited {
                true => 100,
                false => seed.pick(&[0, 30, 100]),
            },
            moves: match self.scale {
                Scale::Few => 40,
                _ => seed.pick(&[3, 10, 40]),
            },
            slips: seed.pick(&[0, 2, 20]),
            long: seed.pick(&[0, 0, 5]),
            breaks: if is_crowd {
                8
            } else {
                seed.pick(&[0, 3, 10, 25])
            },
            content_chars: seed.pick(&[20, 120, 1_000]),
            is_polite: seed.chance(90),
            lives: 1 + seed.below(6),
        };
        Chat::new(me, name, identity, manner, habits)
    }

    fn web(&self, me: usize, stage: &mut Stage) -> Web {
        let mut manner = Manner {
            reading: Reading::Prompt,
            window: 1024 * 1024,
            ..self.manner(stage)
        };
        if let Pace::Pieces(size, _) = &mut manner.pace {
            // Whoever takes too long over a request is refused; that is for those who mean it.
            *size = (*size).max(100);
        }
        let role = match stage.seed.below(17) {
            0 => Role::Silent,
            1 => Role::Loris {
                is_body: stage.seed.chance(50),
            },
            2 => Role::Idle,
            3 => Role::Garbage,
            4..=6 => Role::Member,
            7 => Role::Poster,
            8 => Role::Guesser,
            9 => Role::Quitter,
            10 => Role::Refresher,
            11..=12 => Role::Member,
            _ => Role::Browser,
        };
        let lives = 1 + stage.seed.below(4);
        Web::new(me, manner, role, lives)
    }

    /// Somebody who takes a ticket, and those who will show it.
    fn racers(&self, stage: &mut Stage, clients: &mut Vec<Client>) {
        let contenders: Vec<usize> = (0..2 + stage.seed.below(3))
            .map(|n| clients.len() + n)
            .collect();
        for me in contenders.clone() {
            let mut chat = self.chat(me, stage);
            chat.name = "경주자".to_owned();
            chat.identity = Identity::Contender(String::new());
            chat.manner.reading = Reading::Prompt;
            chat.habits.lives = 0;
            chat.habits.breaks = 0;
            clients.push(Client::Chat(chat));
        }
        let manner = Manner {
            reading: Reading::Prompt,
            ..self.manner(stage)
        };
        let web = Web::new(clients.len(), manner, Role::Racer { contenders }, 1);
        clients.push(Client::Web(web));
    }

    fn population(&self, stage: &mut Stage) -> Vec<Client> {
        let mut clients = Vec::new();
        while clients.len() < self.clients {
            let me = clients.len();
            match stage
                .seed
                .below(if self.scale == Scale::Crowd { 200 } else { 20 })
            {
                0..=2 => {
                    let manner = self.manner(stage);
                    clients.push(Client::Stream(Stream::new(me, manner, stage)));
                }
                3..=7 => clients.push(Client::Web(self.web(me, stage))),
                8 => self.racers(stage, &mut clients),
                _ => clients.push(Client::Chat(self.chat(me, stage))),
            }
        }
        clients
    }
}

/// The world of a seed, before anything has happened.
pub fn world(number: u64) -> World {
    let mut seed = Seed::new(number);
    let plan = Plan::new(&mut seed);
    let mut config = plan.config(&mut seed);
    let has_proxies = proxies::are_there(&config);
    if has_proxies {
        config.trusted_proxies = proxies::trusted();
        config.proxy_protocol = number % 2 == 1;
    }
    let keys = secrets(std::array::from_fn(|_| seed.key()));
    let files = Files::new(seed.below(2));
    let credentials = files.credentials(&keys);
    let now = Now {
        monotonic: Duration::ZERO,
        unix: Duration::from_secs(1_705_314_600),
    };
    let (key, ttl) = (seed.key(), config.token_ttl_secs);
    let server = match plan.temper {
        None => Server::new(config.clone(), credentials, &key, now),
        Some(_) => {
            let backend = server::Backend::Remote(Remote::default());
            Server::with_backend(config.clone(), credentials, &key, now, backend)
        }
    };
    // In a crowd much is to come between two slices of a fan-out.
    let quantums = if plan.scale == Scale::Crowd {
        [1, 2, 3]
    } else {
        [1, 5, 20]
    };
    let quantum = Duration::from_millis(seed.pick(&quantums));
    let mut stage = Stage {
        network: Network::new(now, has_proxies, config.proxy_protocol),
        agenda: Agenda::new(quantum),
        model: Model::new(
            config,
            Register::new(keys, files.clone(), ttl),
            plan.temper.is_some(),
        ),
        backend: plan.temper.map(Backend::new),
        seed,
        end: Duration::from_secs(plan.seconds),
        handed_out: Vec::new(),
    };
    let clients = plan.population(&mut stage);
    fill_agenda(&plan, clients.len(), &mut stage);
    let mut world = World::new(server, stage, clients, files);
    world.open_audit();
    make_rooms(&plan, &mut world);
    if let Some(backend) = &mut world.stage.backend {
        backend.is_prompt = false;
    }
    world
}

fn fill_agenda(plan: &Plan, clients: usize, stage: &mut Stage) {
    let milliseconds = plan.seconds * 1000;
    for client in 0..clients {
        // Most come early, and a crowd has to be one before it is over.
        let early = if plan.scale == Scale::Crowd { 95 } else { 70 };
        let latest = if stage.seed.chance(early) {
            2_000
        } else {
            milliseconds
        };
        stage.act_in(client, 0, latest);
    }
    for _ in 0..stage.seed.below(4) {
        let at = stage.seed.millis(0, milliseconds);
        let seconds = stage.seed.pick(&[1, 59, 3_600, 1_000_000]) as i64;
        let back = stage.seed.chance(50);
        stage
            .agenda
            .add(at, Todo::Jump(if back { -seconds } else { seconds }));
        // Mostly it jumps back again.
        if stage.seed.chance(70) {
            let later = at + stage.seed.millis(100, 20_000);
            stage
                .agenda
                .add(later, Todo::Jump(if back { seconds } else { -seconds }));
        }
    }
    let mut at = Duration::ZERO;
    for _ in 0..stage.seed.below(9) {
        // Now and then the files change once more while they are read.
        at += match stage.seed.chance(25) {
            true => stage.seed.millis(0, 500),
            false => stage.seed.millis(0, milliseconds / 3),
        };
        let (kind, which) = (stage.seed.number(), stage.seed.number());
        let change = Change::of((kind % 12) as u8, (which % 250) as u8);
        stage.agenda.add(at, Todo::Reload(change));
    }
    let inspections = if plan.scale == Scale::Crowd { 3 } else { 12 };
    for n in 1..=inspections {
        let at = Duration::from_millis(milliseconds * n / inspections);
        stage.agenda.add(at, Todo::Inspect);
    }
}

/// Some rooms are made on purpose.
fn make_rooms(plan: &Plan, world: &mut World) {
    for name in &plan.rooms {
        let is_made = match plan.scale {
            Scale::Crowd => true,
            Scale::Few => world.stage.seed.chance(5),
            _ => world.stage.seed.chance(50),
        };
        if !is_made {
            continue;
        }
        let max_users = match plan.scale {
            Scale::Crowd => 1_000,
            _ => world.stage.seed.pick(&[2, 5, 100]),
        };
        let token = world.stage.model.pass("주인");
        let body = serde_json::json!({"name": name, "max_users": max_users}).to_string();
        let answer = world
            .exchange(&post("/rooms", &body, token.as_deref()))
            .expect("is the first");
        assert!([201, 503].contains(&answer.status), "{answer:?}");
    }
}

/// The name in characters of full width, which is the same name to the server.
fn wide(name: &str) -> String {
    let wide = |c: char| match c {
        '!'..='~' => char::from_u32(c as u32 + 0xfee0).expect("has a wide one"),
        _ => c,
    };
    name.chars().map(wide).collect()
}
