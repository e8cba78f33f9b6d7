//! Live metrics: what is measured and when, the log of recent events, and the series of recent samples.
//!
//! While somebody listens each kind is sampled at its own period, and [`SAMPLING_GRACE`] longer: these samples are events.
//! While nobody listens there is a sample every [`IDLE_SAMPLE_EVERY`], for the [`Series`] only: it is no event, so that ids
//! do not advance and nothing is stored. So nothing is missing between an event of before a pause and one of after; a new
//! subscriber is not sent the events of before as the latest ones, since new samples are due as soon as it subscribes.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::api_figures::{ApiFigures, Gauges, NUMBERS};
use super::changes::Changes;
use super::channels::Kind;
use super::drafts::Draft;
use super::event_log::{EventLog, Sample};
use super::figures::{Figures, TooMany};
use super::random::Random;
use super::record::Record;
use super::series::Series;
use super::time::{Instant, Now};
use super::working_set::{KeptEvent, WorkingSet};
use crate::config::{IDLE_SAMPLE_EVERY, SAMPLING_GRACE};

/// A sample of the machine, in percent; `None` where the system does not report a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Machine {
    /// Use of all processors since the last sample.
    pub cpu: Option<f64>,
    /// Use of the memory.
    pub memory: Option<f64>,
    /// Use of the file system of the data.
    pub disk: Option<f64>,
}

/// The metrics.
#[derive(Debug)]
pub struct Metrics {
    /// The recent events.
    pub log: EventLog,
    /// The recent samples.
    pub series: Series,
    /// When the next event of each kind is due; `None` while nobody listens.
    due: Option<[Duration; 3]>,
    /// When the next sample is due while nobody listens.
    idle_due: Duration,
    heartbeat: Duration,
    heartbeat_due: Duration,
    /// When the last subscriber left, while sampling continues.
    idle_since: Option<Duration>,
    /// What is measured for `api_metrics`.
    api: ApiFigures,
    /// Whether this server samples: of several that share their events only one does.
    is_sampler: bool,
    /// The name of this server, if there are several.
    node: Option<Box<str>>,
    figures: Figures,
}

/// The next multiple of a period, after `now`.
fn next_multiple(period: Duration, now: Duration) -> Duration {
    let periods = now.as_micros() / period.as_micros() + 1;
    period.saturating_mul(u32::try_from(periods).unwrap_or(u32::MAX))
}

