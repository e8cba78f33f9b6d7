//! A new connection: who we are, whether the engine is fit, and everything anew.

use std::rc::Rc;

use super::Node;
use super::ask::{Ask, Request, Step};
use super::link::State;
use super::mirror;
use super::news::News;
use super::scripts::Script;
use crate::config::{
    BEAT_EVERY, ENGINE_SETUP_TIMEOUT, ENGINE_VERSION_MIN, Endpoint, Level, ROOM_SILENCE,
    SUBSCRIBED_AT_ONCE,
};
use crate::domain::event_log::KeptEvents;
use crate::domain::time::Now;
use crate::domain::working_set::KeptEvent;
use crate::wire::resp::{Command, NUMBER_MAX, Reply};

impl Node {
    pub(super) fn set_up(&mut self, step: Step, command: Vec<u8>, now: Now) {
        self.set_up_as(Ask::Setup(step), command, now);
    }

    pub(super) fn set_up_as(&mut self, ask: Ask, command: Vec<u8>, now: Now) {
        let request = Request::new(ask, command, None, now.monotonic);
        self.link.push_setup(request, now.monotonic);
    }

    fn set_up_plain(&mut self, step: Step, arguments: &[&str], now: Now) {
        let (name, arguments) = arguments.split_first().expect("a command has a name");
        let mut command = Command::new(name);
        command.texts(arguments);
        self.set_up(step, command.finish(), now);
    }

    /// Whether the connection is one to a sentinel, which is asked where the primary is.
    fn asks_sentinel(&self) -> bool {
        self.cluster.primary.is_some() && self.link.primary.is_none()
    }

