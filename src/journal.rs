//! The log for administrators: one line per event, with a level and `key=value` fields. Repeated events are counted
//! instead of written.
//!
//! No I/O is done here. The server and the shell record events, and the shell writes the lines to stderr. Values are
//! quoted where needed, control characters are escaped and the length is limited, so that a name chosen by a peer
//! cannot forge a line or control a terminal. Passwords, tokens and tickets are never passed to it.

use std::collections::VecDeque;
use std::fmt::{Display, Write as _};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::config::{
    JOURNAL_LINE_BYTES_MAX, JOURNAL_LINES_MAX, JOURNAL_LINES_PER_EVENT_MAX,
    JOURNAL_VALUE_CHARS_MAX, JOURNAL_WINDOW, Level, LogFormat,
};
use crate::domain::time::{Now, Timestamp};

/// A value in a line.
pub trait Field: Display {
    /// Whether it is a number, in JSON without quotes.
    fn is_number(&self) -> bool {
        false
    }
}

impl Field for str {}
impl Field for String {}
impl Field for IpAddr {}
impl Field for Rc<str> {}

impl<F: Field + ?Sized> Field for &F {
    fn is_number(&self) -> bool {
        (**self).is_number()
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Field for $number {
            fn is_number(&self) -> bool {
                true
            }
        }
    )*};
}

numbers!(u16, u32, u64, usize);

/// The lines to be written, and how many lines each event has had lately.
#[derive(Debug)]
pub struct Journal {
    /// The least severe level that is written; `None` is off.
    level: Option<Level>,
    format: LogFormat,
    lines: VecDeque<String>,
    tallies: Vec<Tally>,
    /// Events that are written only once.
    once: Vec<&'static str>,
}

/// The count of one event in its window of time.
#[derive(Debug)]
struct Tally {
    event: &'static str,
    level: Level,
    since: Duration,
    written: u32,
    suppressed: u64,
}

impl Journal {
    /// An empty journal.
    pub fn new(level: Option<Level>, format: LogFormat) -> Self {
        Self {
            level,
            format,
            lines: VecDeque::new(),
            tallies: Vec::new(),
            once: Vec::new(),
        }
    }

    /// Whether this event comes for the first time: for those that peers can cause and that say all with one line in the
    /// life of the process.
    pub fn is_first(&mut self, event: &'static str) -> bool {
        let is_first = !self.once.contains(&event);
        if is_first {
            self.once.push(event);
        }
        is_first
    }

    /// Whether events of this level are written.
    pub fn takes(&self, level: Level) -> bool {
        self.level.is_some_and(|most| level <= most)
    }

    /// Records an event that only an administrator can cause, or that [comes once](Self::is_first). It is written every
    /// time.
    pub fn record(
        &mut self,
        level: Level,
        event: &'static str,
        fields: &[(&str, &dyn Field)],
        now: Now,
    ) {
        if self.takes(level) && self.lines.len() < JOURNAL_LINES_MAX {
            let line = line(self.format, level, event, fields, now);
            self.lines.push_back(line);
        }
    }

    /// Records an event that peers can cause. Within [`JOURNAL_WINDOW`] it is written [`JOURNAL_LINES_PER_EVENT_MAX`]
    /// times, then only counted.
    pub fn note(
        &mut self,
        level: Level,
        event: &'static str,
        fields: &[(&str, &dyn Field)],
        now: Now,
    ) {
        if !self.takes(level) {
            return;
        }
        self.handle_timeout(now);
        let place = self.tallies.iter().position(|tally| tally.event == event);
        let place = place.unwrap_or_else(|| {
            self.tallies.push(Tally {
                event,
                level,
                since: now.monotonic,
                written: 0,
                suppressed: 0,
            });
            self.tallies.len() - 1
        });
        let tally = &mut self.tallies[place];
        if tally.written >= JOURNAL_LINES_PER_EVENT_MAX || self.lines.len() >= JOURNAL_LINES_MAX {
            tally.suppressed += 1;
            return;
        }
        tally.written += 1;
        let line = line(self.format, level, event, fields, now);
        self.lines.push_back(line);
    }

    /// When the next count of suppressed events has to be written, since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        let counted = self.tallies.iter().filter(|tally| tally.suppressed > 0);
        counted.map(|tally| tally.since + JOURNAL_WINDOW).min()
    }

    /// Writes the counts of suppressed events whose window is over.
    pub fn handle_timeout(&mut self, now: Now) {
        let Self {
            lines,
            tallies,
            format,
            ..
        } = self;
        tallies.retain(|tally| {
            let is_over = tally.since + JOURNAL_WINDOW <= now.monotonic;
            if is_over && tally.suppressed > 0 && lines.len() < JOURNAL_LINES_MAX {
                let count: &dyn Field = &tally.suppressed;
                lines.push_back(line(
                    *format,
                    tally.level,
                    tally.event,
                    &[("suppressed", count)],
                    now,
                ));
            }
            !is_over
        });
    }

    /// The next line to write, with its line feed.
    pub fn poll_line(&mut self) -> Option<String> {
        self.lines.pop_front()
    }
}

