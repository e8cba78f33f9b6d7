//! Histograms of Prometheus, with fixed bounds.

/// The number of bounds of each histogram.
pub const BOUNDS: usize = 10;

/// Upper bounds of durations of turns of the loop, in microseconds.
pub const TURN_MICROS: [u64; BOUNDS] =
    [10, 50, 100, 250, 500, 1_000, 5_000, 10_000, 50_000, 250_000];
/// Upper bounds of durations of commits of the store, in microseconds.
pub const COMMIT_MICROS: [u64; BOUNDS] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000,
];
/// Upper bounds of numbers of wishes in a batch.
pub const BATCH_WISHES: [u64; BOUNDS] = [1, 2, 5, 10, 25, 50, 100, 500, 2_500, 10_000];

/// Observed values, counted by bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [u64; BOUNDS],
    /// For each bound, and above the last.
    counts: [u64; BOUNDS + 1],
    sum: u64,
}

impl Histogram {
    /// Nothing observed.
    pub fn new(bounds: &'static [u64; BOUNDS]) -> Self {
        Self {
            bounds,
            counts: [0; BOUNDS + 1],
            sum: 0,
        }
    }

    /// Counts a value.
    pub fn observe(&mut self, value: u64) {
        let bucket = self.bounds.iter().position(|bound| value <= *bound);
        self.counts[bucket.unwrap_or(BOUNDS)] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of the values.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Each bound with the number of values up to it.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let counts = self.bounds.iter().zip(self.counts);
        counts.scan(0, |total, (bound, count)| {
            *total += count;
            Some((*bound, *total))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_up_to_its_bound_and_above_it() {
        let mut histogram = Histogram::new(&BATCH_WISHES);
        for value in [0, 1, 2, 3, 10_000, 10_001] {
            histogram.observe(value);
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets[..3], [(1, 2), (2, 3), (5, 4)]);
        assert_eq!(buckets[9], (10_000, 5));
        assert_eq!((histogram.count(), histogram.sum()), (6, 20_007));
    }
}