    /// Begins the setup.
    pub(super) fn greet(&mut self, now: Now) {
        let name = format!("sarang-{}", self.id);
        let user = self.cluster.user.clone().unwrap_or("default".into());
        let password = self.password.0.clone();
        // A sentinel has its own users, if any.
        let has_password = !self.asks_sentinel() && !password.is_empty();
        match has_password {
            true => self.set_up_plain(
                Step::Hello,
                &["HELLO", "3", "AUTH", &user, &password, "SETNAME", &name],
                now,
            ),
            false => self.set_up_plain(Step::Hello, &["HELLO", "3", "SETNAME", &name], now),
        }
        match self.cluster.primary.clone() {
            Some(primary) if self.asks_sentinel() => {
                self.set_up_plain(
                    Step::Primary,
                    &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &primary],
                    now,
                );
            }
            _ => self.set_up_plain(Step::Info, &["INFO"], now),
        }
    }

    /// Takes the reply to a step.
    pub(super) fn step_done(&mut self, step: Step, reply: &Reply, now: Now) {
        self.link.setup_left = self.link.setup_left.saturating_sub(1);
        if let Reply::Error(error) = reply
            && step != Step::Kill
        {
            let reason = match step {
                Step::Hello if error.starts_with("NOAUTH") || error.starts_with("WRONGPASS") => {
                    format!("the password, or the user, is wrong: {error}")
                }
                Step::Hello if error.starts_with("ERR unknown command") => {
                    "it is older than Redis 6.2".into()
                }
                _ => error.to_string(),
            };
            return self.fail(&reason, now);
        }
        match step {
            Step::Hello => {
                let mut pairs = reply.pairs();
                let id = pairs.find(|(key, _)| key.text() == Some("id"));
                self.link.number = id.and_then(|(_, id)| id.number());
            }
            Step::Primary => self.go_to_primary(reply, now),
            Step::Info => match unfit(reply.text().unwrap_or_default()) {
                Some(reason) => self.fail(&reason, now),
                None => self.ask_for_everything(reply.text().unwrap_or_default(), now),
            },
            Step::Plain | Step::Kill => {}
            Step::Secret => self.take_secret(reply),
            Step::Revocations => {
                let mut all = Vec::new();
                for (key, value) in reply.pairs() {
                    let read = |part: &Reply| part.text().and_then(decode);
                    if let Some(record) = read(key).zip(read(value)) {
                        all.push(record);
                    }
                }
                self.report(News::Revoked(all, true));
            }
            Step::Events => self.report(News::Events(read_events(reply))),
            Step::Beat(number) => self.take_beat(number, reply, now),
        }
        self.end_setup_if_done(now);
    }

    /// The command that asks for the secret, and proposes one if there is none.
    pub(super) fn secret_command(&self) -> Vec<u8> {
        let mut command = self.call(Script::Secret, 1);
        command.text(&self.keys.single("secret"));
        command.bytes(&self.secret).finish()
    }

    pub(super) fn take_secret(&mut self, reply: &Reply) {
        if let Reply::Text(bytes) = reply
            && let Some(secret) = bytes.first_chunk::<32>()
        {
            self.secret = *secret;
            self.report(News::Secret(*secret));
        }
    }

    fn go_to_primary(&mut self, reply: &Reply, now: Now) {
        let address = reply.text_at(0).zip(reply.number_at(1));
        let address = address.and_then(|(host, port)| {
            let host: std::net::IpAddr = host.parse().ok()?;
            Some(std::net::SocketAddr::new(host, port.try_into().ok()?))
        });
        let Some(address) = address else {
            return self.fail("the sentinel knows no such primary", now);
        };
        self.take_back(now);
        self.link.primary = Some(Endpoint::Tcp(address));
        self.dial(now);
    }

    /// The engine is fit: subscribes, and asks for everything, before anything that waits is sent.
    fn ask_for_everything(&mut self, info: &str, now: Now) {
        self.link.state = State::Setup(now.monotonic + ENGINE_SETUP_TIMEOUT);
        let version = value_of(info, "valkey_version").or_else(|| value_of(info, "redis_version"));
        self.link.version = version.unwrap_or("unknown").into();
        if self.cluster.database != 0 {
            let database = self.cluster.database.to_string();
            self.set_up_plain(Step::Plain, &["SELECT", &database], now);
        }
        // What was sent over them and not carried out yet must never be.
        self.link.run = value_of(info, "run_id").unwrap_or_default().into();
        for (run, number) in std::mem::take(&mut self.link.old) {
            if run != self.link.run {
                continue;
            }
            self.set_up_plain(
                Step::Kill,
                &["CLIENT", "KILL", "ID", &number.to_string()],
                now,
            );
        }
        let loads: Vec<Vec<u8>> = self.scripts.load().collect();
        for command in loads {
            self.set_up(Step::Plain, command, now);
        }
        let mut channels = vec![
            self.keys.node_channel(&self.id),
            self.keys.single("ctl"),
            self.keys.single("ev"),
        ];
        channels.extend(self.audit_channel());
        channels.extend(self.mirrors.keys().map(|room| self.keys.of("r", room)));
        self.link.is_subscribed = true;
        self.subscribe(&channels);
        let command = self.secret_command();
        self.set_up(Step::Secret, command, now);
        let revocations = self.keys.single("rv");
        self.set_up_plain(Step::Revocations, &["HGETALL", &revocations], now);
        let command = self.events_command();
        self.set_up(Step::Events, command, now);
        self.beat(true, now);
        let rooms: Vec<Rc<str>> = self.mirrors.keys().cloned().collect();
        for room in rooms {
            if self.mirrors[&room].is_open() {
                let command = self.check_command(&room);
                self.set_up_as(Ask::Check(room, true), command, now);
            }
        }
    }

    pub(super) fn subscribe(&mut self, channels: &[String]) {
        for channels in channels.chunks(SUBSCRIBED_AT_ONCE) {
            let mut command = Command::new("SUBSCRIBE");
            for channel in channels {
                command.text(channel);
            }
            // Confirmed by pushes.
            self.link.push_bytes(&command.finish());
        }
    }

    /// Whether rooms are still being loaded anew, of those that were compared in the setup.
    pub(super) fn is_reloading(&self) -> bool {
        let mut mirrors = self.mirrors.values();
        mirrors.any(|mirror| matches!(mirror.state, mirror::State::Reloading))
    }

    /// Everything is here anew: what waits is sent.
    pub(super) fn end_setup_if_done(&mut self, now: Now) {
        if !matches!(self.link.state, State::Setup(_))
            || self.link.setup_left > 0
            || self.is_reloading()
        {
            return;
        }
        self.link.state = State::Up;
        self.link.is_heard = true;
        self.link.restore_patience();
        self.told_reason.clear();
        let about = vec![
            ("address", self.endpoint().to_string()),
            ("version", self.link.version.to_string()),
        ];
        self.note(Level::Info, "engine_up", about);
        // That of the first sign of life may have come back before its reply.
        self.probes.1 = self.probes.1.max(self.probes.0 - 1);
        self.beat_due = now.monotonic + BEAT_EVERY;
        self.check_due = now.monotonic + ROOM_SILENCE;
        self.readdress_requests();
        self.link.flush_queue(now.monotonic);
        self.ask_for_stale_crowds(now);
        self.reload_audit(now);
    }
}

