//! What moderators have asked of all nodes.

use std::rc::Rc;

use super::Server;
use crate::domain::error::ErrorCode;
use crate::domain::ids::Serial;
use crate::domain::time::Now;

/// Names of people at all nodes, and whether there are more.
pub(super) type NamesPage = (Vec<Rc<str>>, bool);

impl Server {
    /// What was asked of the engine with this serial is done, or is not.
    pub(super) fn acted(&mut self, _serial: Serial, _done: Result<(), ErrorCode>, _now: Now) {}

    /// People at all nodes.
    pub(super) fn names(
        &mut self,
        _serial: Serial,
        _names: Result<NamesPage, ErrorCode>,
        _now: Now,
    ) {
    }

    /// Another node asks something.
    pub(super) fn asked(&mut self, _node: &str, _number: u64, _text: &str, _now: Now) {}

    /// The other nodes have answered.
    pub(super) fn answers(&mut self, _serial: Serial, _answers: Vec<Box<str>>, _now: Now) {}

    /// The whole audit was loaded.
    pub(super) fn audit_loaded(&mut self, _events: Vec<(u64, Box<str>)>, _newest: u64, _now: Now) {}

    /// The next event of the audit.
    pub(super) fn audit_told(&mut self, _number: u64, _line: &str, _now: Now) {}
}
