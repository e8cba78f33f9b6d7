//! Kinds of events, the channels that have them, and the names of channels.

use std::time::Duration;

use crate::config::{
    API_EVERY, BUSINESS_EVERY, CHANNEL_NAME_CHARS_MAX, CHANNELS_PER_STREAM_MAX, OWN_CHANNELS_MAX,
    SYSTEM_EVERY,
};

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The machine: processor, memory, disk.
    System,
    /// This server's traffic.
    Api,
    /// Users, and figures a back end posts.
    Business,
    /// Events of a channel of one's own, by its place in the event log, below [`OWN_CHANNELS_MAX`].
    Own(u8),
}

/// The bit of audit events, which are no kind of the event log, in [`Kinds`].
const AUDIT_BIT: u32 = u128::BITS - 1;

// Every kind is one bit of `Kinds`.
const _: () = assert!(Kind::SAMPLED.len() + OWN_CHANNELS_MAX <= AUDIT_BIT as usize);

impl Kind {
    /// The kinds that the server itself samples.
    pub const SAMPLED: [Self; 3] = [Self::System, Self::Api, Self::Business];

    /// The event's name; that of a channel of one's own is in the event log.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::System => Some("system_metrics"),
            Self::Api => Some("api_metrics"),
            Self::Business => Some("business_metrics"),
            Self::Own(_) => None,
        }
    }

    /// The period of these events; `None` if they come only when they are posted.
    pub fn every(self) -> Option<Duration> {
        match self {
            Self::System => Some(SYSTEM_EVERY),
            Self::Api => Some(API_EVERY),
            Self::Business => Some(BUSINESS_EVERY),
            Self::Own(_) => None,
        }
    }

    /// Its index among all kinds, those of channels of one's own last.
    pub fn index(self) -> usize {
        match self {
            Self::System => 0,
            Self::Api => 1,
            Self::Business => 2,
            Self::Own(place) => Self::SAMPLED.len() + usize::from(place),
        }
    }

    /// The kind with this index.
    pub fn of_index(index: usize) -> Self {
        let sampled = Self::SAMPLED.get(index).copied();
        sampled.unwrap_or_else(|| Self::Own((index - Self::SAMPLED.len()) as u8))
    }
}

/// A set of kinds: what is sent to a subscriber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u128);

impl Kinds {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Every kind there is, and every one there will be.
    pub const ALL: Self = Self(!Self::AUDIT.0);
    /// Audit events, which are apart from all others.
    pub const AUDIT: Self = Self(1 << AUDIT_BIT);

    /// Whether events of this kind belong to it.
    pub fn has(self, kind: Kind) -> bool {
        self.0 >> kind.index() & 1 == 1
    }

    /// Adds a kind.
    pub fn insert(&mut self, kind: Kind) {
        self.0 |= 1 << kind.index();
    }

    /// The kinds in this set or the other.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        let mut set = Self::NONE;
        kinds.into_iter().for_each(|kind| set.insert(kind));
        set
    }
}

/// A channel that every server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the paths' under /sse")]
pub enum Channel {
    Dashboard,
    All,
    System,
    Api,
    Business,
    Audit,
}

impl Channel {
    /// All of them, by index.
    pub const ALL: [Self; 6] = [
        Self::Dashboard,
        Self::All,
        Self::System,
        Self::Api,
        Self::Business,
        Self::Audit,
    ];

    /// The channel of this name, unless it has a sequence of its own.
    pub fn find(name: &str) -> Option<Self> {
        let mut public = Self::ALL
            .into_iter()
            .filter(|channel| *channel != Self::Audit);
        public.find(|channel| channel.name() == name)
    }

    /// Its name in `/sse/…`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dashboard => "dashboard",
            Self::All => "all",
            Self::System => "system",
            Self::Api => "api",
            Self::Business => "business",
            Self::Audit => "audit",
        }
    }

    /// Its index in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The kinds of its events.
    pub fn kinds(self) -> Kinds {
        match self {
            Self::Dashboard => Kind::SAMPLED.into_iter().collect(),
            Self::All => Kinds::ALL,
            Self::System => Kinds::from_iter([Kind::System]),
            Self::Api => Kinds::from_iter([Kind::Api]),
            Self::Business => Kinds::from_iter([Kind::Business]),
            Self::Audit => Kinds::AUDIT,
        }
    }
}

/// Names that no channel of one's own may have, beside those of the other channels and of their events: `gap` is the
/// server's own event, an `EventSource` dispatches its own `open` and `error`, and `audit` is kept for the server.
const RESERVED: [&str; 4] = ["gap", "open", "error", "audit"];

/// What the name of a channel stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A channel that every server has.
    BuiltIn(Channel),
    /// A channel of one's own, whether anybody has posted to it or not.
    Own,
    /// No channel may have this name.
    Reserved,
    /// Not 1 to [`CHANNEL_NAME_CHARS_MAX`] characters of `a-z0-9_-`.
    Malformed,
}

impl Named {
    /// What this name stands for.
    pub fn of(name: &str) -> Self {
        let is_allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        let mut of_events = Kind::SAMPLED.into_iter().filter_map(Kind::name);
        if let Some(channel) = Channel::find(name) {
            Self::BuiltIn(channel)
        } else if RESERVED.contains(&name) || of_events.any(|event| event == name) {
            Self::Reserved
        } else if (1..=CHANNEL_NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_allowed)
        {
            Self::Own
        } else {
            Self::Malformed
        }
    }
}

/// The channels that a stream is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The kinds of those that every server has.
    pub kinds: Kinds,
    /// The names of the others, each once.
    pub own: Vec<Box<str>>,
}

