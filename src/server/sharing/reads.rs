//! What is read of the rooms of all nodes.

use std::rc::Rc;

use crate::config::{PAGES_SEARCHED, ROOM_LIST_KEPT, ROOM_LIST_READERS_MAX, ROOMS_LISTED_MAX};
use crate::conn::refusal::Refusal;
use crate::domain::error::ErrorCode;
use crate::domain::event::{Effect, Event, Page, RoomInfo, RoomPage};
use crate::domain::ids::{ConnectionId, Origin, Serial};
use crate::domain::permissions::Permissions;
use crate::domain::time::Now;
use crate::server::answer::Exchange;
use crate::server::peers::{Reader, Reading};
use crate::server::waiting::{Waiting, What};
use crate::server::{Server, rest};
use crate::wire::http::Request;

impl Server {
    /// A page of the rooms of all nodes, for a WebSocket: now, or when the engine has answered.
    pub(in crate::server) fn list_for_socket(
        &mut self,
        origin: Origin,
        page: Page,
        message_id: Option<&str>,
        now: Now,
    ) {
        let reader = Reader::Socket(origin, message_id.map(Into::into));
        self.read_page(reader, page, now);
    }

    /// The same for a request.
    pub(in crate::server) fn list_for_request(
        &mut self,
        id: ConnectionId,
        exchange: Exchange,
        (page, permissions): (Page, Rc<Permissions>),
        now: Now,
    ) {
        let serial = self.jobs.next_serial();
        self.wait_for(serial, id, exchange, What::RoomList(permissions));
        self.read_page(Reader::Request(serial), page, now);
    }

    /// The first page, for those that watch the list, if it has to be read.
    pub(in crate::server) fn list_for_watchers_if(&mut self, has_to_read: bool, now: Now) {
        if !has_to_read {
            return;
        }
        let page = Page {
            after: None,
            limit: ROOMS_LISTED_MAX,
        };
        self.read_page(Reader::Watchers, page, now);
    }

    fn read_page(&mut self, reader: Reader, page: Page, now: Now) {
        if let Some(rooms) = self.first_page(&page, now) {
            return self.answer_reader(reader, Ok(rooms), now);
        }
        let node = self.chat.backend_mut().node_mut();
        let Some(node) = node.filter(|_| self.sharing.readers < ROOM_LIST_READERS_MAX) else {
            return self.answer_reader(reader, Err(ErrorCode::BackendUnavailable), now);
        };
        self.sharing.readers += 1;
        let pages = &mut self.sharing.pages;
        // Most ask for the same one. Not all are searched.
        let mut latest = pages.iter_mut().rev().take(PAGES_SEARCHED);
        if let Some(reading) = latest.find(|reading| reading.page == page) {
            return reading.readers.push(reader);
        }
        pages.push_back(Reading {
            number: node.list(&page, now),
            page,
            readers: vec![reader],
        });
    }

    /// The page, if it is the first one, and that was read lately.
    fn first_page(&self, page: &Page, now: Now) -> Option<RoomPage> {
        let (made, limit, (rooms, next)) = self.sharing.rooms.as_ref()?;
        let is_new = *made + ROOM_LIST_KEPT > now.monotonic;
        if page.after.is_some() || page.limit > *limit || !is_new {
            return None;
        }
        let shown = &rooms[..page.limit.min(rooms.len())];
        let is_cut = shown.len() < rooms.len();
        let last = shown.last().filter(|_| is_cut);
        let next = last.map_or(next.clone(), |room| Some(room.name.clone()));
        Some((shown.to_vec(), next))
    }

    pub(super) fn take_rooms(&mut self, number: u64, rooms: Result<RoomPage, ErrorCode>, now: Now) {
        let pages = &mut self.sharing.pages;
        let place = pages.binary_search_by_key(&number, |reading| reading.number);
        let Some(Reading { page, readers, .. }) = place.ok().and_then(|at| pages.remove(at)) else {
            return;
        };
        if let Ok(rooms) = &rooms
            && page.after.is_none()
        {
            self.sharing.rooms = Some((now.monotonic, page.limit, rooms.clone()));
        }
        for reader in readers {
            self.sharing.readers -= 1;
            self.answer_reader(reader, rooms.clone(), now);
        }
        self.settle(now);
    }

    fn answer_reader(&mut self, reader: Reader, rooms: Result<RoomPage, ErrorCode>, now: Now) {
        match reader {
            Reader::Socket(origin, message_id) => {
                let (manager, effects) = self.chat.rooms_mut();
                let permissions = manager.permissions(origin.connection);
                effects.push_back(match rooms {
                    Ok((rooms, next)) => {
                        let rooms = open_to(&permissions, rooms);
                        Effect::Reply(origin, Event::RoomList { rooms, next })
                    }
                    Err(code) => Effect::refusal(origin, code, message_id),
                });
            }
            Reader::Watchers => {
                if let Ok((rooms, next)) = rooms {
                    self.chat.tell_watchers(&rooms, next.is_some());
                }
            }
            Reader::Request(serial) => {
                if let Some(waiting) = self.waiting.take(serial) {
                    let rooms = rooms.map(|(rooms, next)| match &waiting.what {
                        What::RoomList(permissions) => (open_to(permissions, rooms), next),
                        _ => (rooms, next),
                    });
                    let answer = rooms.map(rest::room_list).map_err(Refusal::from);
                    self.answer_waiting(serial, &waiting, answer, now);
                }
            }
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
