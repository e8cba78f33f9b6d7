//! Bans: who may not be here, or in a room, until when and why.
//!
//! A ban is of the key of a name ([`key`]), so of everybody whose name is the same in another spelling. Of two changes of one
//! ban the later one counts, wherever it was made, and that a ban was lifted is remembered for [`LIFTED_BAN_KEPT`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use super::ban::{Ban, BanInfo, BanList, KeptBan};
use super::changes::Changes;
use super::names::{key, nfc};
use super::record::{Key, Record};
use super::time::{Now, Timestamp};
use crate::config::BANS_MAX;

/// What is asked for by a moderator.
#[derive(Clone, Copy, Debug)]
pub struct NewBan<'a> {
    /// The name.
    pub username: &'a str,
    /// The room, if it is not for all.
    pub room: Option<&'a str>,
    /// How long it lasts, in seconds; `None` for good.
    pub seconds: Option<u32>,
    /// Why.
    pub reason: &'a str,
    /// Who has banned them.
    pub by: &'a Rc<str>,
}

/// The key of a name, and the room or nothing for all.
type Place = (Rc<str>, Rc<str>);

/// All bans, [`BANS_MAX`] at most.
#[derive(Debug, Default)]
pub struct Bans {
    by_place: BTreeMap<Place, Ban>,
    /// What the store is to change; `None` if there is no store.
    changes: Option<Changes>,
}

impl Bans {
    /// Takes what was loaded; from now on there is a store.
    pub fn load(&mut self, kept: Vec<KeptBan>) {
        self.changes = Some(Changes::default());
        for KeptBan { room, key, ban } in kept {
            self.by_place.insert((key, room), ban);
        }
    }

    /// Bans somebody, or changes their ban. `None` at [`BANS_MAX`].
    pub fn ban(&mut self, new: NewBan<'_>, now: Now) -> Option<Option<Timestamp>> {
        let until = new
            .seconds
            .map(|seconds| now.unix.as_secs() + u64::from(seconds));
        let ban = Ban {
            at: 0,
            until,
            is_lifted: false,
            username: new.username.into(),
            by: new.by.clone(),
            reason: new.reason.into(),
        };
        let place = place(new.username, new.room);
        if self.by_place.len() >= BANS_MAX && !self.by_place.contains_key(&place) {
            self.forget_useless(now);
            if self.by_place.len() >= BANS_MAX {
                return None;
            }
        }
        let ends = ban.ends();
        self.put(place, ban, now);
        Some(ends)
    }

    /// Lifts a ban; false if there is none.
    pub fn lift(&mut self, username: &str, room: Option<&str>, by: &Rc<str>, now: Now) -> bool {
        let place = place(username, room);
        let held = self.by_place.get(&place).filter(|ban| ban.holds(now));
        let Some(ban) = held.cloned() else {
            return false;
        };
        let ban = Ban {
            is_lifted: true,
            by: by.clone(),
            ..ban
        };
        self.put(place, ban, now);
        true
    }

    /// The ban of a name, from a room or, if none is given, from all of them, if it holds.
    pub fn of(&self, username: &str, room: Option<&str>, now: Now) -> Option<&Ban> {
        if self.by_place.is_empty() {
            return None;
        }
        let ban = self.by_place.get(&place(username, room));
        ban.filter(|ban| ban.holds(now))
    }

    /// Takes bans of other nodes. Returns those that are news and hold.
    pub fn merge(&mut self, others: Vec<KeptBan>, now: Now) -> Vec<KeptBan> {
        let mut news = Vec::new();
        for other in others {
            let place = (other.key.clone(), other.room.clone());
            let own = self.by_place.get(&place);
            let has_room = own.is_some() || self.by_place.len() < BANS_MAX;
            if has_room && own.is_none_or(|own| own.rank() < other.ban.rank()) {
                self.by_place.insert(place, other.ban.clone());
                if other.ban.holds(now) {
                    news.push(other);
                }
            }
        }
        news
    }

