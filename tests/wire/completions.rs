//! Completions and the manual page. A shell or formatter that is not installed is left out; bash always is there.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::command_line::{run, text};

fn printed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a program with something on stdin; `None` if there is none of this name.
fn given(program: &str, arguments: &[&str], input: &str) -> Option<Output> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("left out, because it is not installed: {program}");
        return None;
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    Some(child.wait_with_output().expect("what it printed"))
}

/// The program, if it is there, finds nothing to complain of.
fn assert_quiet(program: &str, arguments: &[&str], input: &str) {
    if let Some(output) = given(program, arguments, input) {
        let complaints = text(&output.stderr);
        assert!(
            output.status.success() && complaints.is_empty(),
            "{program}: {complaints}"
        );
    }
}

/// A folder with files to complete.
fn folder() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("completions");
    fs::create_dir_all(&path).expect("a folder");
    for file in ["people", "people of old", "secrets"] {
        fs::write(path.join(file), "").expect("a file");
    }
    path
}

/// What bash offers after these words, as it splits them.
fn offered(words: &[&str]) -> Vec<String> {
    let script = r#"source <("$0" completions bash) && cd "$1" && shift && COMP_WORDS=("$@") && COMP_CWORD=$(($# - 1)) &&
        _sarang && printf '%s\n' "${COMPREPLY[@]}""#;
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_sarang")])
        .arg(folder())
        .arg("sarang")
        .args(words)
        .output()
        .expect("bash");
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    lines
        .lines()
        .map(str::to_owned)
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn bash_completes_commands_options_values_and_files() {
    const LEVELS: [&str; 5] = ["off", "error", "warn", "info", "debug"];
    for (words, expected) in [
        (&["--li"][..], &["--listen"][..]),
        (&["--guests", "--li"], &["--listen"]),
        (&["chec"], &["check"]),
        (&["check", "--conf"], &["--config"]),
        (&["--log", ""], &LEVELS),
        (&["--log", "w"], &["warn"]),
        (&["--log", "="], &LEVELS),
        (&["--log", "=", "w"], &["warn"]),
        (&["--log-format", "j"], &["json"]),
        (&["--users", "peo"], &["people", "people of old"]),
        (&["--users", "=", "se"], &["secrets"]),
        (
            &["--listen", "unix", ":"],
            &["people", "people of old", "secrets"],
        ),
        (&["--listen", "unix", ":", "se"], &["secrets"]),
        (&["--listen", "1"], &[]),
        (&["--rooms", ""], &[]),
        (&["user", "a"], &["add"]),
        (&["user", "add", "a", "--ad"], &["--admin"]),
        (&["--ad"], &[]),
        (&["user", "add", "a", "--users", "se"], &["secrets"]),
        (&["completions", "z"], &["zsh"]),
        (&["help", "room-"], &["room-users"]),
    ] {
        let mut offered = offered(words);
        let mut expected = expected.to_vec();
        offered.sort();
        expected.sort_unstable();
        assert_eq!(offered, expected, "{words:?}");
    }
    let all = offered(&[""]);
    for word in ["user", "check", "--listen", "--version"] {
        assert!(
            all.iter().any(|one| one == word),
            "{word} is not in {all:?}"
        );
    }
}

#[test]
fn every_shell_takes_its_script() {
    assert_quiet("bash", &["-n"], &printed(&["completions", "bash"]));
    assert_quiet("zsh", &["-n"], &printed(&["completions", "zsh"]));
    assert_quiet(
        "fish",
        &["--no-config", "--no-execute"],
        &printed(&["completions", "fish"]),
    );
}

#[test]
fn zsh_registers_it_for_the_command() {
    let script = format!(
        "autoload -Uz compinit && compinit -u -D\n{}\nprint $_comps[sarang]\n",
        printed(&["completions", "zsh"])
    );
    if let Some(output) = given("zsh", &["-f"], &script) {
        assert_eq!(
            (text(&output.stdout), text(&output.stderr)),
            ("_sarang\n".into(), String::new())
        );
    }
}

#[test]
fn fish_completes_options_values_and_files() {
    let script = printed(&["completions", "fish"]);
    for (line, expected) in [
        ("sarang --li", "--listen"),
        ("sarang --log w", "warn"),
        ("sarang chec", "check"),
        ("sarang user a", "add"),
        ("sarang --users peo", "people"),
    ] {
        let folder = folder();
        let folder = folder.to_str().expect("a path in UTF-8");
        let input = format!("{script}\ncd '{folder}'\ncomplete -C '{line}'\n");
        let Some(output) = given("fish", &["--no-config"], &input) else {
            return;
        };
        let offered = text(&output.stdout);
        let mut words = offered.lines().filter_map(|line| line.split('\t').next());
        assert!(words.any(|word| word == expected), "{line}: {offered}");
    }
}

#[test]
fn the_manual_page_has_no_mistakes() {
    let page = printed(&["man"]);
    assert_quiet("groff", &["-man", "-ww", "-z", "-Tutf8"], &page);
    if let Some(output) = given("mandoc", &["-T", "lint"], &page) {
        assert_eq!(text(&output.stdout), "");
    }
}
