//! Pages of the rooms, and of the people, of all nodes: each costs what it shows.

use std::collections::BinaryHeap;
use std::rc::Rc;

use super::Node;
use super::ask::{Ask, NamesAfter};
use super::news::News;
use super::scripts::Script;
use super::waits::Listing;
use crate::config::ROOMS_LISTED_AT_ONCE;
use crate::domain::error::ErrorCode;
use crate::domain::event::{Page, RoomInfo};
use crate::domain::ids::Serial;
use crate::domain::names::key;
use crate::domain::time::{Now, Timestamp};
use crate::wire::resp::{Command, Reply};

impl Node {
    /// Asks for a page of the rooms of all nodes. [`News::Rooms`] answers, with the number that this returns.
    pub fn list(&mut self, page: &Page, now: Now) -> u64 {
        self.listed += 1;
        let mut command = Command::new("ZRANGEBYLEX");
        command.text(&self.keys.single("rooms"));
        match &page.after {
            Some(after) => command.text(&format!("({after}")),
            None => command.text("-"),
        };
        command.text("+").text("LIMIT").text("0");
        command.number(page.limit as u64 + 1);
        let listing = Listing {
            number: self.listed,
            limit: page.limit,
            rooms: Vec::new(),
            next: None,
            left: 0,
        };
        self.listings.push(listing);
        self.ask(Ask::Rooms(self.listed), command.finish(), now);
        self.listed
    }

    /// Takes the names of a page: asks for what is shown of them.
    pub(super) fn take_room_names(&mut self, number: u64, reply: &Reply, now: Now) {
        let Some(listing) = self.listing(number) else {
            return;
        };
        let names = reply.items().iter().filter_map(Reply::text);
        let mut names: Vec<&str> = names.collect();
        if names.len() > listing.limit {
            names.truncate(listing.limit);
            listing.next = names.last().map(|name| Rc::from(*name));
        }
        listing.left = names.len().div_ceil(ROOMS_LISTED_AT_ONCE);
        if names.is_empty() {
            return self.end_listing(number, None);
        }
        for names in names.chunks(ROOMS_LISTED_AT_ONCE) {
            let mut command = self.call(Script::List, 1 + 2 * names.len() as u64);
            command.text(&self.keys.single("rooms"));
            for name in names {
                command.text(&self.keys.of("m", name));
                command.text(&self.keys.of("p", name));
            }
            command.texts(names);
            self.ask(Ask::List(number), command.finish(), now);
        }
    }

    /// Takes what is shown of some rooms.
    pub(super) fn take_listed(&mut self, number: u64, reply: &Reply) {
        let Some(listing) = self.listing(number) else {
            return;
        };
        let rooms = reply.items().iter().filter_map(read_listed);
        listing.rooms.extend(rooms);
        listing.left -= 1;
        if listing.left == 0 {
            self.end_listing(number, None);
        }
    }

    /// A page is read, or cannot be.
    pub(super) fn end_listing(&mut self, number: u64, failed: Option<ErrorCode>) {
        if let Ok(place) = self.place_of_listing(number) {
            let Listing { rooms, next, .. } = self.listings.remove(place);
            self.report(News::Rooms(number, failed.map_or(Ok((rooms, next)), Err)));
        }
    }

    fn place_of_listing(&self, number: u64) -> Result<usize, usize> {
        let listings = &self.listings;
        listings.binary_search_by_key(&number, |listing| listing.number)
    }

    fn listing(&mut self, number: u64) -> Option<&mut Listing> {
        let place = self.place_of_listing(number).ok()?;
        self.listings.get_mut(place)
    }

    /// Asks for names that are here at any node, after one of them, so many at most. [`News::Names`] answers: they are in the
    /// order of the tags of their keys, and of the names with the same tag.
    pub fn names_after(&mut self, serial: Serial, after: Option<&str>, limit: usize, now: Now) {
        let first = after.map_or(0, |after| self.keys.place_of_tag(&key(after)));
        let keys = self.keys.all_names().skip(first);
        let mut command = self.call(Script::Names, keys.len() as u64);
        for key in keys {
            command.text(&key);
        }
        command.number(limit as u64).number(after.is_some().into());
        let names = NamesAfter {
            serial,
            after: after.map(Into::into),
            limit,
        };
        self.ask(Ask::Names(Box::new(names)), command.finish(), now);
    }

    /// Takes the names of some tags, and whether there are others.
    pub(super) fn take_names(&mut self, asked: &NamesAfter, reply: &Reply) {
        let mut names: Vec<Rc<str>> = Vec::new();
        let tags = reply.items().get(1).map(Reply::items).unwrap_or_default();
        for (place, tag) in tags.iter().enumerate() {
            let after = asked.after.as_deref().filter(|_| place == 0);
            let of_tag = tag.items().iter().filter_map(Reply::text);
            let of_tag = of_tag.filter(|name| after.is_none_or(|after| *name > after));
            // To sort this way takes a tenth of the code.
            let of_tag = of_tag.collect::<BinaryHeap<&str>>().into_sorted_vec();
            names.extend(of_tag.into_iter().map(Rc::from));
        }
        let has_more = reply.number_at(0) == Some(1) || names.len() > asked.limit;
        names.truncate(asked.limit);
        self.report(News::Names(asked.serial, Ok((names, has_more))));
    }
}

fn read_listed(room: &Reply) -> Option<RoomInfo> {
    Some(RoomInfo {
        name: room.text_at(0)?.into(),
        max_users: room.number_at(1)?.try_into().ok()?,
        users: room.number_at(2)?.try_into().ok()?,
        messages: room.number_at(3)?,
        created_at: Timestamp::from_secs(room.number_at(4)? / 1000),
    })
}
