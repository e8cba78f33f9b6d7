//! Lines on stderr, never waited for: a log that nobody reads, or a disk that is full, must not stop the loop.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Writes lines, and counts those it could not.
#[derive(Debug, Default)]
pub struct Log {
    lost: u64,
}

impl Log {
    /// Writes a line now or not at all. How many were lost is said when one can be written again.
    pub fn write(&mut self, line: &str) {
        let mut out = io::stderr().lock();
        if !is_writable() {
            self.lost += 1;
            return;
        }
        if self.lost > 0 {
            let lost = format!("level=warn event=lines_lost count={}\n", self.lost);
            if out.write_all(lost.as_bytes()).is_ok() {
                self.lost = 0;
            }
        }
        if out.write_all(line.as_bytes()).is_err() {
            self.lost += 1;
        }
    }
}

/// Whether stderr takes a line without waiting: a file always does, a pipe while it has room for a page.
fn is_writable() -> bool {
    let stderr = io::stderr();
    let mut asked = [PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::OUT)];
    poll(&mut asked, Some(&Timespec::default())).is_ok_and(|count| count > 0)
}