    /// Whether one of these is older than what is known here.
    pub fn has_later(&self, others: &[KeptBan]) -> bool {
        others.iter().any(|other| {
            let own = self.by_place.get(&(other.key.clone(), other.room.clone()));
            own.is_some_and(|own| own.rank() > other.ban.rank())
        })
    }

    /// A page of the bans that hold, after the place with this name.
    pub fn page(&self, after: Option<&str>, limit: usize, now: Now) -> BanList {
        let after = after.map(|after| after.split_once('\n').unwrap_or((after, "")));
        let from = after.map_or(Bound::Unbounded, |(key, room)| {
            Bound::Excluded((Rc::from(key), Rc::from(room)))
        });
        let all = self.by_place.range((from, Bound::Unbounded));
        let mut held = all.filter(|(_, ban)| ban.holds(now));
        let page: Vec<_> = held.by_ref().take(limit).collect();
        let has_more = held.next().is_some();
        let next = page.last().filter(|_| has_more);
        let next = next.map(|((key, room), _)| format!("{key}\n{room}"));
        let shown = page.into_iter().map(|((_, room), ban)| BanInfo {
            username: ban.username.clone(),
            room: Some(room.clone()).filter(|room| !room.is_empty()),
            until: ban.ends(),
            reason: ban.reason.clone(),
            by: ban.by.clone(),
            at: Timestamp::from_secs(ban.at / 1000),
        });
        BanList {
            bans: shown.collect(),
            next,
        }
    }

