//! Resumed streams, and gaps that are reported.

use serde_json::{Value, json};

use crate::support::subscriber::{Event, Subscriber, ids, publish};
use crate::support::{Server, assert_no_failures};

/// How many events the contract keeps.
const KEPT: u64 = 200;

/// A server with a subscriber that keeps the sampling on and has seen some events; the last one was posted.
fn with_past(posts: u64) -> (Server, Subscriber, Vec<Event>) {
    let server = Server::start(&[]);
    let mut witness = Subscriber::new(&server, "all");
    let mut past = witness.take(3);
    let mut newest = 3;
    for number in 0..posts {
        newest = publish(&server, &json!({"number": number}));
    }
    if posts > 0 {
        past.extend(witness.until(newest));
    }
    (server, witness, past)
}

fn of_channel(channel: &str, event: &Event) -> bool {
    matches!(channel, "all" | "dashboard") || event.name.starts_with(channel)
}

/// Reads exactly the past events of the channel that come after `seen`.
fn assert_resumes(mut subscriber: Subscriber, channel: &str, seen: u64, past: &[Event]) {
    let missed: Vec<_> = past
        .iter()
        .filter(|event| event.id > Some(seen) && of_channel(channel, event))
        .cloned()
        .collect();
    assert_eq!(
        subscriber.take(missed.len()),
        missed,
        "{channel} after {seen}"
    );
}

#[test]
fn a_resumed_stream_has_every_later_event_of_any_channel() {
    let (server, _witness, past) = with_past(12);
    for seen in 0..past.len() as u64 {
        for channel in ["all", "dashboard", "system", "api", "business"] {
            let subscriber = Subscriber::resuming(&server, channel, seen);
            assert_resumes(subscriber, channel, seen, &past);
        }
    }
}

#[test]
fn an_id_may_come_in_the_query_and_the_header_wins() {
    let (server, _witness, past) = with_past(9);
    for target in [
        "/sse/business?last_event_id=6",
        "/sse/business?last_event_id=%36",
        "/sse/business?x=1&last_event_id=6&y=",
    ] {
        assert_resumes(Subscriber::with(&server, target, ""), "business", 6, &past);
    }
    let target = "/sse/business?last_event_id=1";
    let both = Subscriber::with(&server, target, "last-event-ID:  6 \r\n");
    assert_resumes(both, "business", 6, &past);
    let target = "/sse/business?last_event_id=6";
    let mut header_is_a_gap = Subscriber::with(&server, target, "Last-Event-ID: x\r\n");
    header_is_a_gap.expect("gap");
}

#[test]
fn a_resumed_stream_that_missed_nothing_has_only_new_events() {
    let (server, _witness, past) = with_past(1);
    let newest = past[past.len() - 1].id.expect("an id");
    let mut resumed = Subscriber::resuming(&server, "business", newest);
    let id = publish(&server, &json!({"orders": 1}));
    let event = resumed.next();
    assert!(event.id > Some(newest) && event.id <= Some(id), "{event:?}");
}

#[test]
fn a_stream_cut_after_every_event_has_no_hole_and_nothing_twice() {
    let server = Server::start(&[]);
    let mut whole = Subscriber::new(&server, "all");
    let mut pieces = whole.take(3);
    for (number, channel) in (0..40).zip(["all", "dashboard"].into_iter().cycle()) {
        let seen = pieces[pieces.len() - 1].id.expect("an id");
        let mut resumed = Subscriber::resuming(&server, channel, seen);
        publish(&server, &json!({"number": number}));
        pieces.push(resumed.next());
    }
    assert!(ids(&pieces).into_iter().eq(1..=43));
    assert_eq!(whole.take(40), pieces[3..]);
}

fn assert_gap(server: &Server, requested: &Value, newest: u64) -> Result<(), String> {
    let text = requested
        .as_str()
        .map_or(requested.to_string(), ToOwned::to_owned);
    let mut resumed = Subscriber::resuming(server, "all", &text);
    let gap = resumed.next();
    if gap.name != "gap" || gap.id.is_some() || &gap.data["requested"] != requested {
        return Err(format!("{requested}: {gap:?}"));
    }
    let bound = |name: &str| gap.data[name].as_u64().unwrap_or_default();
    let (oldest, told) = (bound("oldest"), bound("newest"));
    if told < newest || oldest > told || told - oldest >= KEPT {
        return Err(format!("{requested}: {gap:?}"));
    }
    let kept = ids(&resumed.until(told));
    let expected: Vec<u64> = (oldest..=told).collect();
    (kept == expected)
        .then_some(())
        .ok_or_else(|| format!("{requested}: {kept:?} instead of {expected:?}"))
}

#[test]
fn an_id_that_cannot_be_resumed_from_is_a_gap_and_then_comes_all_that_is_kept() {
    let (server, _witness, _) = with_past(210);
    let newest = 213;
    let failures: Vec<_> = [
        json!(1),
        json!(0),
        json!(12),
        json!(newest + 1_000),
        json!(u64::MAX),
        json!("18446744073709551616"),
        json!("-1"),
        json!("+5"),
        json!("0x10"),
        json!("1.5"),
        json!("1 2"),
        json!("\"\\<&"),
        json!("x"),
    ]
    .iter()
    .filter_map(|requested| assert_gap(&server, requested, newest).err())
    .collect();
    assert_no_failures(&failures);
}

#[test]
fn the_oldest_id_that_can_be_resumed_from_is_the_one_before_what_is_kept() {
    let (server, _witness, past) = with_past(250);
    let newest = past[past.len() - 1].id.expect("an id");
    let mut gapped = Subscriber::resuming(&server, "all", "x");
    let oldest = gapped.expect("gap").data["oldest"].as_u64().expect("an id");
    let mut late = Subscriber::resuming(&server, "all", 1);
    assert_eq!(late.expect("gap").data["restarted"], false);
    assert!(
        newest - oldest < KEPT && oldest + KEPT <= newest + 20,
        "{oldest} of {newest}"
    );
    // A second may pass between the two requests, and one more event may drop the oldest.
    let mut resumed = Subscriber::resuming(&server, "all", oldest + 5);
    assert_eq!(resumed.next().id, Some(oldest + 6));
    assert_gap(&server, &json!(oldest - 2), newest).expect("a gap");
}

#[test]
fn an_id_from_before_a_restart_is_a_gap_followed_by_every_event_since_the_restart() {
    let server = Server::start(&[]);
    let mut resumed = Subscriber::resuming(&server, "dashboard", 57);
    let gap = resumed.expect("gap");
    assert_eq!(gap.data["requested"], 57);
    assert_eq!(gap.data["restarted"], true);
    assert_eq!(ids(&resumed.take(3)), [1, 2, 3]);
}
