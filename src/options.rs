//! Parses the command line and the environment into a [`Config`].

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::config::cidr::Cidr;
use crate::config::{Config, Level, ROOM_USERS_MAX, TTL_SECS_MAX};
use crate::server::hosts::read_host;
use crate::wire::origin::PageOrigin;

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
  --listen ADDR:PORT            where to listen; port 0 picks a free port [127.0.0.1:8000]
  --host NAME                   answer for this host too (on loopback), or for it alone (elsewhere); repeatable
  --presence-grace SECS         after the last connection, how long users stay members, and guests' keys hold names [3]
  --guests                      allow guests, who have a name only (the demo always does)
  --public-dashboard            open the event streams and /metrics to all, even with accounts
  --allow-origin ORIGIN         allow browsers on pages of this origin; repeatable, * allows every origin
  --trusted-proxy CIDR          a proxy, or a network of them (10.0.0.0/8), whose X-Forwarded-For or Forwarded tells the
                                address of the client; repeatable
  --no-auto-rooms               a join does not create a missing room
  --echo                        add /ws-echo and POST /http-echo, for conformance suites
  --log LEVEL                   what is logged on stderr: off, error, warn, info or debug [warn]
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
const OPTIONS: [(&str, Setting); 26] = [
    ("users", Value(|config, path| set(&mut config.users, Ok(Some(path.into()))))),
    ("secret-file", Value(|config, path| set(&mut config.secret_file, Ok(Some(path.into()))))),
    ("token-ttl", Value(|config, text| set(&mut config.token_ttl_secs, seconds(text)))),
    ("ticket-ttl", Value(|config, text| set(&mut config.ticket_ttl, seconds(text).map(Duration::from_secs)))),
    ("audience", Value(|config, name| set(&mut config.audience, audience(name)))),
    ("listen", Value(|config, text| set(&mut config.listen, address(text)))),
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
    ("no-auto-rooms", Flag(|config| config.rooms.auto_rooms = false)),
    ("echo", Flag(|config| config.echo = true)),
    ("log", Value(|config, text| set(&mut config.log, level(text)))),
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
            (List(_, add), text) => text
                .split(',')
                .try_for_each(|value| add(config, value.trim()))
                .map_err(fail)?,
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

fn address(value: &str) -> Result<SocketAddr, String> {
    value
        .parse()
        .map_err(|_| format!("\"{value}\" is not ADDR:PORT, such as 127.0.0.1:8000"))
}

fn number<T: FromStr>(value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("\"{value}\" is not a whole number from 0 up"))
}

/// A time to live, in seconds; 0 is refused because such a token or ticket would be useless.
fn seconds(value: &str) -> Result<u64, String> {
    match number(value)? {
        0 => Err("0 would expire at once".into()),
        seconds if seconds > TTL_SECS_MAX => Err(format!("{seconds} is more than ten years")),
        seconds => Ok(seconds),
    }
}

fn audience(value: &str) -> Result<Option<Box<str>>, String> {
    match value {
        "" => Err("an audience has a name".into()),
        name => Ok(Some(name.into())),
    }
}

/// A grace, in seconds; 0 is none.
fn grace(value: &str) -> Result<Duration, String> {
    match number(value)? {
        seconds if seconds > TTL_SECS_MAX => Err(format!("{seconds} is more than ten years")),
        seconds => Ok(Duration::from_secs(seconds)),
    }
}

/// A limit; 0 is none.
fn limit(value: &str) -> Result<usize, String> {
    Ok(match number(value)? {
        0 => usize::MAX,
        limit => limit,
    })
}

/// A limit of time, in seconds; 0 is none.
fn time_limit(value: &str) -> Result<Option<Duration>, String> {
    match number(value)? {
        0 => Ok(None),
        seconds if seconds > TTL_SECS_MAX => Err(format!("{seconds} is more than ten years")),
        seconds => Ok(Some(Duration::from_secs(seconds))),
    }
}

/// The default limit of users of a room; 0 is [`ROOM_USERS_MAX`].
fn room_users(value: &str) -> Result<u32, String> {
    Ok(limit(value)?.min(ROOM_USERS_MAX as usize) as u32)
}

/// A level of the journal, `None` for off.
fn level(value: &str) -> Result<Option<Level>, String> {
    let found = Level::NAMES.into_iter().find(|(name, _)| *name == value);
    match found {
        Some((_, level)) => Ok(Some(level)),
        None if value == "off" => Ok(None),
        None => Err(format!(
            "\"{value}\" is not one of off, error, warn, info, debug"
        )),
    }
}

/// `*`, or an origin as a browser sends it (RFC 6454 section 6.2): without a path or a slash at the end.
fn origin(value: &str) -> Result<String, String> {
    match PageOrigin::parse(value) {
        _ if value == "*" => Ok(value.to_owned()),
        Some(origin) => Ok(origin.to_string()),
        None => Err(format!(
            "\"{value}\" is not an origin, such as https://example.com, app://name, file:// or null (no path, no slash \
            at the end, and xn--… instead of other letters than ASCII)"
        )),
    }
}

