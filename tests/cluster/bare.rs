//! Nodes without the rest of a server, on a model of the engine and on real ones: what they ask of it, and what it tells all of them.

use std::rc::Rc;
use std::time::Duration;

use sarang::config::Cluster;
use sarang::domain::facts::{Fact, OpenedRoom};
use sarang::domain::ids::{RoomId, RoomKey, Serial};
use sarang::domain::position::Position;
use sarang::domain::time::Now;
use sarang::domain::wishes::{Opening, Publication};
use sarang::server::node::news::News;
use sarang::server::node::{Dial, Node};

use crate::engine::Client;
use crate::nodes::config;
use crate::peer::real_engines;
use crate::shared::{Model, Real, Shared};

/// Time passes so much at once.
const STEP: Duration = Duration::from_millis(500);
/// When every story begins, since 1970.
const BEGINNING: Duration = Duration::from_secs(1_705_314_600);

pub struct Bare {
    pub node: Node,
    link: Option<Client>,
    pub news: Vec<News>,
    /// Whether it has no connection, and gets none.
    pub is_cut: bool,
}

impl Bare {
    /// Takes what the node tells, but for times and figures, which are the engine's own.
    fn listen(&mut self) {
        while let Some(news) = self.node.poll() {
            let is_of_life = matches!(
                news,
                News::Peers(..) | News::Renew(_) | News::People(_) | News::Note(..)
            );
            if !is_of_life {
                self.news.push(news);
            }
        }
    }
}

/// Nodes, and the engine that they share.
pub struct Nodes {
    pub engine: Box<dyn Shared>,
    pub all: Vec<Bare>,
    clock: Duration,
    serials: u64,
}

/// Does the same on the model, whichever way it orders what a connection has told itself, and on the real engines that are named.
pub fn on_all_engines(nodes: usize, act: impl Fn(Nodes)) {
    let (addresses, _alone) = real_engines();
    let mut engines: Vec<Box<dyn Shared>> = vec![
        Box::new(Model::new(1, false)),
        Box::new(Model::new(2, true)),
    ];
    for address in &addresses {
        engines.push(Box::new(Real::new(address)));
    }
    for engine in engines {
        println!("on {}", engine.name());
        act(Nodes::new(engine, nodes));
    }
}

impl Nodes {
    fn new(engine: Box<dyn Shared>, count: usize) -> Self {
        let mut nodes = Self {
            engine,
            all: Vec::new(),
            clock: Duration::ZERO,
            serials: 0,
        };
        for number in 0..count {
            let cluster = Cluster::parse("redis://127.0.0.1:6379").expect("is one");
            let mut seed = [7; 32];
            seed[0] = number as u8;
            nodes.all.push(Bare {
                node: Node::new(&config(), cluster, &seed),
                link: None,
                news: Vec::new(),
                is_cut: false,
            });
        }
        nodes.settle();
        for bare in &nodes.all {
            assert!(bare.node.is_up());
        }
        nodes.forget();
        nodes
    }

    pub fn now(&self) -> Now {
        Now {
            monotonic: self.clock,
            unix: BEGINNING + self.clock,
        }
    }

    pub fn serial(&mut self) -> Serial {
        self.serials += 1;
        Serial(self.serials)
    }

    /// Exchanges until nothing is on its way. What the engine says to a node that is deaf is lost.
    pub fn settle(&mut self) {
        loop {
            let mut is_moving = false;
            for number in 0..self.all.len() {
                is_moving |= self.exchange(number, false);
            }
            if !is_moving {
                return;
            }
        }
    }

    /// One exchange of a node with the engine. Returns whether something moved.
    fn exchange(&mut self, number: usize, is_deaf: bool) -> bool {
        let now = self.now();
        let bare = &mut self.all[number];
        if bare.is_cut {
            bare.listen();
            return false;
        }
        let mut is_moving = false;
        if bare.node.next_timeout().is_some_and(|at| at <= self.clock) {
            bare.node.handle_timeout(now);
        }
        if let Some(dial) = bare.node.poll_dial() {
            is_moving = true;
            if let Some(link) = bare.link.take() {
                self.engine.disconnect(link);
            }
            if matches!(dial, Dial::Open(_)) {
                bare.link = Some(self.engine.connect());
                bare.node.connected(now);
            }
        }
        bare.node.end_turn(now);
        let out = std::mem::take(bare.node.output());
        if let Some(link) = bare.link {
            if !out.is_empty() {
                is_moving = true;
                self.engine.receive(link, &out, now.unix);
            }
            let said = self.engine.take_output(link);
            if !said.is_empty() && !is_deaf {
                is_moving = true;
                bare.node.received(&said, now);
            }
        }
        bare.listen();
        is_moving
    }

