//! `POST /rooms`: a room is created, and its creator is answered when it is open. And the room where people come in, which is
//! made at the start.

use super::Server;
use super::answer::Exchange;
use super::rest;
use super::waiting::What;
use crate::config::LOBBY_RETRY;
use crate::conn::refusal::Refusal;
use crate::domain::ids::ConnectionId;
use crate::domain::owners::Creator;
use crate::domain::rooms::NotCreated;
use crate::domain::time::Now;

impl Server {
    /// Opens the room where people come in, if there is one: at the start, and again later if the backend could not.
    pub fn open_lobby(&mut self, now: Now) {
        let (rooms, effects) = self.chat.rooms_mut();
        let is_done = rooms.open_lobby(now, effects);
        self.next_lobby = (!is_done).then(|| now.monotonic + LOBBY_RETRY);
        self.settle(now);
    }

    /// Opens it, if it is time.
    pub(super) fn open_lobby_if_due(&mut self, now: Now) {
        if self.next_lobby.is_some_and(|at| at <= now.monotonic) {
            self.open_lobby(now);
        }
    }

    pub(super) fn create_room(
        &mut self,
        id: ConnectionId,
        creator: Creator,
        (name, max_users): (&str, Option<u32>),
        exchange: Exchange,
        now: Now,
    ) {
        let serial = self.jobs.next_serial();
        let (rooms, effects) = self.chat.rooms_mut();
        let refusal = match rooms.create_room(serial, creator, name, max_users, now, effects) {
            Ok(()) => return self.wait_for(serial, id, exchange, What::Room),
            Err(NotCreated::Refused(code)) => code.into(),
            Err(NotCreated::Throttled(wait)) => Refusal::too_many_requests(wait),
        };
        self.respond_and_go_on(id, &exchange, Err(refusal), now);
    }

    /// Answers the requests whose room creation has finished.
    pub(super) fn answer_created(&mut self, now: Now) {
        while let Some((serial, info)) = self.chat.noticed.poll_created() {
            if let Some(waiting) = self.waiting.take(serial) {
                let answer = info.map(|info| rest::created(&info)).map_err(Into::into);
                self.answer_waiting(serial, &waiting, answer, now);
            }
        }
    }
}