fn check(config: &Config) -> Result<(), String> {
    if config.is_on_loopback() || !config.is_demo() {
        return Ok(());
    }
    Err(format!(
        "--listen {}: without accounts every client that reaches this address could use any name, so the demo \
        listens on loopback only (127.0.0.1 or [::1]); configure --users or --secret-file",
        config.listen
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The options in the help, each with whether it has a value.
    fn in_help() -> Vec<(&'static str, bool)> {
        let lines = HELP.lines().filter_map(|line| line.strip_prefix("  --"));
        let options = lines.map(|line| {
            let (name, rest) = line.split_once([' ', ',']).expect("has a text");
            (name, rest.starts_with(|c: char| c.is_ascii_uppercase()))
        });
        options.collect()
    }

    #[test]
    fn the_help_has_every_option_and_no_other_in_the_order_of_the_table() {
        let mut table: Vec<_> = OPTIONS
            .iter()
            .map(|(name, setting)| (*name, !matches!(setting, Flag(_))))
            .collect();
        let limits = table.iter().position(|(name, _)| *name == "keep-alive");
        let limits = limits.expect("begins the limits");
        // `--help` and `--version` are listed before the limits.
        table.splice(limits..limits, [("help", false), ("version", false)]);
        assert_eq!(in_help(), table);
    }

    /// The configuration that these arguments give.
    fn parsed(arguments: &[&str]) -> Result<Config, String> {
        match parse(arguments.iter().map(OsString::from), |_| None)? {
            Invocation::Serve(config) => Ok(*config),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_option_sets_something_and_no_two_the_same() {
        let mut made = vec![Config::default()];
        for (name, setting) in &OPTIONS {
            let value = match *name {
                "listen" => "127.0.0.1:7",
                "log" => "off",
                "host" => "a.example",
                "allow-origin" => "https://a.example",
                "trusted-proxy" => "10.0.0.0/8",
                _ => "7",
            };
            let option = format!("--{name}");
            let config = match setting {
                Flag(_) => parsed(&[&option]),
                Value(_) | List(..) => parsed(&[&option, value]),
            };
            let config = config.expect("is right");
            assert!(!made.contains(&config), "{name}");
            made.push(config);
        }
    }

    #[test]
    fn a_time_between_requests_is_in_seconds_and_0_is_no_limit() {
        let keep_alive = |text| parsed(&["--keep-alive", text]).map(|config| config.keep_alive);
        assert_eq!(keep_alive("0"), Ok(None));
        assert_eq!(keep_alive("5"), Ok(Some(Duration::from_secs(5))));
        for bad in ["-1", "1.5", "", "9999999999"] {
            assert!(keep_alive(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_kept_as_browsers_send_it() {
        for (text, kept) in [
            ("https://A.example:443", "https://a.example"),
            ("file://", "file://"),
            ("*", "*"),
        ] {
            let config = parsed(&["--allow-origin", text]).expect("is right");
            assert_eq!(config.allow_origins, [kept]);
        }
    }

    #[test]
    fn no_unknown_name_sets_anything() {
        for name in [
            "--",
            "--ech",
            "--echoes",
            "--room",
            "--ECHO",
            "--rooms_per_connection",
        ] {
            let arguments = [name, "7"];
            assert!(parsed(&arguments).is_err(), "{name}");
            assert!(parsed(&arguments[..1]).is_err() || name == "--", "{name}");
        }
    }

    #[test]
    fn an_option_replaces_its_variable_and_a_list_all_of_it() {
        let environment = |name: &str| {
            let value = match name {
                "SARANG_ALLOW_ORIGIN" => "https://a.example, https://b.example",
                "SARANG_ROOMS" => "7",
                "SARANG_ECHO" => "1",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let with =
            |arguments: &[&str]| match parse(arguments.iter().map(OsString::from), environment) {
                Ok(Invocation::Serve(config)) => {
                    (config.allow_origins, config.rooms.rooms, config.echo)
                }
                other => panic!("{other:?}"),
            };
        let own = |origins: &[&str]| {
            origins
                .iter()
                .map(|one| (*one).to_owned())
                .collect::<Vec<_>>()
        };
        let (a, b, c) = (
            "https://a.example",
            "https://b.example",
            "https://c.example",
        );
        assert_eq!(with(&[]), (own(&[a, b]), 7, true));
        assert_eq!(with(&["--rooms", "8"]), (own(&[a, b]), 8, true));
        let arguments = ["--allow-origin", c, "--allow-origin", a];
        assert_eq!(with(&arguments), (own(&[c, a]), 7, true));
    }
}
