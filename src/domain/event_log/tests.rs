use super::*;
use crate::domain::channels::Channel;

/// The gap of a subscriber to everything.
fn gap(log: &EventLog, requested: impl ToString) -> Option<(u64, u64, bool)> {
    let gap = log.backlog(Kinds::ALL, Some(&requested.to_string())).gap;
    gap.map(|gap| (gap.oldest, gap.newest, gap.is_restart))
}

#[test]
fn an_id_with_a_sign_is_none_of_ours() {
    let mut log = EventLog::new(1);
    log.append(Kind::Api, "{}".into());
    assert_eq!(gap(&log, "1"), None);
    assert_eq!(gap(&log, "+1"), Some((1, 1, true)));
}

#[test]
fn ids_begin_where_they_are_told_to_and_those_of_an_earlier_life_are_a_gap() {
    let mut log = EventLog::new(1_000);
    assert_eq!((log.newest(), log.count()), (999, 0));
    // Also the one before the first: the clock of the earlier run may have been ahead.
    for requested in [0, 998, 999, 1_000, u64::MAX] {
        assert_eq!(gap(&log, requested), Some((999, 999, true)), "{requested}");
    }
    for id in 1_000..1_300 {
        assert_eq!(log.append(Kind::Api, "{}".into()).id, id);
        if id == 1_000 {
            assert_eq!(gap(&log, 999), Some((1_000, 1_000, true)));
            assert_eq!(gap(&log, 1_000), None);
        }
    }
    assert_eq!((log.newest(), log.count()), (1_299, 300));
    assert_eq!(gap(&log, 500), Some((1_100, 1_299, true)));
    assert_eq!(gap(&log, 1_300), Some((1_100, 1_299, true)));
    assert_eq!(gap(&log, 1_098), Some((1_100, 1_299, false)));
    assert_eq!(gap(&log, 1_099), None);
}

#[test]
fn an_id_that_an_empty_log_cannot_have_given_is_a_gap() {
    let log = EventLog::new(1);
    assert_eq!(
        gap(&log, 0),
        None,
        "whoever has seen nothing missed nothing"
    );
    for requested in ["1", "57", "x", "18446744073709551616"] {
        assert_eq!(gap(&log, requested), Some((0, 0, true)), "{requested}");
    }
}

#[test]
fn what_is_gone_from_another_life_or_no_number_is_a_gap_and_all_that_is_kept() {
    let mut log = EventLog::new(1);
    for _ in 0..2 * EVENTS_KEPT {
        log.append(Kind::System, "{}".into());
    }
    let newest = log.newest();
    let oldest = newest - EVENTS_KEPT as u64 + 1;
    for requested in [
        "1",
        "x",
        "",
        "-1",
        "+5",
        "99999999999999999999",
        &(newest + 1).to_string(),
        &(oldest - 2).to_string(),
    ] {
        let backlog = log.backlog(Kinds::ALL, Some(requested));
        let gap = backlog.gap.map(|gap| (gap.oldest, gap.newest));
        assert_eq!(gap, Some((oldest, newest)), "{requested}");
        assert_eq!(backlog.samples.len(), EVENTS_KEPT);
    }
    assert_eq!(gap(&log, oldest - 1), None);
}

