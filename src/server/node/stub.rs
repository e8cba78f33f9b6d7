use super::Node;
use crate::domain::ids::Serial;
use crate::domain::time::Now;
use std::rc::Rc;
impl Node {
    pub fn names_after(&mut self, _: Serial, _: Option<&str>, _: usize, _: Now) {}
    pub fn ask_all(&mut self, _: Serial, _: &str, _: Now) {}
    pub fn answer(&mut self, _: &str, _: u64, _: &str, _: Now) {}
    pub fn tell_audit(&mut self, _: &[String], _: Now) {}
    pub fn follow_audit(&mut self, _: Now) {}
}
