//! The limits of levels: what their shares give them, and what they lend each other every ten seconds (KEP-1040).

use std::time::Duration;

use super::config::PriorityLevel;
use super::demand::Observed;

/// How often levels lend each other seats.
pub(super) const PERIOD: Duration = Duration::from_secs(10);
/// How much of a level's smoothed demand is left after a period without any: half of it after five minutes.
const SMOOTHING: f64 = 0.977;
/// A level without demand is treated as if it had this much, so that targets can be divided by.
const LEAST_TARGET: f64 = 0.001;
/// The part of a level's seats that one request may take.
const MOST_OF_A_LEVEL: f64 = 0.15;

/// The limits that a level's shares give it, in seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bounds {
    /// What its shares come to.
    pub(super) nominal: u32,
    /// What is left when it has lent all that it may.
    pub(super) lower: u32,
    /// What it has when it has borrowed all that it may.
    pub(super) upper: u32,
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // seats are few, and never negative
fn seats(number: f64) -> u32 {
    number.max(0.0) as u32
}

impl Bounds {
    /// A level's part of `total` seats.
    pub(super) fn of(level: &PriorityLevel, total: u32, all_shares: f64) -> Self {
        let part = |percent: u32, of: u32| seats((f64::from(of) * f64::from(percent) / 100.0).round());
        let nominal = if all_shares > 0.0 {
            seats((f64::from(total) * f64::from(level.shares) / all_shares).ceil())
        } else {
            0
        };
        let lendable = part(level.lendable_percent, nominal);
        let borrowing = level.borrowing_limit_percent.map_or(total, |percent| part(percent, nominal));
        Self { nominal, lower: nominal.saturating_sub(lendable), upper: nominal + borrowing }
    }

    /// What a level begins with: half of what it may lend is lent.
    pub(super) fn initial(&self) -> u32 {
        self.nominal - (self.nominal - self.lower) / 2
    }

    /// How many seats one request may take in a level with hands of this size.
    pub(super) fn most_of_one(&self, hand_size: u32) -> u32 {
        let part = seats((f64::from(self.nominal) * MOST_OF_A_LEVEL).ceil());
        part.min(self.nominal / hand_size.max(1)).max(1)
    }
}

/// The demand of a level as it develops.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Demand {
    most: f64,
    /// Follows a rise at once, and a fall slowly.
    pub(super) smoothed: f64,
}

impl Demand {
    /// Takes in what was seen since the last time.
    pub(super) fn update(&mut self, seen: &Observed) {
        self.most = seen.most;
        let envelope = seen.average + seen.deviation;
        let kept = SMOOTHING.powf(seen.over.as_secs_f64() / PERIOD.as_secs_f64());
        // It follows a rise at once, and a fall slowly.
        self.smoothed = envelope.max(kept * self.smoothed + (1.0 - kept) * envelope);
    }

    /// What the level should have: at least what it used at once of its own, and what it may not lend.
    pub(super) fn target(&self, bounds: &Bounds) -> Target {
        let lower = f64::from(bounds.lower).max(f64::from(bounds.nominal).min(self.most));
        Target { wanted: lower.max(self.smoothed), lower, upper: f64::from(bounds.upper) }
    }
}

/// A level's part in the division.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) wanted: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

/// Divides `total`: each gets the same fraction of its target, unless one of its bounds says otherwise; the fraction and
/// the parts. `None` when the bounds cannot be met.
pub(super) fn divide(total: u32, all: &[Target]) -> Option<(f64, Vec<f64>)> {
    let total = f64::from(total);
    let at = |fraction: f64| {
        all.iter().map(move |t| (fraction * t.wanted.max(LEAST_TARGET)).clamp(t.lower, t.upper.max(t.lower)))
    };
    let (lowest, highest): (f64, f64) =
        (all.iter().map(|t| t.lower).sum(), all.iter().map(|t| t.upper.max(t.lower)).sum());
    if lowest > total + 1e-6 || highest < total - 1e-6 {
        return None;
    }
    let (mut low, mut high) =
        (0.0, all.iter().map(|t| t.upper / t.wanted.max(LEAST_TARGET)).fold(1.0, f64::max));
    // The sum grows with the fraction, so halving finds it; a hundred halvings are beyond what a float tells apart.
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if at(middle).sum::<f64>() < total { low = middle } else { high = middle }
    }
    Some((high, at(high).collect()))
}

/// A part of a division as a number of seats.
pub(super) fn rounded(part: f64) -> u32 {
    seats(part.round())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow_control::config::Response;

    fn level(shares: u32, lendable: u32, borrowing: Option<u32>) -> PriorityLevel {
        PriorityLevel {
            name: "x".into(),
            uid: "".into(),
            shares,
            lendable_percent: lendable,
            borrowing_limit_percent: borrowing,
            response: Response::Reject,
        }
    }

    #[test]
    fn shares_become_limits_as_upstream_rounds_them() {
        let rows = [
            ("workload-low", level(100, 90, None), (245, 24, 845)),
            ("catch-all", level(5, 0, None), (13, 13, 613)),
            ("leader-election", level(10, 0, Some(50)), (25, 25, 38)),
            ("none", level(0, 0, None), (0, 0, 600)),
        ];
        for (row, level, (nominal, lower, upper)) in rows {
            assert_eq!(Bounds::of(&level, 600, 245.0), Bounds { nominal, lower, upper }, "{row}");
        }
    }

    #[test]
    fn one_request_takes_a_small_part_of_a_level() {
        for (nominal, hand_size, most) in [(245, 6, 37), (49, 6, 8), (3, 6, 1), (98, 1, 15)] {
            assert_eq!(Bounds { nominal, lower: 0, upper: 0 }.most_of_one(hand_size), most, "{nominal}");
        }
    }

    #[test]
    fn a_busy_level_borrows_what_idle_ones_lend_and_no_more() {
        type Shares = Option<Vec<f64>>;
        let target = |wanted: f64, lower: f64, upper: f64| Target { wanted, lower, upper };
        let rows: [(&str, u32, Vec<Target>, Shares); 4] = [
            ("equal", 10, vec![target(5.0, 0.0, 10.0), target(5.0, 0.0, 10.0)], Some(vec![5.0, 5.0])),
            (
                "the idle one keeps its lower bound",
                10,
                vec![target(20.0, 5.0, 99.0), target(2.0, 2.0, 99.0)],
                Some(vec![8.0, 2.0]),
            ),
            (
                "the busy one has an upper bound",
                10,
                vec![target(20.0, 5.0, 6.0), target(2.0, 1.0, 99.0)],
                Some(vec![6.0, 4.0]),
            ),
            ("impossible", 10, vec![target(20.0, 9.0, 9.0), target(2.0, 2.0, 99.0)], None),
        ];
        for (row, total, targets, want) in rows {
            let got =
                divide(total, &targets).map(|(_, parts)| parts.iter().map(|p| p.round()).collect::<Vec<_>>());
            assert_eq!(got, want, "{row}");
        }
    }

    #[test]
    fn demand_rises_at_once_and_falls_slowly() {
        let mut demand = Demand::default();
        let seen = |average, most| Observed { average, deviation: 0.0, most, over: PERIOD };
        demand.update(&seen(100.0, 120.0));
        assert!((demand.smoothed - 100.0).abs() < 1e-9);
        for _ in 0..30 {
            demand.update(&seen(0.0, 0.0));
        }
        assert!((demand.smoothed - 50.0).abs() < 1.0, "half is left after five minutes: {}", demand.smoothed);
    }
}
