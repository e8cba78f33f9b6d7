//! Parses the command line, the environment and the config file into a [`Config`].
//!
//! All that is known of an option is its row in `options/table.rs`: how it is set, and what help, manual page and
//! completions say of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::Config;
use arguments::Arguments;
use environment::Environment;
use setting::Setting;
use suggestion::did_you_mean;

mod arguments;
mod commands;
mod completions;
mod config_file;
mod environment;
mod help;
mod man;
mod names;
mod setting;
mod source;
mod suggestion;
mod table;
mod values;

/// What the arguments ask the program to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Run a server.
    Serve {
        /// Its configuration.
        config: Box<Config>,
        /// Sentences for the operator, to be told first.
        warnings: Vec<String>,
    },
    /// Ask whether the server of this configuration is ready.
    Check(Box<Config>),
    /// Print a text: help, the version, completions, the manual page.
    Print(String),
    /// Change the users file.
    User(UserCommand),
    /// Copy a store, or put a copy in its place.
    Store(StoreCommand),
}

/// `sarang backup` or `sarang restore`.
#[derive(Debug, PartialEq, Eq)]
pub struct StoreCommand {
    /// Which of them.
    pub is_restore: bool,
    /// The backup.
    pub file: PathBuf,
    /// The folder of the store.
    pub folder: PathBuf,
}

/// A subcommand of `sarang user`.
#[derive(Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the arguments")]
pub enum UserCommand {
    /// Add an account, or change its password; and whether it is a moderator's.
    Add {
        name: String,
        file: PathBuf,
        is_moderator: bool,
    },
    /// Remove an account.
    Remove { name: String, file: PathBuf },
    /// List the accounts.
    List { file: PathBuf },
}

/// Parses the arguments (without the program's name), the environment, and the config file that either names, which
/// `read` returns whole.
///
/// # Errors
/// A message that names the invalid option, variable or line.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    read: impl Fn(&Path) -> Result<Vec<u8>, String>,
) -> Result<Invocation, String> {
    let arguments = Arguments::read(arguments)?;
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    if let Some(setting) = arguments.print {
        return Ok(Invocation::Print(printed(setting)));
    }
    let variables = Environment::new(variables);
    let configured = || configured(&arguments, &variables, read);
    match (&*arguments.command, &words[..]) {
        ("user", words) => {
            only(&arguments, &["users", "config"])?;
            let users = configured()?.users;
            user_command(words, arguments.has_switch, users).map(Invocation::User)
        }
        (command @ ("backup" | "restore"), words) => {
            only(&arguments, &["data", "config"])?;
            store_command(command, words, configured()?.data).map(Invocation::Store)
        }
        ("help", words) => {
            only(&arguments, &[])?;
            help_of(words).map(Invocation::Print)
        }
        ("completions", words) => {
            only(&arguments, &[])?;
            completions_for(words).map(Invocation::Print)
        }
        (command, [word, ..]) => Err(format!("{command}: unexpected argument {word:?}")),
        ("man", []) => {
            only(&arguments, &[])?;
            Ok(Invocation::Print(man::page()))
        }
        ("check", []) => {
            let config = configured()?;
            refuse_free_port(&config)?;
            Ok(Invocation::Check(Box::new(config)))
        }
        (_, []) => {
            let config = configured()?;
            config.check_exposure()?;
            check_cluster(&config)?;
            // Without an address systemd may hand over a unix socket.
            if !config.listen.is_empty() {
                config.check_proxies()?;
            }
            Ok(Invocation::Serve {
                config: Box::new(config),
                warnings: variables.warnings(),
            })
        }
    }
}

/// What an option prints that only prints.
fn printed(setting: &Setting) -> String {
    match setting.name {
        "version" => concat!("sarang ", env!("CARGO_PKG_VERSION"), "\n").into(),
        _ => help::overview(),
    }
}

/// The configuration of all sources: the command line takes precedence over the environment, and that over the file.
fn configured(
    arguments: &Arguments,
    environment: &Environment,
    read: impl Fn(&Path) -> Result<Vec<u8>, String>,
) -> Result<Config, String> {
    let mut config = Config::default();
    let setting = table::find("config").expect("it is in the table");
    let (by, name) = match arguments.value(setting) {
        Some(name) => (format!("--{}", setting.name), Some(name)),
        None => (setting.variable(), environment.value(setting)?),
    };
    if let Some(name) = name {
        let fail = |what| format!("{by}: {what}");
        let path = values::path(name).map_err(fail)?;
        let bytes = read(&path).map_err(fail)?;
        config_file::apply(&mut config, name, &bytes)?;
    }
    environment.apply(&mut config)?;
    arguments.apply(&mut config)?;
    Ok(config)
}

