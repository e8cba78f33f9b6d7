use serde_json::json;

use super::*;
use crate::domain::channels::{Channel, Kinds};
use crate::domain::event_log::Backlog;

const HEARTBEAT: Duration = Duration::from_secs(15);

const SECOND: Duration = Duration::from_secs(1);

/// The start of the server is 2024-01-15T10:30:00Z.
fn at(monotonic: Duration) -> Now {
    Now {
        monotonic,
        unix: Duration::from_secs(1_705_314_600) + monotonic,
    }
}

fn sample(metrics: &mut Metrics, machine: Option<Machine>, now: Duration) -> Vec<Sample> {
    let drafts = metrics.due_samples(
        machine,
        &Gauges::default(),
        &mut Random::new(&[1; 32]),
        at(now),
    );
    drafts
        .into_iter()
        .map(|draft| metrics.told(draft))
        .collect()
}

fn series(metrics: &mut Metrics) -> Value {
    serde_json::from_str(metrics.series_json()).expect("is JSON")
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
fn events_tell_when_they_were_sampled_or_posted() {
    let mut metrics = Metrics::new(1, HEARTBEAT, true);
    metrics.wake(Duration::ZERO);
    let mut samples = sample(
        &mut metrics,
        Some(Machine::default()),
        Duration::from_millis(1_250),
    );
    let posted = metrics.post(Map::new(), 3, at(Duration::from_millis(2_500)));
    samples.push(metrics.told(posted.expect("fits")));
    let ends = [".250Z", ".250Z", ".250Z", ".500Z"]
        .into_iter()
        .zip([1, 1, 1, 2]);
    for (sample, (millis, second)) in samples.iter().zip(ends) {
        let end = format!(r#","time":"2024-01-15T10:30:0{second}{millis}"}}"#);
        assert!(sample.data.ends_with(&end), "{}", sample.data);
        assert!(serde_json::from_str::<Value>(&sample.data).is_ok());
    }
}

#[test]
fn an_event_of_a_channel_of_ones_own_stays_as_it_was_posted() {
    let mut metrics = Metrics::new(1, HEARTBEAT, true);
    metrics
        .log
        .enter(&["deploys"], Kinds::NONE, 1)
        .expect("a place");
    let kind = metrics.log.find("deploys").expect("has a place");
    let data = json!({"time": "mine"});
    let draft = metrics.tell(kind, data.as_object().expect("an object"));
    assert_eq!(draft.data, data.to_string());
}

#[test]
fn there_is_a_sample_in_15_s_while_nobody_listens_and_it_is_no_event() {
    let mut metrics = Metrics::new(1, HEARTBEAT, true);
    assert_eq!(metrics.next_timeout(), Some(IDLE_SAMPLE_EVERY));
    assert!(metrics.is_idle() && !metrics.wants_machine(IDLE_SAMPLE_EVERY - SECOND));
    for second in (15..=90).step_by(15) {
        let now = SECOND * second;
        assert_eq!(metrics.next_timeout(), Some(now));
        assert!(metrics.wants_machine(now));
        assert_eq!(sample(&mut metrics, Some(Machine::default()), now), []);
        assert!(!metrics.wants_machine(now));
    }
    assert_eq!(metrics.log.count(), 0);
    let shown = series(&mut metrics);
    for (kind, figure) in [
        ("system", "cpu"),
        ("api", "requests"),
        ("business", "revenue"),
    ] {
        assert_eq!(
            shown[kind]["time"].as_array().map(Vec::len),
            Some(6),
            "{kind}"
        );
        assert_eq!(
            shown[kind][figure].as_array().map(Vec::len),
            Some(6),
            "{kind}"
        );
    }
    assert_eq!(shown["last_event_id"], "");
    metrics.wake(SECOND * 100);
    assert!(!metrics.is_idle());
    assert_eq!(
        sample(&mut metrics, Some(Machine::default()), SECOND * 100).len(),
        3
    );
    let shown = series(&mut metrics);
    assert_eq!(shown["system"]["time"][6], 1_705_314_700_000_u64);
    assert_eq!(shown["last_event_id"], "3");
}

#[test]
fn what_was_sampled_and_could_not_be_stored_is_in_the_series_and_a_refused_post_is_not() {
    let mut metrics = Metrics::new(1, HEARTBEAT, true);
    metrics.wake(Duration::ZERO);
    let mut random = Random::new(&[1; 32]);
    let machine = Some(Machine::default());
    for draft in metrics.due_samples(machine, &Gauges::default(), &mut random, at(SECOND)) {
        metrics.untold(&draft, true);
    }
    let posted = metrics.post(Map::new(), 9, at(SECOND * 8)).expect("fits");
    metrics.untold(&posted, false);
    let shown = series(&mut metrics);
    for kind in ["system", "api", "business"] {
        assert_eq!(
            shown[kind]["time"],
            json!([1_705_314_601_000_u64]),
            "{kind}"
        );
    }
    assert_eq!(shown["last_event_id"], "");
}

#[test]
fn no_event_is_due_while_nobody_listens_and_ids_go_on() {
    let mut metrics = Metrics::new(1, HEARTBEAT, true);
    assert!(metrics.is_idle());
    metrics.wake(Duration::ZERO);
    let newest = run(&mut metrics, 10).last().map_or(0, |sample| sample.id);
    metrics.rest(SECOND * 10);
    metrics.rest_if_idle(SECOND * 10 + SAMPLING_GRACE);
    assert_eq!(metrics.next_timeout(), Some(SECOND * 75));
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
