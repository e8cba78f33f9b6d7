//! Random numbers from one seed (SplitMix64): whatever is drawn is drawn again when the seed is run again.

use std::time::Duration;

/// A generator.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    pub fn new(number: u64) -> Self {
        // Neighbouring seeds must not begin alike.
        let mut seed = Self(number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        seed.number();
        seed
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.number() % (high - low + 1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.number() % 100 < percent
    }

    pub fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number() as u8).collect()
    }

    pub fn key(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| self.number() as u8)
    }
}
