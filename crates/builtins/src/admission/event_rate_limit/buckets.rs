//! Token buckets by key. Only so many are kept: the one that was used longest ago makes room.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use jiff::Timestamp;

/// What is left of one key's tokens.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Timestamp,
    /// Its place in the order of use.
    used: u64,
}

/// The buckets of one limit.
#[derive(Debug)]
pub(super) struct Buckets {
    per_second: f64,
    burst: f64,
    size: usize,
    /// By the hash of the key: keys are as long as clients make them, and whoever shares another's bucket must have found a
    /// collision of a keyed hash.
    by_key: HashMap<u128, Bucket>,
    by_use: BTreeMap<u64, u128>,
    hashers: [RandomState; 2],
    uses: u64,
}

impl Buckets {
    #[allow(clippy::cast_precision_loss)] // rates of events are small
    pub(super) fn new(per_second: i64, burst: i64, size: usize) -> Self {
        Self {
            per_second: per_second as f64,
            burst: burst as f64,
            size: size.max(1),
            by_key: HashMap::new(),
            by_use: BTreeMap::new(),
            hashers: Default::default(),
            uses: 0,
        }
    }

    /// Takes a token of the key's bucket, if there is one.
    pub(super) fn take(&mut self, key: &str, now: Timestamp) -> bool {
        self.uses += 1;
        let [high, low] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(key)));
        let key = high << 64 | low;
        match self.by_key.get(&key) {
            Some(bucket) => {
                self.by_use.remove(&bucket.used);
            }
            None if self.by_key.len() >= self.size => {
                if let Some((_, oldest)) = self.by_use.pop_first() {
                    self.by_key.remove(&oldest);
                }
            }
            None => {}
        }
        self.by_use.insert(self.uses, key);
        let full = Bucket { tokens: self.burst, filled: now, used: self.uses };
        let bucket = self.by_key.entry(key).or_insert(full);
        bucket.used = self.uses;
        let seconds = now.duration_since(bucket.filled).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + seconds * self.per_second).min(self.burst);
        bucket.filled = bucket.filled.max(now);
        let there = bucket.tokens >= 1.0;
        if there {
            bucket.tokens -= 1.0;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_what_flows_in() {
        let mut buckets = Buckets::new(2, 3, 10);
        let rows = [
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (400, false),
            (500, true),
            (500, false),
            (60_000, true),
        ];
        for (millis, expected) in rows {
            assert_eq!(buckets.take("a", at(millis)), expected, "at {millis} ms");
        }
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut buckets = Buckets::new(1, 1, 10);
        assert!(buckets.take("a", at(10_000)));
        assert!(!buckets.take("a", at(0)));
        assert!(!buckets.take("a", at(10_500)));
        assert!(buckets.take("a", at(11_000)));
    }

    #[test]
    fn only_so_many_keys_are_remembered_and_the_one_unused_for_longest_is_forgotten() {
        let mut buckets = Buckets::new(1, 1, 2);
        for key in ["a", "b", "a", "c"] {
            buckets.take(key, at(0));
        }
        assert_eq!(buckets.by_key.len(), 2);
        assert_eq!(buckets.by_use.len(), 2);
        assert!(!buckets.take("a", at(0)), "a was used after b, so it is remembered");
        assert!(buckets.take("b", at(0)), "b is new again");
    }
}
