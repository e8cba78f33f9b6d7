//! What `sarang help` prints.

use super::commands::{self, COMMANDS};
use super::names;
use super::setting::{Group, Setting};
use super::suggestion::nearest;
use super::table::{OPTIONS, find};

/// The longest line, in characters.
pub const LINE_CHARS_MAX: usize = 100;
/// Where texts begin, in characters.
const TEXT_COLUMN: usize = 31;

/// The commands and options.
pub fn overview() -> String {
    let mut text = String::from(
        "sarang: chat rooms over WebSocket and live metrics by server-sent events, in one small server\n\nUsage:\n",
    );
    for command in &COMMANDS {
        push_entry(&mut text, &command.usage(), command.help);
    }
    text.push('\n');
    text.push_str(&wrapped(
        "Without --users and --secret-file it is a demo: it listens on 127.0.0.1:8000, guests connect with a name only, \
        and there is one account, admin with the password secret. Open http://127.0.0.1:8000 in a browser.",
        0,
    ));
    for group in Group::ALL {
        text.push_str(&format!("\n{}:\n", group.title()));
        for setting in OPTIONS.iter().filter(|setting| setting.group == group) {
            let default = setting.default().map(|default| format!(" [{default}]"));
            let summary = setting.summary() + &default.unwrap_or_default();
            push_entry(&mut text, &setting.usages(), &summary);
        }
    }
    text.push('\n');
    text.push_str(&wrapped(
        "Each option is also an environment variable: --allow-origin is SARANG_ALLOW_ORIGIN (a list separated by \
        commas), --guests is SARANG_GUESTS=1; and a line in the file that --config names: guests = true. The command \
        line takes precedence over the environment, and the environment over the file.",
        0,
    ));
    text.push_str(
        "\nsarang help OPTION tells more about one option, as sarang help listen does.\n",
    );
    text
}

/// All about one option or command, whose name may have its dashes.
///
/// # Errors
/// There is none of this name.
pub fn of(name: &str) -> Result<String, String> {
    let typed = name.trim_start_matches('-');
    if let Some(setting) = find(typed) {
        return Ok(option(setting));
    }
    let by_variable = OPTIONS.iter().find(|setting| setting.variable() == typed);
    if let Some(setting) = by_variable {
        return Ok(option(setting));
    }
    if let Some(command) = commands::named().find(|command| command.name == typed) {
        return Ok(format!(
            "{}\n\n{}.\n",
            command.usage(),
            sentence(command.help)
        ));
    }
    let hint = nearest(typed.trim_start_matches("SARANG_"), names::all())
        .map(|name| format!("did you mean sarang help {name}?"));
    let hint = hint.unwrap_or("see sarang help".into());
    Err(format!("there is no option or command {name:?}; {hint}"))
}

fn option(setting: &Setting) -> String {
    let mut text = format!("{}\n\n", setting.usages());
    let meaning = format!("{}. {}", sentence(setting.help), setting.details);
    text.push_str(&wrapped(&meaning.replace('`', ""), 0));
    text.push('\n');
    if let Some(default) = setting.default() {
        push_fact(&mut text, "default", default);
    }
    let example = setting.value.as_ref().map(|value| value.example);
    let list = |how| if setting.is_list() { how } else { "" };
    if !setting.is_variable() {
        push_fact(&mut text, "command line", &format!("--{}", setting.name));
        return text;
    }
    let line = match example {
        Some(example) => format!("--{} {example}{}", setting.name, list(" (repeatable)")),
        None => format!("--{}", setting.name),
    };
    push_fact(&mut text, "command line", &line);
    let value = example.unwrap_or("1");
    let more = list(" (several values are separated by commas)");
    push_fact(
        &mut text,
        "environment",
        &format!("{}={value}{more}", setting.variable()),
    );
    if setting.is_in_file() {
        let value = example.unwrap_or("true");
        let more = list(" (several values are on several lines)");
        push_fact(
            &mut text,
            "config file",
            &format!("{} = {value}{more}", setting.name),
        );
    }
    text
}

fn push_fact(text: &mut String, what: &str, fact: &str) {
    text.push_str(&format!("{:14}{fact}\n", format!("{what}:")));
}

/// A text with an upper-case letter at its start.
pub fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars).collect()
}

/// A name, and beside it, or below a long one, a text in a column.
fn push_entry(text: &mut String, name: &str, meaning: &str) {
    let meaning = wrapped(meaning, TEXT_COLUMN);
    let name = format!("  {name}");
    if name.len() + 2 > TEXT_COLUMN {
        text.push_str(&format!("{name}\n{meaning}"));
    } else {
        text.push_str(&format!("{name:TEXT_COLUMN$}{}", meaning.trim_start()));
    }
}

/// Breaks a text into lines of at most [`LINE_CHARS_MAX`] characters, each behind so many spaces.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = vec![" ".repeat(indent)];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one");
        let is_empty = line.len() == indent;
        if !is_empty && line.chars().count() + 1 + word.chars().count() > LINE_CHARS_MAX {
            lines.push(" ".repeat(indent) + word);
        } else {
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}