/// The value of a field of `INFO`.
fn value_of<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    let mut lines = info.lines();
    lines
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// Why an engine is not fit, by what it says of itself.
fn unfit(info: &str) -> Option<String> {
    if value_of(info, "loading") == Some("1") {
        return Some("it is loading its data".into());
    }
    if value_of(info, "role").is_some_and(|role| role != "master") {
        return Some("it is a replica".into());
    }
    if value_of(info, "cluster_enabled") == Some("1") {
        return Some("it is one of a cluster of engines, which is not supported".into());
    }
    let version = value_of(info, "redis_version").unwrap_or_default();
    let mut numbers = version
        .split('.')
        .map_while(|number| number.parse::<u32>().ok());
    if let (Some(major), minor) = (numbers.next(), numbers.next())
        && (major, minor.unwrap_or(0)) < ENGINE_VERSION_MIN
    {
        return Some(format!(
            "its version is {version}, and the oldest that has all commands is 6.2"
        ));
    }
    let policy = value_of(info, "maxmemory_policy").unwrap_or("noeviction");
    (policy != "noeviction").then(|| {
        format!("maxmemory-policy is {policy}, by which it would forget what was acknowledged: set it to noeviction")
    })
}

pub(super) fn read_events(reply: &Reply) -> KeptEvents {
    let [newest, events, latest, figures] = reply.items() else {
        return KeptEvents::default();
    };
    let mut kept = KeptEvents {
        newest: newest.number(),
        figures: figures
            .text()
            .filter(|text| !text.is_empty())
            .map(Into::into),
        ..KeptEvents::default()
    };
    for entry in events.items() {
        if let Some(event) = read_event(entry) {
            kept.events.push(event);
        }
    }
    for (name, value) in latest.pairs() {
        if let Some(event) = read_latest(name, value) {
            kept.latest.push(event);
        }
    }
    kept
}

fn read_event(entry: &Reply) -> Option<KeptEvent> {
    let [id, fields] = entry.items() else {
        return None;
    };
    let id = id.text()?.split('-').next()?.parse().ok()?;
    Some(KeptEvent {
        id: Some(id).filter(|id| (1..=NUMBER_MAX).contains(id))?,
        name: fields.text_at(1)?.into(),
        data: fields.text_at(3)?.into(),
    })
}

/// The latest event of a channel.
fn read_latest(name: &Reply, value: &Reply) -> Option<KeptEvent> {
    let (id, data) = value.text()?.split_once(' ')?;
    Some(KeptEvent {
        id: id.parse().ok()?,
        name: name.text()?.into(),
        data: data.into(),
    })
}

/// What was encoded as base64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD_NO_PAD
        .decode(text)
        .ok()
}

/// As base64.
pub(super) fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_lacks_commands_is_refused_by_its_version() {
        let reason = |version: &str| unfit(&format!("redis_version:{version}\r\nrole:master\r\n"));
        for version in ["2.8.24", "5.0.14", "6.0.16", "6.1"] {
            let reason = reason(version).expect("is refused");
            assert!(
                reason.contains(version) && reason.contains("6.2"),
                "{reason}"
            );
        }
        for version in ["6.2.0", "6.10.1", "7.0.15", "10.0.1", ""] {
            assert_eq!(reason(version), None, "{version}");
        }
        // It says which version of the other one it stands for.
        let valkey = "valkey_version:8.0.1\r\nredis_version:7.2.4\r\n";
        assert_eq!(unfit(valkey), None);
    }
}
