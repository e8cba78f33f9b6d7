//! Live metrics: what is measured and when, and the log of recent events.
//!
//! Nothing is sampled without subscribers. [`SAMPLING_GRACE`] after the last subscriber has gone sampling stops. All
//! events stay kept for who resumes: ids do not advance meanwhile, so nothing is missing between an event of before and
//! one of after. But events do not tell their time, so a new subscriber is not sent the samples of before as the latest
//! ones; new samples are due as soon as it subscribes.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::changes::Changes;
use super::channels::Kind;
use super::drafts::Draft;
use super::event_log::{EventLog, Sample};
use super::figures::{Figures, TooMany};
use super::random::Random;
use super::record::Record;
use super::working_set::WorkingSet;
use crate::config::SAMPLING_GRACE;

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

/// Requests over a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Responses sent.
    pub requests: u64,
    /// Those of them with status 400 or above.
    pub errors: u64,
    /// The sum of the times from request to response.
    pub time: Duration,
}

/// The metrics.
#[derive(Debug)]
pub struct Metrics {
    /// The recent events.
    pub log: EventLog,
    /// When the next event of each kind is due; `None` while sampling is stopped.
    due: Option<[Duration; 3]>,
    heartbeat: Duration,
    heartbeat_due: Duration,
    /// When the last subscriber left, while sampling continues.
    idle_since: Option<Duration>,
    traffic: Traffic,
    /// Whether this server samples: of several that share their events only one does.
    is_sampler: bool,
    /// The name of this server, if there are several.
    node: Option<Box<str>>,
    /// The traffic up to the last `api_metrics` event.
    reported: Traffic,
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

/// `part` of `whole` in percent; 0 if `whole` is 0.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        one_decimal(part as f64 * 100.0 / whole as f64)
    }
}

impl Metrics {
    /// Metrics without events; the id of the first one is `first_id`, at least 1. A heartbeat is due
    /// at each multiple of `heartbeat`. In the demo figures are simulated until
    /// a back end posts its own.
    pub fn new(first_id: u64, heartbeat: Duration, is_demo: bool) -> Self {
        Self {
            log: EventLog::new(first_id),
            due: None,
            heartbeat,
            heartbeat_due: heartbeat,
            idle_since: None,
            traffic: Traffic::default(),
            is_sampler: true,
            node: None,
            reported: Traffic::default(),
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

    /// Counts responses.
    pub fn count(&mut self, traffic: Traffic) {
        self.traffic.requests += traffic.requests;
        self.traffic.errors += traffic.errors;
        self.traffic.time += traffic.time;
    }

    /// There is a subscriber: starts sampling, if it is stopped.
    pub fn wake(&mut self, now: Duration) {
        self.idle_since = None;
        if self.due.is_none() {
            self.due = Some([now; 3]);
            self.heartbeat_due = next_multiple(self.heartbeat, now);
        }
    }

    /// The last subscriber has gone: sampling stops after [`SAMPLING_GRACE`].
    pub fn rest(&mut self, now: Duration) {
        self.idle_since.get_or_insert(now);
    }

    /// When something is due, as time since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        let events = self.due?.into_iter().filter(|_| self.is_sampler);
        events.chain(self.next_heartbeat()).min()
    }

    /// Like [`Self::next_timeout`], without the events: they wait for a sample of the machine that is under way.
    pub fn next_heartbeat(&self) -> Option<Duration> {
        self.due?;
        let rest = self.idle_since.map(|since| since + SAMPLING_GRACE);
        rest.into_iter().chain([self.heartbeat_due]).min()
    }

    /// Whether a sample of the machine is needed now.
    pub fn wants_machine(&self, now: Duration) -> bool {
        self.is_sampler && self.due.is_some_and(|[system, ..]| system <= now)
    }

    /// Whether a heartbeat is due now; if so, schedules the next.
    pub fn take_heartbeat(&mut self, now: Duration) -> bool {
        let is_due = self.due.is_some() && self.heartbeat_due <= now;
        if is_due {
            self.heartbeat_due = next_multiple(self.heartbeat, now);
        }
        is_due
    }

    /// Stops sampling if there was no subscriber for [`SAMPLING_GRACE`].
    pub fn rest_if_idle(&mut self, now: Duration) {
        if self.due.is_some()
            && self
                .idle_since
                .is_some_and(|since| since + SAMPLING_GRACE <= now)
        {
            self.due = None;
            self.idle_since = None;
            self.log.forget_latest_sampled();
        }
    }

    /// Creates the events that are due, which have no ids yet. Due times are multiples of the period, so that a late event does not delay
    /// later ones.
    pub fn due_samples(
        &mut self,
        machine: Option<Machine>,
        gauges: &Gauges,
        random: &mut Random,
        now: Duration,
    ) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for kind in Kind::SAMPLED {
            let (Some(due), Some(every)) = (&mut self.due, kind.every()) else {
                continue;
            };
            let due = &mut due[kind.index()];
            if *due > now || (kind == Kind::System && machine.is_none()) {
                continue;
            }
            *due = next_multiple(every, now);
            let data = match kind {
                Kind::System => system_data(machine.unwrap_or_default(), self.node.as_deref()),
                Kind::Api => self.api_data(gauges),
                Kind::Business => {
                    self.figures.step(random);
                    json(&self.figures.data(gauges.active_users))
                }
                Kind::Own(_) => continue,
            };
            drafts.push(self.draft(kind, data, None));
        }
        drafts
    }

