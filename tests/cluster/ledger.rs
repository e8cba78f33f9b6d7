//! What must hold whatever has happened, over all that the members were told.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::member::{Member, Place};

/// One order for all: a position of a room is one message, whoever was told, and nothing is there twice.
pub fn check_order(members: &[Member]) {
    let mut all: HashMap<&str, BTreeMap<&Place, &(String, String)>> = HashMap::new();
    for member in members {
        for (name, room) in &member.rooms {
            let of_room = all.entry(name).or_default();
            for (place, said) in &room.seen {
                let before = of_room.insert(place, said);
                assert!(
                    before.is_none_or(|before| before == said),
                    "{name} {place:?}: {before:?} and {said:?}"
                );
            }
        }
    }
    for (name, of_room) in all {
        let mut said: HashMap<(&str, &(String, String)), &Place> = HashMap::new();
        for (place, text) in of_room {
            let before = said.insert((&place.0, text), place);
            assert!(
                before.is_none(),
                "{name}: {text:?} is at {before:?} and {place:?}"
            );
        }
    }
}

/// What was acknowledged is where it was acknowledged, unless the room has lost its past and has another epoch since.
/// Returns what was told to nobody: a room of which all was loaded anew is told from its last messages on.
pub fn check_acknowledged(members: &[Member]) -> Vec<(String, String, Place)> {
    let mut untold = Vec::new();
    let mut epochs: HashMap<&str, &str> = HashMap::new();
    for member in members {
        for (name, room) in member.rooms.iter().filter(|(_, room)| room.is_in) {
            if let Some((epoch, _)) = &room.newest {
                let other = epochs.insert(name, epoch);
                assert!(
                    other.is_none_or(|other| other == epoch),
                    "all are in one epoch of {name}"
                );
            }
        }
    }
    for author in members {
        for (room, text, place) in author.acked.values() {
            if epochs.get(&**room) != Some(&&*place.0) {
                continue;
            }
            for member in members {
                let Some(of_room) = member.rooms.get(room).filter(|of_room| of_room.is_in) else {
                    continue;
                };
                let said = of_room.seen.get(place);
                assert!(
                    said.is_none_or(|said| *said == (author.name.clone(), text.clone())),
                    "{} was told something else at {place:?}",
                    member.name
                );
            }
            let is_known = members.iter().any(|member| {
                let of_room = member.rooms.get(room);
                of_room.is_some_and(|of_room| of_room.seen.contains_key(place))
            });
            if !is_known {
                untold.push((room.clone(), text.clone(), place.clone()));
            }
        }
    }
    untold
}

/// Everybody in a room knows who else is there.
pub fn check_presence(members: &[Member]) {
    let mut here: HashMap<&str, BTreeSet<String>> = HashMap::new();
    for member in members {
        for (name, _) in member.rooms.iter().filter(|(_, room)| room.is_in) {
            here.entry(name).or_default().insert(member.name.clone());
        }
    }
    for member in members {
        for (name, room) in member.rooms.iter().filter(|(_, room)| room.is_in) {
            assert_eq!(
                room.online, here[&**name],
                "what {} knows of {name}",
                member.name
            );
        }
    }
}
