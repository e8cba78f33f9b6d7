//! What is read of the rooms of all nodes.

use std::rc::Rc;

use crate::config::{ROOM_LIST_KEPT, ROOM_LIST_READERS_MAX};
use crate::conn::refusal::Refusal;
use crate::domain::error::ErrorCode;
use crate::domain::event::{Effect, Event, Page, RoomInfo, RoomPage};
use crate::domain::ids::{ConnectionId, Origin, Serial};
use crate::domain::permissions::Permissions;
use crate::domain::time::Now;
use crate::server::answer::Exchange;
use crate::server::peers::Reader;
use crate::server::waiting::{Waiting, What};
use crate::server::{Server, rest};
use crate::wire::http::Request;

impl Server {
    /// The list of rooms of all nodes, for a WebSocket: now, or when the engine has answered.
    pub(in crate::server) fn list_for_socket(
        &mut self,
        origin: Origin,
        message_id: Option<&str>,
        now: Now,
    ) {
        match self.listed(now) {
            Some(rooms) => self.reply_list(origin, (rooms, None)),
            None if self.sharing.readers.len() >= ROOM_LIST_READERS_MAX => {
                let code = ErrorCode::BackendUnavailable;
                let (_, effects) = self.chat.rooms_mut();
                effects.push_back(Effect::refusal(origin, code, message_id.map(Into::into)));
            }
            None => {
                let reader = Reader::Socket(origin, message_id.map(Into::into));
                self.sharing.readers.push(reader);
            }
        }
    }

    fn reply_list(&mut self, origin: Origin, (rooms, next): RoomPage) {
        let (manager, effects) = self.chat.rooms_mut();
        let rooms = open_to(&manager.permissions(origin.connection), rooms);
        effects.push_back(Effect::Reply(origin, Event::RoomList { rooms, next }));
    }

    /// The same for a request.
    pub(in crate::server) fn list_for_request(
        &mut self,
        id: ConnectionId,
        exchange: Exchange,
        (_page, permissions): (Page, Rc<Permissions>),
        now: Now,
    ) {
        let serial = self.jobs.next_serial();
        self.wait_for(serial, id, exchange, What::RoomList(permissions));
        match self.listed(now) {
            Some(rooms) => self.answer_list(serial, Ok(rooms), now),
            None => self.sharing.readers.push(Reader::Request(serial)),
        }
    }

    /// The list, if it is new enough; else it is asked for.
    fn listed(&mut self, now: Now) -> Option<Vec<RoomInfo>> {
        match &self.sharing.rooms {
            Some((made, rooms)) if *made + ROOM_LIST_KEPT > now.monotonic => Some(rooms.clone()),
            _ => {
                self.chat.backend_mut().node_mut()?.list(now);
                None
            }
        }
    }

    pub(super) fn take_rooms(&mut self, rooms: Result<Vec<RoomInfo>, ErrorCode>, now: Now) {
        if let Ok(rooms) = &rooms {
            self.sharing.rooms = Some((now.monotonic, rooms.clone()));
        }
        for reader in std::mem::take(&mut self.sharing.readers) {
            match (reader, &rooms) {
                (Reader::Request(serial), rooms) => self.answer_list(serial, rooms.clone(), now),
                (Reader::Socket(origin, _), Ok(rooms)) => {
                    self.reply_list(origin, (rooms.clone(), None));
                }
                (Reader::Socket(origin, id), Err(code)) => {
                    let (_, effects) = self.chat.rooms_mut();
                    effects.push_back(Effect::refusal(origin, *code, id));
                }
            }
        }
        self.settle(now);
    }

    fn answer_list(&mut self, serial: Serial, rooms: Result<Vec<RoomInfo>, ErrorCode>, now: Now) {
        if let Some(waiting) = self.waiting.take(serial) {
            let rooms = rooms.map(|rooms| match &waiting.what {
                What::RoomList(permissions) => open_to(permissions, rooms),
                _ => rooms,
            });
            let answer = rooms.map(|rooms| rest::room_list((rooms, None)));
            let answer = answer.map_err(Refusal::from);
            self.answer_waiting(serial, &waiting, answer, now);
        }
    }

    /// Has a room opened that a request wants to read.
    pub(in crate::server) fn open_to_read(
        &mut self,
        id: ConnectionId,
        name: &str,
        exchange: Exchange,
        request: Box<Request>,
        now: Now,
    ) {
        let serial = self.jobs.next_serial();
        let (rooms, effects) = self.chat.rooms_mut();
        match rooms.open_to_read(serial, name, now, effects) {
            Ok(()) => self.wait_for(serial, id, exchange, What::Reading(request)),
            Err(code) => self.respond_and_go_on(id, &exchange, Err(code.into()), now),
        }
    }

    /// Goes on with the requests whose rooms are open, or are not.
    pub(in crate::server) fn answer_readers(&mut self, now: Now) {
        while let Some((serial, opened)) = self.chat.noticed.poll_to_read() {
            if self.go_on_acting(serial, opened, now) {
                continue;
            }
            if let Some(waiting) = self.waiting.take(serial) {
                self.go_on_reading(serial, waiting, opened, now);
            }
        }
    }

    /// A room that a request wants to read is open, or is not.
    pub(in crate::server) fn go_on_reading(
        &mut self,
        serial: Serial,
        waiting: Waiting,
        opened: Result<(), ErrorCode>,
        now: Now,
    ) {
        match (waiting.what, opened) {
            (What::Reading(request), Ok(())) if self.stop_waiting(waiting.connection, serial) => {
                self.serve(waiting.connection, *request, None, now);
            }
            (what, Err(code)) => {
                let waiting = Waiting { what, ..waiting };
                self.answer_waiting(serial, &waiting, Err(code.into()), now);
            }
            _ => {}
        }
    }
}

/// The rooms that may be entered with these permissions.
fn open_to(permissions: &Permissions, mut rooms: Vec<RoomInfo>) -> Vec<RoomInfo> {
    rooms.retain(|room| permissions.may_enter(&room.name));
    rooms
}