/// Why a list of channels is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadList {
    /// It has a name that no channel may have.
    NoChannel,
    /// It has more than [`CHANNELS_PER_STREAM_MAX`] names, without duplicates.
    TooLong,
}

impl Wanted {
    /// The audit stream.
    pub const AUDIT: Self = Self {
        kinds: Kinds::AUDIT,
        own: Vec::new(),
    };

    /// Parses names separated by commas; the same name may come more than once.
    ///
    /// # Errors
    /// Why the list is not accepted.
    pub fn parse(list: &str) -> Result<Self, BadList> {
        let mut names: Vec<&str> = Vec::new();
        let mut wanted = Self {
            kinds: Kinds::NONE,
            own: Vec::new(),
        };
        for name in list.split(',') {
            if names.contains(&name) {
                continue;
            }
            if names.len() == CHANNELS_PER_STREAM_MAX {
                return Err(BadList::TooLong);
            }
            names.push(name);
            match Named::of(name) {
                Named::BuiltIn(channel) => wanted.kinds = wanted.kinds.and(channel.kinds()),
                Named::Own => wanted.own.push(name.into()),
                Named::Reserved | Named::Malformed => return Err(BadList::NoChannel),
            }
        }
        if wanted.kinds == Kinds::ALL {
            wanted.own.clear();
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_found_by_its_name_and_stands_at_its_index() {
        for (index, name) in ["dashboard", "all", "system", "api", "business"]
            .into_iter()
            .enumerate()
        {
            let channel = Channel::find(name).expect("is there");
            assert_eq!((channel.name(), channel.index()), (name, index));
            assert_eq!(Channel::ALL[index], channel);
            assert_eq!(Named::of(name), Named::BuiltIn(channel));
        }
        assert_eq!(Channel::find("System"), None);
    }

    #[test]
    fn a_kind_goes_to_its_own_channel_and_to_those_that_have_all() {
        for (kind, name, channel) in [
            (Kind::System, "system_metrics", Channel::System),
            (Kind::Api, "api_metrics", Channel::Api),
            (Kind::Business, "business_metrics", Channel::Business),
        ] {
            assert_eq!(kind.name(), Some(name));
            for other in Channel::ALL {
                let has_all = matches!(other, Channel::Dashboard | Channel::All);
                let has = other.kinds().has(kind);
                assert_eq!(has, has_all || other == channel, "{other:?}");
            }
        }
    }

    #[test]
    fn only_the_channel_that_has_all_has_the_events_of_channels_of_ones_own() {
        for place in 0..OWN_CHANNELS_MAX as u8 {
            let kind = Kind::Own(place);
            for channel in Channel::ALL {
                assert_eq!(channel.kinds().has(kind), channel == Channel::All);
            }
            let only = Kinds::from_iter([kind]);
            assert!(only.has(kind) && !only.has(Kind::Own(place + 1)));
            let with_system = only.and(Channel::System.kinds());
            assert!(with_system.has(kind) && with_system.has(Kind::System));
            assert!(!with_system.has(Kind::Api));
        }
    }

    #[test]
    fn a_name_of_a_channel_has_1_to_64_of_the_allowed_characters_and_is_not_the_servers() {
        let longest = "z".repeat(CHANNEL_NAME_CHARS_MAX);
        for name in [
            "a", "0", "_", "-", "deploys", "team-7_x", "message", &longest,
        ] {
            assert_eq!(Named::of(name), Named::Own, "{name}");
        }
        let too_long = "z".repeat(CHANNEL_NAME_CHARS_MAX + 1);
        for name in ["", "A", "가", "a b", "a,b", "a/b", "a.b", "a\n", &too_long] {
            assert_eq!(Named::of(name), Named::Malformed, "{name:?}");
        }
        for name in [
            "gap",
            "open",
            "error",
            "audit",
            "api_metrics",
            "system_metrics",
        ] {
            assert_eq!(Named::of(name), Named::Reserved, "{name}");
        }
    }

    #[test]
    fn a_list_of_channels_has_each_once_and_none_that_cannot_be() {
        let kinds = |channels: &[Channel]| {
            let kinds = channels.iter().map(|channel| channel.kinds());
            kinds.fold(Kinds::NONE, Kinds::and)
        };
        for (list, channels, own) in [
            ("api", &[Channel::Api][..], &[][..]),
            ("api,system,api", &[Channel::Api, Channel::System], &[]),
            ("system,api,business", &[Channel::Dashboard], &[]),
            ("b,a,b", &[], &["b", "a"]),
            ("b,api", &[Channel::Api], &["b"]),
            ("b,all,c", &[Channel::All], &[]),
        ] {
            let own = own.iter().map(|name| Box::from(*name)).collect();
            let kinds = kinds(channels);
            assert_eq!(Wanted::parse(list), Ok(Wanted { kinds, own }), "{list}");
        }
        for list in [
            "",
            ",",
            "a,",
            ",a",
            "a,,b",
            "a, b",
            "a,B",
            "api,gap",
            "all,error",
        ] {
            assert_eq!(Wanted::parse(list), Err(BadList::NoChannel), "{list}");
        }
    }

    #[test]
    fn a_list_of_channels_is_limited() {
        let names: Vec<String> = (0..CHANNELS_PER_STREAM_MAX)
            .map(|n| n.to_string())
            .collect();
        let longest = format!("{0},{0}", names.join(","));
        let parsed = Wanted::parse(&longest).expect("fits");
        assert_eq!(parsed.own.len(), CHANNELS_PER_STREAM_MAX);
        assert_eq!(Wanted::parse(&(longest + ",all")), Err(BadList::TooLong));
    }
}
