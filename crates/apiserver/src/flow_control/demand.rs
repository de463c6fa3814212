//! How many seats a level's requests ask for, over a while: the input of borrowing.

use std::time::Duration;

use tokio::time::Instant;

/// A quantity over time.
#[derive(Debug)]
pub(super) struct Integrator {
    began: Instant,
    at: Instant,
    value: f64,
    most: f64,
    sum: f64,
    squares: f64,
}

/// What a quantity was over a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Observed {
    pub(super) average: f64,
    pub(super) deviation: f64,
    pub(super) most: f64,
    pub(super) over: Duration,
}

impl Integrator {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, at: now, value: 0.0, most: 0.0, sum: 0.0, squares: 0.0 }
    }

    /// The quantity is `value` from `now` on.
    pub(super) fn set(&mut self, now: Instant, value: f64) {
        let took = now.saturating_duration_since(self.at).as_secs_f64();
        self.sum += self.value * took;
        self.squares += self.value * self.value * took;
        self.at = now;
        self.value = value;
        self.most = self.most.max(value);
    }

    /// What it was since the last reset.
    pub(super) fn reset(&mut self, now: Instant) -> Observed {
        self.set(now, self.value);
        let over = now.saturating_duration_since(self.began);
        let seconds = over.as_secs_f64();
        let average = if seconds > 0.0 { self.sum / seconds } else { self.value };
        let variance = if seconds > 0.0 { self.squares / seconds - average * average } else { 0.0 };
        let observed = Observed { average, deviation: variance.max(0.0).sqrt(), most: self.most, over };
        let value = self.value;
        *self = Self { value, most: value, ..Self::new(now) };
        observed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_deviation_and_maximum_are_over_time() {
        let start = Instant::now();
        let mut demand = Integrator::new(start);
        demand.set(start + Duration::from_secs(1), 4.0);
        demand.set(start + Duration::from_secs(2), 8.0);
        demand.set(start + Duration::from_secs(2), 2.0);
        let seen = demand.reset(start + Duration::from_secs(4));
        assert_eq!((seen.average, seen.most, seen.over), (2.0, 8.0, Duration::from_secs(4)));
        assert!((seen.deviation - 2.0_f64.sqrt()).abs() < 1e-9);
        let seen = demand.reset(start + Duration::from_secs(5));
        assert_eq!((seen.average, seen.most), (2.0, 2.0));
    }
}
