//! Parses the command line and the environment into a [`Config`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Config;
use crate::config::cidr::Cidr;
use crate::config::listen::Listen;
use crate::server::hosts::read_host;

mod values;
use values::*;

/// What `--help` prints.
pub const HELP: &str = "\
sarang: chat rooms over WebSocket and live metrics by server-sent events, in one small server

Usage: sarang [OPTIONS]
       sarang user add|remove NAME --users FILE    add an account (or change its password), remove one
       sarang user list --users FILE               list the accounts

Without --users and --secret-file it is a demo: it listens on 127.0.0.1:8000, guests connect with a name only, and there
is one account, admin with the password secret. Open http://127.0.0.1:8000 in a browser.

Options:
  --users FILE                  accounts, one NAME:HASH per line, made by `sarang user add`; SIGHUP rereads it
  --secret-file FILE            token secrets of at least 32 bytes, one KID:SECRET per line; the first signs
  --token-ttl SECS              how long a token is valid [3600]
  --ticket-ttl SECS             how long a ticket is valid [30]
  --audience NAME               what the aud of a token must name; without it, tokens with an aud are refused
  --listen ADDR:PORT            where to listen, also unix:PATH; port 0 picks a free port; repeatable [127.0.0.1:8000]
  --unix-mode MODE              the permissions of unix sockets, in octal [660]
  --host NAME                   answer for this host too (on loopback), or for it alone (elsewhere); repeatable
  --presence-grace SECS         after the last connection, how long users stay members, and guests' keys hold names [3]
  --guests                      allow guests, who have a name only (the demo always does)
  --public-dashboard            open the event streams and /metrics to all, even with accounts
  --allow-origin ORIGIN         allow browsers on pages of this origin; repeatable, * allows every origin
  --trusted-proxy CIDR          a proxy, or a network of them (10.0.0.0/8), whose X-Forwarded-For or Forwarded tells the
                                address of the client; repeatable
  --proxy-protocol              these proxies, and peers of unix sockets, begin with a PROXY protocol header
  --ping-interval SECS          the silence of a WebSocket peer after which it is pinged [25]
  --heartbeat SECS              between two heartbeat comments of an event stream [15]
  --drain-delay SECS            from SIGTERM to the end of service; meanwhile /readyz answers 503 [0]
  --no-auto-rooms               a join does not create a missing room
  --echo                        add /ws-echo and POST /http-echo, for conformance suites
  --log LEVEL                   what is logged on stderr: off, error, warn, info or debug [warn]
  --log-format FORMAT           how: text (key=value) or json [text]
  --help, -h                    print this
  --version, -V                 print the version

Limits (0 is no limit):
  --keep-alive SECS             between two requests of a connection [75]
  --messages-per-second N       of one connection [100]
  --connections N               in all [65536]
  --connections-per-address N   from one address (IPv6: a /64), loopback and trusted proxies exempt [256]
  --connections-per-user N      WebSockets of one user [64]
  --outbox-bytes N              in the outbox of one connection [1048576]
  --buffer-bytes N              in the outboxes and receive buffers of all connections [67108864]
  --content-chars N             of one message [4096]
  --room-users N                of a room created without max_users [100]
  --rooms N                     on the server [1000]
  --rooms-per-connection N      a connection may be in [64]

Each option is also an environment variable: --allow-origin is SARANG_ALLOW_ORIGIN (a list separated by commas),
--guests is SARANG_GUESTS=1. The command line takes precedence.
";

/// What the arguments ask the program to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Run a server.
    Serve(Box<Config>),
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
    /// Change the users file.
    User(UserCommand),
}

/// A subcommand of `sarang user`.
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

/// How an option is set.
enum Setting {
    /// It has no value.
    Flag(fn(&mut Config)),
    /// It has a value; the last one given counts.
    Value(fn(&mut Config, &str) -> Result<(), String>),
    /// It may be given several times, in the environment as one list separated by commas. The values of the command
    /// line replace those of the environment: the first function clears them, the second adds one.
    List(fn(&mut Config), fn(&mut Config, &str) -> Result<(), String>),
}

use Setting::{Flag, List, Value};

