//! The table of options, in the order in which they are listed.

use std::time::Duration;

use super::setting::Effect::{ConfigFile, List, Print, Switch, Value as One};
use super::setting::{Group, Kind, Setting, Value};
use super::values::*;
use crate::config::Cluster;
use crate::config::cidr::Cidr;
use crate::config::listen::Listen;
use crate::server::hosts::read_host;

/// The option with this name.
pub fn find(name: &str) -> Option<&'static Setting> {
    OPTIONS.iter().find(|setting| setting.name == name)
}

/// A value that has a default.
const fn value(name: &'static str, default: &'static str, example: &'static str) -> Option<Value> {
    Some(Value {
        name,
        default: Some(default),
        example,
        kind: Kind::Free,
    })
}

/// A value that has none.
const fn optional(name: &'static str, example: &'static str, kind: Kind) -> Option<Value> {
    Some(Value {
        name,
        default: None,
        example,
        kind,
    })
}

/// Every option.
#[rustfmt::skip]
pub static OPTIONS: [Setting; 43] = [
    Setting {
        name: "listen",
        value: Some(Value { name: "ADDR:PORT", default: Some("127.0.0.1:8000"), example: "127.0.0.1:9000", kind: Kind::Address }),
        group: Group::Access,
        effect: List(
            |config| config.listen.clear(),
            |config, text| { config.listen.push(Listen::parse(text)?); Ok(()) },
        ),
        help: "where to listen, also `:PORT`, `localhost:PORT` and `unix:PATH`",
        details: "Port 0 picks a free port; the address is printed on stdout. `:PORT` and `[::]:PORT` are every address of \
            both families, `localhost:PORT` is 127.0.0.1 and `[::1]`. Without it the sockets that systemd hands over are \
            used, if there are any. Without accounts the demo listens on loopback only, because every client that reached \
            it could use any name.",
    },
    Setting {
        name: "unix-mode",
        value: value("MODE", "660", "600"),
        group: Group::Access,
        effect: One(|config, text| set(&mut config.unix_mode, mode(text))),
        help: "the permissions of unix sockets, in octal",
        details: "",
    },
    Setting {
        name: "host",
        value: optional("NAME", "chat.example.com", Kind::Host),
        group: Group::Access,
        effect: List(
            |config| config.hosts.clear(),
            |config, text| { config.hosts.push(read_host(text)?); Ok(()) },
        ),
        help: "answer for this host name or address, without a port",
        details: "On loopback in addition to `localhost`, 127.0.0.0/8 and `[::1]`; elsewhere, where else every name is \
            served, for these only, and then health checks, too, need one of them in `Host`.",
    },
    Setting {
        name: "allow-origin",
        value: optional("ORIGIN", "https://app.example.com", Kind::Free),
        group: Group::Access,
        effect: List(
            |config| config.allow_origins.clear(),
            |config, text| { config.allow_origins.push(origin(text)?); Ok(()) },
        ),
        help: "allow browsers on pages of this origin",
        details: "Also `app://name`, `file://` and `null`; `*` allows every origin.",
    },
    Setting {
        name: "guests",
        value: None,
        group: Group::Access,
        effect: Switch(|config, on| config.guests = on),
        help: "allow guests, who have a name only (the demo always does)",
        details: "",
    },
    Setting {
        name: "public-dashboard",
        value: None,
        group: Group::Access,
        effect: Switch(|config, on| config.public_dashboard = on),
        help: "open the event streams, `/series` and `/metrics` to all, even with accounts",
        details: "",
    },
    Setting {
        name: "users",
        value: optional("FILE", "/etc/sarang/users", Kind::File),
        group: Group::Accounts,
        effect: One(|config, text| set(&mut config.users, path(text).map(Some))),
        help: "accounts, one NAME:HASH per line, made by `sarang user add`",
        details: "SIGHUP rereads it. With accounts or secrets the server is no demo.",
    },
    Setting {
        name: "secret-file",
        value: optional("FILE", "/etc/sarang/secrets", Kind::File),
        group: Group::Accounts,
        effect: One(|config, text| set(&mut config.secret_file, path(text).map(Some))),
        help: "token secrets of at least 32 bytes, one KID:SECRET per line; the first signs",
        details: "SIGHUP rereads it. With accounts or secrets the server is no demo.",
    },
    Setting {
        name: "api-key-file",
        value: optional("FILE", "/etc/sarang/api-keys", Kind::File),
        group: Group::Accounts,
        effect: One(|config, text| set(&mut config.api_key_file, path(text).map(Some))),
        help: "keys of back ends, which are moderators, one NAME:KEY per line",
        details: "A key has 32 to 512 visible characters of ASCII, and is sent as `Authorization: Bearer KEY`. SIGHUP rereads the \
            file.",
    },
    Setting {
        name: "token-ttl",
        value: value("SECS", "3600", "600"),
        group: Group::Accounts,
        effect: One(|config, text| set(&mut config.token_ttl_secs, seconds(text))),
        help: "how long a token is valid, in seconds",
        details: "A shorter time holds also for tokens issued before.",
    },
    Setting {
        name: "ticket-ttl",
        value: value("SECS", "30", "10"),
        group: Group::Accounts,
        effect: One(|config, text| set(&mut config.ticket_ttl, seconds(text).map(Duration::from_secs))),
        help: "how long a ticket is valid, in seconds",
        details: "",
    },
    Setting {
        name: "audience",
        value: optional("NAME", "chat", Kind::Free),
        group: Group::Accounts,
        effect: One(|config, text| set(&mut config.audience, audience(text))),
        help: "what the `aud` of a token must name",
        details: "Without the option a token with an `aud` is refused; one without `aud` is always taken.",
    },
    Setting {
        name: "trusted-proxy",
        value: optional("CIDR", "10.0.0.0/8", Kind::Free),
        group: Group::Proxies,
        effect: List(
            |config| config.trusted_proxies.clear(),
            |config, text| { config.trusted_proxies.push(Cidr::parse(text)?); Ok(()) },
        ),
        help: "a proxy (127.0.0.1), or a network of them (10.0.0.0/8, fd00::/8), that tells the addresses of its clients",
        details: "It tells them in `X-Forwarded-For` or `Forwarded`. Of anybody else these are ignored.",
    },
    Setting {
        name: "proxy-protocol",
        value: None,
        group: Group::Proxies,
        effect: Switch(|config, on| config.proxy_protocol = on),
        help: "trusted proxies, and peers of unix sockets, begin with a PROXY protocol header",
        details: "Version 1 or 2.",
    },
    Setting {
        name: "drain-delay",
        value: value("SECS", "0", "10"),
        group: Group::Proxies,
        effect: One(|config, text| set(&mut config.drain_delay, drain_delay(text))),
        help: "from SIGTERM until anything is closed, in seconds",
        details: "Meanwhile `/readyz` answers 503, and everything else goes on.",
    },
    Setting {
        name: "data",
        value: optional("DIR", "/var/lib/sarang", Kind::File),
        group: Group::Rooms,
        effect: One(|config, text| set(&mut config.data, path(text).map(Some))),
        help: "keep rooms, messages, events and logouts in this folder, over restarts",
        details: "The folder is made if it does not exist, with the permissions 700. Without it everything is kept in memory \
            only. One server uses a folder at a time.",
    },
    Setting {
        name: "presence-grace",
        value: value("SECS", "3", "10"),
        group: Group::Rooms,
        effect: One(|config, text| set(&mut config.presence_grace, grace(text))),
        help: "how long a user whose connections have closed is still a member, in seconds",
        details: "So long a guest's key holds their name, too. 0 is not at all.",
    },
    Setting {
        name: "no-auto-rooms",
        value: None,
        group: Group::Rooms,
        effect: Switch(|config, on| config.rooms.auto_rooms = !on),
        help: "a join does not create a missing room",
        details: "",
    },
    Setting {
        name: "lobby",
        value: optional("NAME", "tea", Kind::Free),
        group: Group::Rooms,
        effect: One(|config, text| set(&mut config.rooms.lobby, lobby(text).map(Some))),
        help: "the room where people come in, made at the start and kept while it is empty",
        details: "The chat page leads there whoever comes without an address of a room. The demo has one; an empty name is none.",
    },
    Setting {
        name: "ping-interval",
        value: value("SECS", "25", "50"),
        group: Group::Rooms,
        effect: One(|config, text| set(&mut config.ping_interval, interval(text))),
        help: "the silence of a WebSocket peer after which it is pinged, in seconds",
        details: "",
    },
    Setting {
        name: "heartbeat",
        value: value("SECS", "15", "50"),
        group: Group::Rooms,
        effect: One(|config, text| set(&mut config.heartbeat, interval(text))),
        help: "between two heartbeat comments of an event stream, in seconds",
        details: "",
    },
    Setting {
        name: "cluster",
        value: optional("URL", "redis://127.0.0.1:6379/0", Kind::Free),
        group: Group::Cluster,
        effect: One(|config, text| set(&mut config.cluster, Cluster::parse(text).map(Some))),
        help: "share rooms, people, tickets and events with other nodes over a Valkey or Redis",
        details: "`redis://[USER@]ADDR:PORT[,ADDR:PORT...][/DB]`, `unix:PATH`, or `sentinel://[USER@]ADDR:PORT[,...]/NAME[/DB]`. It \
            needs Valkey 7.2 or Redis 6.2 and `maxmemory-policy noeviction`.",
    },
    Setting {
        name: "cluster-password-file",
        value: optional("FILE", "/etc/sarang/engine", Kind::File),
        group: Group::Cluster,
        effect: One(|config, text| set(&mut config.cluster_password_file, path(text).map(Some))),
        help: "the password of the engine, in a file",
        details: "Or in the environment variable `SARANG_CLUSTER_PASSWORD`.",
    },
    Setting {
        name: "cluster-prefix",
        value: value("TEXT", "sg:", "chat:"),
        group: Group::Cluster,
        effect: One(|config, text| set(&mut config.cluster_prefix, prefix(text))),
        help: "what all keys and channels in the engine begin with",
        details: "",
    },
    Setting {
        name: "cluster-wait",
        value: value("N", "0", "1"),
        group: Group::Cluster,
        effect: One(|config, text| set(&mut config.cluster_wait, number(text))),
        help: "replicas that must have a message before it is acknowledged",
        details: "",
    },
    Setting {
        name: "cluster-node",
        value: optional("NAME", "seoul-1", Kind::Free),
        group: Group::Cluster,
        effect: One(|config, text| set(&mut config.cluster_node, node_name(text).map(Some))),
        help: "the name of this node in events and the log; without it that of the host",
        details: "",
    },
    Setting {
        name: "log",
        value: Some(Value { name: "LEVEL", default: Some("warn"), example: "info", kind: Kind::Words(&LEVELS) }),
        group: Group::Log,
        effect: One(|config, text| set(&mut config.log, level(text))),
        help: "what is logged on stderr: `off`, `error`, `warn`, `info` or `debug`",
        details: "",
    },
    Setting {
        name: "log-format",
        value: Some(Value { name: "FORMAT", default: Some("text"), example: "json", kind: Kind::Words(&FORMATS) }),
        group: Group::Log,
        effect: One(|config, text| set(&mut config.log_format, log_format(text))),
        help: "how the log is written: `text` (`key=value`) or `json`",
        details: "",
    },
    Setting {
        name: "keep-alive",
        value: value("SECS", "75", "50"),
        group: Group::Limits,
        effect: One(|config, text| set(&mut config.keep_alive, time_limit(text))),
        help: "between two requests of a connection, in seconds",
        details: "Then it is closed.",
    },
    Setting {
        name: "messages-per-second",
        value: value("N", "100", "10"),
        group: Group::Limits,
        effect: One(|config, text| set(&mut config.messages_per_second, number(text))),
        help: "messages of one connection per second",
        details: "Above it a message is answered with `rate_limited`; 10 such in a row close the connection with 4009.",
    },
    Setting {
        name: "connections",
        value: value("N", "65536", "1000"),
        group: Group::Limits,
        effect: One(|config, text| set(&mut config.connections, limit(text))),
        help: "connections in all",
        details: "Above it a new one is answered with 503.",
    },
    Setting {
        name: "connections-per-address",
        value: value("N", "256", "20"),
        group: Group::Limits,
        effect: One(|config, text| set(&mut config.connections_per_address, limit(text))),
        help: "connections from one address (of IPv6: from one /64)",
        details: "Loopback and trusted proxies are exempt. Above it a new one is answered with 503.",
    },
    Setting {
        name: "connections-per-user",
        value: value("N", "64", "8"),
        group: Group::Limits,
        effect: One(|config, text| set(&mut config.connections_per_user, limit(text))),
        help: "WebSockets of one user",
        details: "One more is closed with 1013.",
    },
    Setting {
        name: "outbox-bytes",
        value: value("N", "1048576", "500000"),
        group: Group::Limits,
        effect: One(|config, text| set(&mut config.outbox_bytes, limit(text))),
        help: "bytes that wait to be sent to one connection",
        details: "Replies to its own requests do not count. Above it a WebSocket is closed with 4008.",
    },
    Setting {
        name: "buffer-bytes",
        value: value("N", "67108864", "16000000"),
        group: Group::Limits,
        effect: One(|config, text| set(&mut config.buffer_bytes, limit(text))),
        help: "bytes in the outboxes and receive buffers of all connections",
        details: "Above it the largest are dropped first.",
    },
    Setting {
        name: "content-chars",
        value: value("N", "4096", "500"),
        group: Group::Limits,
        effect: One(|config, text| set(&mut config.rooms.content_chars, limit(text))),
        help: "characters of one message",
        details: "A longer one is answered with `content_too_long`.",
    },
    Setting {
        name: "room-users",
        value: value("N", "100", "30"),
        group: Group::Limits,
        effect: One(|config, text| set(&mut config.rooms.room_users, room_users(text))),
        help: "users of a room created without `max_users`",
        details: "One more is answered with `room_full`.",
    },
    Setting {
        name: "rooms",
        value: value("N", "1000", "50"),
        group: Group::Limits,
        effect: One(|config, text| set(&mut config.rooms.rooms, limit(text))),
        help: "rooms on the server",
        details: "At it a room without connections makes way for a new one, else the answer is `too_many_rooms`.",
    },
    Setting {
        name: "rooms-per-connection",
        value: value("N", "64", "5"),
        group: Group::Limits,
        effect: One(|config, text| set(&mut config.rooms.rooms_per_connection, limit(text))),
        help: "rooms that one connection is in",
        details: "One more is answered with `too_many_rooms`.",
    },
    Setting {
        name: "config",
        value: optional("FILE", "/etc/sarang/sarang.conf", Kind::File),
        group: Group::Program,
        effect: ConfigFile,
        help: "a file of options, one `option = value` per line",
        details: "Options of the command line and of the environment take precedence over those in it. It is read once, at \
            the start.",
    },
    Setting {
        name: "echo",
        value: None,
        group: Group::Program,
        effect: Switch(|config, on| config.echo = on),
        help: "add `/ws-echo` and `POST /http-echo`, for conformance suites",
        details: "",
    },
    Setting {
        name: "help",
        value: None,
        group: Group::Program,
        effect: Print,
        help: "print the commands and options",
        details: "",
    },
    Setting {
        name: "version",
        value: None,
        group: Group::Program,
        effect: Print,
        help: "print the version",
        details: "",
    },
];

fn set<T>(field: &mut T, value: Result<T, String>) -> Result<(), String> {
    *field = value?;
    Ok(())
}
