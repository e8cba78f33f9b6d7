//! The other nodes and the rest of the server: what is asked of the engine that all share, and what it tells.

mod acts;
mod moderating;
mod names;
mod reads;
#[cfg(feature = "cluster")]
mod start;

use std::collections::HashMap;
use std::time::Duration;

use names::{Again, read_identity};

use super::Server;
use super::node::news::{News, Owed, PeerFigures};
use super::node::{Dial, Node};
use crate::config::{Config, ENGINE_RENEWAL_PARTS, Level, STORE_ANSWERS_PER_TURN};
use crate::domain::api_figures::Traffic;
use crate::domain::auth::BadTicket;
use crate::domain::changes::{Change, Changes};
use crate::domain::credentials::Credentials;
use crate::domain::derived::{Purpose, derive};
use crate::domain::event::Effect;
use crate::domain::facts::Outcome;
use crate::domain::ids::RoomId;
use crate::domain::time::Now;
use crate::domain::working_set::Loader;
use crate::journal::Field;
use crate::wire::close_code::CloseCode;

impl Server {
    /// Like [`Self::new`], with the backend on an engine that many nodes share, if there is one.
    pub fn with_cluster(
        config: Config,
        credentials: Credentials,
        seed: &[u8; 32],
        now: Now,
    ) -> Self {
        #[cfg(feature = "cluster")]
        if let Some(cluster) = config.cluster.clone() {
            return Self::with_engine(config, cluster, credentials, seed, now);
        }
        Self::new(config, credentials, seed, now)
    }

    /// Whether rooms are shared with other nodes.
    pub(super) fn is_shared(&self) -> bool {
        self.chat.backend().node().is_some()
    }

    /// What the shell is to do about the connection to the engine.
    pub fn poll_dial(&mut self) -> Option<Dial> {
        self.chat.backend_mut().node_mut()?.poll_dial()
    }

    /// The shell is connected to the engine.
    pub fn engine_connected(&mut self, now: Now) {
        if let Some(node) = self.chat.backend_mut().node_mut() {
            node.connected(now);
        }
        self.take_news(now);
    }

    /// There is no connection to the engine, or none any more, and why.
    pub fn engine_lost(&mut self, reason: &str, now: Now) {
        if let Some(node) = self.chat.backend_mut().node_mut() {
            node.lost(reason, now);
        }
        self.take_news(now);
    }

    /// Takes bytes of the engine.
    pub fn engine_received(&mut self, bytes: &[u8], now: Now) {
        if let Some(node) = self.chat.backend_mut().node_mut() {
            node.received(bytes, now);
        }
        self.take_news(now);
        self.check();
    }

    /// Whether the engine has told something that is not taken yet: nothing more is read of it until then.
    pub fn has_engine_news(&self) -> bool {
        self.chat.backend().node().is_some_and(Node::has_news)
    }

    /// Bytes for the engine, at the end of a turn. The shell removes what it has sent.
    pub fn engine_output(&mut self, now: Now) -> Option<&mut Vec<u8>> {
        let node = self.chat.backend_mut().node_mut()?;
        node.end_turn(now);
        Some(node.output())
    }

    /// Handles what is due of the engine.
    pub(super) fn handle_engine_timeout(&mut self, now: Now) {
        let own = self.streams.own_traffic();
        let subscribers = self.streams.own_subscribers();
        let Some(node) = self.chat.backend_mut().node_mut() else {
            return;
        };
        let micros = u64::try_from(own.time.as_micros()).unwrap_or(u64::MAX);
        node.tell_figures([own.requests, own.errors, micros, subscribers as u64]);
        node.handle_timeout(now);
        self.take_news(now);
        if self.sharing.closes_at.is_some_and(|at| at <= now.monotonic) {
            let (rooms, _) = self.chat.rooms_mut();
            rooms.close_unused(now);
            self.sharing.closes_at = None;
            self.settle(now);
        }
        if self.sharing.closes_at.is_none() {
            self.sharing.closes_at = self.chat.rooms().next_closing(now.monotonic);
        }
    }

