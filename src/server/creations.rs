//! `POST /rooms`: a room is created, and its creator is answered when it is open.

use super::Server;
use super::answer::Exchange;
use super::rest;
use super::waiting::What;
use crate::conn::refusal::Refusal;
use crate::domain::ids::ConnectionId;
use crate::domain::owners::Creator;
use crate::domain::rooms::NotCreated;
use crate::domain::time::Now;

impl Server {
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
