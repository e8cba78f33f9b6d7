use super::*;

const A: ConnectionId = ConnectionId(0);
const B: ConnectionId = ConnectionId(1);

#[test]
fn two_connections_of_one_name_are_one_user_until_the_last_exits() {
    let mut people = People::default();
    people.enter(A, "김철수", false);
    people.enter(B, "김철수", false);
    assert_eq!(people.count(), 1);
    let user = people.find("김철수").expect("is here");
    assert_eq!(people.connections(user), [A, B]);
    for id in [9, 5, 7, 3, 11] {
        people.enter(ConnectionId(id), "김철수", false);
    }
    assert_eq!(
        people.connections(user),
        [0, 1, 3, 5, 7, 9, 11].map(ConnectionId)
    );
    for id in [7, 3, 11, 9, 5] {
        people.exit(ConnectionId(id));
    }
    assert_eq!(people.connections(user), [A, B]);
    people.exit(A);
    assert_eq!(people.find("김철수"), Some(user));
    people.exit(B);
    assert_eq!(people.find("김철수"), None);
    assert_eq!(people.count(), 0);
}

#[test]
fn guests_whose_names_have_one_key_are_found_together_while_they_are_here() {
    let mut people = People::default();
    let names = ["kim", "Kim", "ＫＩＭ", "Kim", "kin", "kimm", "Kin"];
    for (n, name) in names.into_iter().enumerate() {
        people.enter(ConnectionId(n as u32), name, false);
    }
    let alike = |people: &People| -> String {
        let users = people.guests_alike("kim");
        let names: Vec<&str> = users.map(|user| &**people.name(user)).collect();
        names.join(" ")
    };
    assert_eq!(alike(&people), "kim Kim ＫＩＭ");
    people.exit(ConnectionId(1));
    people.exit(ConnectionId(0));
    assert_eq!(alike(&people), "Kim ＫＩＭ");
    people.exit(ConnectionId(3));
    assert_eq!(alike(&people), "ＫＩＭ");
    people.exit(ConnectionId(2));
    // Who signed in is no guest.
    people.enter(A, "kim", true);
    people.enter(B, "KIM", true);
    assert_eq!(alike(&people), "");
    let all: Vec<UserId> = people.alike("kim").collect();
    assert_eq!(all.len(), 2);
    assert_eq!(people.respelled.len(), 2);
}

#[test]
fn a_connection_is_in_the_rooms_it_was_added_to_and_not_removed_from() {
    let mut people = People::default();
    people.enter(A, "김철수", false);
    for room in 0..3 {
        people.add_room(A, RoomId(room));
    }
    assert!(people.remove_room(A, RoomId(1)));
    assert!(!people.remove_room(A, RoomId(1)));
    assert_eq!(people.rooms(A), [RoomId(0), RoomId(2)]);
}

#[test]
fn each_of_many_is_found_by_name_and_no_longer_when_gone() {
    let mut people = People::default();
    for n in 0..5_000 {
        people.enter(ConnectionId(n), &n.to_string(), false);
    }
    for n in (0..5_000).step_by(2) {
        people.exit(ConnectionId(n));
    }
    for n in 0..5_000 {
        let found = people.find(&n.to_string());
        let expected = people.user_of(ConnectionId(n));
        assert_eq!((found, found.is_some()), (expected, n % 2 == 1), "{n}");
    }
}

#[test]
fn a_session_costs_24_bytes() {
    assert_eq!(size_of::<Session>(), 24);
}

#[test]
fn one_room_is_left_by_its_own_number_only() {
    let mut people = People::default();
    people.enter(A, "김철수", false);
    people.add_room(A, RoomId(7));
    assert!(!people.remove_room(A, RoomId(8)));
    assert_eq!(people.rooms(A), [RoomId(7)]);
    assert!(people.remove_room(A, RoomId(7)));
    assert!(people.rooms(A).is_empty());
    assert!(!people.remove_room(B, RoomId(7)));
}

#[test]
fn a_user_keeps_the_connections_that_did_not_exit() {
    let mut people = People::default();
    people.enter(A, "김철수", false);
    people.enter(B, "김철수", false);
    let user = people.user_of(B).expect("has entered");
    assert_eq!(people.user_of(A), Some(user));
    people.exit(A);
    assert_eq!(people.user_of(A), None);
    assert_eq!(people.connections(user), [B]);
    assert_eq!(&**people.name(user), "김철수");
}
