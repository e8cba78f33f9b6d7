//! The command line and the environment, to a [`Config`].

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::config::{Config, Level, ROOM_USERS_MAX, TTL_SECS_MAX};

/// What `--help` prints.
pub const HELP: &str = "\
sarang: chat rooms over WebSocket and live metrics by server-sent events, in one small server

Usage: sarang [OPTIONS]
       sarang user add|remove NAME --users FILE    add an account (or change its password), remove one
       sarang user list --users FILE               list the accounts

Started without --users and --secret-file it is a demo: it listens on 127.0.0.1:8000, guests come in by name, and there
is one account, admin with the password secret. Open http://127.0.0.1:8000 in a browser.

Options:
  --users FILE                  accounts, one NAME:HASH per line, made by `sarang user add`; SIGHUP rereads it
  --secret-file FILE            token secrets, one KID:SECRET per line of at least 32 bytes; the first signs
  --token-ttl SECS              how long a token lives [3600]
  --ticket-ttl SECS             how long a ticket lives [30]
  --listen ADDR:PORT            where to listen; port 0 picks one [127.0.0.1:8000]
  --guests                      guests may come in by name (in the demo they may anyway)
  --public-dashboard            the event streams are open even with accounts
  --allow-origin ORIGIN         let browsers on pages of this origin come in; repeatable, * is every one
  --no-auto-rooms               a join does not create a missing room
  --echo                        add /ws-echo and POST /http-echo, for conformance suites
  --log LEVEL                   what is told on stderr: off, error, warn, info or debug [warn]
  --help, -h                    print this
  --version, -V                 print the version

Limits (0 is none):
  --messages-per-second N       of one connection [100]
  --connections N               in all [65536]
  --connections-per-address N   of one address, loopback exempt [256]
  --outbox-bytes N              queued for one connection [1048576]
  --buffer-bytes N              queued for and half received from all connections together [67108864]
  --content-chars N             of one message [4096]
  --room-users N                of a room nobody sized [100]
  --rooms N                     on the server [1000]
  --rooms-per-connection N      that one connection is in [64]

Each option is also an environment variable: --allow-origin is SARANG_ALLOW_ORIGIN (several separated by commas),
--guests is SARANG_GUESTS=1. An option on the command line wins.
";

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Run a server.
    Serve(Box<Config>),
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
    /// Change the users file.
    User(UserCommand),
}

/// What `sarang user` is asked to do.
#[derive(Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the arguments")]
pub enum UserCommand {
    /// Add an account, or change its password.
    Add { name: String, file: PathBuf },
    /// Remove an account.
    Remove { name: String, file: PathBuf },
    /// List the accounts.
    List { file: PathBuf },
}

/// The options that take no value.
const FLAGS: [&str; 4] = ["guests", "no-auto-rooms", "echo", "public-dashboard"];
/// The options that take one.
const VALUES: [&str; 16] = [
    "users",
    "secret-file",
    "token-ttl",
    "ticket-ttl",
    "listen",
    "allow-origin",
    "log",
    "messages-per-second",
    "connections",
    "connections-per-address",
    "outbox-bytes",
    "buffer-bytes",
    "content-chars",
    "room-users",
    "rooms",
    "rooms-per-connection",
];

/// Reads the arguments (without the program's name) and the environment.
///
/// # Errors
/// A sentence that names the option that is wrong.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Request, String> {
    let mut config = Config::default();
    for name in FLAGS {
        match environment(&variable(name)).as_deref() {
            None | Some("" | "0" | "false") => {}
            Some("1" | "true") => set_flag(&mut config, name),
            Some(_) => return Err(format!("{} must be 1 or 0", variable(name))),
        }
    }
    for name in VALUES {
        let Some(text) = environment(&variable(name)).filter(|text| !text.is_empty()) else {
            continue;
        };
        let values: Vec<&str> = if name == "allow-origin" {
            text.split(',').collect()
        } else {
            vec![&text]
        };
        for value in values {
            set_value(&mut config, name, value.trim())
                .map_err(|what| format!("{}: {what}", variable(name)))?;
        }
    }
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut has_own_origins = false;
    let mut is_first = true;
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        let name = match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => return Ok(Request::Help),
            lexopt::Arg::Long("version") | lexopt::Arg::Short('V') => return Ok(Request::Version),
            lexopt::Arg::Long(name) => name.to_owned(),
            lexopt::Arg::Value(word) if word == "user" && is_first => {
                return read_user_command(parser, config.users).map(Request::User);
            }
            other => return Err(format!("{}; see --help", other.unexpected())),
        };
        is_first = false;
        if FLAGS.contains(&&*name) {
            set_flag(&mut config, &name);
        } else if VALUES.contains(&&*name) {
            let value = parser
                .value()
                .map_err(|_| format!("--{name} needs a value"))?;
            let value = value
                .into_string()
                .map_err(|_| format!("--{name}: the value is not UTF-8"))?;
            if name == "allow-origin" && !std::mem::replace(&mut has_own_origins, true) {
                config.allow_origins.clear();
            }
            set_value(&mut config, &name, &value).map_err(|what| format!("--{name}: {what}"))?;
        } else {
            return Err(format!("there is no option --{name}; see --help"));
        }
    }
    check(&config)?;
    Ok(Request::Serve(Box::new(config)))
}