    /// Takes figures posted by a back end: an event with all of them.
    ///
    /// # Errors
    /// Too many figures: nothing is taken.
    pub fn post(&mut self, figures: Map<String, Value>, gauges: &Gauges) -> Result<Draft, TooMany> {
        let all = json(self.figures.draft(figures)?);
        let data = json(&self.figures.drafted_data(gauges.active_users));
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
        self.log.append(draft.kind, draft.data)
    }

    /// A draft could not be stored.
    pub fn untold(&mut self, draft: &Draft) {
        self.log.end(draft.kind);
        if draft.figures.is_some() {
            self.figures.give_up();
        }
    }

    /// Takes the events and figures that were loaded.
    pub fn load(&mut self, kept: &mut WorkingSet) {
        self.log.load(kept);
        self.figures.load(std::mem::take(&mut kept.figures));
    }

    /// Puts the records of the events and figures.
    pub fn keep_all(&self, changes: &mut Changes) {
        self.log.keep_all(changes);
        let posted = self.figures.posted();
        if !posted.is_empty() {
            changes.put(&Record::Figures(&json(posted)));
        }
    }

    fn api_data(&mut self, gauges: &Gauges) -> String {
        let (all, reported) = (
            self.traffic,
            std::mem::replace(&mut self.reported, self.traffic),
        );
        let requests = all.requests - reported.requests;
        let time = (all.time - reported.time).as_secs_f64() * 1000.0;
        let mean = if requests == 0 {
            0.0
        } else {
            (time / requests as f64 * 1000.0).round() / 1000.0
        };
        let data = ApiData {
            requests,
            avg_response_ms: mean,
            error_rate: percent(all.errors - reported.errors, requests),
            total_requests: all.requests,
            total_error_rate: percent(all.errors, all.requests),
            subscribers: gauges.subscribers,
        };
        json(&data)
    }
}

/// The server's own gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Users connected now.
    pub active_users: usize,
    /// Event streams open now.
    pub subscribers: usize,
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

/// The data of `api_metrics`: of the last interval, and since the start (`total_`).
#[derive(Serialize)]
struct ApiData {
    requests: u64,
    avg_response_ms: f64,
    error_rate: f64,
    total_requests: u64,
    total_error_rate: f64,
    subscribers: usize,
}

fn system_data(machine: Machine, node: Option<&str>) -> String {
    json(&SystemData {
        node,
        cpu: machine.cpu.map(one_decimal),
        memory: machine.memory.map(one_decimal),
        disk: machine.disk.map(one_decimal),
    })
}