/// Refuses options that a command does not have.
fn only(arguments: &Arguments, allowed: &[&str]) -> Result<(), String> {
    let mut options = arguments.options();
    match options.find(|setting| !allowed.contains(&setting.name)) {
        None => Ok(()),
        Some(setting) => Err(format!(
            "sarang {} has no option --{}; see sarang help",
            arguments.command, setting.name
        )),
    }
}

fn help_of(words: &[&str]) -> Result<String, String> {
    match words {
        [] => Ok(help::overview()),
        [name] => help::of(name),
        [_, other, ..] => Err(format!("help: unexpected argument {other:?}")),
    }
}

fn completions_for(words: &[&str]) -> Result<String, String> {
    let shells = commands::SHELLS.join(", ");
    match words {
        [] => Err(format!(
            "completions: the shell is missing, one of {shells}"
        )),
        [shell] => completions::script(shell).map_err(|what| format!("completions: {what}")),
        [_, other, ..] => Err(format!("completions: unexpected argument {other:?}")),
    }
}

/// Parses the words after `sarang user`.
fn user_command(
    words: &[&str],
    is_moderator: bool,
    file: Option<PathBuf>,
) -> Result<UserCommand, String> {
    const VERBS: [&str; 3] = ["add", "remove", "list"];
    let file = || file.ok_or("--users FILE is missing");
    match *words {
        ["add", name] => Ok(UserCommand::Add {
            name: name.into(),
            file: file()?,
            is_moderator,
        }),
        ["remove" | "list", ..] if is_moderator => {
            Err("user: only add has the option --admin".into())
        }
        ["remove", name] => Ok(UserCommand::Remove {
            name: name.into(),
            file: file()?,
        }),
        ["list"] => Ok(UserCommand::List { file: file()? }),
        [] => Err("user: add NAME, remove NAME or list is missing; see sarang help".into()),
        [verb @ ("add" | "remove")] => Err(format!("user {verb}: the name is missing")),
        ["add" | "remove", _, other, ..] | ["list", other, ..] => {
            Err(format!("user: unexpected argument {other:?}"))
        }
        [other, ..] => Err(format!(
            "user: {other:?} is not one of {}{}",
            VERBS.join(", "),
            did_you_mean(other, VERBS)
        )),
    }
}

/// Parses the words after `sarang backup` and `sarang restore`.
fn store_command(
    command: &str,
    words: &[&str],
    folder: Option<PathBuf>,
) -> Result<StoreCommand, String> {
    match *words {
        [] | [""] => Err(format!("{command}: the name of the file is missing")),
        [file] => Ok(StoreCommand {
            is_restore: command == "restore",
            file: file.into(),
            folder: folder.ok_or("--data DIR is missing")?,
        }),
        [_, other, ..] => Err(format!("{command}: unexpected argument {other:?}")),
    }
}

/// Refuses to look for a server on a port that the system picked.
fn refuse_free_port(config: &Config) -> Result<(), String> {
    match config.listen.first() {
        Some(address) if !address.is_unix() && *address == address.at_port(0) => Err(format!(
            "check: --listen {address} does not tell the port of the server"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

/// Refuses what does not go with an engine that many nodes share.
///
/// # Errors
/// A sentence.
fn check_cluster(config: &Config) -> Result<(), String> {
    let sentence = match config {
        Config { cluster: None, .. } => return Ok(()),
        _ if cfg!(not(feature = "cluster")) => {
            "--cluster: this build has no cluster (feature `cluster`)"
        }
        Config { data: Some(_), .. } => {
            "--cluster and --data: the engine keeps everything; use one of them"
        }
        Config {
            users: Some(_),
            secret_file: None,
            ..
        } => {
            "--cluster needs --secret-file, the same at all nodes: each verifies the tokens of the others"
        }
        _ => return Ok(()),
    };
    Err(sentence.into())
}
