//! How the writer is: told by its thread, read by whoever asks, without a wait for either.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::Unhealthy;

/// How long a group of commits may take. A disk that syncs has long done it.
const SLOW: Duration = Duration::from_secs(5);
/// For how long a failed write counts. Afterwards only the next one can tell, and for that somebody must be let in.
const FRESH: Duration = Duration::from_secs(10);

/// The pulse of a writer.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Since when a group is being written.
    busy_since: Option<Instant>,
    /// When a write failed last, if none has succeeded since.
    failed_at: Option<Instant>,
    /// What the disk holds is not known, until it has been read again.
    unsound: bool,
    ended: bool,
}

impl Pulse {
    /// A group is being written.
    pub(super) fn begin(&self, now: Instant) {
        self.0.lock().busy_since = Some(now);
    }

    /// It has been; `written`: whether to the disk, where there was something to write.
    pub(super) fn end(&self, written: Option<bool>, sound: bool, now: Instant) {
        let mut state = self.0.lock();
        state.busy_since = None;
        state.unsound = !sound;
        match written {
            Some(true) => state.failed_at = None,
            Some(false) => state.failed_at = Some(now),
            None => {}
        }
    }

    /// There is no writer any more.
    pub(super) fn ended(&self) {
        self.0.lock().ended = true;
    }

    /// Whether commits are being made durable.
    pub(super) fn health(&self, now: Instant) -> Result<(), Unhealthy> {
        let state = self.0.lock();
        if state.ended {
            return Err(Unhealthy::Ended);
        }
        if state.unsound {
            return Err(Unhealthy::Unsound);
        }
        if state.busy_since.is_some_and(|since| now.saturating_duration_since(since) > SLOW) {
            return Err(Unhealthy::Slow);
        }
        if state.failed_at.is_some_and(|at| now.saturating_duration_since(at) < FRESH) {
            return Err(Unhealthy::Failing);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_well_while_its_writes_arrive() {
        let pulse = Pulse::default();
        let now = Instant::now();
        assert_eq!(pulse.health(now), Ok(()));
        pulse.begin(now);
        assert_eq!(pulse.health(now + Duration::from_secs(1)), Ok(()));
        assert_eq!(pulse.health(now + Duration::from_secs(6)), Err(Unhealthy::Slow));
        pulse.end(Some(false), true, now);
        assert_eq!(pulse.health(now + Duration::from_secs(1)), Err(Unhealthy::Failing));
        assert_eq!(pulse.health(now + Duration::from_secs(11)), Ok(()), "somebody has to try");
        pulse.end(None, true, now);
        assert_eq!(pulse.health(now), Err(Unhealthy::Failing), "nothing was written");
        pulse.end(Some(true), true, now);
        assert_eq!(pulse.health(now), Ok(()));
        pulse.end(Some(false), false, now);
        assert_eq!(pulse.health(now + Duration::from_mins(1)), Err(Unhealthy::Unsound));
        pulse.ended();
        assert_eq!(pulse.health(now), Err(Unhealthy::Ended));
    }
}
