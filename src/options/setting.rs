//! What is known of an option.

use crate::config::Config;

/// Sets an option to a text.
///
/// The error is a sentence about what is wrong with the text.
pub type Set = fn(&mut Config, &str) -> Result<(), String>;

/// An option of the program: everything that is parsed, printed or completed comes from it.
pub struct Setting {
    /// The name: `--name` on the command line, `name = …` in a config file, `SARANG_NAME` in the environment.
    pub name: &'static str,
    /// Its value; `None` for a switch.
    pub value: Option<Value>,
    /// Where it is listed.
    pub group: Group,
    /// What it does.
    pub effect: Effect,
    /// What it means, in one sentence without a full stop.
    pub help: &'static str,
    /// What else there is to know, in whole sentences, or nothing.
    pub details: &'static str,
}

/// The value of an option.
pub struct Value {
    /// What stands for it in help texts.
    pub name: &'static str,
    /// The value without the option.
    pub default: Option<&'static str>,
    /// A value other than the default.
    pub example: &'static str,
    /// What a shell can complete it with.
    pub kind: Kind,
}

/// What a shell can complete a value with.
#[derive(Clone, Copy)]
pub enum Kind {
    /// The name of a file.
    File,
    /// A host name.
    Host,
    /// An address, or `unix:` and the name of a file.
    Address,
    /// One of these words.
    Words(&'static [&'static str]),
    /// Nothing: a number, a name.
    Free,
}

/// The parts that lists of options have, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Access,
    Accounts,
    Proxies,
    Rooms,
    Cluster,
    Log,
    Limits,
    Program,
}

impl Group {
    pub const ALL: [Self; 8] = [
        Self::Access,
        Self::Accounts,
        Self::Proxies,
        Self::Rooms,
        Self::Cluster,
        Self::Log,
        Self::Limits,
        Self::Program,
    ];

    /// The title of the group.
    pub fn title(self) -> &'static str {
        match self {
            Self::Access => "Where to listen, and who is let in",
            Self::Accounts => "Accounts and tokens",
            Self::Proxies => "Proxies",
            Self::Rooms => "Rooms and events",
            Self::Cluster => "Many nodes",
            Self::Log => "The log",
            Self::Limits => "Limits (0 is no limit)",
            Self::Program => "The program",
        }
    }
}

/// What an option does.
pub enum Effect {
    /// Sets a switch.
    Switch(fn(&mut Config, bool)),
    /// Sets a value.
    Value(Set),
    /// Adds a value to a list: it may be given several times. The first function empties the list, for the first value of
    /// a source replaces those of the sources below it.
    List(fn(&mut Config), Set),
    /// Names the config file, so it cannot be an option in that file.
    ConfigFile,
    /// Prints something, so it is an option of the command line only.
    Print,
}

impl Setting {
    /// The environment variable of the option.
    pub fn variable(&self) -> String {
        format!("SARANG_{}", self.name.to_uppercase().replace('-', "_"))
    }

    /// Whether the option may be given several times.
    pub fn is_list(&self) -> bool {
        matches!(self.effect, Effect::List(..))
    }

    /// Whether the environment can have the option.
    pub fn is_variable(&self) -> bool {
        !matches!(self.effect, Effect::Print)
    }

    /// Whether a config file can have the option.
    pub fn is_in_file(&self) -> bool {
        self.is_variable() && !matches!(self.effect, Effect::ConfigFile)
    }

    /// The option as it is written on the command line: `--name VALUE`.
    pub fn usage(&self) -> String {
        match &self.value {
            Some(value) => format!("--{} {}", self.name, value.name),
            None => format!("--{}", self.name),
        }
    }

    /// The same with the short form that some options have.
    pub fn usages(&self) -> String {
        match self.short() {
            Some(short) => format!("{}, -{short}", self.usage()),
            None => self.usage(),
        }
    }

    /// The letter of the short form, for the two options that have one.
    pub fn short(&self) -> Option<char> {
        match self.name {
            "help" => Some('h'),
            "version" => Some('V'),
            _ => None,
        }
    }

    /// The value without the option, if there is one.
    pub fn default(&self) -> Option<&'static str> {
        self.value.as_ref().and_then(|value| value.default)
    }

    /// What the option means, in one line, without the marks of code.
    pub fn summary(&self) -> String {
        let repeatable = if self.is_list() { "; repeatable" } else { "" };
        format!("{}{repeatable}", self.help).replace('`', "")
    }
}
