//! How long refused clients are told to wait: longer while a level keeps refusing (upstream's dropped requests tracker).
//!
//! Doubled after a spell of at least three refusals a second, at most once a spell; one second less after a spell with
//! fewer than one a second. A spell is as long as the wait itself.

use std::collections::VecDeque;

/// The longest wait, in seconds.
const MAX_RETRY_AFTER: u32 = 32;

/// The refusals of one level. Seconds count from any moment that stays the same.
#[derive(Debug)]
pub(super) struct Dropped {
    /// How many there were in each of the last seconds that had any, without the current one.
    history: VecDeque<(u64, u64)>,
    current: Option<(u64, u64)>,
    retry_after: u32,
    raised_at: Option<u64>,
}

impl Default for Dropped {
    fn default() -> Self {
        Self { history: VecDeque::new(), current: None, retry_after: 1, raised_at: None }
    }
}

impl Dropped {
    /// A request is refused in this second: how many seconds its client is to wait.
    pub(super) fn drop_one(&mut self, second: u64) -> u32 {
        match &mut self.current {
            Some((at, count)) if *at == second => *count += 1,
            current => {
                self.history.extend(current.replace((second, 1)));
                let kept = |at: u64| second.saturating_sub(at) <= u64::from(MAX_RETRY_AFTER);
                while self.history.front().is_some_and(|(at, _)| !kept(*at)) {
                    self.history.pop_front();
                }
                self.adjust(second);
            }
        }
        self.retry_after
    }

    /// Looks at the spell before this second.
    fn adjust(&mut self, second: u64) {
        let spell = u64::from(self.retry_after);
        let since = second.saturating_sub(spell);
        let dropped: u64 =
            self.history.iter().filter(|(at, _)| (since..second).contains(at)).map(|(_, count)| count).sum();
        let may_rise = self.raised_at.is_none_or(|at| second.saturating_sub(at) >= spell);
        if may_rise && dropped >= 3 * spell {
            self.retry_after = (self.retry_after * 2).min(MAX_RETRY_AFTER);
            self.raised_at = Some(second);
        } else if dropped < spell && self.retry_after > 1 {
            self.retry_after -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many refusals in each of these seconds; the wait after each second's last.
    fn waits(seconds: impl IntoIterator<Item = (u64, u64)>) -> Vec<u32> {
        let mut dropped = Dropped::default();
        let mut after = |second, count| (0..count).map(|_| dropped.drop_one(second)).last().unwrap_or(0);
        seconds.into_iter().map(|(second, count)| after(second, count)).collect()
    }

    #[test]
    fn the_wait_doubles_while_a_level_keeps_refusing_and_shrinks_when_it_seldom_does() {
        let always = |count: u64| (100..).map(move |second| (second, count));
        let rows: [(&str, Vec<u32>, &[u32]); 5] = [
            ("the first second is the usual one", waits([(100, 50)]), &[1]),
            ("two a second are few", waits(always(2).take(5)), &[1, 1, 1, 1, 1]),
            ("a flood", waits(always(9).take(8)), &[1, 2, 2, 4, 4, 4, 4, 8]),
            ("three a second are many", waits(always(3).take(4)), &[1, 2, 2, 4]),
            (
                "after a quiet time",
                waits([(100, 9), (101, 9), (103, 9), (200, 1), (300, 1), (400, 1)]),
                &[1, 2, 4, 3, 2, 1],
            ),
        ];
        for (name, got, want) in rows {
            assert_eq!(got, want, "{name}");
        }
        assert_eq!(waits(always(1000).take(200)).last(), Some(&32), "there is an end");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut dropped = Dropped::default();
        for second in 0..10_000 {
            dropped.drop_one(second);
        }
        assert!(dropped.history.len() <= MAX_RETRY_AFTER as usize + 1);
    }
}
