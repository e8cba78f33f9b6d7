//! What moderators have done, told by the engine to all nodes.

use crate::domain::event::Maker;
use crate::domain::time::Now;
use crate::server::Server;
use crate::server::node::news::News;

impl Server {
    /// Takes what moderators have done, and the answers to what they have asked.
    pub(super) fn take_of_moderators(&mut self, news: News, now: Now) {
        let (rooms, effects) = self.chat.rooms_mut();
        match news {
            News::Deleted(room, position, newest) => {
                if let Some(id) = rooms.open_room(&room) {
                    rooms.deleted(id, position, newest, effects);
                }
            }
            News::Changed(room, max_users, is_kept, rules) => {
                if let Some(id) = rooms.open_room(&room) {
                    rooms.changed(id, (max_users, is_kept), rules, now, effects);
                }
            }
            News::Removed(room) => {
                if let Some(id) = rooms.open_room(&room) {
                    rooms.removed(id, None, effects);
                }
            }
            News::MadeWay(room) => {
                let by = Maker::Server;
                self.chat.noticed.note_room("room_removed", by, room);
            }
            News::Acted(serial, done) => self.acted(serial, done, now),
            News::Names(serial, names) => self.names(serial, names, now),
            News::Asked(node, number, text) => self.asked(&node, number, &text, now),
            News::Answers(serial, answers) => self.answers(serial, answers, now),
            News::AuditUnknown => self.refuse_audit_waiters(now),
            News::AuditLoaded(events, newest) => self.audit_loaded(events, newest, now),
            News::Audit(number, line) => self.audit_told(number, &line),
            _ => {}
        }
        self.settle(now);
    }
}