    /// Takes what the store is to change.
    pub fn take_changes(&mut self) -> Changes {
        self.changes
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Puts the records of all.
    pub fn keep_all(&self, changes: &mut Changes) {
        for ((key, room), ban) in &self.by_place {
            changes.put(&record(key, room, ban));
        }
    }

    /// Enters a ban that was changed here, as the latest change.
    fn put(&mut self, place: Place, ban: Ban, now: Now) {
        let before = self.by_place.get(&place).map_or(0, |before| before.at);
        let at = (now.unix.as_millis() as u64).max(before.saturating_add(1));
        let ban = Ban { at, ..ban };
        if let Some(changes) = &mut self.changes {
            changes.put(&record(&place.0, &place.1, &ban));
        }
        self.by_place.insert(place, ban);
    }

    fn forget_useless(&mut self, now: Now) {
        let Self { by_place, changes } = self;
        by_place.retain(|(key, room), ban| {
            let is_useless = ban.is_useless(now);
            if let Some(changes) = changes.as_mut().filter(|_| is_useless) {
                changes.remove(&Key::Ban(room, key));
            }
            !is_useless
        });
    }
}

fn record<'a>(key: &'a str, room: &'a str, ban: &Ban) -> Record<'a> {
    let ban = ban.clone();
    Record::Ban { room, key, ban }
}

fn place(username: &str, room: Option<&str>) -> Place {
    let room = room.map_or(Cow::Borrowed(""), nfc);
    (Rc::from(key(username)), Rc::from(room))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::LIFTED_BAN_KEPT;

    fn at(secs: u64) -> Now {
        Now {
            unix: Duration::from_secs(1_700_000_000 + secs),
            monotonic: Duration::from_secs(secs),
        }
    }

    fn new<'a>(by: &'a Rc<str>, username: &'a str, room: Option<&'a str>) -> NewBan<'a> {
        NewBan {
            username,
            room,
            seconds: Some(60),
            reason: "noise",
            by,
        }
    }

    #[test]
    fn a_ban_holds_for_every_spelling_until_it_ends_and_a_ban_from_a_room_for_that_room() {
        let (mut bans, by) = (Bans::default(), Rc::from("mod"));
        assert!(bans.ban(new(&by, "Kim", None), at(0)).is_some());
        assert!(bans.ban(new(&by, "Lee", Some("tech")), at(0)).is_some());
        for name in ["Kim", "kim", "ＫＩＭ"] {
            assert!(bans.of(name, None, at(59)).is_some(), "{name}");
            assert!(bans.of(name, None, at(60)).is_none(), "{name}");
        }
        assert!(bans.of("lee", Some("tech"), at(1)).is_some());
        assert!(bans.of("lee", Some("news"), at(1)).is_none());
        assert!(bans.of("lee", None, at(1)).is_none());
    }

    #[test]
    fn of_two_changes_the_later_one_counts_in_whatever_order_they_come() {
        let (by, room) = (Rc::from("mod"), Rc::from(""));
        let (mut first, mut second) = (Bans::default(), Bans::default());
        first.ban(new(&by, "kim", None), at(0));
        let kept = |bans: &Bans| {
            let all = bans.by_place.iter();
            all.map(|((key, _), ban)| KeptBan {
                room: Rc::clone(&room),
                key: key.clone(),
                ban: ban.clone(),
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(second.merge(kept(&first), at(0)).len(), 1);
        assert!(second.merge(kept(&first), at(0)).is_empty());
        // Lifted in the same millisecond.
        assert!(second.lift("Kim", None, &by, at(0)));
        assert!(!second.lift("Kim", None, &by, at(0)));
        let old = kept(&first);
        assert!(first.merge(kept(&second), at(1)).is_empty());
        assert!(first.of("kim", None, at(1)).is_none());
        assert!(second.merge(old, at(1)).is_empty());
        assert!(second.of("kim", None, at(1)).is_none());
    }

    #[test]
    fn of_two_changes_in_the_same_millisecond_the_same_one_counts_everywhere() {
        let room = Rc::from("");
        let made = |by: &str| {
            let (mut bans, by) = (Bans::default(), Rc::from(by));
            bans.ban(new(&by, "kim", None), at(0));
            bans
        };
        let kept = |bans: &Bans| {
            let (room, key) = (Rc::clone(&room), Rc::from("kim"));
            let ban = bans.of("kim", None, at(0)).expect("holds").clone();
            vec![KeptBan { room, key, ban }]
        };
        let (mut first, mut second) = (made("ann"), made("bob"));
        let (of_first, of_second) = (kept(&first), kept(&second));
        assert!(second.has_later(&of_first) && !first.has_later(&of_second));
        first.merge(of_second, at(0));
        second.merge(of_first, at(0));
        assert_eq!(kept(&first), kept(&second));
        assert!(!first.has_later(&kept(&second)));
    }

    #[test]
    fn bans_are_bounded_and_those_that_are_over_for_long_make_way() {
        let (mut bans, by) = (Bans::default(), Rc::from("mod"));
        for n in 0..BANS_MAX {
            let name = format!("user{n}");
            assert!(bans.ban(new(&by, &name, None), at(0)).is_some());
        }
        assert!(bans.ban(new(&by, "one more", None), at(61)).is_none());
        assert!(bans.ban(new(&by, "user1", None), at(61)).is_some());
        let later = LIFTED_BAN_KEPT.as_secs();
        assert!(bans.ban(new(&by, "one more", None), at(later)).is_some());
        assert_eq!(bans.by_place.len(), 2);
    }

    #[test]
    fn a_list_of_bans_goes_on_where_the_last_page_ended() {
        let (mut bans, by) = (Bans::default(), Rc::from("mod"));
        for name in ["a", "b", "c"] {
            bans.ban(new(&by, name, None), at(0));
            bans.ban(new(&by, name, Some("tech")), at(0));
        }
        let (mut names, mut next) = (Vec::new(), None);
        loop {
            let page = bans.page(next.as_deref(), 4, at(1));
            names.extend(page.bans.iter().map(|ban| ban.username.to_string()));
            match page.next {
                Some(more) => next = Some(more),
                None => break,
            }
        }
        assert_eq!(names, ["a", "a", "b", "b", "c", "c"]);
        assert_eq!(bans.page(None, 9, at(60)).bans, []);
    }
}
