use serde_json::json;

use super::*;
use crate::config::{POSTED_FIGURES_BYTES_MAX, POSTED_FIGURES_MAX};

const START: u64 = 1_705_314_600_000;

fn series() -> Series {
    Series::new(&["requests", "avg_response_ms"])
}

fn take(series: &mut Series, kind: Kind, millis: u64, mut data: Value) {
    data["time"] = Instant(START + millis).to_string().into();
    series.take(kind, &data.to_string());
}

fn shown(series: &mut Series) -> Value {
    serde_json::from_str(series.json(Some(7))).expect("is JSON")
}

/// The times of a track, in milliseconds after [`START`].
fn times(series: &mut Series, track: &str) -> Vec<u64> {
    let shown = shown(series);
    let times = shown[track]["time"].as_array().expect("a list").iter();
    times
        .map(|time| time.as_u64().expect("a number") - START)
        .collect()
}

#[test]
fn samples_are_columns_of_numbers_with_null_where_there_is_none() {
    let mut series = series();
    let nothing = series.json(None).to_owned();
    let expected = concat!(
        r#"{"last_event_id":"","#,
        r#""system":{"period_ms":1000,"time":[],"cpu":[],"memory":[],"disk":[]},"#,
        r#""api":{"period_ms":5000,"time":[],"requests":[],"avg_response_ms":[]},"#,
        r#""business":{"time":[],"active_users":[]}}"#
    );
    assert_eq!(nothing, expected);
    take(
        &mut series,
        Kind::System,
        0,
        json!({"cpu": 4.5, "memory": null, "disk": 52.0}),
    );
    take(
        &mut series,
        Kind::System,
        1_000,
        json!({"cpu": 0.0, "memory": 7.25, "node": "a"}),
    );
    take(
        &mut series,
        Kind::Api,
        0,
        json!({"requests": 3, "unknown": 1, "up": true}),
    );
    take(
        &mut series,
        Kind::Business,
        0,
        json!({"active_users": 1, "orders": -0.5}),
    );
    take(
        &mut series,
        Kind::Business,
        9_000,
        json!({"active_users": 2, "매출\"\u{1}": 1e300}),
    );
    let expected = json!({
        "last_event_id": "7",
        "system": {
            "period_ms": 1000, "time": [START, START + 1_000],
            "cpu": [4.5, 0], "memory": [null, 7.25], "disk": [52, null],
        },
        "api": {"period_ms": 5000, "time": [START], "requests": [3], "avg_response_ms": [null]},
        "business": {
            "time": [START, START + 9_000],
            "active_users": [1, 2], "orders": [-0.5, null], "매출\"\u{1}": [null, 1e300],
        },
    });
    assert_eq!(shown(&mut series), expected);
}