fn line(
    format: LogFormat,
    level: Level,
    event: &str,
    fields: &[(&str, &dyn Field)],
    now: Now,
) -> String {
    let mut line = String::new();
    let (time, level) = (Timestamp::from(now), level.name());
    // Writing into a String cannot fail, here and below.
    match format {
        LogFormat::Text => {
            _ = write!(line, "time={time} level={level} event={event}");
            for (key, value) in fields {
                _ = write!(line, " {key}=");
                push_value(&value.to_string(), &mut line);
            }
        }
        LogFormat::Json => {
            _ = write!(
                line,
                r#"{{"time":"{time}","level":"{level}","event":"{event}""#
            );
            for (key, value) in fields {
                _ = write!(line, r#","{key}":"#);
                match value.is_number() {
                    true => _ = write!(line, "{value}"),
                    false => push_string(&value.to_string(), &mut line),
                }
            }
            line.push('}');
        }
    }
    line.push('\n');
    line
}

/// The characters of a value that are written, and whether there are more.
fn written(value: &str, line_bytes: usize) -> (&str, bool) {
    let room = JOURNAL_LINE_BYTES_MAX.saturating_sub(line_bytes);
    let mut ends = value.char_indices().enumerate();
    // Each takes some bytes more when it is escaped, which the rest of the line has room for.
    let end = ends.find(|(count, (at, _))| *count == JOURNAL_VALUE_CHARS_MAX || *at > room);
    match end {
        Some((_, (at, _))) => (&value[..at], true),
        None => (value, false),
    }
}

/// Appends a JSON string (RFC 8259 section 7), in which invisible characters and those that change the direction of the
/// text are escaped, too.
fn push_string(value: &str, line: &mut String) {
    let (value, is_cut) = written(value, line.len());
    line.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            '\'' => line.push(c),
            _ if c.escape_debug().len() == 1 => line.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    _ = write!(line, "\\u{unit:04x}");
                }
            }
        }
    }
    line.push_str(if is_cut { "…\"" } else { "\"" });
}

