use serde_json::{Map, Value, json};

use super::*;

fn sample(figures: &mut ApiFigures, gauges: &Gauges, seconds: u64) -> Map<String, Value> {
    let data = figures.sample(gauges, None, Duration::from_secs(seconds));
    serde_json::from_str(&data).expect("is JSON")
}

/// Those of these names.
fn of<const N: usize>(data: &Map<String, Value>, names: [&str; N]) -> [Value; N] {
    names.map(|name| data[name].clone())
}

#[test]
fn traffic_is_told_for_the_last_period_and_for_all_time() {
    let mut figures = ApiFigures::default();
    let gauges = Gauges {
        subscribers: 1,
        ..Gauges::default()
    };
    let names = [
        "requests",
        "avg_response_ms",
        "error_rate",
        "total_requests",
        "total_error_rate",
        "subscribers",
    ];
    let mut reported = |requests, errors, millis| {
        figures.count(Traffic {
            requests,
            errors,
            time: Duration::from_millis(millis),
        });
        of(&sample(&mut figures, &gauges, 5), names)
    };
    let expected = |values: Value| -> [Value; 6] {
        let values = values.as_array().expect("a list").clone();
        values.try_into().expect("six")
    };
    assert_eq!(
        reported(3, 1, 10),
        expected(json!([3, 3.333, 33.3, 3, 33.3, 1]))
    );
    assert_eq!(
        reported(1, 0, 2),
        expected(json!([1, 2.0, 0.0, 4, 25.0, 1]))
    );
    assert_eq!(
        reported(0, 0, 0),
        expected(json!([0, 0.0, 0.0, 4, 25.0, 1]))
    );
}

#[test]
fn percentiles_and_the_largest_outbox_are_of_the_last_period_only() {
    let mut figures = ApiFigures::default();
    let names = ["p50_ms", "p95_ms", "p99_ms", "outbox_peak_bytes", "seconds"];
    for millis in 1..=100 {
        figures.observe(Duration::from_millis(millis));
    }
    figures.note_outbox(70_000);
    figures.note_outbox(3);
    let data = sample(&mut figures, &Gauges::default(), 5);
    let [p50, p95, p99, peak, seconds] = of(&data, names);
    for (told, exact) in [(p50, 50.0), (p95, 95.0), (p99, 99.0)] {
        let told = told.as_f64().expect("a number");
        assert!(
            (exact..=exact * 17.0 / 16.0).contains(&told),
            "{told} for {exact}"
        );
    }
    assert_eq!((peak, seconds), (json!(70_000), json!(5.0)));
    let data = sample(&mut figures, &Gauges::default(), 12);
    let nothing = [json!(null), json!(null), json!(null), json!(0), json!(7.0)];
    assert_eq!(of(&data, names), nothing);
}

#[test]
fn what_is_counted_since_the_start_is_told_for_the_last_period() {
    let mut figures = ApiFigures::default();
    let names = [
        "messages",
        "deliveries",
        "refused",
        "slow_consumers",
        "store_commit_ms",
    ];
    let totals = Totals {
        messages: 5,
        deliveries: 50,
        refused: 2,
        slow_consumers: 1,
        commits: 2,
        commit_micros: 5_001,
    };
    let mut gauges = Gauges {
        totals,
        ..Gauges::default()
    };
    let data = sample(&mut figures, &gauges, 5);
    let expected = [json!(5), json!(50), json!(2), json!(1), json!(2.501)];
    assert_eq!(of(&data, names), expected);
    gauges.totals.messages = 6;
    let data = sample(&mut figures, &gauges, 10);
    let expected = [json!(1), json!(0), json!(0), json!(0), json!(null)];
    assert_eq!(of(&data, names), expected);
}

#[test]
fn what_this_server_does_not_have_is_null_and_the_node_is_named_among_several() {
    let mut figures = ApiFigures::default();
    let names = ["store_up", "store_queue", "engine_up"];
    let data = sample(&mut figures, &Gauges::default(), 5);
    assert_eq!(of(&data, names), [Value::Null, Value::Null, Value::Null]);
    assert!(!data.contains_key("node"));
    let gauges = Gauges {
        store: Some(StoreGauges {
            is_up: false,
            queued: 7,
        }),
        is_engine_up: Some(true),
        ..Gauges::default()
    };
    let data = sample(&mut figures, &gauges, 5);
    assert_eq!(of(&data, names), [json!(false), json!(7), json!(true)]);
    let data = figures.sample(&gauges, Some("a"), Duration::ZERO);
    assert!(data.ends_with(r#","node":"a"}"#), "{data}");
}

#[test]
fn every_number_has_a_column_in_the_series() {
    let data = sample(&mut ApiFigures::default(), &Gauges::default(), 5);
    let mut names: Vec<&str> = data.keys().map(String::as_str).collect();
    names.retain(|name| !["store_up", "engine_up"].contains(name));
    let mut numbers = NUMBERS.to_vec();
    names.sort_unstable();
    numbers.sort_unstable();
    assert_eq!(names, numbers);
}