#[test]
fn a_new_subscriber_gets_the_latest_of_each_kind() {
    let mut log = EventLog::new(1);
    let deploys = log.enter(&["deploys"], Kinds::NONE, OWN_CHANNELS_MAX);
    let own = Kind::Own(0);
    assert_eq!(deploys, Some(Kinds::from_iter([own])));
    for kind in [
        own,
        Kind::System,
        Kind::Api,
        own,
        Kind::Business,
        Kind::System,
    ] {
        log.append(kind, "{}".into());
    }
    let kinds = |of: Kinds| {
        let latest = log.backlog(of, None).samples;
        latest
            .into_iter()
            .map(|sample| sample.kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(Channel::Dashboard.kinds()),
        [Kind::Api, Kind::Business, Kind::System]
    );
    assert_eq!(kinds(Channel::Api.kinds()), [Kind::Api]);
    assert_eq!(
        kinds(Kinds::ALL),
        [Kind::Api, own, Kind::Business, Kind::System]
    );
    log.forget_latest_sampled();
    let ids: Vec<u64> = log.latest(Kinds::ALL).iter().map(|one| one.id).collect();
    assert_eq!(ids, [4], "what was posted has not become untrue");
    assert_eq!(log.backlog(Kinds::ALL, Some("3")).samples.len(), 3);
}

/// A log with channels `0`, `1` …, each with one event, and the last of them followed by enough others that all of
/// them are out of use.
fn log_with_past_channels() -> EventLog {
    let mut log = EventLog::new(1);
    for place in 0..OWN_CHANNELS_MAX {
        let entered = log.enter(&[&place.to_string()], Kinds::NONE, OWN_CHANNELS_MAX);
        let kind = Kind::Own(place as u8);
        assert_eq!(entered, Some(Kinds::from_iter([kind])));
        log.append(kind, "{}".into());
    }
    assert!(!log.has_places(&["more"], Kinds::NONE, OWN_CHANNELS_MAX));
    assert!(log.has_places(&["0", "63"], Kinds::NONE, OWN_CHANNELS_MAX));
    for _ in 0..EVENTS_KEPT {
        log.append(Kind::System, "{}".into());
    }
    log
}

#[test]
fn a_place_that_is_out_of_use_goes_to_who_needs_it_and_until_then_its_latest_event_stays() {
    let mut log = log_with_past_channels();
    let own = |places: &[u8]| places.iter().map(|place| Kind::Own(*place)).collect();
    assert_eq!(log.latest(own(&[0, 1, 2])).len(), 3);
    // Somebody subscribes to the first: the second makes way, then, as it is asked for again, the third.
    let held: Kinds = own(&[0]);
    let entered = log.enter(&["more", "1"], held, OWN_CHANNELS_MAX);
    assert_eq!(entered, Some(own(&[1, 2])));
    assert_eq!(
        (log.name(Kind::Own(1)), log.name(Kind::Own(2))),
        ("1", "more")
    );
    assert_eq!(log.latest(own(&[0, 1, 2])).len(), 2);
}

#[test]
fn places_in_use_are_not_given_away() {
    let mut log = log_with_past_channels();
    let all_but_one: Kinds = (1..OWN_CHANNELS_MAX as u8).map(Kind::Own).collect();
    assert_eq!(log.enter(&["a", "b"], all_but_one, OWN_CHANNELS_MAX), None);
    assert!(log.find("0").is_some(), "nothing has changed");
    let entered = log.enter(&["a", "63"], all_but_one, OWN_CHANNELS_MAX);
    let expected = Kinds::from_iter([Kind::Own(0), Kind::Own(63)]);
    assert_eq!(entered, Some(expected));
}

#[test]
fn channels_nobody_has_posted_to_can_be_limited_on_their_own() {
    let mut log = EventLog::new(1);
    let first = log.enter(&["a", "b"], Kinds::NONE, 2).expect("two");
    assert_eq!(log.enter(&["c"], first, 2), None);
    let kind = log.find("a").expect("is there");
    log.append(kind, "{}".into());
    let third = log.enter(&["c"], first, 2).expect("one has events now");
    assert_eq!(log.enter(&["a", "d"], first.and(third), 2), None);
    assert!(log.enter(&["a"], first.and(third), 0).is_some());
    // Nobody subscribes to `b` any more: it is as unknown as `d`.
    let (a, c) = (Kinds::from_iter([kind]), third);
    assert!(log.has_places(&["d"], a.and(c), 2));
    assert!(!log.has_places(&["b", "d"], a.and(c), 2));
}
