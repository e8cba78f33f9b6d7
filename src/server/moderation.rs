//! What moderators have asked of all nodes.

use super::Server;
use crate::domain::error::ErrorCode;
use crate::domain::ids::Serial;
use crate::domain::time::Now;

impl Server {
    /// What was asked of the engine with this serial is done, or is not.
    pub(super) fn acted(&mut self, _serial: Serial, _done: Result<(), ErrorCode>, _now: Now) {}
}
