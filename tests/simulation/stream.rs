//! A subscriber to an event stream, and what must hold of its ids.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sarang::config::POSTED_BYTES_MAX;

use super::model::Model;
use super::network::{Manner, Reading, Wire};
use super::reading::{Block, read_blocks, read_chunks, read_head};
use super::sessions::{Session, by};
use super::stage::Stage;
use super::stream_sessions::Shown;
use super::told::LATE;
use super::verdicts::Verdict;

/// What one subscription was sent.
#[derive(Debug, Default)]
struct Span {
    /// From which id on it has to have every event of a kind.
    from: BTreeMap<String, u64>,
    /// The same for kinds of which it has seen nothing yet.
    from_all: Option<u64>,
    seen: BTreeSet<u64>,
    was_blocked: bool,
    /// The newest event when it ended: it may have been cut down up to there.
    until: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    Away,
    Opening,
    Open,
}

pub struct Stream {
    pub me: usize,
    manner: Manner,
    channel: &'static str,
    is_http11: bool,
    lives: usize,
    pub(super) phase: Phase,
    pub(super) wire: Option<Wire>,
    bytes: Vec<u8>,
    text: Vec<u8>,
    span: Span,
    spans: Vec<Span>,
    last_id: Option<u64>,
    requested: Option<String>,
    last_system: Option<Duration>,
    last_heartbeat: Duration,
    has_ended: bool,
    pub(super) asked_at: Duration,
    due: Option<Duration>,
    pub(super) shown: Option<Shown>,
    /// What the stream rests on, if anything.
    pub(super) session: Option<Session>,
    /// When that had surely ended, of a client that learns it late.
    pub(super) lapsed_at: Option<Duration>,
}

/// What streams are asked for: one channel, or several.
const CHANNELS: [&str; 8] = [
    "dashboard",
    "all",
    "all",
    "system",
    "api",
    "business",
    "deploys",
    "alarms,api",
];

const KINDS: [(&str, &str, u64); 3] = [
    ("system_metrics", "system", 1),
    ("api_metrics", "api", 5),
    ("business_metrics", "business", 10),
];

/// Whether events of a name go to one of these channels.
fn has(channels: &str, name: &str) -> bool {
    let sampled = KINDS.iter().find(|(kind, ..)| *kind == name);
    let own = sampled.map_or(name, |(_, channel, _)| channel);
    channels.split(',').any(|channel| match channel {
        "all" => true,
        "dashboard" => sampled.is_some(),
        _ => channel == own,
    })
}

/// The least that can have waited before anything was left out, in bytes.
const RELIEVED_BYTES_MIN: usize = 200 * 1024;

impl Span {
    /// Nothing is missing between the first and the last event, unless so much waited that it was cut down.
    fn check(&self, channel: &str, model: &Model) {
        let Some(&last) = self.seen.last() else {
            return;
        };
        let (mut missing, mut holes) = (0, Vec::new());
        let first = self.from_all.or(self.seen.first().copied()).unwrap_or(last);
        // Who resumes from an id of another run may have one that is smaller than any of this run, by trillions.
        let first_known = model.events.keys().next();
        let first = first_known.map_or(first, |known| first.max(*known));
        for id in (first..=last.max(self.until)).filter(|id| !self.seen.contains(id)) {
            // What nobody else has seen may have been anything, and large.
            let Some((name, data)) = model.events.get(&id) else {
                missing += if self.was_blocked {
                    POSTED_BYTES_MAX
                } else {
                    0
                };
                continue;
            };
            if has(channel, name) {
                missing += data.len();
                let from = self.from.get(name).copied().or(self.from_all);
                holes.extend(from.filter(|from| id >= *from && id < last).map(|_| id));
            }
        }
        let is_relieved = self.was_blocked && missing >= RELIEVED_BYTES_MIN;
        assert!(
            holes.is_empty() || is_relieved,
            "{missing} bytes are missing on {channel}, of {:?} to {last}: {holes:?}",
            self.seen.first()
        );
    }
}

impl Stream {
    pub fn new(me: usize, manner: Manner, stage: &mut Stage) -> Self {
        Self {
            me,
            manner,
            channel: stage.seed.pick(&CHANNELS),
            is_http11: stage.seed.chance(80),
            lives: 1 + stage.seed.below(4),
            phase: Phase::Away,
            wire: None,
            bytes: Vec::new(),
            text: Vec::new(),
            span: Span::default(),
            spans: Vec::new(),
            last_id: None,
            requested: None,
            last_system: None,
            last_heartbeat: Duration::ZERO,
            has_ended: false,
            asked_at: Duration::ZERO,
            due: None,
            shown: None,
            session: None,
            lapsed_at: None,
        }
    }

    pub fn act(&mut self, stage: &mut Stage) {
        match self.phase {
            Phase::Away if self.lives > 0 && stage.at() < stage.end => self.subscribe(stage),
            Phase::Open if stage.seed.chance(30) => {
                let wire = self.wire.expect("is open");
                stage.network.reset(wire);
                self.forget(stage);
            }
            _ => {}
        }
        if stage.at() < stage.end {
            stage.act_in(self.me, 500, 25_000);
        }
    }

