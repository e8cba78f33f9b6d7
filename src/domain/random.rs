//! Unpredictable bytes from one seed: HMAC-SHA-256 of a counter. The seed is an argument, so the same seed replays a
//! run.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// A generator whose output cannot be predicted without the seed.
pub struct Random {
    mac: Hmac<Sha256>,
    counter: u64,
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random(…)")
    }
}

impl Random {
    /// A generator with this seed.
    pub fn new(seed: &[u8; 32]) -> Self {
        let mac = Hmac::new_from_slice(seed).expect("HMAC takes a key of any length");
        Self { mac, counter: 0 }
    }

    /// The next 256 bits.
    pub fn bytes(&mut self) -> [u8; 32] {
        self.counter += 1;
        self.mac
            .clone()
            .chain_update(self.counter.to_le_bytes())
            .finalize()
            .into_bytes()
            .into()
    }

    /// The next 64 bits.
    pub fn number(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// `SplitMix64`: epochs must differ, but need not be unpredictable.
pub fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays_a_run_and_nothing_comes_twice() {
        let run = |seed| {
            let mut random = Random::new(&[seed; 32]);
            let numbers = [random.number(), random.number(), random.number()];
            (numbers, random.bytes())
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let ([a, b, c], bytes) = run(1);
        assert!(a != b && b != c && a != c);
        assert!(bytes.iter().any(|byte| *byte != bytes[0]));
        assert_eq!(format!("{:?}", Random::new(&[1; 32])), "Random(…)");
    }

    #[test]
    fn epochs_are_those_of_split_mix_64() {
        let mut state = 0;
        assert_eq!(split_mix(&mut state), 0xe220_a839_7b1d_cdaf);
        assert_eq!(split_mix(&mut state), 0x6e78_9e6a_a1b9_65f4);
    }
}