/// Every option except `--help` and `--version`, in the order of [`HELP`].
#[rustfmt::skip]
const OPTIONS: [(&str, Setting); 32] = [
    ("users", Value(|config, path| set(&mut config.users, Ok(Some(path.into()))))),
    ("secret-file", Value(|config, path| set(&mut config.secret_file, Ok(Some(path.into()))))),
    ("token-ttl", Value(|config, text| set(&mut config.token_ttl_secs, seconds(text)))),
    ("ticket-ttl", Value(|config, text| set(&mut config.ticket_ttl, seconds(text).map(Duration::from_secs)))),
    ("audience", Value(|config, name| set(&mut config.audience, audience(name)))),
    ("listen", List(
        |config| config.listen.clear(),
        |config, text| { config.listen.push(Listen::parse(text)?); Ok(()) },
    )),
    ("unix-mode", Value(|config, text| set(&mut config.unix_mode, mode(text)))),
    ("host", List(
        |config| config.hosts.clear(),
        |config, text| { config.hosts.push(read_host(text)?); Ok(()) },
    )),
    ("presence-grace", Value(|config, text| set(&mut config.presence_grace, grace(text)))),
    ("guests", Flag(|config| config.guests = true)),
    ("public-dashboard", Flag(|config| config.public_dashboard = true)),
    ("allow-origin", List(
        |config| config.allow_origins.clear(),
        |config, text| { config.allow_origins.push(origin(text)?); Ok(()) },
    )),
    ("trusted-proxy", List(
        |config| config.trusted_proxies.clear(),
        |config, text| { config.trusted_proxies.push(Cidr::parse(text)?); Ok(()) },
    )),
    ("proxy-protocol", Flag(|config| config.proxy_protocol = true)),
    ("ping-interval", Value(|config, text| set(&mut config.ping_interval, interval(text)))),
    ("heartbeat", Value(|config, text| set(&mut config.heartbeat, interval(text)))),
    ("drain-delay", Value(|config, text| set(&mut config.drain_delay, drain_delay(text)))),
    ("no-auto-rooms", Flag(|config| config.rooms.auto_rooms = false)),
    ("echo", Flag(|config| config.echo = true)),
    ("log", Value(|config, text| set(&mut config.log, level(text)))),
    ("log-format", Value(|config, text| set(&mut config.log_format, log_format(text)))),
    ("keep-alive", Value(|config, text| set(&mut config.keep_alive, time_limit(text)))),
    ("messages-per-second", Value(|config, text| set(&mut config.messages_per_second, number(text)))),
    ("connections", Value(|config, text| set(&mut config.connections, limit(text)))),
    ("connections-per-address", Value(|config, text| set(&mut config.connections_per_address, limit(text)))),
    ("connections-per-user", Value(|config, text| set(&mut config.connections_per_user, limit(text)))),
    ("outbox-bytes", Value(|config, text| set(&mut config.outbox_bytes, limit(text)))),
    ("buffer-bytes", Value(|config, text| set(&mut config.buffer_bytes, limit(text)))),
    ("content-chars", Value(|config, text| set(&mut config.rooms.content_chars, limit(text)))),
    ("room-users", Value(|config, text| set(&mut config.rooms.room_users, room_users(text)))),
    ("rooms", Value(|config, text| set(&mut config.rooms.rooms, limit(text)))),
    ("rooms-per-connection", Value(|config, text| set(&mut config.rooms.rooms_per_connection, limit(text)))),
];

fn set<T>(field: &mut T, value: Result<T, String>) -> Result<(), String> {
    *field = value?;
    Ok(())
}

/// Parses the arguments (without the program's name) and the environment.
///
/// # Errors
/// A message that names the invalid option or variable.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Invocation, String> {
    let mut config = Config::default();
    read_environment(&mut config, environment)?;
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut given: Vec<&str> = Vec::new();
    let mut is_first = true;
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        let name = match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => return Ok(Invocation::Help),
            lexopt::Arg::Long("version") | lexopt::Arg::Short('V') => {
                return Ok(Invocation::Version);
            }
            lexopt::Arg::Long(name) => name.to_owned(),
            lexopt::Arg::Value(word) if word == "user" && is_first => {
                return read_user_command(parser, config.users).map(Invocation::User);
            }
            other => return Err(format!("{}; see --help", other.unexpected())),
        };
        is_first = false;
        let (name, setting) = OPTIONS
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| format!("there is no option --{name}; see --help"))?;
        match setting {
            Flag(set) => set(&mut config),
            Value(set) => set_to_next(&mut config, &mut parser, name, *set)?,
            List(clear, add) => {
                if !given.contains(name) {
                    clear(&mut config);
                }
                set_to_next(&mut config, &mut parser, name, *add)?;
            }
        }
        given.push(name);
    }
    check(&config)?;
    Ok(Invocation::Serve(Box::new(config)))
}

/// Sets the options for which the environment has a variable that is not empty.
fn read_environment(
    config: &mut Config,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(), String> {
    for (name, setting) in &OPTIONS {
        let variable = variable(name);
        let Some(text) = environment(&variable).filter(|text| !text.is_empty()) else {
            continue;
        };
        let fail = |what| format!("{variable}: {what}");
        match (setting, &*text) {
            (Flag(_), "0" | "false") => {}
            (Flag(set), "1" | "true") => set(config),
            (Flag(_), _) => return Err(format!("{variable} must be 1 or 0")),
            (Value(set), text) => set(config, text.trim()).map_err(fail)?,
            (List(clear, add), text) => {
                clear(config);
                text.split(',')
                    .try_for_each(|value| add(config, value.trim()))
                    .map_err(fail)?;
            }
        }
    }
    Ok(())
}

/// Sets an option to the argument that follows it.
fn set_to_next(
    config: &mut Config,
    parser: &mut lexopt::Parser,
    name: &str,
    set: fn(&mut Config, &str) -> Result<(), String>,
) -> Result<(), String> {
    let value = parser
        .value()
        .map_err(|_| format!("--{name} needs a value"))?;
    let value = value
        .into_string()
        .map_err(|_| format!("--{name}: the value is not UTF-8"))?;
    set(config, &value).map_err(|what| format!("--{name}: {what}"))
}

/// Parses the arguments after `sarang user`.
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
        [] => Err("user: add NAME, remove NAME or list is missing; see --help".into()),
        ["add" | "remove"] => Err(format!(
            "user {}: the name is missing; see --help",
            words[0]
        )),
        ["add" | "remove", _, other, ..] | ["list", other, ..] | [other, ..] => {
            Err(format!("user: unexpected argument \"{other}\"; see --help"))
        }
    }
}

/// The environment variable of an option.
fn variable(name: &str) -> String {
    format!("SARANG_{}", name.to_uppercase().replace('-', "_"))
}

fn check(config: &Config) -> Result<(), String> {
    if config.is_on_loopback() || !config.is_demo() {
        return Ok(());
    }
    let exposed = config.listen.iter().find(|listen| !listen.is_local());
    Err(format!(
        "--listen {}: without accounts every client that reaches this address could use any name, so the demo \
        listens on loopback only (127.0.0.1 or [::1]); configure --users or --secret-file",
        exposed.map(ToString::to_string).unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests;
