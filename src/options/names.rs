//! Which option or command was meant by a name that is none.

use super::commands;
use super::setting::Setting;
use super::suggestion::nearest;
use super::table::{OPTIONS, find};

/// The option that was probably meant.
pub fn nearest_option(name: &str) -> Option<&'static Setting> {
    let found = nearest(name, OPTIONS.iter().map(|setting| setting.name));
    found.and_then(find)
}

/// Whether there is a command of this name.
pub fn is_command(name: &str) -> bool {
    commands::named().any(|command| command.name == name)
}

/// The names of all commands and options.
pub fn all() -> impl Iterator<Item = &'static str> {
    let commands = commands::named().map(|command| command.name);
    commands.chain(OPTIONS.iter().map(|setting| setting.name))
}
