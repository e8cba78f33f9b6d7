//! What a folder of the store keeps over restarts, and backups of it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::chatter::contents;
use crate::support::{Server, sarang};

/// A folder for stores and backups, removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("store-{name}-{}", std::process::id()));
        _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        let path = self.0.join(name);
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    fn serve(&self, options: &[&str]) -> Server {
        Server::start(&[&["--data", &self.path("data")], options].concat())
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = sarang();
        command.args(words).args(["--data", &self.path("data")]);
        command.output().expect("it runs")
    }

    fn files(&self) -> Vec<String> {
        let entries = Path::new(&self.path("data")).read_dir().expect("a folder");
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

fn kill(mut server: Server) {
    server.signal(Signal::KILL);
    server.exit_within(crate::support::PATIENCE);
}

fn say(server: &Server, room: &str, texts: &[&str]) -> Value {
    let mut kim = server.member("김철수", room);
    let said = texts.iter().map(|text| kim.say(room, text));
    let last = said.last().expect("something is said");
    last["position"].clone()
}

fn history(server: &Server, room: &str) -> Value {
    server.get(&format!("/rooms/{room}/history")).json()
}

#[test]
fn rooms_and_what_was_said_in_them_survive_a_kill() {
    let folder = Folder::new("kill");
    let server = folder.serve(&[]);
    server.post("/rooms", r#"{"name":"tech","max_users":7}"#);
    let position = say(&server, "tech", &["하나", "둘"]);
    let before = history(&server, "tech");
    kill(server);
    let server = folder.serve(&[]);
    assert_eq!(history(&server, "tech"), before);
    assert_eq!(server.get("/rooms/tech").json()["max_users"], 7);
    let mut lee = server.guest("이영희");
    let joined = lee.resume("tech", &position);
    assert_eq!(
        (&joined["recovered"], &joined["history"]),
        (&json!(true), &json!([]))
    );
    let next = lee.say("tech", "셋");
    assert_eq!(
        next["position"],
        position.as_str().expect("a text").replace(":2", ":3")
    );
}

#[test]
fn without_a_secret_file_a_token_and_a_logout_outlive_the_process() {
    let folder = Folder::new("tokens");
    let people = folder.path("people");
    let mut add = sarang();
    add.args(["user", "add", "홍길동", "--users", &people]);
    add.stdin(Stdio::piped());
    let mut child = add.spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all("비밀번호\n".as_bytes()).expect("is read");
    drop(stdin);
    assert!(child.wait().expect("ends").success());
    let options = ["--users", &*people];
    let server = folder.serve(&options);
    let form = json!({"username": "홍길동", "password": "비밀번호"}).to_string();
    let [good, gone] = [0, 1].map(|_| {
        let token = server.post("/auth/login", &form).json()["access_token"].clone();
        format!(
            "Authorization: Bearer {}\r\n",
            token.as_str().expect("a token")
        )
    });
    let ended = server.connect().request("POST", "/auth/logout", &gone);
    assert_eq!(ended.status, 204);
    kill(server);
    let server = folder.serve(&options);
    for (token, expected) in [(&good, 200), (&gone, 401)] {
        let asked = server.connect().request("GET", "/rooms", token);
        assert_eq!(asked.status, expected);
    }
}

#[test]
fn a_backup_of_a_running_server_is_restored_with_new_epochs() {
    let folder = Folder::new("backup");
    let server = folder.serve(&[]);
    let position = say(&server, "tech", &["하나", "둘"]);
    let file = folder.path("backup");
    let done = folder.run(&["backup", &file]);
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success() && said.contains("2 messages"),
        "{done:?}"
    );
    assert!(!folder.files().iter().any(|name| name.contains("backup")));
    say(&server, "tech", &["셋"]);
    // It would be changed under the server's feet.
    let refused = folder.run(&["restore", &file]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("stop it first"),
        "{refused:?}"
    );
    kill(server);
    let done = folder.run(&["restore", &file]);
    assert!(done.status.success(), "{done:?}");
    assert!(
        folder
            .files()
            .iter()
            .any(|name| name.contains("before-restore"))
    );
    for _ in 0..2 {
        let server = folder.serve(&[]);
        assert_eq!(
            contents(&history(&server, "tech")["messages"]),
            ["하나", "둘"]
        );
        let joined = server.guest("이영희").resume("tech", &position);
        assert_eq!(joined["recovered"], false, "others may have seen more");
        kill(server);
    }
}

#[test]
fn a_backup_is_made_of_a_store_that_no_server_uses_and_only_of_one() {
    let folder = Folder::new("offline");
    let file = folder.path("backup");
    let none = folder.run(&["backup", &file]);
    assert!(
        !none.status.success() && !Path::new(&file).exists(),
        "{none:?}"
    );
    let server = folder.serve(&[]);
    say(&server, "tech", &["하나"]);
    kill(server);
    let done = folder.run(&["backup", &file]);
    assert!(done.status.success(), "{done:?}");
    let inside = folder.path("data/copy");
    assert!(!folder.run(&["backup", &inside]).status.success());
    fs::write(folder.path("junk"), "no backup").expect("can be written");
    let refused = folder.run(&["restore", &folder.path("junk")]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("no backup"),
        "{refused:?}"
    );
    let server = folder.serve(&[]);
    assert_eq!(contents(&history(&server, "tech")["messages"]), ["하나"]);
}

#[test]
fn a_damaged_store_is_moved_aside_and_that_is_told() {
    let folder = Folder::new("damage");
    let server = folder.serve(&[]);
    let position = say(&server, "tech", &["하나"]);
    kill(server);
    let file = folder.path("data/sarang.redb");
    let whole = fs::read(&file).expect("is there");
    fs::write(&file, &whole[..whole.len() / 2]).expect("can be written");
    let mut server = folder.serve(&[]);
    let joined = server.guest("이영희").resume("tech", &position);
    assert_eq!(
        (&joined["recovered"], &joined["history"]),
        (&json!(false), &json!([]))
    );
    let said = server.stop();
    assert!(
        said.contains("event=storage_damaged") && said.contains("sarang restore"),
        "{said}"
    );
    let aside = folder
        .files()
        .into_iter()
        .find(|name| name.contains("damaged"));
    let aside = folder.path(&format!("data/{}", aside.expect("is kept")));
    assert_eq!(fs::read(aside).expect("is there").len(), whole.len() / 2);
}

#[test]
fn a_second_server_on_a_folder_is_refused_and_told_who_uses_it() {
    let folder = Folder::new("second");
    let second = folder.serve(&[]);
    let refused = folder.run(&["--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    let process = second.pid().to_string();
    assert!(
        !refused.status.success() && said.contains(&process),
        "{refused:?}"
    );
}
