//! The audit stream: its log, and its subscribers.

use super::{Blocks, Streams, gap_data};
use crate::conn::EventStream;
use crate::domain::audit::{AuditLog, Kept};
use crate::domain::channels::Channel;
use crate::wire::event_stream::{encode_event, encode_notice};

/// The name of its events.
const AUDIT: &str = "audit";

impl Streams {
    /// The selection of the audit stream.
    pub const AUDIT_SELECTION: u16 = Channel::Audit as u16;

    /// The audit log.
    pub fn audit_log(&mut self) -> &mut AuditLog {
        &mut self.audit
    }

    /// Sends an entry of the log to the subscribers.
    pub fn send_audit(&mut self, (id, json): &Kept) {
        let is_receiver = |kinds| kinds == Channel::Audit.kinds();
        if self.has_subscribers(is_receiver) {
            self.frame.clear();
            encode_event(AUDIT, json, *id, &mut self.frame);
            self.broadcast(is_receiver);
        }
    }

    /// Tells the subscribers that entries after this one may be missing.
    pub fn send_audit_gap(&mut self, seen: u64) {
        if let (Some(gap), _) = self.audit.backlog(Some(&seen.to_string())) {
            let data = gap_data(seen.to_string(), &gap);
            self.frame.clear();
            encode_notice("gap", &data.to_string(), &mut self.frame);
            self.broadcast(|kinds| kinds == Channel::Audit.kinds());
        }
    }

    /// Appends what a new subscriber has missed.
    pub(super) fn push_audit_backlog(&self, last_event_id: Option<String>, blocks: &mut Blocks) {
        let (gap, missed) = self.audit.backlog(last_event_id.as_deref());
        if let Some(gap) = gap {
            let data = gap_data(last_event_id.unwrap_or_default(), &gap);
            blocks.push(|out| encode_notice("gap", &data.to_string(), out));
        }
        for (id, json) in missed {
            blocks.push(|out| encode_event(AUDIT, &json, id, out));
        }
    }

    /// Whether a stream is of the audit log.
    pub fn is_audit(stream: EventStream) -> bool {
        stream.selection == Self::AUDIT_SELECTION
    }
}
