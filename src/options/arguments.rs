//! Reads the words of the command line.

use std::ffi::OsString;

use super::commands::switch_of;
use super::names::{self, is_command, nearest_option};
use super::setting::Setting;
use super::source::Source;
use super::suggestion::nearest;
use super::table::{OPTIONS, find};
use crate::config::Config;

/// The words of a command line, in their order.
#[derive(Default)]
pub struct Arguments {
    /// The command; empty if there is none.
    pub command: String,
    /// What follows it and is no option.
    pub words: Vec<String>,
    /// The options, each with its value; that of a switch without a value is `true`.
    options: Vec<(&'static Setting, String)>,
    /// Whether the switch of the command is there, for the one that has one.
    pub has_switch: bool,
    /// `--help` or `--version`. What follows it is not read.
    pub print: Option<&'static Setting>,
}

impl Arguments {
    /// Reads the arguments, without the program's name. Only a command has words that are no options.
    ///
    /// # Errors
    /// A message that names the argument.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut read = Self::default();
        let mut is_first = true;
        while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
            let setting = match argument {
                // What is asked about is not given.
                lexopt::Arg::Long(name) if read.command == "help" => {
                    read.words.push(name.to_owned());
                    continue;
                }
                lexopt::Arg::Long(name) if switch_of(&read.command) == Some(name) => {
                    read.has_switch = true;
                    continue;
                }
                lexopt::Arg::Long(name) => match find(name) {
                    Some(setting) => setting,
                    None => return Err(unknown_option(name)),
                },
                lexopt::Arg::Short(letter) => {
                    let mut known = OPTIONS.iter();
                    match known.find(|setting| setting.short() == Some(letter)) {
                        Some(setting) => setting,
                        None => return Err(unknown_letter(letter, parser.optional_value())),
                    }
                }
                lexopt::Arg::Value(word) => {
                    read.take_word(word, is_first)?;
                    is_first = false;
                    continue;
                }
            };
            is_first = false;
            if !setting.is_variable() {
                read.print = Some(setting);
                return Ok(read);
            }
            let value = value_of(setting, &mut parser)?;
            read.options.push((setting, value));
        }
        Ok(read)
    }

    fn take_word(&mut self, word: OsString, is_first: bool) -> Result<(), String> {
        let word = word.into_string().map_err(|word| {
            let word = word.to_string_lossy();
            format!("{word:?} is not UTF-8")
        })?;
        if is_first && is_command(&word) {
            self.command = word;
        } else if is_first {
            return Err(unknown_command(&word));
        } else if self.command.is_empty() {
            return Err(misplaced(&word));
        } else {
            self.words.push(word);
        }
        Ok(())
    }

    /// The options.
    pub fn options(&self) -> impl Iterator<Item = &'static Setting> {
        self.options.iter().map(|(setting, _)| *setting)
    }

    /// The last value of an option.
    pub fn value(&self, setting: &Setting) -> Option<&str> {
        let mut options = self.options.iter().rev();
        let found = options.find(|(given, _)| given.name == setting.name);
        found.map(|(_, value)| &**value)
    }

    /// Applies all options.
    ///
    /// # Errors
    /// A message that names the option.
    pub fn apply(&self, config: &mut Config) -> Result<(), String> {
        let mut source = Source::new(config);
        self.options.iter().try_for_each(|(setting, value)| {
            let result = source.set(setting, value);
            result.map_err(|what| format!("--{}: {what}", setting.name))
        })
    }
}

/// The value of an option: what follows it. A switch needs none, but takes one after `=`.
fn value_of(setting: &Setting, parser: &mut lexopt::Parser) -> Result<String, String> {
    let name = setting.name;
    let value = match setting.value {
        Some(_) => Some(
            parser
                .value()
                .map_err(|_| format!("--{name} needs a value"))?,
        ),
        None => parser.optional_value(),
    };
    match value {
        Some(value) => value
            .into_string()
            .map_err(|_| format!("--{name}: the value is not UTF-8")),
        None => Ok("true".into()),
    }
}

fn unknown_option(name: &str) -> String {
    let hint = hint(nearest_option(name).map(|setting| format!("--{}", setting.name)));
    format!("there is no option --{name}{hint}")
}

/// A sentence about `-x`, or about a long option with one dash, of which the parser takes the rest for a value.
fn unknown_letter(letter: char, rest: Option<OsString>) -> String {
    let rest = rest.unwrap_or_default();
    let name = format!("{letter}{}", rest.to_string_lossy());
    let hint = hint(nearest_option(&name).map(|setting| format!("--{}", setting.name)));
    format!("there is no option -{name}{hint}")
}

/// A sentence about a first word that is no command; it may be an option without its dashes.
fn unknown_command(word: &str) -> String {
    let typed = word.split('=').next().unwrap_or(word);
    let meant = nearest(typed, names::all()).map(|name| match is_command(name) {
        true => format!("sarang {name}"),
        false => format!("--{name}"),
    });
    format!("there is no command {word:?}{}", hint(meant))
}

/// A sentence about a word after options.
fn misplaced(word: &str) -> String {
    let hint = if is_command(word) {
        format!("; a command comes first: sarang {word} …")
    } else {
        let typed = word.split('=').next().unwrap_or(word);
        hint(nearest_option(typed).map(|setting| format!("--{}", setting.name)))
    };
    format!("unexpected argument {word:?}{hint}")
}

fn hint(meant: Option<String>) -> String {
    match meant {
        Some(name) => format!("; did you mean {name}?"),
        None => "; see sarang help".into(),
    }
}