    fn subscribe(&mut self, stage: &mut Stage) {
        self.lives -= 1;
        self.phase = Phase::Opening;
        let wire = stage.connect(self.me, self.manner);
        self.wire = Some(wire);
        self.requested = match stage.seed.below(10) {
            0 => Some("yesterday".into()),
            1 => Some("99999999".into()),
            2 => None,
            _ => self.last_id.map(|id| id.to_string()),
        };
        self.asked_at = stage.at();
        let version = if self.is_http11 { "1.1" } else { "1.0" };
        let mut target = format!("/sse/{}?", self.channel);
        let mut fields = String::new();
        if let Some(requested) = &self.requested {
            match stage.seed.chance(50) {
                true => fields = format!("Last-Event-ID: {requested}\r\n"),
                false => target += &format!("last_event_id={requested}&"),
            }
        }
        if !stage.model.config.is_demo() {
            let token = self.choose(stage);
            match self.shown {
                Some(Shown::Ticket(ticket)) => {
                    target += &format!("ticket={}", stage.model.register.tickets[ticket].text);
                }
                _ => {
                    let text = &stage.model.register.tokens[token].text;
                    fields += &format!("Authorization: Bearer {text}\r\n");
                }
            }
            let expires_at = stage.model.register.tokens[token].expires_at;
            self.due = Some(Duration::from_secs(expires_at));
        }
        let request = format!("GET {target} HTTP/{version}\r\nHost: sarang\r\n{fields}\r\n");
        stage.send(wire, request.as_bytes());
    }

    fn forget(&mut self, stage: &mut Stage) {
        self.shown = None;
        self.session = None;
        self.lapsed_at = None;
        if let Some(wire) = self.wire.take() {
            self.span.was_blocked = stage.network.sockets[wire.0].was_blocked;
            let newest = stage.model.events.last_key_value();
            self.span.until = newest.map_or(0, |(id, _)| *id);
        }
        self.spans.push(std::mem::take(&mut self.span));
        self.phase = Phase::Away;
        self.bytes.clear();
        self.text.clear();
        self.last_system = None;
        self.has_ended = false;
        self.due = None;
    }

    pub fn read(&mut self, wire: Wire, bytes: &[u8], stage: &mut Stage) {
        if Some(wire) != self.wire {
            return;
        }
        self.bytes.extend_from_slice(bytes);
        if self.phase == Phase::Opening {
            let Some(head) = read_head(&mut self.bytes) else {
                return;
            };
            if head.status != 200 {
                self.refused(head.status, stage);
                stage.model.count(&format!("answered {}", head.status));
                return stage.finish(wire);
            }
            assert_eq!(
                head.field("Content-Type"),
                Some("text/event-stream; charset=utf-8")
            );
            assert_eq!(head.field("Transfer-Encoding").is_some(), self.is_http11);
            self.opened(stage);
        }
        if self.is_http11 {
            assert!(!self.has_ended, "nothing comes after the last chunk");
            self.has_ended = read_chunks(&mut self.bytes, &mut self.text);
        } else {
            self.text.append(&mut self.bytes);
        }
        for block in read_blocks(&mut self.text) {
            self.told(block, stage);
        }
    }

    fn opened(&mut self, stage: &mut Stage) {
        stage.model.count("subscriptions");
        self.phase = Phase::Open;
        self.last_heartbeat = stage.at();
        self.rest_on_shown(stage);
        // The session of a token ends so much later, whatever the wall clock does then.
        let is_known = stage.model.jumped_at < self.asked_at;
        self.due = self
            .due
            .filter(|_| is_known)
            .map(|due| stage.at() + due.saturating_sub(stage.now().unix));
        if let Some(due) = self.due.filter(|_| self.is_unblocked(stage)) {
            stage.judge_at(self.me, self.wire.expect("is open"), due + LATE);
        }
        let number = self
            .requested
            .as_ref()
            .and_then(|requested| requested.parse::<u64>().ok());
        self.span.from_all = number.map(|number| number + 1);
        if self.manner.reading == Reading::Stalled {
            stage.judge_at(
                self.me,
                self.wire.expect("is open"),
                stage.at() + Duration::from_secs(200),
            );
        }
    }

    pub(super) fn is_unblocked(&self, stage: &Stage) -> bool {
        let was_blocked = self
            .wire
            .is_none_or(|wire| stage.network.sockets[wire.0].was_blocked);
        self.manner.reading == Reading::Prompt && !was_blocked
    }

