//! What `sarang user` leaves of the users file: its owner, group and mode, what others write at the same time, and a file
//! that the server can read.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Signal, geteuid};

use crate::accounts::{
    Folder, HONG, HONGS, KIM, KIMS, add, assert_done, errors, logged_in, login, names,
    refusal_fault, run, until,
};
use crate::support::{Server, sarang};

/// A user and group that is not root; no account is needed.
const SOMEBODY: u32 = 65_534;

/// Whether a test may give files to others, and run commands as them.
fn is_root(what: &str) -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        println!("not as root: {what} is not tested");
    }
    is_root
}

/// Owner, group and mode.
fn access(file: &str) -> (u32, u32, u32) {
    let there = fs::metadata(file).expect("the file");
    (there.uid(), there.gid(), there.mode() & 0o7777)
}

fn set_mode(file: &str, mode: u32) {
    fs::set_permissions(file, Permissions::from_mode(mode)).expect("another mode");
}

fn files_in(folder: &Folder) -> usize {
    fs::read_dir(&folder.0).expect("the folder").count()
}

fn remove(name: &str, file: &str) -> Output {
    run(&["user", "remove", name, "--users", file], "")
}

/// `sarang user add` that has its password already.
fn begin_add(name: &str, file: &str) -> Child {
    let mut child = sarang()
        .args(["user", "add", name, "--users", file])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    stdin.write_all(b"password\n").expect("it reads");
    child
}

#[test]
fn a_new_file_of_users_is_for_its_owner_only() {
    let folder = Folder::new("new");
    let file = folder.path("users");
    assert_done(&add("홍길동", &file, "비밀번호"));
    assert_eq!(access(&file).2, 0o600);
    assert_eq!(files_in(&folder), 1, "something is left over");
}

#[test]
fn owner_group_and_mode_of_the_file_stay() {
    let folder = Folder::new("mode");
    let file = folder.write("users", &format!("{HONG}\n"));
    let may_give = is_root("a file of another owner and group");
    for mode in [0o640, 0o600, 0o400, 0o660] {
        if may_give {
            chown(&file, Some(12_345), Some(SOMEBODY)).expect("another owner");
        }
        set_mode(&file, mode);
        let before = access(&file);
        for output in [add("김철수", &file, "비밀번호"), remove("김철수", &file)] {
            assert_done(&output);
            assert_eq!(access(&file), before);
            assert_eq!(errors(&output), "");
        }
    }
    assert_eq!(files_in(&folder), 1, "something is left over");
    // It stays readable for everybody, too, but not without a word.
    set_mode(&file, 0o644);
    let output = add("김철수", &file, "비밀번호");
    assert_done(&output);
    assert_eq!(access(&file).2, 0o644);
    let told = errors(&output);
    assert!(told.contains("chmod o-r") && told.contains(&file), "{told}");
}

#[test]
fn who_may_not_keep_the_group_is_told_who_can_read_the_file_now() {
    if !is_root("a file whose owner may not be kept") {
        return;
    }
    let folder = Folder::new("group");
    chown(&folder.0, Some(SOMEBODY), Some(SOMEBODY)).expect("another owner");
    let file = folder.write("users", &format!("{HONG}\n{KIM}\n"));
    set_mode(&file, 0o664);
    let output = sarang()
        .args(["user", "remove", "홍길동", "--users", &file])
        .uid(SOMEBODY)
        .gid(SOMEBODY)
        .output()
        .expect("the binary starts");
    assert_done(&output);
    // What was for another group is not for this one.
    assert_eq!(access(&file), (SOMEBODY, SOMEBODY, 0o604));
    let told = errors(&output);
    for what in [&file, "65534:65534", "0604", "0:0", "0664", "SIGHUP"] {
        assert!(told.contains(what), "{what}: {told}");
    }
    assert_eq!(names(&file), ["김철수"]);
}