fn one_decimal(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

impl Metrics {
    /// Metrics without events; the id of the first one is `first_id`, at least 1. A heartbeat is due
    /// at each multiple of `heartbeat`. In the demo figures are simulated until
    /// a back end posts its own.
    pub fn new(first_id: u64, heartbeat: Duration, is_demo: bool) -> Self {
        Self {
            log: EventLog::new(first_id),
            series: Series::new(&NUMBERS),
            due: None,
            idle_due: IDLE_SAMPLE_EVERY,
            heartbeat,
            heartbeat_due: heartbeat,
            idle_since: None,
            api: ApiFigures::default(),
            is_sampler: true,
            node: None,
            figures: Figures::new(is_demo),
        }
    }

    /// There are several servers, and this is its name.
    pub fn share(&mut self, node: Box<str>) {
        self.node = Some(node);
        self.is_sampler = false;
    }

    /// Whether this server samples from now on.
    pub fn set_sampler(&mut self, is_sampler: bool, now: Duration) {
        if is_sampler && !self.is_sampler {
            self.due = self.due.map(|_| [now; 3]);
        }
        self.is_sampler = is_sampler;
    }

    /// A draft is stored, and comes back as an event of all servers.
    pub fn stored_elsewhere(&mut self, draft: &Draft) {
        self.log.end(draft.kind);
        if draft.figures.is_some() {
            self.figures.commit();
        }
    }

    /// Takes the figures posted at another server.
    pub fn take_figures(&mut self, posted: &str) {
        if let Ok(posted) = serde_json::from_str(posted) {
            self.figures.load(posted);
        }
    }

    /// What is measured for `api_metrics`.
    pub fn api(&mut self) -> &mut ApiFigures {
        &mut self.api
    }

    /// There is a subscriber: starts sampling at the usual periods, if nobody has listened.
    pub fn wake(&mut self, now: Duration) {
        self.idle_since = None;
        if self.due.is_none() {
            self.due = Some([now; 3]);
            self.heartbeat_due = next_multiple(self.heartbeat, now);
        }
    }

    /// The last subscriber has gone: nobody listens after [`SAMPLING_GRACE`].
    pub fn rest(&mut self, now: Duration) {
        self.idle_since.get_or_insert(now);
    }

    /// When something is due, as time since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        let Some(due) = self.due else {
            return Some(self.idle_due);
        };
        let events = due.into_iter().filter(|_| self.is_sampler);
        events.chain(self.next_heartbeat()).min()
    }

    /// Whether nobody listens: nothing is due but the next sample of an idle server.
    pub fn is_idle(&self) -> bool {
        self.due.is_none()
    }

    /// Like [`Self::next_timeout`], without the events: they wait for a sample of the machine that is under way.
    pub fn next_heartbeat(&self) -> Option<Duration> {
        self.due?;
        let rest = self.idle_since.map(|since| since + SAMPLING_GRACE);
        rest.into_iter().chain([self.heartbeat_due]).min()
    }

    /// Whether a sample of the machine is needed now.
    pub fn wants_machine(&self, now: Duration) -> bool {
        match self.due {
            Some([system, ..]) => self.is_sampler && system <= now,
            None => self.idle_due <= now,
        }
    }

    /// Whether a heartbeat is due now; if so, schedules the next.
    pub fn take_heartbeat(&mut self, now: Duration) -> bool {
        let is_due = self.due.is_some() && self.heartbeat_due <= now;
        if is_due {
            self.heartbeat_due = next_multiple(self.heartbeat, now);
        }
        is_due
    }

    /// Samples less often if there was no subscriber for [`SAMPLING_GRACE`].
    pub fn rest_if_idle(&mut self, now: Duration) {
        if self.due.is_some()
            && self
                .idle_since
                .is_some_and(|since| since + SAMPLING_GRACE <= now)
        {
            self.due = None;
            self.idle_due = next_multiple(IDLE_SAMPLE_EVERY, now);
            self.idle_since = None;
            self.log.forget_latest_sampled();
        }
    }

    /// Creates the events that are due, which have no ids yet. Due times are multiples of the period, so that a late event does not delay
    /// later ones. While nobody listens there are none, and the sample is for the series.
    pub fn due_samples(
        &mut self,
        machine: Option<Machine>,
        gauges: &Gauges,
        random: &mut Random,
        now: Now,
    ) -> Vec<Draft> {
        let Some(due) = self.due else {
            self.sample_idle(machine, gauges, random, now);
            return Vec::new();
        };
        let mut drafts = Vec::new();
        for (kind, at) in Kind::SAMPLED.into_iter().zip(due) {
            let is_due = at <= now.monotonic && (kind != Kind::System || machine.is_some());
            if let (Some(due), Some(every), true) = (&mut self.due, kind.every(), is_due) {
                due[kind.index()] = next_multiple(every, now.monotonic);
                let data = self.sample(kind, machine, gauges, random, now);
                drafts.push(self.draft(kind, data, None));
            }
        }
        drafts
    }

    /// The data of a sample.
    fn sample(
        &mut self,
        kind: Kind,
        machine: Option<Machine>,
        gauges: &Gauges,
        random: &mut Random,
        now: Now,
    ) -> String {
        let data = match kind {
            Kind::System => system_data(machine.unwrap_or_default(), self.node.as_deref()),
            Kind::Api => (self.api).sample(gauges, self.node.as_deref(), now.monotonic),
            Kind::Business | Kind::Own(_) => {
                self.figures.step(random);
                json(&self.figures.data(gauges.active_users))
            }
        };
        with_time(data, now)
    }

    /// Takes a sample while nobody listens, if one is due. Of several servers one may be listened to: then its events are the
    /// samples of all.
    fn sample_idle(
        &mut self,
        machine: Option<Machine>,
        gauges: &Gauges,
        random: &mut Random,
        now: Now,
    ) {
        if self.idle_due > now.monotonic {
            return;
        }
        self.idle_due = next_multiple(IDLE_SAMPLE_EVERY, now.monotonic);
        let newest = self.series.newest();
        let at = Instant::from(now);
        let every = IDLE_SAMPLE_EVERY.as_millis() as u64;
        if self.node.is_some() && newest.is_some_and(|newest| newest.0 + every > at.0) {
            return;
        }
        for kind in Kind::SAMPLED {
            let data = self.sample(kind, machine, gauges, random, now);
            self.series.take(kind, &data);
        }
    }

    /// Takes figures posted by a back end: an event with all of them.
    ///
    /// # Errors
    /// Too many figures: nothing is taken.
    pub fn post(
        &mut self,
        figures: Map<String, Value>,
        active_users: usize,
        now: Now,
    ) -> Result<Draft, TooMany> {
        let all = json(self.figures.draft(figures)?);
        let data = json(&self.figures.drafted_data(active_users));
        let data = with_time(data, now);
        Ok(self.draft(Kind::Business, data, Some(all)))
    }

    /// Takes an event of a channel of one's own, which has a place in the log.
    pub fn tell(&mut self, kind: Kind, data: &Map<String, Value>) -> Draft {
        self.draft(kind, json(data), None)
    }

    fn draft(&mut self, kind: Kind, data: String, figures: Option<String>) -> Draft {
        self.log.begin(kind);
        Draft {
            kind,
            name: self.log.name(kind).into(),
            data,
            figures,
        }
    }

    /// A draft is stored: it is the next event.
    pub fn told(&mut self, draft: Draft) -> Sample {
        self.log.end(draft.kind);
        if draft.figures.is_some() {
            self.figures.commit();
        }
        self.series.take(draft.kind, &draft.data);
        self.log.append(draft.kind, draft.data)
    }

    /// Takes an event of another server, which is the next one in the log.
    pub fn take(&mut self, sample: &Sample) {
        self.series.take(sample.kind, &sample.data);
    }

    /// The recent samples as JSON, with the id of the newest event.
    pub fn series_json(&mut self) -> &str {
        let newest = (self.log.count() > 0).then(|| self.log.newest());
        self.series.json(newest)
    }

    /// A draft could not be stored: it is no event. What was sampled was measured nevertheless.
    pub fn untold(&mut self, draft: &Draft, is_sampled: bool) {
        if is_sampled {
            self.series.take(draft.kind, &draft.data);
        }
        self.log.end(draft.kind);
        if draft.figures.is_some() {
            self.figures.give_up();
        }
    }

    /// Takes the events and figures that were loaded.
    pub fn load(&mut self, kept: &mut WorkingSet) {
        self.log.load(kept);
        self.retake();
        self.figures.load(std::mem::take(&mut kept.figures));
    }

    /// Takes all events that the servers share: what is kept here is of another time.
    pub fn replace(&mut self, newest: u64, events: Vec<KeptEvent>, latest: Vec<KeptEvent>) {
        self.log.replace(newest, events, latest);
        self.retake();
    }

    /// Takes what the log has into the series.
    fn retake(&mut self) {
        for sample in self.log.kept() {
            self.series.take(sample.kind, &sample.data);
        }
    }

    /// Puts the records of the events and figures.
    pub fn keep_all(&self, changes: &mut Changes) {
        self.log.keep_all(changes);
        let posted = self.figures.posted();
        if !posted.is_empty() {
            changes.put(&Record::Figures(&json(posted)));
        }
    }
}

/// The data of `system_metrics`, in percent; `null` where the system does not report a value.
#[derive(Serialize)]
struct SystemData<'a> {
    cpu: Option<f64>,
    memory: Option<f64>,
    disk: Option<f64>,
    /// The server that was sampled, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
}

fn system_data(machine: Machine, node: Option<&str>) -> String {
    json(&SystemData {
        node,
        cpu: machine.cpu.map(one_decimal),
        memory: machine.memory.map(one_decimal),
        disk: machine.disk.map(one_decimal),
    })
}

/// Appends the member `time` to an object that has others.
fn with_time(mut data: String, now: Now) -> String {
    data.pop();
    _ = write!(data, ",\"time\":\"{}\"}}", Instant::from(now));
    data
}

fn json(data: &impl Serialize) -> String {
    serde_json::to_string(data).expect("writing our own values into memory cannot fail")
}

#[cfg(test)]
mod tests;