/// Reads what follows `sarang user`.
fn read_user_command(
    mut parser: lexopt::Parser,
    mut file: Option<PathBuf>,
) -> Result<UserCommand, String> {
    let mut words = Vec::new();
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            lexopt::Arg::Long("users") => {
                file = Some(parser.value().map_err(|_| "--users needs a value")?.into());
            }
            lexopt::Arg::Value(word) => {
                words.push(word.into_string().map_err(|_| "a name must be UTF-8")?);
            }
            other => return Err(format!("{}; see --help", other.unexpected())),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let file = || file.ok_or("--users FILE is missing");
    match words[..] {
        ["add", name] => Ok(UserCommand::Add {
            name: name.into(),
            file: file()?,
        }),
        ["remove", name] => Ok(UserCommand::Remove {
            name: name.into(),
            file: file()?,
        }),
        ["list"] => Ok(UserCommand::List { file: file()? }),
        [] => Err("user: say add NAME, remove NAME or list; see --help".into()),
        ["add" | "remove"] => Err(format!(
            "user {}: the name is missing; see --help",
            words[0]
        )),
        ["add" | "remove", _, other, ..] | ["list", other, ..] | [other, ..] => {
            Err(format!("user: \"{other}\" is not understood; see --help"))
        }
    }
}

/// The environment variable of an option.
fn variable(name: &str) -> String {
    format!("SARANG_{}", name.to_uppercase().replace('-', "_"))
}

fn set_flag(config: &mut Config, name: &str) {
    match name {
        "guests" => config.guests = true,
        "public-dashboard" => config.public_dashboard = true,
        "no-auto-rooms" => config.rooms.auto_rooms = false,
        _ => config.echo = true,
    }
}

fn set_value(config: &mut Config, name: &str, value: &str) -> Result<(), String> {
    let rooms = &mut config.rooms;
    match name {
        "listen" => {
            config.listen = value
                .parse()
                .map_err(|_| format!("\"{value}\" is not ADDR:PORT, such as 127.0.0.1:8000"))?;
        }
        "users" => config.users = Some(value.into()),
        "secret-file" => config.secret_file = Some(value.into()),
        "token-ttl" => config.token_ttl_secs = seconds(value)?,
        "ticket-ttl" => config.ticket_ttl = Duration::from_secs(seconds(value)?),
        "allow-origin" => config.allow_origins.push(origin(value)?),
        "log" => config.log = level(value)?,
        "messages-per-second" => config.messages_per_second = number(value)?,
        "connections" => config.connections = limit(value)?,
        "connections-per-address" => config.connections_per_address = limit(value)?,
        "outbox-bytes" => config.outbox_bytes = limit(value)?,
        "buffer-bytes" => config.buffer_bytes = limit(value)?,
        "content-chars" => rooms.content_chars = limit(value)?,
        "room-users" => rooms.room_users = limit(value)?.min(ROOM_USERS_MAX as usize) as u32,
        "rooms" => rooms.rooms = limit(value)?,
        _ => rooms.rooms_per_connection = limit(value)?,
    }
    Ok(())
}

fn number<T: FromStr>(value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("\"{value}\" is not a number from 0 up"))
}

/// A time to live; a token or ticket that expires at once is of no use.
fn seconds(value: &str) -> Result<u64, String> {
    match number(value)? {
        0 => Err("0 would expire at once".into()),
        seconds if seconds > TTL_SECS_MAX => Err(format!("{seconds} is more than ten years")),
        seconds => Ok(seconds),
    }
}

/// A limit; 0 is none.
fn limit(value: &str) -> Result<usize, String> {
    Ok(match number(value)? {
        0 => usize::MAX,
        limit => limit,
    })
}

/// A level of the journal, `None` for off.
fn level(value: &str) -> Result<Option<Level>, String> {
    let found = Level::NAMES.into_iter().find(|(name, _)| *name == value);
    match found {
        Some((_, level)) => Ok(Some(level)),
        None if value == "off" => Ok(None),
        None => Err(format!(
            "\"{value}\" is none of off, error, warn, info, debug"
        )),
    }
}

/// An origin as a browser writes it: no path, no slash at the end.
fn origin(value: &str) -> Result<String, String> {
    let is_origin = |value: &str| {
        value.split_once("://").is_some_and(|(scheme, host)| {
            !scheme.is_empty()
                && !host.is_empty()
                && !host.contains(['/', '?', '#'])
                && host.is_ascii()
        })
    };
    match value.bytes().all(|byte| byte.is_ascii_graphic())
        && (value == "*" || value == "null" || is_origin(value))
    {
        true => Ok(value.to_owned()),
        false => Err(format!(
            "\"{value}\" is not an origin, such as https://example.com"
        )),
    }
}

fn check(config: &Config) -> Result<(), String> {
    if is_loopback(config.listen) || !config.is_demo() {
        return Ok(());
    }
    Err(format!(
        "--listen {}: without accounts everyone who reaches this address could come in under any name, so the demo \
         listens on loopback only (127.0.0.1 or [::1]); configure --users or --secret-file",
        config.listen
    ))
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