#[test]
fn an_account_removed_from_a_file_of_another_owner_cannot_sign_in_after_sighup() {
    let folder = Folder::new("sighup");
    let file = folder.write("users", &format!("{HONG}\n{KIM}\n"));
    let mut command = sarang();
    command.args(["--listen", "127.0.0.1:0", "--users", &file]);
    if is_root("a server of another user than the administrator") {
        chown(&file, Some(0), Some(SOMEBODY)).expect("another group");
        command.uid(SOMEBODY).gid(SOMEBODY);
    }
    set_mode(&file, 0o640);
    let server = Server::spawn(command);
    logged_in(&server, "홍길동", HONGS);
    assert_done(&remove("홍길동", &file));
    assert_done(&add("이영희", &file, "비밀번호 셋"));
    server.signal(Signal::HUP);
    until("the new account is there", || {
        login(&server, "이영희", "비밀번호 셋").status == 200
    });
    login(&server, "홍길동", HONGS).assert_error(401, "invalid_credentials");
    logged_in(&server, "김철수", KIMS);
}

#[test]
fn six_users_added_at_once_are_all_there() {
    let folder = Folder::new("six");
    for (file, mut expected) in [
        (folder.path("missing"), vec![]),
        (
            folder.write("there", &format!("{HONG}\n")),
            vec!["홍길동".to_owned()],
        ),
    ] {
        let added = (1..=6).map(|n| format!("user {n}"));
        let adding: Vec<_> = added.clone().map(|name| begin_add(&name, &file)).collect();
        for child in adding {
            assert_done(&child.wait_with_output().expect("what it printed"));
        }
        expected.extend(added);
        let mut found = names(&file);
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }
    assert_eq!(files_in(&folder), 2, "something is left over");
}

#[test]
fn a_file_that_stays_locked_is_named_and_not_changed() {
    let folder = Folder::new("locked");
    let file = folder.write("users", &format!("{HONG}\n"));
    let held = File::open(&file).expect("the file");
    flock(&held, FlockOperation::LockExclusive).expect("is free");
    let commands = [begin_add("김철수", &file), begin_add("이영희", &file)];
    let removed = remove("홍길동", &file);
    let added = commands.map(|child| child.wait_with_output().expect("what it printed"));
    for output in added.iter().chain([&removed]) {
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(refusal_fault(output, &file), None);
        let told = errors(output);
        assert!(
            told.contains("locked") && told.contains("nothing was changed"),
            "{told}"
        );
    }
    assert_eq!(folder.read("users"), format!("{HONG}\n"));
    // Listing waits for nobody.
    assert_eq!(names(&file), ["홍길동"]);
    drop(held);
    assert_done(&remove("홍길동", &file));
}

#[test]
fn a_link_stays_a_link_and_what_was_killed_leaves_nothing_in_the_way() {
    let folder = Folder::new("link");
    let file = folder.write("users", &format!("{HONG}\n"));
    for (link, target) in [("link", file.clone()), ("early", folder.path("not yet"))] {
        let link = folder.path(link);
        symlink(&target, &link).expect("a link");
        // As another left it that was killed.
        folder.write(".users.new", "half a li");
        assert_done(&add("김철수", &link, "비밀번호"));
        assert!(fs::symlink_metadata(&link).expect("the link").is_symlink());
        assert!(names(&target).contains(&"김철수".to_owned()));
    }
    assert_done(&add("이영희", &file, "비밀번호"));
    assert_eq!(files_in(&folder), 4, "something is left over");
}

#[test]
fn a_file_the_server_would_refuse_is_not_written() {
    let folder = Folder::new("costs");
    let cost = |n: u32| KIM.replace("m=19456", &format!("m={}", 64 + n));
    let lines = (0..8).map(|n| cost(n).replace("김철수", &n.to_string()) + "\n");
    let text: String = lines.collect();
    let file = folder.write("users", &text);
    let output = add("김철수", &file, "비밀번호");
    assert_eq!(refusal_fault(&output, "more than 8 different costs"), None);
    assert_eq!(folder.read("users"), text);
    // A file that was not there is not there afterwards, and what is no file is not waited for.
    let folder_itself = folder.0.to_str().expect("a path in UTF-8");
    for bad in [&folder.path("no/such/file"), folder_itself, "/dev/null"] {
        assert_eq!(refusal_fault(&add("김철수", bad, "p"), bad), None);
    }
    let fifo = folder.path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
    assert!(made.success());
    let output = add("김철수", &fifo, "p");
    assert_eq!(refusal_fault(&output, "not a regular file"), None);
    assert_eq!(files_in(&folder), 2, "something is left over");
}
