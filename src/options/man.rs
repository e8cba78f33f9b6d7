//! The manual page, in the macros of man(7).

use super::commands::COMMANDS;
use super::help::sentence;
use super::setting::{Group, Setting};
use super::table::OPTIONS;

/// When the text of the page last changed.
const DATE: &str = "2026-11-27";

/// The page.
pub fn page() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".TH SARANG 1 {DATE} \"sarang {version}\" \"User Commands\"\n\
        .SH NAME\nsarang \\- chat rooms over WebSocket and live metrics by server\\-sent events\n.SH SYNOPSIS\n"
    );
    for (index, command) in COMMANDS.iter().enumerate() {
        let line = if index == 0 { "" } else { ".br\n" };
        let usage = command.usage();
        let rest = usage.trim_start_matches("sarang");
        page.push_str(&format!("{line}.B sarang\n{}\n", text(rest.trim_start())));
    }
    page.push_str(".SH DESCRIPTION\n");
    page.push_str(&text(DESCRIPTION));
    page.push_str("\n.SH COMMANDS\n");
    for command in COMMANDS.iter().filter(|command| !command.name.is_empty()) {
        push_entry(
            &mut page,
            command.name,
            &format!("{}.", sentence(command.help)),
        );
    }
    page.push_str(".SH OPTIONS\n");
    for group in Group::ALL {
        page.push_str(&format!(".SS {}\n", text(group.title())));
        for setting in OPTIONS.iter().filter(|setting| setting.group == group) {
            push_entry(&mut page, &setting.usages(), &meaning(setting));
        }
    }
    for (title, paragraphs) in SECTIONS {
        page.push_str(&format!(".SH {title}\n"));
        let paragraphs: Vec<String> = paragraphs.iter().map(|one| text(one)).collect();
        page.push_str(&format!("{}\n", paragraphs.join("\n.PP\n")));
    }
    page
}

const DESCRIPTION: &str = "A server of chat rooms and of live metrics, with a web page for each. Without `--users` and \
    `--secret-file` it is a demo: it listens on 127.0.0.1:8000, guests connect with a name only, and there is one account, \
    admin with the password secret.";

/// What follows the options.
const SECTIONS: [(&str, &[&str]); 4] = [
    (
        "CONFIG FILE",
        &[
            "The file that `--config` or `SARANG_CONFIG` names has one option per line, without dashes before its name: \
            `rooms = 500`. A switch is `guests = true` or `guests = false`. An option that may be given several times has \
            a line for each value. Blank lines, and lines that begin with `#`, are ignored; quotes have no meaning.",
            "Names of files in it are relative to the working directory. It is read at the start only; SIGHUP does not \
            reread it.",
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            "Each option is also a variable: `--allow-origin` is `SARANG_ALLOW_ORIGIN`, a list separated by commas, and \
            `--guests` is `SARANG_GUESTS=1`.",
            "Options of the command line take precedence over the environment, and the environment over the config file. \
            A source that gives an option that may be given several times replaces all values of those below it.",
        ],
    ),
    (
        "SIGNALS",
        &[
            "SIGINT and SIGTERM stop the server. SIGHUP rereads the files of accounts, secrets and API keys.",
        ],
    ),
    (
        "EXIT STATUS",
        &[
            "0 after a stop by a signal, and when `sarang check` found the server ready. 1 after an error. 2 when a command, an \
            option, a variable or a line of the config file is wrong.",
        ],
    ),
];

/// Everything about an option except its name.
fn meaning(setting: &Setting) -> String {
    let mut parts = vec![format!("{}.", sentence(setting.help))];
    if !setting.details.is_empty() {
        parts.push(setting.details.to_owned());
    }
    if setting.is_list() {
        parts.push("It may be given several times.".into());
    }
    if let Some(default) = setting.default() {
        parts.push(format!("The default is `{default}`."));
    }
    parts.join(" ")
}

fn push_entry(page: &mut String, name: &str, meaning: &str) {
    page.push_str(&format!(".TP\n.B {}\n{}\n", text(name), text(meaning)));
}

/// Text in which backticks mark code, as lines of roff input.
fn text(plain: &str) -> String {
    let mut roff = String::new();
    let mut column = 0;
    let mut is_code = false;
    for word in plain.split_whitespace() {
        let word = escaped(word, &mut is_code);
        let is_first = roff.is_empty();
        if !is_first && column + 1 + word.len() > LINE_BYTES_MAX {
            roff.push('\n');
            column = 0;
        } else if !is_first {
            roff.push(' ');
            column += 1;
        }
        // At the start of a line a full stop would begin a request.
        if column == 0 && word.starts_with('.') {
            roff.push_str("\\&");
        }
        roff.push_str(&word);
        column += word.len();
    }
    roff
}

/// The longest line, in bytes, as the manual pages of most systems have it.
const LINE_BYTES_MAX: usize = 78;

fn escaped(word: &str, is_code: &mut bool) -> String {
    let mut roff = String::new();
    for letter in word.chars() {
        match letter {
            '`' => {
                *is_code = !*is_code;
                roff.push_str(if *is_code { "\\fB" } else { "\\fR" });
            }
            '\\' => roff.push_str("\\e"),
            '-' => roff.push_str("\\-"),
            '\'' => roff.push_str("\\(aq"),
            '~' => roff.push_str("\\(ti"),
            '^' => roff.push_str("\\(ha"),
            letter => roff.push(letter),
        }
    }
    roff
}