    /// What a node has said gets to the engine, and nothing that this says comes back: the connection is gone.
    pub fn lose_answers(&mut self, number: usize) {
        self.exchange(number, true);
        self.cut(number);
    }

    /// The connection of a node is gone, and it gets no other one.
    pub fn cut(&mut self, number: usize) {
        let now = self.now();
        let bare = &mut self.all[number];
        if let Some(link) = bare.link.take() {
            self.engine.disconnect(link);
        }
        bare.node.lost("cut", now);
        bare.is_cut = true;
    }

    /// It gets one again.
    pub fn mend(&mut self, number: usize) {
        self.all[number].is_cut = false;
        self.pass(Duration::from_secs(2));
        assert!(self.all[number].node.is_up());
    }

    /// Time passes for the nodes.
    pub fn pass(&mut self, time: Duration) {
        let end = self.clock + time;
        while self.clock < end {
            self.clock += STEP;
            self.settle();
        }
    }

    /// What was told so far is of no concern.
    pub fn forget(&mut self) {
        for bare in &mut self.all {
            bare.news.clear();
        }
    }

    /// What a node was told since.
    pub fn told(&mut self, number: usize) -> Vec<News> {
        std::mem::take(&mut self.all[number].news)
    }

    /// A node opens a room, which is made if there is none.
    pub fn open(&mut self, number: usize, room: &str) -> OpenedRoom {
        let (serial, now) = (self.serial(), self.now());
        let opening = Opening {
            serial,
            name: room.into(),
            max_users: 100,
            is_kept: false,
            only_existing: false,
            creator: None,
        };
        self.all[number].node.open(&opening, now);
        self.settle();
        let told = self.told(number);
        let opened = told.into_iter().find_map(|news| match news {
            News::Opened(of, opened, _) if of == serial => Some(opened),
            _ => None,
        });
        opened.expect("is opened")
    }

    /// Somebody at a node says something, which is on its way then.
    pub fn say(&mut self, number: usize, room: &str, content: &str) -> Serial {
        let (serial, now) = (self.serial(), self.now());
        let publication = Publication {
            serial,
            room: RoomKey {
                id: RoomId(0),
                epoch: 0,
            },
            username: "kim".into(),
            is_guest: false,
            content: content.into(),
            message_id: None,
            said_by: None,
        };
        let room: Rc<str> = room.into();
        self.all[number].node.publish(room, publication, now);
        serial
    }

    /// Asks something at a node, and returns its answer.
    pub fn ask(
        &mut self,
        number: usize,
        ask: impl FnOnce(&mut Node, Serial, Now),
    ) -> Result<(), &'static str> {
        let (serial, now) = (self.serial(), self.now());
        ask(&mut self.all[number].node, serial, now);
        self.settle();
        let done = self.done(number, serial);
        done.expect("is answered").map_err(|code| code.name())
    }

    /// The answer to what was asked with a serial.
    pub fn done(
        &mut self,
        number: usize,
        serial: Serial,
    ) -> Option<Result<(), sarang::domain::error::ErrorCode>> {
        let news = &mut self.all[number].news;
        let place = news
            .iter()
            .position(|news| matches!(news, News::Acted(of, _) if *of == serial))?;
        match news.remove(place) {
            News::Acted(_, done) => Some(done),
            _ => None,
        }
    }
}

/// Numbers and texts of messages in a room as it was opened; `-` for one that was deleted.
pub fn shown(opened: &OpenedRoom) -> String {
    let messages = opened.messages.iter().map(|message| {
        let content = match message.deleted_at {
            Some(at) => format!("-{at}"),
            None => message.content.to_string(),
        };
        format!("{}{content}", message.position.seq)
    });
    messages.collect::<Vec<_>>().join(" ")
}

/// What somebody was told, in short.
pub fn short(told: Vec<News>) -> String {
    let short = told.into_iter().filter_map(|news| {
        Some(match news {
            News::Message(
                _,
                Fact {
                    content,
                    position,
                    deleted_at: None,
                    ..
                },
            ) => {
                format!("{}{content}", position.seq)
            }
            News::Message(
                _,
                Fact {
                    position,
                    deleted_at: Some(at),
                    ..
                },
            ) => {
                format!("{}-{at}", position.seq)
            }
            News::Deleted(_, Position { seq, .. }, newest) => format!("deleted {seq} at {newest}"),
            News::Changed(_, max_users, is_kept, rules) => {
                format!("changed {max_users} {is_kept} {}", rules.history_messages)
            }
            News::Removed(room) => format!("removed {room}"),
            News::Reloaded(_, opened, _) => format!("reloaded {}", shown(&opened)),
            News::Failed(_, code) => format!("failed {}", code.name()),
            News::Left(_, name, users) => format!("left {name} of {users}"),
            News::Gone(room) => format!("gone {room}"),
            _ => return None,
        })
    });
    short.collect::<Vec<_>>().join(", ")
}
