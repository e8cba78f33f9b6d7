//! The recent samples as columns of numbers, for a page that opens: what `GET /series` tells.
//!
//! It takes the data of events, its own and those of other servers, and samples that are no events. So what was kept of
//! events over a restart is in it again. Numbers only; each sample has the time its data names.
//!
//! All limits are in `config/events.rs`: together some 400 KiB at most, of which figures that a back end posts are the most.

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::channels::Kind;
use super::time::Instant;
use crate::config::{
    SERIES_API_SAMPLES_MAX, SERIES_BUSINESS_EVERY, SERIES_BUSINESS_SAMPLES_MAX, SERIES_FIGURES_MAX,
    SERIES_FOR, SERIES_NAMES_BYTES_MAX, SERIES_SYSTEM_SAMPLES_MAX,
};

/// The largest number below which every whole number is exact.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The figures of `system_metrics`.
const SYSTEM: [&str; 3] = ["cpu", "memory", "disk"];

/// The recent samples of the three kinds that the server samples.
#[derive(Debug)]
pub struct Series {
    tracks: [Track; 3],
    /// All of it as JSON, if it was asked for since the last sample, and the id in it.
    encoded: Option<(Option<u64>, String)>,
}

/// The samples of a kind, oldest first.
#[derive(Debug)]
struct Track {
    kind: Kind,
    samples_max: usize,
    times: VecDeque<Instant>,
    columns: Vec<Column>,
}

/// A figure over time.
#[derive(Debug)]
struct Column {
    name: Box<str>,
    /// One for each time; NaN where the sample has none.
    values: VecDeque<f64>,
    /// When it last had a value.
    last: Instant,
}

impl Series {
    /// No samples. `api` are the figures of `api_metrics`.
    pub fn new(api: &[&str]) -> Self {
        Self {
            tracks: [
                Track::new(Kind::System, SERIES_SYSTEM_SAMPLES_MAX, &SYSTEM),
                Track::new(Kind::Api, SERIES_API_SAMPLES_MAX, api),
                Track::new(
                    Kind::Business,
                    SERIES_BUSINESS_SAMPLES_MAX,
                    &["active_users"],
                ),
            ],
            encoded: None,
        }
    }

    /// Takes the data of an event. It is left out if it is of another kind, or does not tell its time.
    pub fn take(&mut self, kind: Kind, data: &str) {
        let Some(track) = self.tracks.get_mut(kind.index()) else {
            return;
        };
        let Ok(data) = serde_json::from_str::<Map<String, Value>>(data) else {
            return;
        };
        let time = data.get("time").and_then(Value::as_str);
        let Some(time) = time.and_then(Instant::parse) else {
            return;
        };
        let figures = data.iter().filter_map(|(name, value)| {
            let value = value.as_f64().filter(|value| value.is_finite())?;
            Some((&**name, value))
        });
        track.push(time, figures);
        track.forget_before(time);
        self.encoded = None;
    }

    /// When the machine was last sampled.
    pub fn newest(&self) -> Option<Instant> {
        self.tracks[Kind::System.index()].times.back().copied()
    }

    /// All samples as JSON. `last_event_id` is the id of the newest event, `None` if there was none yet.
    pub fn json(&mut self, last_event_id: Option<u64>) -> &str {
        if self
            .encoded
            .as_ref()
            .is_none_or(|(id, _)| *id != last_event_id)
        {
            self.encoded = Some((last_event_id, self.encode(last_event_id)));
        }
        self.encoded.as_ref().map_or("", |(_, json)| json)
    }

    fn encode(&self, last_event_id: Option<u64>) -> String {
        let id = last_event_id.map(|id| id.to_string()).unwrap_or_default();
        let mut out = format!("{{\"last_event_id\":\"{id}\"");
        for (track, name) in self.tracks.iter().zip(["system", "api", "business"]) {
            // Writing into a String cannot fail, here and below.
            _ = write!(out, ",\"{name}\":{{");
            track.encode(&mut out);
            out.push('}');
        }
        out.push('}');
        out
    }
}

impl Track {
    fn new(kind: Kind, samples_max: usize, names: &[&str]) -> Self {
        let mut track = Self {
            kind,
            samples_max,
            times: VecDeque::new(),
            columns: Vec::new(),
        };
        for name in names {
            track.add_column(name, Instant::default());
        }
        track
    }