    /// When [`Self::handle_engine_timeout`] is next due, as time since the server's start.
    pub(super) fn next_engine_timeout(&self) -> Option<Duration> {
        let node = self.chat.backend().node()?.next_timeout();
        [node, self.sharing.closes_at].into_iter().flatten().min()
    }

    /// Takes what the engine has told, so much in one turn.
    pub(super) fn take_news(&mut self, now: Now) {
        for _ in 0..STORE_ANSWERS_PER_TURN {
            let Some(node) = self.chat.backend_mut().node_mut() else {
                return;
            };
            match node.poll() {
                Some(news) => self.take_piece(news, now),
                None => break,
            }
        }
        self.settle(now);
    }

    fn take_piece(&mut self, news: News, now: Now) {
        match news {
            News::Message(room, mut fact) => {
                if let Some(id) = self.chat.rooms().open_room(&room) {
                    fact.room.id = id;
                    self.answered(Outcome::Published(fact), now);
                }
            }
            News::Acknowledged(serial, position) => {
                self.answered(Outcome::Acknowledged(serial, position), now);
            }
            News::Failed(serial, code) => self.answered(Outcome::Failed(serial, code), now),
            News::Opened(serial, room, crowd) => {
                self.answered(Outcome::OpenedShared(serial, room, crowd), now);
            }
            News::Rooms(number, rooms) => self.take_rooms(number, rooms, now),
            News::Told(told) => {
                let (serial, is_sampled) = (told.serial, told.serial.is_none());
                match told.id {
                    Ok(_) => self.streams.stored_elsewhere(&told.draft, is_sampled),
                    Err(_) => self.streams.untold(&told.draft, is_sampled),
                }
                if let Some(serial) = serial {
                    self.answer_posted(serial, told.id, now);
                }
            }
            News::Event(event, figures) => {
                if !self.streams.take_event(event, figures.as_deref())
                    && let Some(node) = self.chat.backend_mut().node_mut()
                {
                    node.ask_for_events(now);
                }
            }
            News::Events(kept) => self.streams.take_events(kept),
            News::Wake if self.samples_for_all() => self.streams.wake(now.monotonic),
            News::Wake => {}
            News::Peers(peers, is_leader, _) => {
                self.take_peers(peers, is_leader, now);
                self.ask_again(now);
            }
            News::People(count) => self.sharing.people = count,
            News::Unrevoked => self.sharing.has_unrevoked = true,
            News::Note(level, name, about) => self.note_engine(level, name, &about, now),
            News::Whispered(..)
            | News::Whisper(_)
            | News::Reloaded(..)
            | News::Crowd(..)
            | News::Seated(..)
            | News::Unseated(_)
            | News::Owed(_)
            | News::Joined(..)
            | News::Left(..)
            | News::Counted(..)
            | News::Gone(_)
            | News::Reseat(..)
            | News::Renew(_)
            | News::Anew => self.take_of_rooms(news, now),
            News::Claimed(..)
            | News::Reclaim
            | News::CloseGuests(_)
            | News::TicketKept(..)
            | News::Redeemed(..)
            | News::Kept(..)
            | News::Revoked(..)
            | News::SignInFailed(..)
            | News::Secret(_) => self.take_of_identity(news, now),
            _ => self.take_of_moderators(news, now),
        }
    }

    fn answered(&mut self, outcome: Outcome, now: Now) {
        self.chat.answered(outcome, &mut self.connections, now);
    }

