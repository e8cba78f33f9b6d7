//! Who is in a room at all nodes, as the engine tells it.

use std::rc::Rc;

use crate::config::PRESENCE_NAMES_MAX;

/// Who is in a room, at all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    count: usize,
    /// Names in their order, and whether each is a guest's: all of them up to [`PRESENCE_NAMES_MAX`] users, else so many.
    names: Vec<(Rc<str>, bool)>,
}

impl Crowd {
    /// So many users, of whom these are told.
    pub fn new(count: usize, names: impl IntoIterator<Item = (Rc<str>, bool)>) -> Self {
        let mut crowd = Self {
            count,
            names: Vec::new(),
        };
        for (name, is_guest) in names {
            crowd.put(name, is_guest);
        }
        crowd
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.names
            .binary_search_by(|(other, _)| (**other).cmp(name))
    }

    fn put(&mut self, name: Rc<str>, is_guest: bool) {
        match self.place(&name) {
            Ok(place) => self.names[place].1 = is_guest,
            Err(place) => self.names.insert(place, (name, is_guest)),
        }
    }

    /// How many users there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The names that are known, and whether each is a guest's.
    pub fn names(&self) -> impl Iterator<Item = (&Rc<str>, bool)> {
        self.names.iter().map(|(name, is_guest)| (name, *is_guest))
    }

    /// A user has come, and there are so many now. Returns whether that is news.
    pub fn joined(&mut self, name: &Rc<str>, is_guest: bool, count: usize) -> bool {
        let is_known = self.place(name).is_ok();
        let has_place = self.names.len() < PRESENCE_NAMES_MAX;
        let before = std::mem::replace(&mut self.count, count);
        if is_known || has_place {
            self.put(name.clone(), is_guest);
        }
        !is_known && (has_place || before != count)
    }

    /// A user has left, and there are so many now. Returns whether they were a guest if that is news, and they were known.
    pub fn left(&mut self, name: &str, count: usize) -> Option<bool> {
        self.count = count;
        let place = self.place(name).ok()?;
        Some(self.names.remove(place).1)
    }

    /// There are so many users now.
    pub fn counted(&mut self, count: usize) {
        self.count = count;
    }

    /// Whether more names should be known: a room has become small.
    pub fn is_incomplete(&self) -> bool {
        self.count <= PRESENCE_NAMES_MAX && self.names.len() != self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_comes_and_goes_once_however_often_it_is_told() {
        let mut crowd = Crowd::new(1, [("lee".into(), false)]);
        let kim: Rc<str> = "kim".into();
        assert!(crowd.joined(&kim, true, 2));
        assert!(!crowd.joined(&kim, true, 2));
        assert_eq!((crowd.count(), crowd.names().count()), (2, 2));
        assert_eq!(crowd.left("kim", 1), Some(true));
        assert_eq!(crowd.left("kim", 1), None);
        assert!(!crowd.is_incomplete());
    }

    #[test]
    fn of_many_only_some_are_known_until_they_are_few() {
        let mut crowd = Crowd::default();
        for n in 1..=PRESENCE_NAMES_MAX + 9 {
            assert!(crowd.joined(&n.to_string().into(), false, n));
        }
        assert_eq!(crowd.names().count(), PRESENCE_NAMES_MAX);
        assert!(!crowd.is_incomplete());
        crowd.counted(PRESENCE_NAMES_MAX - 1);
        assert!(crowd.is_incomplete());
    }
}