fn push_value(value: &str, line: &mut String) {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.:/[]@+".contains(c);
    let is_short = value.chars().count() <= JOURNAL_VALUE_CHARS_MAX;
    if !value.is_empty() && is_short && value.chars().all(is_plain) {
        return line.push_str(value);
    }
    line.push('"');
    for (count, c) in value.chars().enumerate() {
        if count == JOURNAL_VALUE_CHARS_MAX || line.len() > JOURNAL_LINE_BYTES_MAX {
            line.push('…');
            break;
        }
        match c {
            '\'' => line.push(c),
            // It also escapes invisible characters and those that change the direction of the text.
            _ => line.extend(c.escape_debug()),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Now {
        Now {
            monotonic: Duration::from_secs(secs),
            unix: Duration::from_secs(1_705_314_600 + secs),
        }
    }

    fn lines(journal: &mut Journal) -> Vec<String> {
        std::iter::from_fn(|| journal.poll_line()).collect()
    }

    #[test]
    fn a_line_has_time_level_event_and_fields() {
        let mut journal = Journal::new(Some(Level::Info), LogFormat::Text);
        journal.note(
            Level::Warn,
            "reload_failed",
            &[("file", &"people"), ("reason", &"line 3: no hash")],
            at(0),
        );
        assert_eq!(
            lines(&mut journal),
            [
                "time=2024-01-15T10:30:00Z level=warn event=reload_failed file=people reason=\"line 3: no hash\"\n"
            ]
        );
    }

    #[test]
    fn an_event_is_the_first_of_its_name_once() {
        let mut journal = Journal::new(None, LogFormat::Text);
        let firsts = ["a", "b", "a", "b", "c"].map(|event| journal.is_first(event));
        assert_eq!(firsts, [true, true, false, false, true]);
    }

    #[test]
    fn a_value_can_neither_forge_a_line_nor_steer_a_terminal() {
        let mut journal = Journal::new(Some(Level::Debug), LogFormat::Text);
        let evil = "x\" level=error\n\u{1b}[2J\u{202e}한글";
        journal.note(Level::Info, "e", &[("user", &evil), ("empty", &"")], at(0));
        assert_eq!(
            lines(&mut journal),
            [
                "time=2024-01-15T10:30:00Z level=info event=e user=\"x\\\" level=error\\n\\u{1b}[2J\\u{202e}한글\" empty=\"\"\n"
            ]
        );
        let long = "가".repeat(JOURNAL_VALUE_CHARS_MAX + 1);
        journal.note(Level::Info, "e", &[("user", &long)], at(0));
        let kept = "가".repeat(JOURNAL_VALUE_CHARS_MAX);
        assert!(lines(&mut journal)[0].ends_with(&format!(" user=\"{kept}…\"\n")));
    }

    #[test]
    fn a_flood_is_told_a_few_times_and_then_counted() {
        let mut journal = Journal::new(Some(Level::Warn), LogFormat::Text);
        for _ in 0..1000 {
            journal.note(Level::Warn, "shed", &[], at(1));
        }
        assert_eq!(
            lines(&mut journal).len(),
            JOURNAL_LINES_PER_EVENT_MAX as usize
        );
        let due = journal.next_timeout().expect("a count is due");
        assert_eq!(due, Duration::from_secs(1) + JOURNAL_WINDOW);
        journal.handle_timeout(at(due.as_secs()));
        let count = 1000 - JOURNAL_LINES_PER_EVENT_MAX;
        assert!(lines(&mut journal)[0].ends_with(&format!(" event=shed suppressed={count}\n")));
        assert_eq!(journal.next_timeout(), None);
        journal.note(Level::Warn, "shed", &[], at(due.as_secs()));
        assert_eq!(lines(&mut journal).len(), 1);
    }

    #[test]
    fn what_an_administrator_does_is_told_each_time() {
        let mut journal = Journal::new(Some(Level::Warn), LogFormat::Text);
        for _ in 0..2 * JOURNAL_LINES_PER_EVENT_MAX {
            journal.record(Level::Warn, "reload_failed", &[], at(1));
        }
        assert_eq!(
            lines(&mut journal).len(),
            2 * JOURNAL_LINES_PER_EVENT_MAX as usize
        );
        journal.record(Level::Info, "reloaded", &[], at(1));
        assert!(lines(&mut journal).is_empty());
    }

    #[test]
    fn what_matters_less_than_the_level_is_not_told() {
        let mut journal = Journal::new(Some(Level::Warn), LogFormat::Text);
        journal.note(Level::Info, "login", &[], at(0));
        journal.note(Level::Error, "thread", &[], at(0));
        assert_eq!(lines(&mut journal).len(), 1);
        let mut journal = Journal::new(None, LogFormat::Text);
        journal.note(Level::Error, "thread", &[], at(0));
        assert!(lines(&mut journal).is_empty());
    }

    #[test]
    fn lines_that_nobody_takes_are_bounded() {
        const NAMES: [&str; 100] = ["e"; 100];
        let mut journal = Journal::new(Some(Level::Debug), LogFormat::Text);
        for round in 0..100 {
            for event in NAMES {
                journal.note(Level::Debug, event, &[], at(round * 60));
            }
        }
        assert_eq!(lines(&mut journal).len(), JOURNAL_LINES_MAX);
    }

    #[test]
    fn in_json_each_line_is_an_object_whatever_a_value_has() {
        let mut journal = Journal::new(Some(Level::Debug), LogFormat::Json);
        let evil = "x\" \\level=error\n\u{1b}[2J\u{202e}\u{7f}한글 🦀 it's";
        let long = "가\u{1}".repeat(JOURNAL_VALUE_CHARS_MAX);
        let fields: [(&str, &dyn Field); 4] = [
            ("user", &evil),
            ("count", &12_u64),
            ("empty", &""),
            ("long", &long),
        ];
        journal.record(Level::Info, "e", &fields, at(0));
        for _ in 0..JOURNAL_LINES_PER_EVENT_MAX + 3 {
            journal.note(Level::Warn, "flood", &[], at(0));
        }
        journal.handle_timeout(at(99));
        let lines = lines(&mut journal);
        assert!(!lines[0][..lines[0].len() - 1].contains(|c: char| c.is_control()));
        assert!(!lines[0].contains('\u{202e}'));
        let read: Vec<serde_json::Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).expect("is JSON"))
            .collect();
        assert_eq!(read[0]["time"], "2024-01-15T10:30:00Z");
        assert_eq!(read[0]["level"], "info");
        assert_eq!(
            (&read[0]["user"], &read[0]["count"]),
            (&evil.into(), &12.into())
        );
        let kept = "가\u{1}".repeat(JOURNAL_VALUE_CHARS_MAX / 2) + "…";
        assert_eq!(
            (&read[0]["empty"], &read[0]["long"]),
            (&"".into(), &kept.into())
        );
        let last = read.last().expect("the count");
        assert_eq!(
            (&last["event"], &last["suppressed"]),
            (&"flood".into(), &3.into())
        );
    }
}
