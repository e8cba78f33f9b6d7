//! What is said at the start: where the server listens, and what an operator should know.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::log::is_writable;
use crate::config::listen::Listen;
use crate::config::{Config, DESCRIPTORS_LOW, DESCRIPTORS_OWN, Level};
use crate::domain::time::Now;
use crate::journal::{Field, Journal};

/// What is printed: each address on a line of its own, and in the demo how to come in.
pub fn announcement<'l>(addresses: impl Iterator<Item = &'l Listen>, is_demo: bool) -> String {
    let mut text = String::new();
    let mut page = None;
    for at in addresses {
        let scheme = match at {
            Listen::Unix(_) => "",
            _ => "http://",
        };
        // Writing into a String cannot fail, here and below.
        _ = writeln!(text, "listening on {scheme}{at}");
        page = page.or(Some(at).filter(|at| !at.is_unix()));
    }
    if is_demo {
        let open = match page {
            Some(at) => format!("open http://{at} in a browser and "),
            None => "open it in a browser through a proxy and ".into(),
        };
        _ = writeln!(
            text,
            "demo mode: {open}come in under any name, or sign in as admin\n           with the password secret; Ctrl-C stops it"
        );
    }
    text
}

/// Prints to stdout without waiting for a reader.
///
/// # Errors
/// It does not take the text: it is closed, or full.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !is_writable(&out) {
        return Err(io::Error::other("it is full, and nobody reads it"));
    }
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Raises the limit of descriptors to the hard limit, which is returned; `None` if there is none. A failure does not keep
/// the server from starting.
pub fn raise_descriptor_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// Notes how many connections a limit of descriptors means, if these are few, or fewer than the operator asks for with
/// `--connections` (`asked`).
pub fn note_descriptors(journal: &mut Journal, limit: Option<u64>, asked: usize, now: Now) {
    let Some(limit) = limit else {
        return;
    };
    let connections = limit.saturating_sub(DESCRIPTORS_OWN);
    let is_default = asked == Config::default().connections;
    let wanted = match is_default || asked == usize::MAX {
        true => DESCRIPTORS_LOW.min(asked as u64),
        false => asked as u64,
    };
    if connections < wanted {
        let hint = "raise it with ulimit -Hn, or LimitNOFILE= of the service";
        let about: [(&str, &dyn Field); 3] = [
            ("limit", &limit),
            ("connections", &connections),
            ("hint", &hint),
        ];
        journal.record(Level::Warn, "few_descriptors", &about, now);
    }
}
