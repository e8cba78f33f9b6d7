//! What is worth a person's eye: one line per event, `key=value`, levelled, and told a few times, not in a flood.
//!
//! Nothing is written here. The server and the shell note what happened, and the shell writes the lines to stderr. A
//! value is quoted where it has to be, its control characters escaped and its length limited, so that a peer who
//! chooses a name cannot forge a line or steer a terminal. Passwords, tokens and tickets are never given to it.

use std::collections::VecDeque;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use crate::config::{
    JOURNAL_LINE_BYTES_MAX, JOURNAL_LINES_MAX, JOURNAL_TOLD_MAX, JOURNAL_VALUE_CHARS_MAX,
    JOURNAL_WINDOW, Level,
};
use crate::domain::time::{Now, Timestamp};

/// The lines that wait to be written, and how often each event was told lately.
#[derive(Debug)]
pub struct Journal {
    /// What is told: this level and those that matter more; `None` is nothing.
    level: Option<Level>,
    lines: VecDeque<String>,
    kinds: Vec<Kind>,
}

/// How often an event was told in its window of time.
#[derive(Debug)]
struct Kind {
    event: &'static str,
    level: Level,
    since: Duration,
    told: u32,
    suppressed: u64,
}

impl Journal {
    /// Nothing has happened.
    pub fn new(level: Option<Level>) -> Self {
        Self {
            level,
            lines: VecDeque::new(),
            kinds: Vec::new(),
        }
    }

    /// Whether events of this level are told.
    pub fn takes(&self, level: Level) -> bool {
        self.level.is_some_and(|most| level <= most)
    }

    /// Tells what an administrator did, each time: nobody else can have it happen.
    pub fn tell(
        &mut self,
        level: Level,
        event: &'static str,
        fields: &[(&str, &dyn Display)],
        now: Now,
    ) {
        if self.takes(level) && self.lines.len() < JOURNAL_LINES_MAX {
            self.lines.push_back(line(level, event, fields, now));
        }
    }

    /// Notes an event that peers may bring about. Within [`JOURNAL_WINDOW`] it is told [`JOURNAL_TOLD_MAX`] times, then only counted.
    pub fn note(
        &mut self,
        level: Level,
        event: &'static str,
        fields: &[(&str, &dyn Display)],
        now: Now,
    ) {
        if !self.takes(level) {
            return;
        }
        self.handle_timeout(now);
        let place = self.kinds.iter().position(|kind| kind.event == event);
        let place = place.unwrap_or_else(|| {
            self.kinds.push(Kind {
                event,
                level,
                since: now.monotonic,
                told: 0,
                suppressed: 0,
            });
            self.kinds.len() - 1
        });
        let kind = &mut self.kinds[place];
        if kind.told >= JOURNAL_TOLD_MAX || self.lines.len() >= JOURNAL_LINES_MAX {
            kind.suppressed += 1;
            return;
        }
        kind.told += 1;
        self.lines.push_back(line(level, event, fields, now));
    }

    /// When a count of what was not told is due, since the server's start.
    pub fn next_timeout(&self) -> Option<Duration> {
        let counted = self.kinds.iter().filter(|kind| kind.suppressed > 0);
        counted.map(|kind| kind.since + JOURNAL_WINDOW).min()
    }

    /// Tells how often events were not told in a window that is over.
    pub fn handle_timeout(&mut self, now: Now) {
        let Self { lines, kinds, .. } = self;
        kinds.retain(|kind| {
            let is_over = kind.since + JOURNAL_WINDOW <= now.monotonic;
            if is_over && kind.suppressed > 0 && lines.len() < JOURNAL_LINES_MAX {
                let count: &dyn Display = &kind.suppressed;
                lines.push_back(line(kind.level, kind.event, &[("suppressed", count)], now));
            }
            !is_over
        });
    }

    /// A line to write, with its end.
    pub fn poll_line(&mut self) -> Option<String> {
        self.lines.pop_front()
    }
}

fn line(level: Level, event: &str, fields: &[(&str, &dyn Display)], now: Now) -> String {
    let mut line = String::new();
    // Writing into a String cannot fail, here and below.
    _ = write!(
        line,
        "time={} level={} event={event}",
        Timestamp::from(now),
        level.name()
    );
    for (key, value) in fields {
        _ = write!(line, " {key}=");
        push_value(&value.to_string(), &mut line);
    }
    line.push('\n');
    line
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
            // Also invisible characters and those that turn the direction of writing.
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
        let mut journal = Journal::new(Some(Level::Info));
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
    fn a_value_can_neither_forge_a_line_nor_steer_a_terminal() {
        let mut journal = Journal::new(Some(Level::Debug));
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
        let mut journal = Journal::new(Some(Level::Warn));
        for _ in 0..1000 {
            journal.note(Level::Warn, "shed", &[], at(1));
        }
        assert_eq!(lines(&mut journal).len(), JOURNAL_TOLD_MAX as usize);
        let due = journal.next_timeout().expect("a count is due");
        assert_eq!(due, Duration::from_secs(1) + JOURNAL_WINDOW);
        journal.handle_timeout(at(due.as_secs()));
        let count = 1000 - JOURNAL_TOLD_MAX;
        assert!(lines(&mut journal)[0].ends_with(&format!(" event=shed suppressed={count}\n")));
        assert_eq!(journal.next_timeout(), None);
        journal.note(Level::Warn, "shed", &[], at(due.as_secs()));
        assert_eq!(lines(&mut journal).len(), 1);
    }

    #[test]
    fn what_an_administrator_does_is_told_each_time() {
        let mut journal = Journal::new(Some(Level::Warn));
        for _ in 0..2 * JOURNAL_TOLD_MAX {
            journal.tell(Level::Warn, "reload_failed", &[], at(1));
        }
        assert_eq!(lines(&mut journal).len(), 2 * JOURNAL_TOLD_MAX as usize);
        journal.tell(Level::Info, "reloaded", &[], at(1));
        assert!(lines(&mut journal).is_empty());
    }

    #[test]
    fn what_matters_less_than_the_level_is_not_told() {
        let mut journal = Journal::new(Some(Level::Warn));
        journal.note(Level::Info, "login", &[], at(0));
        journal.note(Level::Error, "thread", &[], at(0));
        assert_eq!(lines(&mut journal).len(), 1);
        let mut journal = Journal::new(None);
        journal.note(Level::Error, "thread", &[], at(0));
        assert!(lines(&mut journal).is_empty());
    }

    #[test]
    fn lines_that_nobody_takes_are_bounded() {
        const NAMES: [&str; 100] = ["e"; 100];
        let mut journal = Journal::new(Some(Level::Debug));
        for round in 0..100 {
            for event in NAMES {
                journal.note(Level::Debug, event, &[], at(round * 60));
            }
        }
        assert_eq!(lines(&mut journal).len(), JOURNAL_LINES_MAX);
    }
}