#[test]
fn a_newer_event_id_is_told_and_so_is_a_newer_sample() {
    let mut series = series();
    assert!(series.json(Some(1)).starts_with(r#"{"last_event_id":"1","#));
    assert!(series.json(Some(2)).starts_with(r#"{"last_event_id":"2","#));
    take(&mut series, Kind::System, 0, json!({"cpu": 1}));
    assert_eq!(times(&mut series, "system"), [0]);
}

#[test]
fn what_tells_no_time_or_is_of_a_channel_of_ones_own_is_left_out() {
    let mut series = series();
    let empty = shown(&mut series);
    for data in [
        "",
        "[]",
        "{",
        "{\"cpu\":1}",
        "{\"cpu\":1,\"time\":5}",
        "{\"time\":\"now\"}",
    ] {
        series.take(Kind::System, data);
    }
    take(&mut series, Kind::Own(0), 0, json!({"cpu": 1}));
    assert_eq!(shown(&mut series), empty);
}

#[test]
fn fifteen_minutes_are_kept_and_no_more_samples_than_fit() {
    let mut series = series();
    for second in 0..2_000 {
        take(
            &mut series,
            Kind::System,
            second * 1_000,
            json!({"cpu": second}),
        );
    }
    let kept = times(&mut series, "system");
    assert!(
        kept.into_iter()
            .eq((1_100..2_000).map(|second| second * 1_000))
    );
    assert_eq!(shown(&mut series)["system"]["cpu"][0], 1_100);
    // A sample in 15 s, of an idle server.
    for sample in 0..100 {
        take(
            &mut series,
            Kind::System,
            2_000_000 + sample * 15_000,
            json!({"cpu": 1}),
        );
    }
    assert_eq!(times(&mut series, "system").len(), 61);
}

#[test]
fn of_figures_posted_faster_than_they_are_kept_the_last_in_each_two_seconds_is_there() {
    let mut series = series();
    for post in 0..10_000 {
        take(
            &mut series,
            Kind::Business,
            post * 100,
            json!({"orders": post}),
        );
    }
    let kept = times(&mut series, "business");
    assert_eq!(kept.len(), SERIES_BUSINESS_SAMPLES_MAX);
    assert_eq!(kept.last(), Some(&999_900));
    assert_eq!(kept.first(), Some(&101_900));
    let last = shown(&mut series)["business"]["orders"]
        .as_array()
        .and_then(|all| all.last().cloned());
    assert_eq!(last, Some(json!(9_999)));
}

#[test]
fn times_only_rise_when_the_clock_is_set_back() {
    let mut series = series();
    for second in [10, 20, 30, 15, 16, 16] {
        take(
            &mut series,
            Kind::System,
            second * 1_000,
            json!({"cpu": second}),
        );
        take(
            &mut series,
            Kind::Business,
            second * 1_000,
            json!({"orders": second}),
        );
    }
    assert_eq!(times(&mut series, "system"), [10_000, 15_000, 16_000]);
    assert_eq!(times(&mut series, "business"), [10_000, 15_000, 16_000]);
}

#[test]
fn figures_that_a_back_end_posts_are_limited_and_those_posted_longest_ago_make_way() {
    let mut series = series();
    for post in 0..400 {
        let figures: Map<String, Value> = (0..POSTED_FIGURES_MAX)
            .map(|figure| (format!("{:03}", post / 2 * 7 + figure), json!(post)))
            .chain([("active_users".to_owned(), json!(3))])
            .collect();
        take(
            &mut series,
            Kind::Business,
            post as u64 * 2_000,
            figures.into(),
        );
    }
    let shown_now = shown(&mut series);
    let business = shown_now["business"].as_object().expect("an object");
    assert_eq!(business.len(), 1 + SERIES_FIGURES_MAX, "with its times");
    for figure in 0..POSTED_FIGURES_MAX {
        let name = format!("{:03}", 199 * 7 + figure);
        let values = business[&name].as_array().expect("a column");
        assert_eq!(values.len(), 400, "{name}");
        assert_eq!(values[399], 399);
    }
    assert_eq!(business["active_users"][0], 3);
}

#[test]
fn the_names_of_figures_are_limited_in_bytes() {
    let mut series = series();
    for post in 0..40 {
        let name = format!("{post:0>4000}");
        take(
            &mut series,
            Kind::Business,
            post * 2_000,
            json!({"active_users": 1, name: post}),
        );
    }
    let length = series.json(None).len();
    assert!(length < POSTED_FIGURES_BYTES_MAX + 40 * 200, "{length}");
    let business = shown(&mut series);
    assert!(!business["business"][format!("{:0>4000}", 39)].is_null());
}

#[test]
fn a_figure_that_is_posted_no_more_goes_with_its_last_value() {
    let mut series = series();
    take(&mut series, Kind::Business, 0, json!({"orders": 1}));
    for minute in 1..=16 {
        take(
            &mut series,
            Kind::Business,
            minute * 60_000,
            json!({"visits": minute}),
        );
    }
    let business = &shown(&mut series)["business"];
    let names: Vec<&String> = business.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["active_users", "time", "visits"]);
}
