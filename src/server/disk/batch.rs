//! A batch of the backend on disk: its wishes are numbered, timestamped and encoded.

use super::{Answered, Disk, Numbered, State, Wish};
use crate::config::EVENTS_KEPT;
use crate::domain::changes::Changes;
use crate::domain::channels::Kind;
use crate::domain::drafts::{Draft, Told};
use crate::domain::facts::{Fact, OpenedRoom, Outcome};
use crate::domain::ids::{RoomId, RoomKey, Serial};
use crate::domain::position::Position;
use crate::domain::random::split_mix;
use crate::domain::record::{Key, Record};
use crate::domain::time::Timestamp;
use crate::domain::wishes::{Opening, Publication};
use crate::server::jobs::{Batch, Job};

impl Disk {
    /// Numbers, timestamps and encodes the wishes in the queue.
    pub(super) fn begin_batch(&mut self) {
        self.batch += 1;
        self.event.1 = self.event.0;
        let mut changes = std::mem::take(&mut self.rest);
        self.is_rest_urgent = false;
        let mut answers = Vec::with_capacity(self.queue.len());
        let mut queue = std::mem::take(&mut self.queue);
        for wish in queue.drain(..) {
            let answer = match wish {
                Wish::Publish(publication) => {
                    Answered::Outcome(self.number(publication, &mut changes))
                }
                Wish::Open(opening) => Answered::Outcome(self.create(&opening, &mut changes)),
                Wish::Tell(serial, draft) => {
                    Answered::Told(self.store(serial, draft, &mut changes))
                }
                Wish::Keep(serial, others) => {
                    changes.append(&others);
                    match serial {
                        Some(serial) => Answered::Kept(serial, Ok(())),
                        None => continue,
                    }
                }
            };
            answers.push(answer);
        }
        // Its memory is used again.
        self.queue = queue;
        self.queue_bytes = 0;
        for RoomKey { id, epoch } in &self.moved {
            let seq = self.rooms[id.index()].newest;
            changes.put(&Record::Newest(Position { epoch: *epoch, seq }));
        }
        self.state = State::Committing(answers);
        self.job = Some(Job::Store(Batch {
            number: self.batch,
            changes,
        }));
    }

    pub(super) fn slot(&mut self, room: RoomId) -> &mut Numbered {
        if self.rooms.len() <= room.index() {
            self.rooms.resize(room.index() + 1, Numbered::default());
        }
        &mut self.rooms[room.index()]
    }

    fn number(&mut self, mut publication: Publication, changes: &mut Changes) -> Outcome {
        let room = publication.room;
        let (batch, timestamp) = (self.batch, Timestamp::from(self.now));
        let numbered = self.slot(room.id);
        if numbered.epoch != room.epoch {
            *numbered = Numbered {
                epoch: room.epoch,
                ..Numbered::default()
            };
        }
        let is_first = numbered.batch != batch;
        if is_first {
            numbered.batch = batch;
            numbered.before = numbered.newest;
        }
        numbered.newest += 1;
        let position = Position {
            epoch: room.epoch,
            seq: numbered.newest,
        };
        if is_first {
            self.moved.push(room);
        }
        changes.put(&Record::Message {
            position,
            timestamp,
            is_guest: publication.is_guest,
            username: &publication.username,
            content: &publication.content,
        });
        let said = publication
            .message_id
            .take()
            .zip(publication.said_by.take());
        if let Some((id, (sender, fingerprint))) = said {
            changes.put(&Record::Said {
                at: position.into(),
                second: self.now.unix.as_secs(),
                fingerprint,
                sender,
                to: None,
                id: &id,
            });
        }
        Outcome::Published(Fact::of(publication, position, timestamp))
    }

    fn create(&mut self, opening: &Opening, changes: &mut Changes) -> Outcome {
        let epoch = split_mix(&mut self.epochs);
        let room = OpenedRoom::new(opening, epoch, Timestamp::from(self.now));
        changes.put(&room.record(&opening.name, opening.creator.as_deref()));
        Outcome::Opened(opening.serial, room)
    }

    fn store(&mut self, serial: Option<Serial>, draft: Draft, changes: &mut Changes) -> Told {
        self.event.0 += 1;
        let id = self.event.0;
        let (name, data) = (&*draft.name, &*draft.data);
        if !std::mem::replace(&mut self.has_event_base, true) {
            changes.put(&Record::EventBase(self.event.1));
        }
        changes.put(&Record::Event { id, name, data });
        if let Some(oldest) = id.checked_sub(EVENTS_KEPT as u64) {
            changes.remove(&Key::Event(oldest));
        }
        if matches!(draft.kind, Kind::Own(_)) {
            changes.put(&Record::Latest { name, id, data });
        }
        if let Some(figures) = &draft.figures {
            changes.put(&Record::Figures(figures));
        }
        Told {
            serial,
            draft,
            id: Ok(id),
        }
    }
}
