//! Who orders and keeps messages.
//!
//! A chat is a wish until the backend has made it a fact; only then is it history, broadcast and acknowledged. Memory
//! does so at once. A disk or a cluster does so later, and hands the draft back when it has.

use crate::domain::event::Draft;

/// Keeps messages as long as the server lives: in the rooms' own histories.
#[derive(Debug, Default)]
pub struct Memory;

impl Memory {
    /// Takes a wish; the fact, if it is one already.
    pub fn publish(&mut self, draft: Draft) -> Option<Draft> {
        Some(draft)
    }
}
