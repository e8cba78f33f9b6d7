//! Resuming an event stream: the backlog after any `Last-Event-ID`, checked against a list of all events, and the
//! boundaries of encoded events.

use sarang::config::EVENTS_KEPT;
use sarang::domain::event_log::{Channel, EventLog, Gap, Kind, Sample};
use sarang::wire::event_stream::{encode_chunk, encode_event, first_id, rest_of_event};

/// Fuzzes [`EventLog::backlog`]: the input gives the number and kinds of events, where the log is forgotten, a channel,
/// and the field.
pub fn run(data: &[u8]) {
    let Some((&[count, pattern, forget_at, channel], field)) = data.split_first_chunk() else {
        return;
    };
    let field = String::from_utf8_lossy(field);
    let channel = Channel::ALL[usize::from(channel) % Channel::ALL.len()];
    // A configured server starts at another number than 1.
    let base = u64::from(pattern) % 4 * 1_000;
    let mut log = EventLog::new(base + 1);
    let mut all = Vec::new();
    for index in 0..2 * u64::from(count) {
        if index == 2 * u64::from(forget_at) {
            log.forget();
            all.clear();
        }
        let kind = Kind::ALL[(index * u64::from(pattern) + index / 7) as usize % 3];
        let sample = log.append(kind, format!("{{\"n\": {index}}}"));
        assert_eq!(sample.id, base + index + 1);
        all.push(sample);
    }
    check_backlog(&log, &all, channel, &field);
    let latest = Kind::ALL.map(|kind| {
        all.iter()
            .rfind(|one| one.kind == kind && channel.has(kind))
    });
    let mut latest: Vec<Sample> = latest.into_iter().flatten().cloned().collect();
    latest.sort_by_key(|sample| sample.id);
    let backlog = log.backlog(channel, None);
    assert_eq!((backlog.gap, &backlog.samples), (None, &latest));
    for is_chunked in [false, true] {
        check_ends(&latest, is_chunked);
    }
}

fn check_backlog(log: &EventLog, all: &[Sample], channel: Channel, field: &str) {
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
    let seen = seen.filter(|seen| (first - 1..=newest).contains(seen));
    let backlog = log.backlog(channel, Some(field));
    let follows = |one: &&Sample| channel.has(one.kind) && one.id > seen.unwrap_or(0);
    let expected: Vec<Sample> = kept.iter().filter(follows).cloned().collect();
    assert_eq!(backlog.samples, expected);
    let number: Option<u64> = field.parse().ok().filter(|_| is_number);
    let gap = seen.is_none().then(|| Gap {
        oldest: first.min(newest),
        newest,
        is_restart: number.is_none_or(|number| number > newest || number + log.count() < newest),
    });
    assert_eq!(backlog.gap, gap);
}

/// At every position in an encoded stream, the rest of the current event is known.
fn check_ends(samples: &[Sample], is_chunked: bool) {
    let mut bytes = Vec::new();
    let mut ends = vec![0];
    for sample in samples {
        let mut event = Vec::new();
        encode_event(sample.kind.name(), &sample.data, sample.id, &mut event);
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
