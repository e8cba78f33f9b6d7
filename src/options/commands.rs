//! The table of commands: the first word of the command line.

/// A command.
pub struct Command {
    /// Its name; empty for that of the server, which has none.
    pub name: &'static str,
    /// What follows the name, as help texts write it.
    pub arguments: &'static str,
    /// Words that complete its arguments.
    pub words: &'static [&'static str],
    /// A switch that it alone has.
    pub switch: Option<Switch>,
    /// What it does, in one sentence without a full stop.
    pub help: &'static str,
}

/// A switch of one command.
pub struct Switch {
    /// Its name, without the dashes.
    pub name: &'static str,
    /// What it does, in a few words.
    pub help: &'static str,
}

/// Shells that there are completions for.
pub const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Every command.
pub const COMMANDS: [Command; 8] = [
    Command {
        name: "",
        arguments: "[OPTIONS]",
        words: &[],
        switch: None,
        help: "run the server",
    },
    Command {
        name: "check",
        arguments: "[OPTIONS]",
        words: &[],
        switch: None,
        help: "ask the running server if it is ready: exit code 0 if so, else 1",
    },
    Command {
        name: "user",
        arguments: "(add NAME [--admin] | remove NAME | list) --users FILE",
        words: &["add", "remove", "list"],
        switch: Some(Switch {
            name: "admin",
            help: "the account is a moderator's",
        }),
        help: "add an account (or change its password; with --admin it is a moderator's), remove one, list all",
    },
    Command {
        name: "backup",
        arguments: "FILE --data DIR",
        words: &[],
        switch: None,
        help: "copy what a server keeps in its folder into a file, also while it runs",
    },
    Command {
        name: "restore",
        arguments: "FILE --data DIR",
        words: &[],
        switch: None,
        help: "put a backup in the place of what is in the folder; the server must not run",
    },
    Command {
        name: "completions",
        arguments: "(bash | zsh | fish)",
        words: &SHELLS,
        switch: None,
        help: "print what lets a shell complete commands, options and values",
    },
    Command {
        name: "man",
        arguments: "",
        words: &[],
        switch: None,
        help: "print the manual page",
    },
    Command {
        name: "help",
        arguments: "[OPTION]",
        words: &[],
        switch: None,
        help: "print the commands and options, or all about one option",
    },
];

impl Command {
    /// The command as it is typed: `sarang NAME ARGUMENTS`.
    pub fn usage(&self) -> String {
        let words = ["sarang", self.name, self.arguments];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.join(" ")
    }
}

/// The commands that have a name.
pub fn named() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(|command| !command.name.is_empty())
}

/// The name of the switch that a command has.
pub fn switch_of(command: &str) -> Option<&'static str> {
    let command = named().find(|known| known.name == command)?;
    command.switch.as_ref().map(|switch| switch.name)
}