    fn push<'f>(&mut self, time: Instant, figures: impl Iterator<Item = (&'f str, f64)>) {
        // A clock that was set back: times only rise.
        while self.times.back().is_some_and(|last| *last >= time) || self.is_same_slot(time) {
            self.pop_back();
        }
        if self.times.len() == self.samples_max {
            self.pop_front();
        }
        self.times.push_back(time);
        for column in &mut self.columns {
            column.values.push_back(f64::NAN);
        }
        for (name, value) in figures {
            let column = self.columns.iter_mut().find(|column| *column.name == *name);
            let column = match column {
                Some(column) => column,
                None if self.kind == Kind::Business => self.add_column(name, time),
                None => continue,
            };
            column.last = time;
            if let Some(last) = column.values.back_mut() {
                *last = value;
            }
        }
        if self.kind == Kind::Business {
            self.keep_columns();
        }
    }

    /// Whether the newest sample makes way for one of this time.
    fn is_same_slot(&self, time: Instant) -> bool {
        let slot = |time: Instant| u128::from(time.0) / SERIES_BUSINESS_EVERY.as_millis();
        let is_same = |last: &Instant| slot(*last) == slot(time);
        self.kind == Kind::Business && self.times.back().is_some_and(is_same)
    }

    /// A column without values, beside the others.
    fn add_column(&mut self, name: &str, last: Instant) -> &mut Column {
        let index = self.columns.len();
        self.columns.push(Column {
            name: name.into(),
            values: self.times.iter().map(|_| f64::NAN).collect(),
            last,
        });
        &mut self.columns[index]
    }

    /// Drops columns above the limits, those that had a value longest ago first; the first column stays.
    fn keep_columns(&mut self) {
        let names =
            |columns: &[Column]| -> usize { columns.iter().map(|one| one.name.len()).sum() };
        while self.columns.len() > SERIES_FIGURES_MAX
            || names(&self.columns) > SERIES_NAMES_BYTES_MAX
        {
            let others = self.columns.iter().enumerate().skip(1);
            let Some((oldest, _)) = others.min_by_key(|(_, column)| column.last) else {
                return;
            };
            self.columns.remove(oldest);
        }
    }

    /// Drops what is too old at this time, and figures of a back end that have no value left.
    fn forget_before(&mut self, now: Instant) {
        let age = u64::try_from(SERIES_FOR.as_millis()).unwrap_or(u64::MAX);
        let oldest = Instant(now.0.saturating_sub(age));
        while self.times.front().is_some_and(|first| *first < oldest) {
            self.pop_front();
        }
        if self.kind == Kind::Business {
            let mut index = 0;
            self.columns.retain(|column| {
                index += 1;
                index == 1 || column.last >= oldest
            });
        }
    }

    fn pop_front(&mut self) {
        self.times.pop_front();
        for column in &mut self.columns {
            column.values.pop_front();
        }
    }

    fn pop_back(&mut self) {
        self.times.pop_back();
        for column in &mut self.columns {
            column.values.pop_back();
        }
    }

    fn encode(&self, out: &mut String) {
        let period = self.kind.every().filter(|_| self.kind != Kind::Business);
        if let Some(period) = period {
            _ = write!(out, "\"period_ms\":{},", period.as_millis());
        }
        out.push_str("\"time\":[");
        for (index, time) in self.times.iter().enumerate() {
            _ = write!(out, "{}{}", if index > 0 { "," } else { "" }, time.0);
        }
        out.push(']');
        for column in &self.columns {
            _ = write!(out, ",{}:[", Value::from(&*column.name));
            for (index, value) in column.values.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                encode_number(*value, out);
            }
            out.push(']');
        }
    }
}

/// Appends a number, as short as it can be read exactly; NaN as `null`.
fn encode_number(value: f64, out: &mut String) {
    if value.fract() == 0.0 && value.abs() < EXACT_MAX {
        _ = write!(out, "{}", value as i64);
    } else if value.is_finite() {
        _ = write!(out, "{}", Value::from(value));
    } else {
        out.push_str("null");
    }
}

#[cfg(test)]
mod tests;