    fn told(&mut self, block: Block, stage: &mut Stage) {
        match block {
            Block::Retry(milliseconds) => assert_eq!(milliseconds, 3_000),
            Block::Comment(words) => {
                assert!(words.starts_with("heartbeat "), "{words}");
                let silent = stage.at() - self.last_heartbeat;
                if self.is_unblocked(stage) {
                    assert!(
                        silent <= Duration::from_secs(15) + LATE,
                        "no heartbeat for {silent:?}"
                    );
                }
                self.last_heartbeat = stage.at();
                stage.model.count("heartbeats");
            }
            Block::Event { name, data, .. } if name == "gap" => self.told_gap(&data, stage),
            Block::Event { name, data, id } => {
                let id = id.expect("an event has an id");
                assert!(has(self.channel, &name), "{name} on {}", self.channel);
                let newest = self.span.seen.last().copied().unwrap_or(0);
                assert!(id > newest, "event {id} after {newest}");
                let from = self.span.from_all.unwrap_or(0);
                assert!(id >= from, "event {id}, and all before {from} were seen");
                stage.model.record_event(id, &name, &data);
                stage.model.count("events");
                match &*name {
                    "system_metrics" => self.told_system(stage),
                    "deploys" | "alarms" => stage.model.count("own events"),
                    _ => {}
                }
                // Without a last id the latest of each kind comes first; from there on all.
                if self.span.from_all.is_none() {
                    self.span.from.entry(name).or_insert(id);
                }
                self.span.seen.insert(id);
                self.last_id = Some(id);
            }
        }
    }

    fn told_system(&mut self, stage: &mut Stage) {
        let now = stage.at();
        if let Some(last) = self.last_system
            && self.is_unblocked(stage)
        {
            assert!(
                now - last <= Duration::from_secs(1) + LATE,
                "late by {:?}",
                now - last
            );
        }
        self.last_system = Some(now);
    }

    fn told_gap(&mut self, data: &str, stage: &mut Stage) {
        stage.model.count("gaps");
        let data: serde_json::Value = serde_json::from_str(data).expect("is JSON");
        let number = |name: &str| data[name].as_u64().expect("a number");
        let (oldest, newest) = (number("oldest"), number("newest"));
        assert!(self.span.seen.is_empty(), "a gap comes first");
        assert!(oldest <= newest && newest - oldest < 200, "{data}");
        let requested = self
            .requested
            .as_deref()
            .expect("a gap only for who resumes");
        if let Ok(requested) = requested.parse::<u64>() {
            assert_eq!(data["requested"], requested);
            let is_gone = requested + 1 < oldest || (oldest == newest && requested < newest);
            assert!(is_gone || requested > newest, "no gap: {data}");
        } else {
            assert_eq!(data["requested"], *requested);
        }
        self.span.from_all = Some(oldest);
    }

    pub fn ended(&mut self, wire: Wire, stage: &mut Stage) {
        if Some(wire) != self.wire {
            return;
        }
        let is_prompt = self.manner.reading == Reading::Prompt;
        if self.phase == Phase::Open && is_prompt {
            let fate = self
                .session
                .map_or(Verdict::Good, |session| session.fate(stage));
            if let Verdict::Bad(why) = fate {
                stage.model.count(&format!("streams ended {}", by(why)));
            }
            let is_due = fate != Verdict::Good
                || match self.due {
                    Some(due) => stage.at() + LATE >= due,
                    // Of a token that was shown before a clock jumped, it is not known when it ends.
                    None => self.session.is_some(),
                };
            assert!(
                is_due || stage.model.is_ending,
                "a stream was ended for nothing {wire:?}: due {:?}, now {:?}, {:?}",
                self.due,
                stage.now(),
                self.session
            );
            // For a small window much may have waited, and an end takes 2 seconds at most.
            let is_whole =
                self.text.is_empty() && self.bytes.is_empty() && self.has_ended == self.is_http11;
            assert!(
                is_whole || !self.is_unblocked(stage) || stage.model.is_ending,
                "the end cuts nothing: {wire:?}"
            );
            stage.model.count("streams ended");
        }
        stage.finish(wire);
        self.forget(stage);
    }

    pub fn judge(&mut self, wire: Wire, stage: &mut Stage) {
        if Some(wire) != self.wire || stage.is_over(wire) {
            return;
        }
        if let Some(lapsed_at) = self.lapsed_at {
            let limit = stage.goodbye(wire, lapsed_at);
            assert!(
                stage.at() < limit,
                "a stream outlives its session {wire:?}, since {lapsed_at:?}"
            );
            stage.judge_at(self.me, wire, limit);
        }
        let socket = &stage.network.sockets[wire.0];
        if self.manner.reading == Reading::Stalled {
            let limit = socket.blocked_at + Duration::from_secs(60) + LATE;
            assert!(
                !socket.is_blocked || stage.at() <= limit,
                "stalled since {:?}",
                socket.blocked_at
            );
            return stage.judge_at(self.me, wire, stage.at() + Duration::from_secs(5));
        }
        if let Some(due) = self.due.filter(|due| stage.at() >= *due + LATE) {
            assert!(
                socket.was_blocked,
                "a stream outlives its token, due at {due:?}"
            );
        }
    }

    /// At the very end, when all events are known.
    pub fn check(&mut self, stage: &mut Stage) {
        self.forget(stage);
        for span in &self.spans {
            span.check(self.channel, &stage.model);
        }
    }
}
