//! Pages of a room's history, from the newest message back.

use super::error::ErrorCode;
use super::event::Event;
use super::history::History;
use super::ids::ConnectionId;
use super::position::Position;
use super::rooms::RoomManager;
use crate::config::{HISTORY_ON_ENTRY, HISTORY_PAGE_MAX};

/// Messages of a history, oldest first.
#[derive(Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// The messages.
    pub messages: Vec<Event>,
    /// Whether there are more before them.
    pub more: bool,
    /// Whether the position that was asked for is one of this history; else these are the last messages.
    pub recovered: bool,
}

impl HistoryPage {
    /// The last `limit` messages before a position; without one of this history the last of all.
    pub fn before(history: &History, position: Option<Position>, limit: usize) -> Self {
        match position.and_then(|position| history.before(position, limit)) {
            Some((messages, more)) => Self {
                messages: messages.map(Event::of_message).collect(),
                more,
                recovered: true,
            },
            None => Self {
                messages: history.last(limit).map(Event::of_message).collect(),
                more: history.len() > limit,
                recovered: false,
            },
        }
    }
}

impl RoomManager {
    /// The answer to a member who asks for a page of a room's history.
    ///
    /// # Errors
    /// `bad_request` (a limit that is not 1 to [`HISTORY_PAGE_MAX`]), `not_in_room`.
    pub fn history_for(
        &self,
        connection: ConnectionId,
        room: &str,
        (before, limit): (Option<&str>, Option<u64>),
        id: Option<&str>,
    ) -> Result<Event, ErrorCode> {
        let room = &self.rooms[self.joined(connection, room)?.index()];
        let limit = limit.map_or(Ok(HISTORY_ON_ENTRY), usize::try_from);
        let limit = limit
            .ok()
            .filter(|limit| (1..=HISTORY_PAGE_MAX).contains(limit));
        let limit = limit.ok_or(ErrorCode::BadRequest)?;
        let position = before.and_then(Position::parse);
        let page = HistoryPage::before(&room.history, position, limit);
        Ok(Event::History {
            room: room.name.clone(),
            messages: page.messages,
            more: page.more,
            position: room.history.position(),
            // Without a position the last messages are what was asked for.
            recovered: page.recovered || before.is_none(),
            id: id.map(Into::into),
        })
    }
}
