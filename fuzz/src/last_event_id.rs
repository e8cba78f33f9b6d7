//! Resuming an event stream: the backlog after any `Last-Event-ID`, checked against a list of all events, and the
//! boundaries of encoded events.

use sarang::config::{EVENTS_KEPT, OWN_CHANNELS_MAX};
use sarang::domain::channels::{Channel, Kind, Kinds};
use sarang::domain::event_log::{EventLog, Gap, Sample};
use sarang::wire::event_stream::{encode_chunk, encode_event, first_id, rest_of_event};

/// Channels of one's own, at most: so many that some have to make way for others.
const OWN: u64 = 100;

/// Fuzzes [`EventLog::backlog`]: the input gives the number and kinds of events, where the latest samples are forgotten,
/// a channel, and the field.
pub fn run(data: &[u8]) {
    let Some((&[count, pattern, forget_at, channel], field)) = data.split_first_chunk() else {
        return;
    };
    let field = String::from_utf8_lossy(field);
    let kinds = Channel::ALL[usize::from(channel) % Channel::ALL.len()].kinds();
    // A configured server starts at another number than 1.
    let base = u64::from(pattern) % 4 * 1_000;
    let mut log = EventLog::new(base + 1);
    let mut all = Vec::new();
    let mut forgotten = 0;
    for index in 0..2 * u64::from(count) {
        if index == 2 * u64::from(forget_at) {
            log.forget_latest_sampled();
            forgotten = log.newest();
        }
        let number = (index * u64::from(pattern) + index / 7) as usize;
        let kind = match Kind::SAMPLED.get(number % 4) {
            Some(kind) => *kind,
            None => enter(&mut log, number as u64 % OWN),
        };
        let sample = log.append(kind, format!("{{\"n\": {index}}}"));
        assert_eq!(sample.id, base + index + 1);
        all.push(sample);
    }
    check_backlog(&log, &all, kinds, &field);
    let latest = check_latest(&log, &all, kinds, forgotten);
    for is_chunked in [false, true] {
        check_ends(&log, &latest, is_chunked);
    }
}

/// The kind of a channel of one's own, to which nobody subscribes. Only 64 of them may be in use at a time: 1 in 4 of the
/// events kept.
fn enter(log: &mut EventLog, number: u64) -> Kind {
    let name = number.to_string();
    let entered = log.enter(&[&name], Kinds::NONE, OWN_CHANNELS_MAX);
    let kind = log.find(&name).filter(|_| entered.is_some());
    kind.map_or(Kind::Api, |kind| {
        assert_eq!(
            (log.name(kind), entered),
            (&*name, Some(Kinds::from_iter([kind])))
        );
        kind
    })
}

/// The latest event of each kind: those of samples only if they were not forgotten, and those of channels of one's own at
/// least while they are kept for those who resume.
fn check_latest(log: &EventLog, all: &[Sample], kinds: Kinds, forgotten: u64) -> Vec<Sample> {
    let backlog = log.backlog(kinds, None);
    assert_eq!(backlog.gap, None);
    assert!(backlog.samples.is_sorted_by_key(|sample| sample.id));
    let first_kept = log.newest().saturating_sub(EVENTS_KEPT as u64) + 1;
    let every = (0..OWN_CHANNELS_MAX as u8)
        .map(Kind::Own)
        .chain(Kind::SAMPLED);
    for kind in every {
        let latest = all.iter().rfind(|one| one.kind == kind && kinds.has(kind));
        let is_sampled = Kind::SAMPLED.contains(&kind);
        let stays = |one: &&Sample| match is_sampled {
            true => one.id > forgotten,
            false => one.id >= first_kept,
        };
        let told = backlog.samples.iter().find(|one| one.kind == kind);
        if let Some(expected) = latest.filter(stays) {
            assert_eq!(told, Some(expected));
        } else if is_sampled {
            assert_eq!(told, None);
        } else {
            assert!(told.is_none() || told == latest);
        }
    }
    backlog.samples
}

fn check_backlog(log: &EventLog, all: &[Sample], kinds: Kinds, field: &str) {
    let kept = &all[all.len().saturating_sub(EVENTS_KEPT)..];
    let newest = log.newest();
    // The event after the last one seen must be kept, or be the next to come.
    let first = kept.first().map_or(newest + 1, |sample| sample.id);
    let is_number = !field.is_empty() && field.chars().all(|c| c.is_ascii_digit());
    let seen: Option<u64> = match field.trim_start_matches('0') {
        _ if !is_number => None,
        "" => Some(0),
        digits => digits.parse().ok(),
    };
    // An id from before the first event is of another run, but for 0 where ids begin at 1.
    let base = newest - log.count();
    let is_ours = |number: &u64| *number <= newest && (*number > base || base == 0);
    let seen = seen.filter(|seen| is_ours(seen) && *seen + 1 >= first);
    let backlog = log.backlog(kinds, Some(field));
    let follows = |one: &&Sample| kinds.has(one.kind) && one.id > seen.unwrap_or(0);
    let expected: Vec<Sample> = kept.iter().filter(follows).cloned().collect();
    assert_eq!(backlog.samples, expected);
    let number: Option<u64> = field.parse().ok().filter(|_| is_number);
    let gap = seen.is_none().then(|| Gap {
        oldest: first.min(newest),
        newest,
        is_restart: number.is_none_or(|number| !is_ours(&number)),
    });
    assert_eq!(backlog.gap, gap);
}

/// At every position in an encoded stream, the rest of the current event is known.
fn check_ends(log: &EventLog, samples: &[Sample], is_chunked: bool) {
    let mut bytes = Vec::new();
    let mut ends = vec![0];
    for sample in samples {
        let mut event = Vec::new();
        encode_event(log.name(sample.kind), &sample.data, sample.id, &mut event);
        match is_chunked {
            true => encode_chunk(&event, &mut bytes),
            false => bytes.extend(event),
        }
        ends.push(bytes.len());
    }
    assert_eq!(first_id(&bytes), samples.first().map(|sample| sample.id));
    for at in 0..=bytes.len() {
        let end = ends.iter().find(|end| **end >= at).expect("ends somewhere");
        assert_eq!(rest_of_event(&bytes, at), end - at, "at {at}");
    }
}
