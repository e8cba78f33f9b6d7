//! Writes log lines to stderr without blocking: a pipe that is not read, or a full disk, must not stop the loop.

use std::io::{self, Write as _};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::config::LogFormat;

/// Writes lines, and counts those that could not be written.
#[derive(Debug)]
pub struct Log {
    format: LogFormat,
    lost: u64,
}

impl Log {
    /// A log of which nothing is lost yet.
    pub fn new(format: LogFormat) -> Self {
        Self { format, lost: 0 }
    }

    /// Writes a line at once or drops it. The number of dropped lines is written before the next line that succeeds.
    pub fn write(&mut self, line: &str) {
        let mut out = io::stderr().lock();
        if !is_writable(&out) {
            self.lost += 1;
            return;
        }
        if self.lost > 0 {
            let count = self.lost;
            let lost = match self.format {
                LogFormat::Text => format!("level=warn event=lines_lost count={count}\n"),
                LogFormat::Json => {
                    format!("{{\"level\":\"warn\",\"event\":\"lines_lost\",\"count\":{count}}}\n")
                }
            };
            if out.write_all(lost.as_bytes()).is_ok() {
                self.lost = 0;
            }
        }
        if out.write_all(line.as_bytes()).is_err() {
            self.lost += 1;
        }
    }
}

/// Whether stdout or stderr takes a line without blocking: a file always does, a pipe while it has room for a page.
pub fn is_writable(output: impl AsFd) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::OUT)];
    poll(&mut asked, Some(&Timespec::default())).is_ok_and(|count| count > 0)
}
