//! A moderator reads the audit log from the first moment to the last: whoever reads it knows who is in which room.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sarang::domain::event::Page;
use sarang::domain::ids::ConnectionId;
use serde_json::{Value, json};

use super::network::{Manner, NOBODY, Pace, Reading, Wire};
use super::reading::{Block, read_blocks, read_chunks, read_head};
use super::register::FAR;
use super::run::World;
use super::seed::Seed;
use super::stage::get;

/// What the log has told.
#[derive(Debug, Default)]
pub struct Audit {
    /// The stream, until the server ends it.
    stream: Option<(Wire, ConnectionId)>,
    has_head: bool,
    bytes: Vec<u8>,
    text: Vec<u8>,
    last_id: Option<u64>,
    /// Connections by name, and by room and name.
    connected: BTreeMap<String, u64>,
    present: BTreeMap<String, BTreeMap<String, u64>>,
    rooms: BTreeSet<String>,
    counts: BTreeMap<String, u64>,
}

/// One fewer; nobody is left who has not come.
fn remove(counts: &mut BTreeMap<String, u64>, name: &str, entry: &Value) {
    let count = counts.get_mut(name);
    let count = count.unwrap_or_else(|| panic!("never came: {entry}"));
    *count -= 1;
    if *count == 0 {
        counts.remove(name);
    }
}

impl Audit {
    /// Whether this is the wire over which it comes.
    pub fn is_read_over(&self, wire: Wire) -> bool {
        self.stream.is_some_and(|(own, _)| own == wire)
    }

    fn told(&mut self, block: Block) {
        let Block::Event { name, data, id } = block else {
            return;
        };
        assert_eq!(name, "audit", "nothing is missing: {data}");
        let id = id.expect("an entry has an id");
        let is_next = self.last_id.is_none_or(|last| last + 1 == id);
        assert!(is_next, "{id} after {:?}", self.last_id);
        self.last_id = Some(id);
        self.note(&serde_json::from_str(&data).expect("an entry is JSON"));
    }

    fn note(&mut self, entry: &Value) {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let (action, actor, subject) = (text("action"), text("actor"), text("subject"));
        *self.counts.entry(action.to_owned()).or_default() += 1;
        match action {
            "connected" => *self.connected.entry(actor.to_owned()).or_default() += 1,
            "disconnected" => remove(&mut self.connected, actor, entry),
            "joined" => {
                assert!(self.rooms.contains(subject), "there is none: {entry}");
                let members = self.present.entry(subject.to_owned()).or_default();
                *members.entry(actor.to_owned()).or_default() += 1;
            }
            "left" => {
                let members = self.present.get_mut(subject);
                let members = members.unwrap_or_else(|| panic!("nobody is there: {entry}"));
                remove(members, actor, entry);
                if members.is_empty() {
                    self.present.remove(subject);
                }
            }
            "room_created" => assert!(self.rooms.insert(subject.to_owned()), "twice: {entry}"),
            "room_removed" => {
                assert!(self.rooms.remove(subject), "there is none: {entry}");
                assert!(!self.present.contains_key(subject), "with members: {entry}");
            }
            _ => {}
        }
    }
}

impl World {
    /// Subscribes, before anything happens.
    pub fn open_audit(&mut self) {
        let claims = json!({"sub": "감사", "iat": 0, "exp": FAR, "jti": "audit", "admin": true});
        let token = self.stage.model.register.keys[0].sign(&claims);
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let manner = Manner {
            address,
            pace: Pace::Whole,
            reading: Reading::Prompt,
            window: usize::MAX,
        };
        let id = self.server.accept(address, self.stage.now());
        let id = id.expect("is the first");
        let wire = self.stage.network.connect(NOBODY, manner);
        self.stage.network.backlog.retain(|other| *other != wire);
        self.stage.network.accepted(wire, id);
        let request = get("/sse/audit", Some(&token));
        self.stage.network.say(wire, request.as_bytes());
        // Chance is for the others.
        self.stage.network.deliver(wire, &mut Seed::new(0));
        self.audit.stream = Some((wire, id));
        self.turn();
        assert!(self.audit.has_head, "is answered at once");
    }

    /// Reads what the log has told in this turn.
    pub fn read_audit(&mut self) {
        let Some((wire, _)) = self.audit.stream else {
            return;
        };
        let audit = &mut self.audit;
        audit
            .bytes
            .extend(self.stage.network.take(wire, usize::MAX));
        if !audit.has_head {
            let Some(head) = read_head(&mut audit.bytes) else {
                return;
            };
            assert_eq!(head.status, 200);
            audit.has_head = true;
        }
        let has_ended = read_chunks(&mut audit.bytes, &mut audit.text);
        for block in read_blocks(&mut audit.text) {
            audit.told(block);
        }
        if has_ended || self.stage.is_over(wire) {
            assert!(self.stage.model.is_draining, "the log goes on");
            self.audit.stream = None;
        }
    }

    /// Who is connected, and in which rooms, is what the log says, as often as it says it.
    pub fn check_audit(&mut self) {
        if self.audit.stream.is_none() {
            return;
        }
        let rooms = self.server.rooms();
        let (mut connected, mut present) = (BTreeMap::new(), BTreeMap::new());
        let mut page = Page {
            after: None,
            limit: 200,
        };
        loop {
            let list = rooms.users(&page);
            for user in list.users {
                let name = user.username.to_string();
                *connected.entry(name.clone()).or_default() += user.connections as u64;
                let id = rooms.people().find(&name).expect("is connected");
                for connection in rooms.people().connections(id) {
                    for room in rooms.people().rooms(*connection) {
                        let room = rooms.name_of(*room).to_string();
                        let members: &mut BTreeMap<String, u64> = present.entry(room).or_default();
                        *members.entry(name.clone()).or_default() += 1;
                    }
                }
            }
            match list.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        assert_eq!(self.audit.connected, connected, "who is connected");
        assert_eq!(self.audit.present, present, "who is in which room");
        let names = rooms.list().into_iter().map(|room| room.name.to_string());
        assert_eq!(self.audit.rooms, names.collect(), "which rooms there are");
        self.stage.model.count("audited");
    }

    /// The log has told everything, and its reader goes as the last.
    pub fn close_audit(&mut self) {
        self.check_audit();
        for (action, count) in std::mem::take(&mut self.audit.counts) {
            let counts = &mut self.stage.model.counts;
            *counts.entry(format!("audited {action}")).or_default() += count;
        }
        if let Some((_, id)) = self.audit.stream.take() {
            assert!(self.audit.connected.is_empty() && self.audit.present.is_empty());
            self.server.closed(id, self.stage.now());
            self.turn();
            // Sampling goes on for a while after the last subscriber has gone.
            self.run_until(self.stage.at() + Duration::from_secs(120));
        }
    }
}
