//! How much each flow computes, and which flows are heavy.
//!
//! Time is counted in windows. A flow is heavy in a window if, in the one before, the machine was busy, a good part of the
//! time was the flow's, and its requests were not small. Flows share 256 accounts by their hash: one that shares a heavy flow's account
//! is taken for heavy, which costs it a place in a fair line.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long a window is.
const WINDOW: Duration = Duration::from_millis(20);
const ACCOUNTS: usize = 256;
/// From which part of the processors' time on a machine is busy. Sending and receiving is not counted, and costs as much again.
const BUSY_PER_CENT: u64 = 25;
/// Which part of what was computed makes a flow heavy: one in so many.
const HEAVY_PART: u64 = 4;
/// How long the requests of a heavy flow take on average, at least: a place in line costs about a microsecond.
const SMALL: Duration = Duration::from_micros(12);

/// The accounts.
#[derive(Debug)]
pub(super) struct Ledger {
    began: Instant,
    /// Which window is being counted.
    window: AtomicU64,
    /// How many nanoseconds make a window busy.
    busy_nanos: u64,
    accounts: Box<[Account]>,
}

#[derive(Debug, Default)]
struct Account {
    nanos: AtomicU64,
    count: AtomicU32,
    heavy: AtomicBool,
}

impl Ledger {
    pub(super) fn new(processors: usize, now: Instant) -> Self {
        Self {
            began: now,
            window: AtomicU64::new(0),
            busy_nanos: nanos(WINDOW) * processors as u64 * BUSY_PER_CENT / 100,
            accounts: (0..ACCOUNTS).map(|_| Account::default()).collect(),
        }
    }

    fn account(&self, flow: u64) -> &Account {
        #[allow(clippy::cast_possible_truncation)] // the last bits of a hash are as good as any
        &self.accounts[flow as usize % ACCOUNTS]
    }

    /// Whether a flow is heavy.
    pub(super) fn is_heavy(&self, flow: u64) -> bool {
        self.account(flow).heavy.load(Ordering::Relaxed)
    }

    /// A flow has computed for so long, to begin a request or to go on with one. Races between windows lose or count twice a few microseconds; nothing depends on them.
    pub(super) fn add(&self, flow: u64, begins: bool, took: Duration, now: Instant) {
        let window = nanos(now.saturating_duration_since(self.began)) / nanos(WINDOW);
        let counted = self.window.load(Ordering::Relaxed);
        if window > counted
            && self.window.compare_exchange(counted, window, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            // A request that took many windows is no flood: it is counted where it ended.
            self.judge(window - counted);
        }
        let account = self.account(flow);
        account.nanos.fetch_add(nanos(took), Ordering::Relaxed);
        account.count.fetch_add(begins.into(), Ordering::Relaxed);
    }

    /// Ends what was counted over so many windows.
    fn judge(&self, windows: u64) {
        let all: Vec<(u64, u32)> = self
            .accounts
            .iter()
            .map(|a| (a.nanos.swap(0, Ordering::Relaxed), a.count.swap(0, Ordering::Relaxed)))
            .collect();
        let total: u64 = all.iter().map(|(nanos, _)| nanos).sum();
        let busy = total > self.busy_nanos.saturating_mul(windows);
        for (account, (used, count)) in self.accounts.iter().zip(all) {
            let heavy = busy && used > total / HEAVY_PART && used > u64::from(count) * nanos(SMALL);
            account.heavy.store(heavy, Ordering::Relaxed);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flow, how many requests it makes in a window, and how many microseconds each takes.
    type Flow = (u64, u32, u64);

    /// Whether each of these flows is heavy in the window after.
    fn judged(flows: &[Flow]) -> Vec<bool> {
        let start = Instant::now();
        let ledger = Ledger::new(2, start);
        for (flow, count, micros) in flows {
            for _ in 0..*count {
                ledger.add(*flow, true, Duration::from_micros(*micros), start);
            }
        }
        ledger.add(255, true, Duration::ZERO, start + WINDOW);
        flows.iter().map(|(flow, ..)| ledger.is_heavy(*flow)).collect()
    }

    #[test]
    fn a_flow_is_heavy_by_much_time_in_large_requests_on_a_busy_machine() {
        let rows: [(&str, &[Flow], &[bool]); 5] = [
            ("lists, and another", &[(1, 100, 300), (2, 10, 10)], &[true, false]),
            ("as much time in small requests", &[(1, 3000, 10), (2, 10, 10)], &[false, false]),
            ("hardly anything to do", &[(1, 20, 300)], &[false]),
            ("two alike", &[(1, 50, 300), (2, 50, 300)], &[true, true]),
            (
                "ten alike",
                &[(1, 10, 300), (2, 10, 300), (3, 10, 300), (4, 10, 300), (5, 10, 300), (6, 10, 300)],
                &[false; 6],
            ),
        ];
        for (row, flows, want) in rows {
            assert_eq!(judged(flows), want, "{row}");
        }
    }

    #[test]
    fn who_stops_is_not_heavy_any_more() {
        let start = Instant::now();
        let ledger = Ledger::new(1, start);
        ledger.add(1, true, Duration::from_millis(20), start);
        ledger.add(2, true, Duration::ZERO, start + WINDOW);
        assert!(ledger.is_heavy(1));
        ledger.add(2, true, Duration::ZERO, start + 2 * WINDOW);
        assert!(!ledger.is_heavy(1));
    }
}