fn json(data: &impl Serialize) -> String {
    serde_json::to_string(data).expect("writing our own values into memory cannot fail")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::channels::{Channel, Kinds};
    use crate::domain::event_log::Backlog;

    const HEARTBEAT: Duration = Duration::from_secs(15);

    const GAUGES: Gauges = Gauges {
        active_users: 3,
        subscribers: 1,
    };
    const SECOND: Duration = Duration::from_secs(1);

    fn sample(metrics: &mut Metrics, machine: Option<Machine>, now: Duration) -> Vec<Sample> {
        let drafts = metrics.due_samples(machine, &GAUGES, &mut Random::new(&[1; 32]), now);
        drafts
            .into_iter()
            .map(|draft| metrics.told(draft))
            .collect()
    }

    /// All events of this many seconds.
    fn run(metrics: &mut Metrics, seconds: u32) -> Vec<Sample> {
        let machine = Some(Machine::default());
        let samples = (0..seconds).flat_map(|second| sample(metrics, machine, SECOND * second));
        samples.collect()
    }

    fn ids(backlog: &Backlog) -> Vec<u64> {
        backlog.samples.iter().map(|sample| sample.id).collect()
    }

    #[test]
    fn the_three_cadences_have_one_sequence() {
        let mut metrics = Metrics::new(1, HEARTBEAT, true);
        metrics.wake(Duration::ZERO);
        let samples = run(&mut metrics, 60);
        let count = |kind| samples.iter().filter(|sample| sample.kind == kind).count();
        assert_eq!(
            (count(Kind::System), count(Kind::Api), count(Kind::Business)),
            (60, 12, 6)
        );
        assert!(samples.iter().map(|sample| sample.id).eq(1..=78));
    }

    #[test]
    fn being_late_once_delays_nothing_that_follows() {
        let mut metrics = Metrics::new(1, HEARTBEAT, true);
        metrics.wake(Duration::ZERO);
        let late = Duration::from_millis(3_700);
        sample(&mut metrics, Some(Machine::default()), late);
        assert_eq!(metrics.next_timeout(), Some(SECOND * 4));
    }

    #[test]
    fn nothing_is_due_while_nobody_listens_and_ids_go_on() {
        let mut metrics = Metrics::new(1, HEARTBEAT, true);
        assert_eq!(metrics.next_timeout(), None);
        metrics.wake(Duration::ZERO);
        let newest = run(&mut metrics, 10).last().map_or(0, |sample| sample.id);
        metrics.rest(SECOND * 10);
        metrics.rest_if_idle(SECOND * 10 + SAMPLING_GRACE);
        assert_eq!(metrics.next_timeout(), None);
        metrics.wake(SECOND * 1000);
        let backlog = |seen: u64| metrics.log.backlog(Kinds::ALL, Some(&seen.to_string()));
        let nothing = Backlog {
            gap: None,
            samples: vec![],
        };
        assert_eq!(backlog(newest), nothing);
        // What was kept before is resumed from as ever, but is not the latest any more.
        assert_eq!(backlog(1).gap, None);
        assert!(ids(&backlog(1)).into_iter().eq(2..=newest));
        assert_eq!(metrics.log.latest(Kinds::ALL), []);
    }

    #[test]
    fn who_resumes_gets_every_later_event_of_the_channel_whatever_channel_the_id_is_from() {
        let mut metrics = Metrics::new(1, HEARTBEAT, true);
        metrics.wake(Duration::ZERO);
        let samples = run(&mut metrics, 30);
        for channel in Channel::ALL {
            for seen in 0..=metrics.log.newest() {
                let kinds = channel.kinds();
                let backlog = metrics.log.backlog(kinds, Some(&seen.to_string()));
                let expected = samples
                    .iter()
                    .filter(|sample| sample.id > seen && kinds.has(sample.kind));
                assert!(
                    ids(&backlog)
                        .into_iter()
                        .eq(expected.map(|sample| sample.id))
                );
                assert_eq!(backlog.gap, None);
            }
        }
    }

    #[test]
    fn traffic_is_told_for_the_last_interval_and_for_all_time() {
        let mut metrics = Metrics::new(1, HEARTBEAT, true);
        let mut reported = |requests, errors, millis| {
            metrics.count(Traffic {
                requests,
                errors,
                time: Duration::from_millis(millis),
            });
            let data: Map<_, _> =
                serde_json::from_str(&metrics.api_data(&GAUGES)).expect("is JSON");
            let values: Vec<String> = data.values().map(Value::to_string).collect();
            values.join(" ")
        };
        // By name: mean in milliseconds, errors in percent, requests, subscribers, and the last two of all time.
        assert_eq!(reported(3, 1, 10), "3.333 33.3 3 1 33.3 3");
        assert_eq!(reported(1, 0, 2), "2.0 0.0 1 1 25.0 4");
        assert_eq!(reported(0, 0, 0), "0.0 0.0 0 1 25.0 4");
    }

    #[test]
    fn a_figure_that_the_system_does_not_tell_is_null_and_no_number() {
        let machine = Machine {
            cpu: None,
            memory: Some(0.0),
            disk: Some(52.06),
        };
        let expected = r#"{"cpu":null,"memory":0.0,"disk":52.1}"#;
        assert_eq!(system_data(machine, None), expected);
    }

    #[test]
    fn a_machine_that_is_not_known_is_not_told_of() {
        let mut metrics = Metrics::new(1, HEARTBEAT, true);
        metrics.wake(Duration::ZERO);
        let samples = sample(&mut metrics, None, Duration::ZERO);
        let kinds: Vec<Kind> = samples.iter().map(|sample| sample.kind).collect();
        assert_eq!(kinds, [Kind::Api, Kind::Business]);
    }
}
