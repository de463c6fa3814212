//! Counts the answers of a probe, and says when they count. Pure.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Probe;

use super::seconds;

/// How many answers in a row it takes.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    failures: u32,
    successes: u32,
    last: Option<bool>,
    run: u32,
}

impl Machine {
    pub(crate) fn new(probe: &Probe) -> Self {
        let count = |field: Option<i32>, default| {
            field.filter(|n| *n > 0).and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
        };
        Self {
            failures: count(probe.failure_threshold, 3),
            successes: count(probe.success_threshold, 1),
            last: None,
            run: 0,
        }
    }

    /// Takes an answer; what is to be believed from now on, unless it is not settled.
    pub(crate) fn take(&mut self, success: bool) -> Option<bool> {
        if self.last == Some(success) {
            self.run = self.run.saturating_add(1);
        } else {
            (self.last, self.run) = (Some(success), 1);
        }
        let needed = if success { self.successes } else { self.failures };
        (self.run >= needed).then_some(success)
    }
}

/// When a container is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// Before the first time.
    pub(crate) delay: Duration,
    /// Between two times.
    pub(crate) period: Duration,
}

impl Times {
    /// `jitter`, below 1, is the part of a period that is waited for besides: a node that restarted does not ask all of its containers at once.
    pub(crate) fn new(probe: &Probe, started_at: SystemTime, now: SystemTime, jitter: f64) -> Self {
        let period = seconds(probe.period_seconds, 10);
        let since = now.duration_since(started_at).unwrap_or_default();
        let delay = seconds(probe.initial_delay_seconds, 0).saturating_sub(since);
        Self { delay: delay.max(period.mul_f64(jitter)), period }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_answers_in_a_row_count_as_the_thresholds_say() {
        for (name, failures, successes, answers, believed) in [
            ("the first success counts", None, None, "+", "+"),
            ("the third failure counts", None, None, "---", "..-"),
            ("a success between failures begins anew", None, None, "--+--", "..+.."),
            ("later failures count as well", Some(1), None, "--", "--"),
            ("two successes are asked for", Some(1), Some(2), "-+-++", "-.-.+"),
            ("zero is the default", Some(0), Some(0), "--+", "..+"),
        ] {
            let probe =
                Probe { failure_threshold: failures, success_threshold: successes, ..Probe::default() };
            let mut machine = Machine::new(&probe);
            let said: String = answers
                .chars()
                .map(|answer| match machine.take(answer == '+') {
                    None => '.',
                    Some(true) => '+',
                    Some(false) => '-',
                })
                .collect();
            assert_eq!(said, believed, "{name}");
        }
    }

    #[test]
    fn the_first_time_is_after_the_delay_or_a_part_of_the_period() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (name, delay, now, jitter, expected) in [
            ("at once", None, 100, 0.0, 0),
            ("after the delay", Some(7), 100, 0.0, 7),
            ("after what is left of the delay", Some(7), 105, 0.0, 2),
            ("the delay is over", Some(7), 120, 0.0, 0),
            ("the delay is over, but the node has restarted", Some(7), 120, 0.5, 5),
            ("the longer of both", Some(27), 105, 0.5, 22),
            ("a clock that went back", Some(7), 50, 0.0, 7),
        ] {
            let probe = Probe { initial_delay_seconds: delay, ..Probe::default() };
            let times = Times::new(&probe, at(100), at(now), jitter);
            let expected = Times { delay: Duration::from_secs(expected), period: Duration::from_secs(10) };
            assert_eq!(times, expected, "{name}");
        }
    }
}