    /// Takes what concerns rooms and who is in them.
    fn take_of_rooms(&mut self, news: News, now: Now) {
        match news {
            News::Anew => {
                self.claim_again(Again::All, now);
                self.revoke_again(now);
            }
            News::Renew(part) => self.claim_again(Again::Part(part), now),
            _ => {}
        }
        let (rooms, effects) = self.chat.rooms_mut();
        match news {
            News::Reloaded(room, opened, crowd) => {
                if let Some(id) = rooms.open_room(&room) {
                    rooms.reloaded(id, opened, crowd, now, effects);
                }
            }
            News::Crowd(room, crowd) => {
                if let Some(id) = rooms.open_room(&room) {
                    rooms.take_crowd(id, crowd, now, effects);
                }
            }
            News::Seated(serial, is_first, users) => {
                rooms.seated(serial, is_first, users, now, effects);
            }
            News::Unseated(serial) => rooms.unseated(serial, now, effects),
            News::Owed(Owed::Seat(room, name)) => match rooms.open_room(&room) {
                Some(id) => rooms.release_unused(id, &name, effects),
                None => effects.push_back(Effect::GiveUpSeat(room, name)),
            },
            News::Owed(Owed::Name(key, person)) => self.unclaim_unused(&(key, person), now),
            News::Joined(room, name, is_guest, users) => {
                if let Some(id) = rooms.open_room(&room) {
                    rooms.has_joined(id, &name, is_guest, users, now, effects);
                }
            }
            News::Left(room, name, users) => {
                if let Some(id) = rooms.open_room(&room) {
                    rooms.has_left(id, &name, users, now, effects);
                }
            }
            News::Counted(room, users) => {
                if let Some(id) = rooms.open_room(&room) {
                    rooms.has_counted(id, users, now, effects);
                }
            }
            News::Gone(room) => {
                if let Some(id) = rooms.open_room(&room)
                    && !rooms.forget(id)
                    && let Some(node) = self.chat.backend_mut().node_mut()
                {
                    node.reload(&room, now);
                }
            }
            News::Reseat(room, seats) => {
                if let Some(id) = rooms.open_room(&room) {
                    rooms.renew_seats(id, effects);
                    rooms.release_strange(id, &seats, effects);
                }
            }
            News::Anew => rooms.renew_seats_in(|_| true, effects),
            News::Renew(part) => {
                let is_of_part = |id: RoomId| u64::from(id.0) % ENGINE_RENEWAL_PARTS == part;
                rooms.renew_seats_in(is_of_part, effects);
            }
            News::Whispered(serial, is_new) => rooms.whispered(serial, is_new, effects),
            News::Whisper(whisper) => rooms.deliver_whisper(&whisper, None, effects),
            _ => {}
        }
        self.settle(now);
    }

    /// Takes what concerns names, tickets and tokens.
    fn take_of_identity(&mut self, news: News, now: Now) {
        match news {
            News::Claimed(claim, claimed) => self.claimed(*claim, claimed, now),
            News::Reclaim => self.claim_again(Again::All, now),
            News::CloseGuests(key) => self.close_guests(&key, now),
            News::TicketKept(serial, is_kept) => self.answer_ticket(serial, is_kept, now),
            News::Redeemed(serial, redeemed) => {
                let redeemed = redeemed.ok().map(|identity| {
                    let identity = identity.as_deref().and_then(read_identity);
                    identity.ok_or(BadTicket::Unknown)
                });
                self.ticket_redeemed(serial, redeemed, now);
            }
            News::Kept(serial, kept) => self.answer_kept(serial, kept, now),
            News::Revoked(records, is_all) => {
                let mut loader = Loader::default();
                for (key, value) in &records {
                    // One that cannot be read is of a later version.
                    _ = loader.add(key, value);
                }
                if let Ok(mut others) = loader.finish() {
                    self.banned_elsewhere(std::mem::take(&mut others.bans), now);
                    let ended = self.sign_ins.auth_mut().revoke_elsewhere(others, now);
                    for id in ended {
                        self.end_session(id, CloseCode::SESSION_ENDED, now);
                    }
                    if is_all {
                        self.compare_revoked(&records);
                    }
                }
            }
            News::SignInFailed(account, address) => {
                let throttle = &mut self.sign_ins.auth_mut().throttle;
                throttle.failed_elsewhere(&account, address, now.monotonic);
            }
            News::Secret(secret) => {
                let of_holders = derive(&secret, Purpose::Holders);
                self.sign_ins.rehash_holders(&of_holders);
            }
            _ => {}
        }
    }

