//! Lines of the log that clients can cause: so many a second, and the next one says how many were left out.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets so many through each second.
#[derive(Debug)]
pub(crate) struct Throttle {
    each_second: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the current second began; `None` before the first.
    began: Option<Instant>,
    let_through: u32,
    left_out: u64,
}

impl Throttle {
    pub(crate) const fn new(each_second: u32) -> Self {
        let state = State { began: None, let_through: 0, left_out: 0 };
        Self { each_second, state: Mutex::new(state) }
    }

    /// Whether one more may pass; then, how many did not before it.
    pub(crate) fn take(&self) -> Option<u64> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        if state.began.is_none_or(|began| now.saturating_duration_since(began) >= Duration::from_secs(1)) {
            state.began = Some(now);
            state.let_through = 0;
        }
        if state.let_through < self.each_second {
            state.let_through += 1;
            return Some(std::mem::take(&mut state.left_out));
        }
        state.left_out += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_pass_each_second_and_the_next_knows_of_the_others() {
        let throttle = Throttle::new(2);
        let now = Instant::now();
        let taken: Vec<_> = (0..5).map(|_| throttle.take_at(now)).collect();
        assert_eq!(taken, [Some(0), Some(0), None, None, None]);
        assert_eq!(throttle.take_at(now + Duration::from_secs(1)), Some(3));
        assert_eq!(throttle.take_at(now + Duration::from_secs(1)), Some(0));
    }
}
