//! What the engine tells without being asked: messages, comings and goings, whispers, events.

use std::rc::Rc;

use super::Node;
use super::acts::read_settings;
use super::mirror::Message;
use super::news::News;
use super::people::read_whisper;
use super::setup::decode;
use crate::domain::changes::{Change, Changes};
use crate::domain::position::Position;
use crate::domain::time::Now;
use crate::domain::working_set::KeptEvent;
use crate::wire::resp::{NUMBER_MAX, Reply, read_hex};

impl Node {
    /// Takes a push. Confirmations of subscriptions need no answer.
    pub(super) fn take_push(&mut self, items: &[Reply], now: Now) {
        let [kind, channel, message] = items else {
            return;
        };
        let (Some("message"), Some(channel), Some(message)) =
            (kind.text(), channel.text(), message.text())
        else {
            return;
        };
        if let Some(room) = self.keys.room_of(channel) {
            if let Some((room, _)) = self.mirrors.get_key_value(room) {
                let room = room.clone();
                self.take_of_room(&room, message, now);
            }
            return;
        }
        let name = channel.strip_prefix(self.keys.prefix()).unwrap_or_default();
        match name {
            "ctl" => self.take_of_all(message),
            "au" => self.take_audit(message, now),
            "ev" => self.take_event(message),
            _ => self.take_of_node(message),
        }
    }

    fn take_of_room(&mut self, room: &Rc<str>, message: &str, now: Now) {
        let (kind, rest) = message.split_once(' ').unwrap_or((message, ""));
        match kind {
            "m" => {
                let mut parts = rest.splitn(4, ' ');
                let epoch = parts.next().and_then(read_hex);
                let number = parts.next().and_then(|number| number.parse().ok());
                let number = number.filter(|number| *number <= NUMBER_MAX);
                let milliseconds = parts.next().and_then(|time| time.parse().ok());
                let message = milliseconds.zip(parts.next());
                let message = message.and_then(|(time, payload)| Message::read(payload, time));
                if let (Some(place), Some(message)) = (epoch.zip(number), message) {
                    self.offer(room, place, message, None, now);
                }
            }
            "j" => {
                let mut parts = rest.splitn(3, ' ');
                let is_guest = parts.next() == Some("g");
                let users = parts.next().and_then(|users| users.parse().ok());
                if let Some((users, name)) = users.zip(parts.next()) {
                    self.report(News::Joined(room.clone(), name.into(), is_guest, users));
                }
            }
            "l" => {
                if let Some((users, name)) = rest.split_once(' ')
                    && let Ok(users) = users.parse()
                {
                    self.report(News::Left(room.clone(), name.into(), users));
                }
            }
            "c" => {
                if let Ok(users) = rest.parse() {
                    self.report(News::Counted(room.clone(), users));
                }
            }
            "d" => {
                let mut parts = rest.split(' ');
                let epoch = parts.next().and_then(read_hex);
                let mut numbers = parts.map_while(|number| number.parse().ok());
                let mut next = || numbers.next().filter(|number| *number <= NUMBER_MAX);
                let place = epoch.zip(next());
                if let (Some((epoch, seq)), Some((newest, revision))) = (place, next().zip(next()))
                {
                    let position = Position { epoch, seq };
                    self.message_deleted(room, position, newest, revision, now);
                }
            }
            "s" => {
                if let Some((revision, settings)) = rest.split_once(' ')
                    && let (Ok(revision), Some(settings)) =
                        (revision.parse(), read_settings(settings))
                {
                    self.room_changed(room, settings, revision, now);
                }
            }
            "z" => self.room_removed(room),
            "e" => self.reload(room, now),
            "x" => self.report(News::Gone(room.clone())),
            _ => {}
        }
    }

    fn take_of_node(&mut self, message: &str) {
        match message.split_once(' ') {
            Some(("p", probe)) => {
                if let Ok(probe) = probe.parse::<u64>() {
                    self.probes.1 = self.probes.1.max(probe.min(self.probes.0));
                }
            }
            Some(("w", payload)) => {
                if let Some(whisper) = read_whisper(payload) {
                    self.report(News::Whisper(whisper));
                }
            }
            Some(("k", rest)) => {
                if let Some((mark, payload)) = rest.split_once(' ')
                    && let Some(whisper) = read_whisper(payload)
                    && self.take_unanswered(mark)
                {
                    self.report(News::Whisper(whisper));
                }
            }
            Some(("a", answer)) => self.take_reply_of_node(answer),
            Some(("g", key)) => self.report(News::CloseGuests(key.into())),
            _ => {}
        }
    }

    fn take_of_all(&mut self, message: &str) {
        let mut parts = message.splitn(4, ' ');
        let kind = parts.next();
        let node = parts.next();
        if node == Some(&*self.id) {
            return;
        }
        match kind {
            Some("s") => self.report(News::Wake),
            Some("q") => {
                let number = parts.next().and_then(|number| number.parse().ok());
                if let (Some(node), Some((number, text))) = (node, number.zip(parts.next())) {
                    self.report(News::Asked(node.into(), number, text.into()));
                }
            }
            Some("v") => {
                let changes = parts.next().and_then(decode).map(Changes::from_bytes);
                let changes = changes.unwrap_or_default();
                let mut put = Vec::new();
                for change in changes.iter() {
                    if let Change::Put(key, value) = change {
                        put.push((key.to_vec(), value.to_vec()));
                    }
                }
                self.report(News::Revoked(put, false));
            }
            Some("f") => {
                let address = parts.next().and_then(|address| address.parse().ok());
                if let Some((address, account)) = address.zip(parts.next()) {
                    self.report(News::SignInFailed(account.into(), address));
                }
            }
            _ => {}
        }
    }

    fn take_event(&mut self, message: &str) {
        let mut parts = message.splitn(4, '\n');
        let id = parts.next().and_then(|id| id.parse().ok());
        let id = id.filter(|id| *id <= NUMBER_MAX);
        let (name, figures) = (parts.next(), parts.next());
        if let (Some(id), Some(name), Some(figures), Some(data)) = (id, name, figures, parts.next())
        {
            let event = KeptEvent {
                id,
                name: name.into(),
                data: data.into(),
            };
            let figures = Some(figures).filter(|figures| !figures.is_empty());
            self.report(News::Event(event, figures.map(Into::into)));
        }
    }
}
