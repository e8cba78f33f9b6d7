//! Response times of a period, for percentiles: counted in buckets, so that neither their number nor their size costs memory.

use std::time::Duration;

/// Buckets between a power of two and the next: a time is told at most a sixteenth too long.
const PARTS: u64 = 16;
const PARTS_BITS: u32 = PARTS.trailing_zeros();
/// The longest time that is told apart, in microseconds: more than an hour.
const MICROS_MAX: u64 = u32::MAX as u64;
/// Two kilobytes of counts.
const BUCKETS: usize = bucket(MICROS_MAX) + 1;

/// Times by bucket, in microseconds.
#[derive(Debug)]
pub struct ResponseTimes {
    counts: [u32; BUCKETS],
    count: u64,
    longest: u64,
}

/// Below [`PARTS`] each number has a bucket of its own; above, each power of two has so many.
const fn bucket(micros: u64) -> usize {
    if micros < PARTS {
        return micros as usize;
    }
    let shift = micros.ilog2() - PARTS_BITS;
    ((shift as u64) * PARTS + (micros >> shift)) as usize
}

/// The largest number in a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    ((bucket - shift * PARTS + 1) << shift) - 1
}

impl Default for ResponseTimes {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            count: 0,
            longest: 0,
        }
    }
}

impl ResponseTimes {
    /// Counts a response.
    pub fn observe(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(MICROS_MAX);
        let micros = micros.min(MICROS_MAX);
        let count = &mut self.counts[bucket(micros)];
        *count = count.saturating_add(1);
        self.count += 1;
        self.longest = self.longest.max(micros);
    }

    /// The time within which so many percent of the responses were sent (nearest rank), in milliseconds; `None` without
    /// responses.
    pub fn percentile(&self, percent: u64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += u64::from(*count);
            below >= rank
        });
        let micros = bucket.map_or(self.longest, upper_bound);
        Some(micros.min(self.longest) as f64 / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl IntoIterator<Item = u64>) -> ResponseTimes {
        let mut times = ResponseTimes::default();
        for micros in micros {
            times.observe(Duration::from_micros(micros));
        }
        times
    }

    #[test]
    fn every_time_is_in_a_bucket_that_ends_at_most_a_sixteenth_later() {
        let mut last = 0;
        let powers =
            (0..32).flat_map(|power| (0..64).map(move |part| (1 << power) * (64 + part) / 64));
        for micros in (0..5_000)
            .chain(powers)
            .filter(|micros| *micros <= MICROS_MAX)
        {
            let end = upper_bound(bucket(micros));
            assert!(
                end >= micros && end - micros <= micros / PARTS,
                "{micros}: {end}"
            );
        }
        for bucket_index in 0..BUCKETS {
            let end = upper_bound(bucket_index);
            assert!(bucket_index == 0 || end > last);
            assert_eq!(bucket(end), bucket_index);
            last = end;
        }
        assert_eq!(last, MICROS_MAX);
    }

    #[test]
    fn a_percentile_is_the_time_within_which_so_many_were_sent() {
        assert_eq!(of([]).percentile(50), None);
        for percent in [1, 50, 99, 100] {
            assert_eq!(of([1_234]).percentile(percent), Some(1.234));
        }
        let hundred = of((1..=100).rev());
        assert_eq!(
            hundred.percentile(50),
            Some(0.051),
            "50 µs, in a bucket of two"
        );
        assert_eq!(hundred.percentile(100), Some(0.1));
        // One slow response of a hundred.
        let times = of(std::iter::repeat_n(10, 99).chain([2_000_000]));
        assert_eq!(times.percentile(99), Some(0.01));
        assert_eq!(times.percentile(100), Some(2_000.0));
        assert_eq!(
            of([u64::MAX]).percentile(50),
            Some(MICROS_MAX as f64 / 1_000.0)
        );
    }
}
