//! Names in any spelling (SPEC section 6): composed or not they are the same room and person, what cannot be seen is in
//! none, and whose a guest's name is does not depend on case, width and the like.

use rustix::process::Signal;
use serde_json::json;

use crate::accounts::{
    Folder, HONG, HONGS, add, assert_done, errors, guest_enters, logged_in, login, names, run,
    ticket_target, until,
};
use crate::support::{Chatter, Response, Server, assert_no_failures, percent_encoded};

/// 홍길동 in its jamo.
const APART: &str = "\u{1112}\u{1169}\u{11bc}\u{1100}\u{1175}\u{11af}\u{1103}\u{1169}\u{11bc}";
const TECH: &str = "기술";
/// 기술 in its jamo.
const TECH_APART: &str = "\u{1100}\u{1175}\u{1109}\u{116e}\u{11af}";

/// The other names in a users file: the demo's hash, of `secret`.
fn admin(name: &str) -> String {
    let line = sarang::domain::accounts::DEMO_ACCOUNTS.trim();
    let line = line.trim_end_matches(":admin");
    line.replacen("admin", name, 1)
}

#[test]
fn a_room_and_its_members_are_the_same_however_their_names_are_composed() {
    let server = Server::start(&[]);
    let mut hong = Chatter::open(
        &server,
        &format!("/ws?username={}", percent_encoded(APART)),
        &[],
    );
    assert_eq!(hong.expect("welcome")["username"], "홍길동");
    hong.send(json!({"type": "join", "room": TECH_APART}));
    assert_eq!(hong.expect("room_joined")["room"], TECH);
    let mut kim = server.member("김철수", TECH);
    assert_eq!(hong.expect("user_joined")["room"], TECH);
    for room in [TECH, TECH_APART] {
        kim.send(json!({"type": "chat", "room": room, "content": "안녕", "id": "1"}));
    }
    assert_eq!(kim.expect("chat")["room"], TECH);
    // The second is the same message.
    assert_eq!(kim.expect("ack")["position"], kim.expect("ack")["position"]);
    assert_eq!(hong.expect("chat")["room"], TECH);
    for to in ["홍길동", APART] {
        kim.send(json!({"type": "whisper", "to": to, "content": "비밀", "id": "2"}));
    }
    assert_eq!(kim.expect("whisper")["to"], "홍길동");
    kim.expect("ack");
    kim.expect("ack");
    assert_eq!(hong.expect("whisper")["content"], "비밀");
    kim.refused(
        json!({"type": "join", "room": TECH_APART}),
        "already_in_room",
    );
    for room in [TECH, TECH_APART] {
        let path = format!("/rooms/{}", percent_encoded(room));
        assert_eq!(server.get(&path).json()["name"], TECH);
        let history = server.get(&format!("{path}/history")).json();
        assert_eq!(
            (
                &history["room"],
                history["messages"].as_array().map(Vec::len)
            ),
            (&json!(TECH), Some(1))
        );
    }
    let response = create(&server, TECH_APART);
    response.assert_error(409, "room_exists");
    let created = create(&server, "cafe\u{301}");
    assert_eq!(
        (created.status, &created.json()["name"]),
        (201, &json!("café"))
    );
    assert_eq!(created.required("location"), "/rooms/caf%C3%A9");
    hong.send(json!({"type": "leave", "room": TECH_APART}));
    assert_eq!(hong.until("room_left")["room"], TECH);
    let mut another = Chatter::open(
        &server,
        &format!("/ws?username={}", percent_encoded(APART)),
        &[],
    );
    another.expect("welcome");
    another.join(TECH);
    kim.send(json!({"type": "leave", "room": TECH}));
    assert_eq!(
        server.get("/rooms").json()["rooms"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

fn create(server: &Server, name: &str) -> Response {
    server.post("/rooms", &json!({"name": name}).to_string())
}

#[test]
fn rooms_are_told_apart_by_case_and_width() {
    let server = Server::start(&[]);
    for name in ["tech", "Tech", "ｔｅｃｈ"] {
        assert_eq!(create(&server, name).status, 201, "{name}");
    }
    assert_eq!(server.get("/rooms/Tech").json()["name"], "Tech");
    server
        .get("/rooms/TECH")
        .assert_error(404, "room_not_found");
}

/// What is in no name, with a name around it.
const REFUSED: [&str; 30] = [
    "",
    " ",
    "\u{a0}",
    "\u{3000}\u{3000}",
    "\u{200b}",
    "\u{3164}",
    "\u{115f}",
    "\u{1160}",
    "\u{ffa0}",
    "\u{2800}",
    "\u{feff}",
    "\u{34f}",
    "kim ",
    " kim",
    "kim\u{3000}",
    "k\u{7}im",
    "kim\u{85}",
    "ki\u{ad}m",
    "kim\u{200d}",
    "\u{202e}mik",
    "\u{2066}kim\u{2069}",
    "kim\u{2028}",
    "kim\u{fe0f}",
    "kim\u{e0041}",
    "kim\u{e000}",
    "kim\u{ffff}",
    "kim\u{378}",
    "kim\u{600}",
    "k\u{180e}im",
    "👩\u{200d}💻",
];

#[test]
fn what_cannot_be_seen_is_in_no_name() {
    let folder = Folder::new("unseen");
    let file = folder.write("users", &format!("{HONG}\n"));
    let server = folder.serve(&["--users", &file, "--guests"]);
    let mut failures = Vec::new();
    let mut kim = server.guest("kim");
    let demo = Server::start(&[]);
    for name in REFUSED {
        if guest_enters(&server, name) {
            failures.push(format!("a guest {name:?}"));
        }
        kim.refused(json!({"type": "join", "room": name}), "bad_room_name");
        create(&demo, name).assert_error(400, "bad_room_name");
        let output = add(name, &file, "p");
        if output.status.code() != Some(1) || errors(&output).lines().count() != 1 {
            failures.push(format!("an account {name:?}: {}", errors(&output)));
        }
        // The ends of a line are not the name's.
        if name.trim() == name {
            let bad = folder.write("bad", &format!("{HONG}\n{}\n", admin(name)));
            let output = run(&["--listen", "127.0.0.1:0", "--users", &bad], "");
            if output.status.success() || !errors(&output).contains("line 2") {
                failures.push(format!("a line {name:?}: {}", errors(&output)));
            }
        }
    }
    for room in [".", ".."] {
        kim.refused(json!({"type": "join", "room": room}), "bad_room_name");
        create(&demo, room).assert_error(400, "bad_room_name");
        assert!(guest_enters(&server, room));
    }
    for name in ["👋", "Ünïcödé", "李", "a b", "ก็", "न", "한\u{a0}글"] {
        assert!(guest_enters(&server, name), "{name}");
    }
    assert_no_failures(&failures);
    assert_eq!(names(&file), ["홍길동"]);
}

#[test]
fn no_guest_has_the_name_of_an_account_however_it_is_spelled() {
    let folder = Folder::new("alike");
    let file = folder.write("users", &format!("{HONG}\n{}\n", admin("admin")));
    let server = folder.serve(&["--users", &file, "--guests"]);
    for name in [
        "홍길동",
        APART,
        "admin",
        "admin\u{200b}",
        "Admin",
        "ADMIN",
        "ａｄｍｉｎ",
        "ⓐdmin",
        "𝐚𝐝𝐦𝐢𝐧",
        "ad\u{ad}min",
        "\u{202e}nimda",
        "admin ",
        " admin",
        "\u{3164}",
        "\u{200b}",
        " ",
        "",
    ] {
        assert!(!guest_enters(&server, name), "{name:?}");
    }
    // What only looks alike is another name.
    for name in ["аdmin", "admın", "홍길순", "ad min"] {
        assert!(guest_enters(&server, name), "{name:?}");
    }
    logged_in(&server, "홍길동", HONGS);
    logged_in(&server, APART, HONGS);
    login(&server, "Admin", "secret").assert_error(401, "invalid_credentials");
}

#[test]
fn an_account_comes_and_every_guest_of_its_name_has_to_go() {
    let folder = Folder::new("alike-gone");
    let file = folder.write("users", &format!("{HONG}\n"));
    let server = folder.serve(&["--users", &file, "--guests"]);
    let mut gone = ["admin", "ADMIN", "ａｄｍｉｎ"].map(|name| server.guest(name));
    let mut stays = server.member("adminn", "tech");
    folder.write("users", &format!("{HONG}\n{}\n", admin("Admin")));
    server.signal(Signal::HUP);
    for guest in &mut gone {
        assert_eq!(guest.close_frame().0, 4001);
    }
    stays.say("tech", "hi");
    // It signs in by its own spelling, and when it is gone its names are nobody's.
    logged_in(&server, "Admin", "secret");
    folder.write("users", &format!("{HONG}\n"));
    server.signal(Signal::HUP);
    until("Admin is gone", || {
        login(&server, "Admin", "secret").status == 401
    });
    assert!(!guest_enters(&server, "admin") && !guest_enters(&server, "ADMIN"));
}

#[test]
fn guests_share_a_spelling_and_the_connections_of_all_spellings_are_limited_together() {
    let server = Server::start(&["--connections-per-user", "2"]);
    let _guests = ["Kim", "kim"].map(|name| server.guest(name));
    let mut third = Chatter::open(&server, "/ws?username=KIM", &[]);
    assert_eq!(third.close_frame().0, 1013);
    server.guest("lee");
}

#[test]
fn an_account_is_not_added_beside_one_that_differs_in_spelling_only() {
    let folder = Folder::new("add-alike");
    let file = folder.write("users", &format!("{}\n", admin("admin")));
    for name in ["Admin", "ａｄｍｉｎ"] {
        let output = add(name, &file, "p");
        let told = errors(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("admin") && told.contains(name), "{told}");
    }
    assert_done(&add(APART, &file, HONGS));
    assert_eq!(names(&file), ["admin", "홍길동"]);
    // A line that somebody wrote by hand is the same account.
    let text = folder.read("users").replace("홍길동", APART);
    folder.write("users", &text);
    assert_eq!(names(&file), ["admin", "홍길동"]);
    assert_done(&add("홍길동", &file, "another"));
    assert_eq!(folder.read("users").lines().count(), 2);
    assert_done(&run(&["user", "remove", APART, "--users", &file], ""));
    assert_eq!(names(&file), ["admin"]);
    // Both are there already: they are two accounts, and no guest's.
    folder.write(
        "users",
        &format!("{}\n{}\n", admin("admin"), admin("Admin")),
    );
    assert_done(&add("Admin", &file, "changed"));
    let server = folder.serve(&["--users", &file, "--guests"]);
    let admins = [("admin", "secret"), ("Admin", "changed")].map(|(name, password)| {
        let token = logged_in(&server, name, password);
        let mut chatter = Chatter::open(&server, &ticket_target(&server, &token), &[]);
        assert_eq!(chatter.expect("welcome")["username"], name);
        chatter
    });
    for name in ["admin", "Admin", "ADMIN"] {
        assert!(!guest_enters(&server, name), "{name}");
    }
    drop(admins);
}