    fn note_engine(
        &mut self,
        level: Level,
        name: &'static str,
        about: &[(&'static str, String)],
        now: Now,
    ) {
        let about: Vec<(&str, &dyn Field)> = about
            .iter()
            .map(|(name, value)| (*name, value as &dyn Field))
            .collect();
        self.journal.note(level, name, &about, now);
    }

    /// The engine takes requests: what it had refused is asked for again.
    fn ask_again(&mut self, now: Now) {
        if std::mem::take(&mut self.sharing.has_unclaimed) {
            self.claim_again(Again::Unknown, now);
        }
        if std::mem::take(&mut self.sharing.has_unrevoked) {
            self.revoke_again(now);
        }
        let (rooms, effects) = self.chat.rooms_mut();
        rooms.renew_unseated(effects);
        self.settle(now);
    }

    /// All that is revoked, as it is known here.
    fn all_revoked(&self) -> Changes {
        let mut changes = Changes::default();
        let revocations = self.sign_ins.auth().revocations();
        revocations.keep_all(&mut changes);
        self.chat.rooms().bans.keep_all(&mut changes);
        changes
    }

    /// Compares all that the engine has with what is known here after that. If it lacks something, as one that was a replica may,
    /// or has something older, it gets all that is known here.
    fn compare_revoked(&mut self, records: &[(Vec<u8>, Vec<u8>)]) {
        let told: HashMap<&[u8], &[u8]> = records
            .iter()
            .map(|(key, value)| (&**key, &**value))
            .collect();
        let own = self.all_revoked();
        let is_missing = own.iter().any(|change| match change {
            Change::Put(key, value) => told.get(key) != Some(&value),
            Change::Remove(_) => false,
        });
        self.sharing.has_unrevoked |= is_missing;
    }

    /// The engine may have lost what was revoked: it gets all that is known here.
    fn revoke_again(&mut self, now: Now) {
        let changes = self.all_revoked();
        if let Some(node) = self.chat.backend_mut().node_mut()
            && !changes.is_empty()
        {
            node.revoke(None, &changes, now);
        }
    }

    /// Whether this server samples for all nodes.
    pub fn samples_for_all(&self) -> bool {
        self.chat.backend().node().is_some_and(Node::is_leader)
    }

    /// Counts what the other nodes have counted since it was last heard. Of a node that is new nothing counts yet: it may have
    /// been counted by the leader before.
    fn take_peers(&mut self, peers: Vec<(Box<str>, PeerFigures)>, is_leader: bool, now: Now) {
        let mut more = Traffic::default();
        let mut subscribers = 0;
        for (node, figures) in &peers {
            subscribers += figures.subscribers as usize;
            let known = self.sharing.peers.iter().find(|(other, _)| other == node);
            let Some((_, before)) = known else {
                continue;
            };
            more.requests += figures.requests.saturating_sub(before.requests);
            more.errors += figures.errors.saturating_sub(before.errors);
            more.time += Duration::from_micros(figures.micros.saturating_sub(before.micros));
        }
        self.sharing.peers = peers;
        self.streams
            .take_others(more, subscribers, is_leader, now.monotonic);
    }

    /// Users connected now, at all nodes if there are several.
    pub(super) fn active_users(&self) -> usize {
        let own = self.chat.rooms().people().count();
        match self.is_shared() {
            true => own.max(self.sharing.people),
            false => own,
        }
    }

    /// Tells the others that somebody waits for samples.
    pub(super) fn tell_subscribed(&mut self, now: Now) {
        if !self.samples_for_all()
            && let Some(node) = self.chat.backend_mut().node_mut()
        {
            node.tell_subscribed(now);
        }
    }

    /// Whether the engine takes nothing for now.
    pub(super) fn is_engine_down(&self) -> bool {
        self.chat.backend().node().is_some_and(|node| !node.is_up())
    }
}
